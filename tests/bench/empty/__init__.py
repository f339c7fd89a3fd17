"""Functions with RUNE's libraries and AWS calls, and nothing else: what a cold start costs at least."""
