"""The published networks, written again from their papers, with the names of their stored weights.

Each module holds one family: it defines the layers so that a published weight file fits key by key, and a loader that
reads that file without executing anything in it.
"""
