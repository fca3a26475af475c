"""Published numbers, table templates and reference results on mini; imported as guidebench.reports."""

if not __name__.startswith("guidebench."):
    raise ImportError("import guidebench.reports, not reports: the package would be loaded twice")
