"""How much of a table of runs the tests take: a part by default, and all of it where somebody asks."""

from __future__ import annotations

import os

VARIABLE = "RUNE_SIMULATED_STRIDE"
"""Every n-th run is taken; 1 takes every one."""


def stride(usual: int) -> int:
    """Return how many runs lie between two that are taken: the usual number, unless the variable has another."""
    return int(os.environ.get(VARIABLE, usual))
