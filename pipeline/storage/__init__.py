"""Zarr stores that cannot lose data: how an array is cut, who writes each file, what was written, and how it is mended.

Start with `store.py` (what a volume is on disk) and `make.py` (lazy volumes into one new store).
"""
