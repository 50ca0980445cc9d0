"""Local pages: `serve.py` shows one to the person who started it and to nobody else; each page is a package beside it."""
