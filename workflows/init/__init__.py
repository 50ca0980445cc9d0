"""A recipe for somebody's own files: looked at (`looking`), chosen for (`choosing`), written (`writing`)."""
