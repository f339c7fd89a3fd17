"""What a job waits for before it may rent: it has no machine yet, and costs nothing.

A step that finds too little of something gives the job's slot back, with a count in the job's `progress` that names
it. A job that has ordered a machine before keeps its slot, and its step comes again later.
"""

from collections.abc import Callable, Mapping

from rune.amounts import MICRO_USD_PER_USD

CREDIT_NEEDED = "credit_needed_micro_usd"
"""How much of the account's credit the job needs; what it has is reserved for machines that are rented now."""

FEWER_MACHINES = "machines_at_most"
"""How many machines the job's tenant may have, which it has."""

LOWER_PRICE = "micro_usd_per_hour_at_most"
"""What its tenant's machines may cost an hour together; one more would be too much."""

NEXT_PRICE = "micro_usd_per_hour"
"""Of the machine that the job would rent, beside `LOWER_PRICE`."""

KEPT_UNUSED = "machines_kept_unused"
"""How many machines the tenant keeps that no job uses, and that did not fit the job, beside one of the others."""


def _describe_credit(micro_usd: int) -> str:
    return (
        f"Waiting for {micro_usd / MICRO_USD_PER_USD:.4f} USD of the provider's credit, which is kept for machines"
        " that are rented now."
    )


def describe_machine_limit(count: int) -> str:
    """Return one sentence on what a job waits for whose tenant has as many machines as it may have."""
    return f"Waiting until one of your machines ends: your tenant may have {count} at a time."


def _describe_price(micro_usd: int) -> str:
    return (
        "Waiting until one of your machines ends: your tenant's may cost"
        f" {micro_usd / MICRO_USD_PER_USD:g} USD an hour together."
    )


_WANTS: Mapping[str, Callable[[int], str]] = {
    CREDIT_NEEDED: _describe_credit,
    FEWER_MACHINES: describe_machine_limit,
    LOWER_PRICE: _describe_price,
}


def describe_want(progress: Mapping[str, int]) -> str | None:
    """Return one sentence on what a job waits for by its progress; None where it waits for nothing of this kind."""
    return next((describe(progress[name]) for name, describe in _WANTS.items() if name in progress), None)
