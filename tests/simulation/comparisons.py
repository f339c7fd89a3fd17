"""How often a comparison finds a slower server, and how often it finds a difference where there is none.

`python -m tests.simulation.comparisons` prints a line for each kind of run. Servers are simulated, their answers of
very unequal length, and each benchmark is folded into a report as a real one is.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from random import Random
from statistics import median

from rune.bench.comparison import compare
from rune.bench.records import Point
from rune.contracts import BenchmarkReport, ComparedValue
from tests.measured_builders import MS, a_completed, a_report, a_run

FOUND_BY = (
    "steady_output_throughput_tokens_per_s",
    "output_throughput_tokens_per_s",
    "tpot_ms",
    "e2el_ms",
    "ttft_ms.p95",
    "ttft_ms.p99",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A benchmark of a simulated server.

    Attributes
    ----------
    slot_count
        Requests under way.
    slowness
        How much longer the other server takes for each token and for each first token.
    tail_slowness
        How much longer for the first token of one request in ten; as a queue makes it that is sometimes full.
    """

    request_count: int
    slot_count: int
    slowness: float = 1.0
    tail_slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """What so many comparisons of one setting said.

    Attributes
    ----------
    verdicts
        On each number, how often each.
    worse_count, better_count
        Comparisons in which any number was so.
    needed
        On each number, how many requests would decide, where it was undecided.
    """

    trial_count: int
    verdicts: dict[str, Counter[str | None]]
    worse_count: int
    better_count: int
    needed: dict[str, list[int]]


def a_report_of(setting: Setting, seed: int, *, is_slow: bool = False) -> BenchmarkReport:
    """Return the report of a closed load whose answers have about 15 to 250 tokens.

    The pace differs between requests by 8 %, the time to first token by 35 %.
    """
    chance = Random(seed)
    slowness = setting.slowness if is_slow else 1.0
    tail_slowness = setting.tail_slowness if is_slow else 1.0
    free_at_ms = [0.0] * setting.slot_count
    heapify(free_at_ms)
    records = []
    for number in range(setting.request_count):
        token_count = min(max(round(60 * chance.lognormvariate(0, 0.7)), 4), 400)
        pace_ms = slowness * 20 * chance.lognormvariate(0, 0.08)
        ttft_ms = slowness * 120 * chance.lognormvariate(0, 0.35)
        if chance.random() < 0.1:
            ttft_ms *= tail_slowness
        record = a_completed(
            number,
            sent_ms=free_at_ms[0],
            ttft_ms=ttft_ms,
            gaps_ms=[pace_ms] * (token_count - 1),
            output_tokens=token_count,
        )
        heapreplace(free_at_ms, record.ended_ns / MS + 1)
        records.append(record)
    return a_report(a_run(*records, point=Point(0, setting.slot_count)))


def try_often(setting: Setting, trial_count: int, first_seed: int = 0) -> Found:
    """Return what comparisons of two fresh benchmarks each say."""
    found = Found(trial_count, {}, 0, 0, {})
    worse_count = better_count = 0
    for trial in range(trial_count):
        seed = first_seed + 2 * trial
        pair = [("a", a_report_of(setting, seed)), ("b", a_report_of(setting, seed + 1, is_slow=True))]
        values = {each.name: each.values[1] for each in compare(pair).points[0].metrics}
        _count(found, values)
        verdicts = {value.verdict for value in values.values()}
        worse_count += "worse" in verdicts
        better_count += "better" in verdicts
    return Found(trial_count, found.verdicts, worse_count, better_count, found.needed)


def _count(found: Found, values: dict[str, ComparedValue]) -> None:
    for name, value in values.items():
        found.verdicts.setdefault(name, Counter())[value.verdict] += 1
        if value.requests_to_decide is not None:
            found.needed.setdefault(name, []).append(value.requests_to_decide)


def _line(setting: Setting, found: Found) -> str:
    shares = [
        f"{name} {found.verdicts[name]['worse'] / found.trial_count:.0%}"
        f" (undecided {found.verdicts[name]['undecided'] / found.trial_count:.0%}"
        + (f", would take {median(found.needed[name]):.0f}" if name in found.needed else "")
        + ")"
        for name in FOUND_BY
    ]
    return (
        f"{setting.request_count} requests, {setting.slot_count} at a time, {setting.slowness:.2f} times as long, "
        f"first tokens of one in ten {setting.tail_slowness:.1f} times: any number worse "
        f"{found.worse_count / found.trial_count:.1%}, any better {found.better_count / found.trial_count:.1%}\n"
        f"    worse by {'; '.join(shares)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how often a server that is 30 % slower is found, one with a longer tail, and an equal one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=200, help="comparisons of each setting")
    trial_count = parser.parse_args(arguments).trials
    for setting in (
        *(Setting(40, slot_count, slowness=1.3) for slot_count in (1, 4, 8)),
        *(Setting(400, 4, tail_slowness=tail_slowness) for tail_slowness in (1.0, 4.0)),
        *(Setting(40, slot_count) for slot_count in (1, 4, 8)),
    ):
        print(_line(setting, try_often(setting, trial_count)), flush=True)


if __name__ == "__main__":
    main()
