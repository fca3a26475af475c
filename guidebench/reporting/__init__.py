"""Reports: records and published claims in, tables and figures out. Nothing here runs a network.

`guidebench.reporting.tables` is what the command line calls: `report` and `summary`.
"""
