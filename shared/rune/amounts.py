"""Amounts of money, which are kept in millionths of a dollar."""

from decimal import ROUND_FLOOR, Decimal

MICRO_USD_PER_USD = 1_000_000


def to_micro_usd(usd: float) -> int:
    """Return an amount that a caller wrote in dollars, rounded down to millionths."""
    return int((Decimal(repr(usd)) * MICRO_USD_PER_USD).to_integral_value(ROUND_FLOOR))
