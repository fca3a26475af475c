"""Figures for papers and talks, drawn with matplotlib from records. Nothing here runs a network.

`draw.draw`, which the command line calls, works in this order:

    trials      records of a directory -> those of one protocol, with their scores
    tradeoff, heatmap, curves, maps      one figure each; `draw.FIGURES` names them
    style       how all of them look: colours by method, sizes, endings of files

matplotlib is imported when a figure is drawn, and only then.
"""
