"""Reports: records and published claims in, tables and pictures out. Nothing here runs a network.

`report.report`, which the command line calls, works in this order:

    scores          records -> one row per score; `COLUMNS` declares what is in it
    selection       which records belong in one table, and as which rows; refuses the rest
    choice          layouts by name
    layout          rows, columns and cells of every table, by means of
      grid            what each row measured in a column
      statistics      means, intervals, paired differences, tests
      significance    which differences are tested together
      best            which cells are bold
      footnotes       what a reader needs to repeat or doubt a number
      published       the numbers of papers
    model           what all of them fill: the nouns of a table
    formats         a report -> Markdown, LaTeX, CSV, JSON, plain text, in the words of
      differences     numbers, verdicts, tables of differences

Besides: `paper_claims` (the paper's orderings), `diagnostics` (what readings are worth), `status` (what is recorded),
`gallery` and `figures` (pictures), `plots` (figures for papers).
"""
