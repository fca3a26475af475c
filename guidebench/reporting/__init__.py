"""Reports: records and published claims in, tables and pictures out. Nothing here runs a network.

`report.report`, which the command line calls, works in this order:

    scores          records -> one row per score; `COLUMNS` declares what is in it
    selection       which records belong in one table, and as which rows; refuses the rest
    layout          which rows and columns a table has, and what its cells say, by means of
      grid            what each row measured in a column
      statistics      means, intervals, paired differences, tests
      significance    which differences are tested together
      best            which cells are bold
      footnotes       what must be said below
      published       the numbers of papers
    model           what all of them fill: the nouns of a table
    formats         a report -> Markdown, LaTeX, CSV, JSON, plain text, in the words of
      differences     numbers, verdicts, tables of differences

Besides: `paper_claims` (the paper's orderings), `diagnostics` (what readings are worth), `status` (what is recorded),
`gallery` and `figures` (pictures).
"""
