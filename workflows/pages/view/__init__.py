"""The page of `chronovox view`: volumes of one or several stores, side by side, through time.

Without the page: `choose.py` (which stores), `times.py`, `places.py` and `volume.py` (what they hold, lazily, in
units), `together.py` (several of them). The page: `page.py`, and what it is put together from.
"""
