"""A run: which trials there are, where they run, what one trial does, and what it writes."""
