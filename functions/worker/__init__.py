"""The worker: takes turns of jobs. Each lane has a function of its own from this code."""
