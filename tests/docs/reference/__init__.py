"""The reference in `docs/reference/`, made of help texts, settings and docstrings; `make docs` writes it anew."""
