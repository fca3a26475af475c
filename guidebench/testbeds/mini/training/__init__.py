"""How mini's networks were trained. `python -m guidebench.testbeds.mini.training --out DIR` does it again."""
