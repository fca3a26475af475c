"""The methods that ship with guidebench, one file each, through a stranger's door; imported as guidebench.baselines."""

if not __name__.startswith("guidebench."):
    raise ImportError("import guidebench.baselines, not baselines: the package would be loaded twice")
