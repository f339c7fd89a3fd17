"""What a thousand jobs of twenty turns cost us at AWS, term by term, beside other ways to run them.

Calls, units, invocations and bytes of logs are counted. Two things are assumed: a function takes `TURN_MS` around
what a turn does, and Lambda itself writes `PLATFORM_LOG_BYTES` for each invocation. The table has no stream.
Callers who look at their jobs, and ticks, are not in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import override

from local.simulators.ollama import SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.logs import JsonFormatter
from rune.money.aws_prices import FUNCTION_GB, TURN_MS, price_of
from tests.bench.aws_calls import INSTANT
from tests.bench.cost_world import World, simulated_world
from tests.bench.costs import Usage

JOBS = 1_000
LOOKS = 16
"""With check, warm-up, the measurement and its end, a job of twenty turns."""

PLATFORM_LOG_BYTES = 350
"""The lines START, END and REPORT, by their form."""

LOG_USD_PER_BYTE = Decimal("0.50") / 10**9
"""https://aws.amazon.com/cloudwatch/pricing/"""

GATEWAY_USD_PER_REQUEST = Decimal(1) / 10**6
"""https://aws.amazon.com/api-gateway/pricing/"""

TURNS = 20
_GB_SECOND_USD = Decimal("0.0000133334")
ALTERNATIVES: Mapping[str, Decimal] = {
    "Step Functions, a transition a turn (0.025 USD per 1,000)": JOBS * TURNS * Decimal("0.000025"),
    "Step Functions, three a turn, for a loop that waits": 3 * JOBS * TURNS * Decimal("0.000025"),
    "durable functions (a start, 20 steps, 19 waits; 8 USD per million)": JOBS * 40 * Decimal("0.000008"),
    "a function that sleeps through 480 s of boot": JOBS * 480 * FUNCTION_GB * _GB_SECOND_USD,
    "a container that is always on (Fargate, 0.25 vCPU), a month": Decimal("10.86"),
}
"""Of the engine alone, without the functions' own time where that is needed as well
(https://aws.amazon.com/step-functions/pricing/, https://aws.amazon.com/lambda/pricing/,
https://aws.amazon.com/fargate/pricing/; prices of autumn 2026)."""


@dataclass(frozen=True, slots=True)
class OwnCost:
    """One term of what `JOBS` jobs cost.

    Attributes
    ----------
    counted
        What of it, for people.
    """

    term: str
    counted: str
    usd: Decimal


class _LogBytes(logging.Handler):
    """Counts the bytes of the lines that functions write."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(JsonFormatter("function"))
        self.count = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.count += len(self.format(record).encode()) + 1


@contextmanager
def _counted_logs() -> Iterator[_LogBytes]:
    root, handler = logging.getLogger(), _LogBytes()
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)


def measure_own_costs() -> list[OwnCost]:
    """Return the terms; they add up to what all costs together."""
    with (
        running_server(create_app(SimulatedOllama(INSTANT))) as model_server,
        simulated_world(model_server) as world,
    ):
        return count_job(world)[1]


def count_job(world: World) -> tuple[Usage, list[OwnCost]]:
    """Run one job of twenty turns; return what its calls used, and the terms of `JOBS` like it."""
    world.meter.by_term.clear()
    world.invocations.clear()
    with _counted_logs() as logs:
        usage = world.run_job(looks=LOOKS)
    return usage, terms_of(world.meter.by_term, world.invocations, logs.count)


def terms_of(by_term: Mapping[str, Usage], invocations: Mapping[str, int], log_bytes: int) -> list[OwnCost]:
    """Return the terms of `JOBS` jobs like the one that was counted."""
    calls = [_of_calls(term, usage) for term, usage in sorted(by_term.items(), key=lambda each: -each[1].usd)]
    count = sum(invocations.values())
    gb_ms = count * TURN_MS * FUNCTION_GB
    functions = price_of({"invocations": count, "gb_milliseconds": gb_ms})
    log_bytes += count * PLATFORM_LOG_BYTES
    names = ", ".join(f"{name} {number}" for name, number in invocations.items())
    return [
        *calls,
        OwnCost("functions", f"invocations: {names}; {gb_ms / 1_000} GB-s", functions * JOBS),
        OwnCost("logs", f"{log_bytes:,} bytes", log_bytes * LOG_USD_PER_BYTE * JOBS),
        OwnCost("gateway", "the POST", GATEWAY_USD_PER_REQUEST * JOBS),
    ]


def _of_calls(term: str, usage: Usage) -> OwnCost:
    counted = (
        f"{usage.write_units} + {usage.index_units} write units, {usage.read_units} read units, "
        f"{usage.sqs_requests} requests of SQS, {usage.bus_events} events on the bus, "
        f"{usage.s3_puts} + {usage.s3_gets} of S3"
    )
    return OwnCost(term, counted, usage.usd * JOBS)


def show_own_costs(costs: list[OwnCost]) -> list[tuple[str, ...]]:
    """Return the terms, their sum, and the other ways, as rows of a table."""
    rows: list[tuple[str, ...]] = [(f"{JOBS:,} jobs of {TURNS} turns", "USD", "counted for one job")]
    rows += [(cost.term, f"{cost.usd:.4f}", cost.counted) for cost in costs]
    rows.append(("in all", f"{sum(cost.usd for cost in costs):.4f}", ""))
    rows.append(("", "", ""))
    rows += [(name, f"{usd:.2f}", "") for name, usd in ALTERNATIVES.items()]
    return rows
