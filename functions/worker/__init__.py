"""Takes turns of jobs: one function for each lane, from the same code."""
