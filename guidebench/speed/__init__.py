"""How fast guidebench is, as a ratio to the released order of operations on the same networks: `guidebench bench`."""
