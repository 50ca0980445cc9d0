"""What the stage `train` is made of: its settings, and one module for each idea of the loop."""
