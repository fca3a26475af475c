"""How mini's networks were trained. `python -m guidebench.testbeds.mini.training --out DIR` does it again.

What ships is what that command leaves behind: `DIR/weights` is the folder `guidebench/testbeds/mini/weights`,
`DIR/MODEL_CARD.md` is next to it, and `DIR/sheets` is the folder `docs/mini`. Card and sheets are made again from the
weights alone by `python -m guidebench.testbeds.mini.training.card` and `python -m guidebench.testbeds.mini.sheets`.
"""
