"""Photographs that the user brings.

- `manifests`: whom a frozen rule picks from FFHQ and CelebA-HQ; `faces`: those people, for a testbed
- `own`: a folder of folders (``--photos``)
- `align`: faces cut as EG3D's training images are
- `measuring`: statistics of real photographs; `real_images`: the file that holds them
"""
