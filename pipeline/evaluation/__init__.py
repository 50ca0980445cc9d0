"""How the stage `evaluate` scores what a model made: `forecasts.py`, or `restorations.py` of what was made of the same
frames. Each gives a `result.Result`, of which the stage writes its files.
"""
