"""Whether a comparison of real servers says what is known of them."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from rune.bench.comparison import compare
from rune.bench.markdown import to_markdown
from rune.bench.records import MeasuredPoint
from rune.bench.runs import fold_run
from rune.contracts import BenchmarkReport
from tests.measured_builders import a_report
from tests.real.llama_server import LlamaServer
from tests.real.measuring import join, measure_once, with_client

ROUNDS = 12
REQUESTS_PER_ROUND = 4


@pytest.mark.timeout(600)
def test_slower_server_is_flagged_and_the_same_one_is_not(
    slow_llama: LlamaServer, slower_llama: LlamaServer, record_property: Callable[[str, object], None]
) -> None:
    first, again, slower = _measure_in_turns(slow_llama, slow_llama, slower_llama)

    comparison = compare([("first", first), ("again", again), ("slower", slower)])

    record_property("figures", to_markdown(comparison))
    verdicts = {
        metric.name: [value.verdict for value in metric.values[1:]] for metric in comparison.points[0].metrics
    }
    assert {name: verdicts[name] for name in ("ttft_ms", "tpot_ms", "e2el_ms")} == {
        "ttft_ms": ["no difference", "worse"],
        "tpot_ms": ["no difference", "worse"],
        "e2el_ms": ["no difference", "worse"],
    }
    assert verdicts["output_throughput_tokens_per_s"] == ["no difference", "worse"]


def _measure_in_turns(*servers: LlamaServer) -> list[BenchmarkReport]:
    """Return a report of each server; they are asked by turns, so that what disturbs meets all."""
    parts = [[_measure(server) for server in servers] for _ in range(ROUNDS)]
    return [a_report(fold_run(join(of_server), None, None)) for of_server in zip(*parts, strict=True)]


def _measure(server: LlamaServer) -> MeasuredPoint:
    ask = partial(measure_once, concurrency=1, request_count=REQUESTS_PER_ROUND)
    return asyncio.run(with_client(server, ask))
