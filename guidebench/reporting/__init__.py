"""Reports: records and published claims in, tables and pictures out. Nothing here runs a network.

`tables.report`, which the command line calls, in its order:

    frame       records -> one row a score
    mixing      which records belong into one table; refuses the rest
    layout      records -> rows, columns and cells, by means of
      variants    which records make a row; the order of rows and protocols
      statistics  means, intervals, paired differences, tests
      families    which differences are tested together
      footnotes   what must be said below
      published   the numbers of papers
    report      what all of them fill: the nouns of a table
    renderers   a report -> Markdown, LaTeX, CSV, JSON, plain text; what is said of differences is `wording`'s

Beside it: `orderings` (the paper's claims), `instrument` (what readings are worth, computed by `reliability`),
`status` (what is recorded), `gallery` and `figures` (pictures).
"""
