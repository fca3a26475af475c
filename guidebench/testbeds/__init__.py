"""Testbeds: generator, judges and faces that belong together. `guidebench.registry.TESTBEDS` lists them."""
