"""Photographs that the user brings.

- `manifests`: the people that a frozen rule picks from FFHQ and CelebA-HQ; `faces`: those people, for a testbed
- `own`: a folder with one sub-folder per person (``--photos``)
- `align`: faces cut as a generator's training images are; `frames`: where EG3D's and FFHQ's frames are
- `measuring`: statistics of real photographs; `real_images`: the file that holds them
"""
