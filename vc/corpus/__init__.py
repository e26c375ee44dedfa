"""Recordings to a data directory: what a folder holds, ids, lists, decoding, checks."""
