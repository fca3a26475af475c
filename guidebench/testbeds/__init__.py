"""Testbeds: generator, judges and faces that belong together. `guidebench.registry.testbeds` lists them."""
