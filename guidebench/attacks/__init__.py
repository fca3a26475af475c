"""The attacks that ship, one file each."""
