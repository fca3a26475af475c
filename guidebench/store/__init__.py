"""Records: what a trial leaves behind, as data and as files."""
