"""The engine of jobs: a job is a row and a sequence of small steps."""
