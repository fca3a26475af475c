"""How mini-2d's networks were trained. `python -m guidebench.testbeds.mini_2d.training --out DIR` does it again.

What ships is what that command leaves behind: `DIR/weights` is the folder `guidebench/testbeds/mini_2d/weights`,
`DIR/MODEL_CARD.md` is next to it, and `DIR/sheets` is the folder `docs/mini-2d`. The perceptual network and the
training recogniser are those that ship with mini. The generator learns from pictures by mini's generator, which come
faster than the renderer's photographs and are 30 dB close to them.
"""
