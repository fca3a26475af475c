"""Results as one page of HTML: a table whose every number leads to the people, pictures and records behind it.

Numbers come from `guidebench.reporting`; nothing is computed here that a table in Markdown does not say, too.
"""
