"""Jobs: a row and a sequence of small steps."""
