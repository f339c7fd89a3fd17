"""How published numbers are rounded."""

DECIMALS = 6
"""Nanoseconds in a time in milliseconds, which is what the clock gives."""


def rounded(value: float | None) -> float | None:
    """Return the value as it is published; None stays None."""
    return None if value is None else round(value, DECIMALS)
