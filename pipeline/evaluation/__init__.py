"""How the stage `evaluate` scores what a model made: `forecasts.py`, `restorations.py` of what was made of the same
frames, or `labels.py` of labels. Each gives a `result.Result`, of which the stage writes its files.
"""
