"""The command line: one file per group of commands, and what only a command does."""
