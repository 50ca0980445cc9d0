"""Pages on this machine: `serve.py` shows one to the person who started it and to nobody else."""
