"""Mixers side by side on winds and on moving digits, by `chronovox compare`, with equal parameters and equal time."""
