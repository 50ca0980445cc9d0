"""What a run will take before it is begun: sizes, memory, bytes, seconds, and what of it does not fit."""
