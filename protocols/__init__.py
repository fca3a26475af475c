"""The protocols that ship with guidebench, one TOML file each; imported as guidebench.protocols."""

if not __name__.startswith("guidebench."):
    raise ImportError("import guidebench.protocols, not protocols: the package would be loaded twice")
