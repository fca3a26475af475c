"""Submissions: results of somebody else's in one file, and what of them can be found out without believing anybody."""
