"""What AWS charges us by its list prices, and what of that one job comes to.

The prices are of us-east-1, without free tiers, so that the figure holds for any account: a small deployment pays
less. The regions of Europe are up to a fifth dearer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal

PRICES_AS_OF = date(2026, 11, 29)

USD_PER_MILLION = {
    "write_units": Decimal("0.625"),
    "read_units": Decimal("0.125"),
    "sqs_requests": Decimal("0.40"),
    "s3_puts": Decimal("5.00"),
    "s3_gets": Decimal("0.40"),
    "bus_events": Decimal("1.00"),
    "invocations": Decimal("0.20"),
    "gb_milliseconds": Decimal("0.0133334"),
}
"""DynamoDB on demand, SQS standard queues, S3 Standard, custom events of EventBridge, Lambda on arm64
(https://aws.amazon.com/dynamodb/pricing/on-demand/, https://aws.amazon.com/sqs/pricing/,
https://aws.amazon.com/s3/pricing/, https://aws.amazon.com/eventbridge/pricing/,
https://aws.amazon.com/lambda/pricing/)."""

MICRO_USD_OF_JOB = Decimal("30.3")
"""Of one job besides its turns: its POST and its end. Counted by `python -m tests.bench --costs`, as are the next
three; `tests/bench/test_own_costs.py` fails where they are a tenth off."""

MICRO_USD_OF_TURN = Decimal("5.2")
"""Of one turn with its message: writes, reads and the queue. One that goes on without a message costs less."""

MICRO_USD_OF_EVENTS = Decimal("22.9")
"""Of all events of one job: the bus, the notices, and how far each is published."""

MICRO_USD_OF_RECEIPT = Decimal("1.25")

TURN_MS = 60
"""Of a function, around what a turn does."""

FUNCTION_GB = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class AwsUse:
    """What one job used of AWS.

    Attributes
    ----------
    function_ms
        For how long functions were at work for it, besides `TURN_MS` of each turn.
    """

    turn_count: int
    function_ms: int


def price_of(amounts: Mapping[str, Decimal | int]) -> Decimal:
    """Return what amounts of what is in `USD_PER_MILLION` cost together, in dollars."""
    return sum((amount * USD_PER_MILLION[name] for name, amount in amounts.items()), Decimal(0)) / 1_000_000


def terms_of(use: AwsUse) -> dict[str, int]:
    """Return what one job costs us at AWS by term, each in millionths of a dollar, rounded up.

    Callers' looks at their jobs are not in it, and neither are the ticks, which run without jobs too.
    """
    gb_ms = (use.turn_count * TURN_MS + use.function_ms) * FUNCTION_GB
    functions = price_of({"invocations": use.turn_count, "gb_milliseconds": gb_ms}) * 1_000_000
    terms = {
        "engine": MICRO_USD_OF_JOB + use.turn_count * MICRO_USD_OF_TURN,
        "functions": functions,
        "events": MICRO_USD_OF_EVENTS,
        "receipt": MICRO_USD_OF_RECEIPT,
    }
    return {name: int(each.to_integral_value(ROUND_CEILING)) for name, each in terms.items()}
