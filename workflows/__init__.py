"""What to run, in which order: recipes, stages, runs that resume, and the command `chronovox`."""
