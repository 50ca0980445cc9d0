"""The commands of `chronovox`, and how they show what they do."""
