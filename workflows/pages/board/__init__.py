"""The page of a run, fed from its event log: `log.py` reads it, `standing.py` and `grid.py` are how things stand after
some events, `history.py` how they went, `recorded.py` knows both at any time, `picture.py` makes a picture of any
number of shards, `page.py` shows it all."""
