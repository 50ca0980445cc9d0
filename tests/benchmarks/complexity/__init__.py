"""How time and memory of every mixer grow with frames, voxels and taps: measured, with exponents fitted, beside what
theory says. `python -m tests.benchmarks.complexity` writes docs/complexity.md."""
