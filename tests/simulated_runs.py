"""Benchmarks of simulated servers that speak at random, but whose truth is known."""

from __future__ import annotations

from functools import cache
from random import Random

from rune.bench.records import Point, RequestRecord
from rune.contracts import BenchmarkReport
from tests.measured_builders import MS, a_completed, a_report, a_run

REQUEST_COUNT = 80
CLIENT_COUNT = 4


@cache
def a_simulated_report(
    seed: int, *, slowness: float = 1.0, slot_count: int = CLIENT_COUNT
) -> BenchmarkReport:
    """Return the report of four clients that ask one after another, 80 times in all.

    Requests differ as real ones do: time to first token by 30 %, pace by 10 %, each gap by 50 %, answers between
    about 5 and 30 tokens. With fewer slots than clients, requests wait in the server's queue.
    """
    chance = Random(seed)
    client_free_ms, slot_free_ms = [0.0] * CLIENT_COUNT, [0.0] * slot_count
    records: list[RequestRecord] = []
    for number in range(REQUEST_COUNT):
        client = min(range(CLIENT_COUNT), key=client_free_ms.__getitem__)
        slot = min(range(slot_count), key=slot_free_ms.__getitem__)
        sent_ms = client_free_ms[client]
        wait_ms = max(slot_free_ms[slot] - sent_ms, 0.0)
        pace_ms = slowness * 20 * chance.lognormvariate(0, 0.1)
        token_count = max(2, round(12 * chance.lognormvariate(0, 0.4)))
        record = a_completed(
            number,
            sent_ms=sent_ms,
            ttft_ms=wait_ms + slowness * 120 * chance.lognormvariate(0, 0.3),
            gaps_ms=[pace_ms * chance.gammavariate(4, 0.25) for _ in range(token_count - 1)],
            output_tokens=token_count,
        )
        slot_free_ms[slot] = record.ended_ns / MS
        client_free_ms[client] = record.ended_ns / MS + 1
        records.append(record)
    return a_report(a_run(*records, point=Point(0, CLIENT_COUNT)))
