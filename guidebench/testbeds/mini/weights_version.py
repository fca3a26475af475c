"""The version of the networks that ship."""

WEIGHTS_VERSION = 2  # raised when they are trained anew, so that tables can tell them apart
