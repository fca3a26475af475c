"""The embedded testbed without cameras: a small StyleGAN2 and an encoder among mini's photographs and judges."""

WEIGHTS_VERSION = 1  # raised when the networks are trained again, so that tables keep them apart
