"""Whether methods, metrics and testbeds keep their contracts: what `guidebench check` runs."""
