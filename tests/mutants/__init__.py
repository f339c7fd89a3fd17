"""Mutants: one guard each is taken away, and the named tests must see it. `make mutants` runs them."""
