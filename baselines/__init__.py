"""The methods that ship with guidebench, one file each, through the same door as anyone's; see guidebench.baselines."""

if not __name__.startswith("guidebench."):
    raise ImportError("import guidebench.baselines, not baselines: the package would be loaded twice")
