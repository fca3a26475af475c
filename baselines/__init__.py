"""The methods that ship, one file each, through the same door as anyone's; imported as guidebench.baselines."""

if not __name__.startswith("guidebench."):
    raise ImportError("import guidebench.baselines, not baselines: the package would be loaded twice")
