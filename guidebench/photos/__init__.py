"""Photographs that the user brings.

- `manifests`: the people that a frozen rule picks from FFHQ and CelebA-HQ; `faces`: those people, for a testbed
- `own`: a folder with one sub-folder per person (``--photos``)
- `align`: faces cut as EG3D's training images are
- `measuring`: statistics of real photographs; `real_images`: the file that holds them
"""
