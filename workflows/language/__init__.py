"""The language of recipes: how they are read, checked and written."""
