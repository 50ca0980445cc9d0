"""The parts that models are made of: what reads frames, what remembers them, what makes frames again.

    frames -> encoder -> block -> ... -> block -> decoder -> frames

`encoder.py` and `decoder.py` work within a frame, at its own resolution on the outside and at that of patches on the
inside; `block.py` is the only one that looks along time.
"""
