"""The report of a run: `report.html` in its folder, one page that needs no network and nothing beside it."""
