"""RUNE and aiperf measure the same server at the same time, and must see the same."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rune.bench.runs import fold_run
from rune.contracts import RunReport
from tests.real.llama_server import LlamaServer
from tests.real.measuring import OUTPUT_TOKENS, measure_while, measure_with_aiperf, with_client, within
from tests.real.peer import PeerRun

MOST_DIFFERENCE_RATIO = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """What both say, in their own words; see `peer.py` for aiperf's."""

    ttft_p50_ms: float
    tpot_p50_ms: float
    output_tokens_per_s: float


COMPARED = ("ttft_p50_ms", "tpot_p50_ms", "output_tokens_per_s")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("concurrency", "request_count"), [(1, 40), (4, 80)])
def test_rune_and_aiperf_agree(
    slow_llama: LlamaServer,
    folder: Path,
    concurrency: int,
    request_count: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Both ask at once, each with so many requests under way: whatever disturbs the server disturbs both.

    By turns they would also measure what the machine did meanwhile, which on a shared one is more than 5 %. RUNE
    begins first and ends last, and counts what lies within aiperf's time.
    """
    before = slow_llama.read_counters()
    aiperf = asyncio.to_thread(
        measure_with_aiperf, slow_llama, concurrency, folder / f"aiperf-{concurrency}", request_count
    )
    theirs, measured = asyncio.run(
        with_client(slow_llama, lambda client: measure_while(aiperf, client, concurrency))
    )
    counted = (slow_llama.read_counters() - before).output_tokens
    wall_ns = time.time_ns() - time.monotonic_ns()
    ours = fold_run(within(measured, theirs.begin_ns - wall_ns, theirs.end_ns - wall_ns), None, None)

    table = _table(ours, theirs, concurrency)
    record_property("figures", "\n".join(table))
    assert (theirs.completed, theirs.failed) == (request_count, 0)
    assert theirs.output_tokens == request_count * OUTPUT_TOKENS
    assert ours.completed == pytest.approx(request_count, rel=0.1)
    assert ours.total_output_tokens == ours.completed * OUTPUT_TOKENS
    all_ours = fold_run(measured, None, None).total_output_tokens + measured.warmup_output_tokens
    assert all_ours + theirs.output_tokens + concurrency * OUTPUT_TOKENS == counted
    assert _ratios(ours, theirs) == {
        name: pytest.approx(1.0, abs=MOST_DIFFERENCE_RATIO) for name in COMPARED
    }, table


def _figures(run: RunReport) -> Figures:
    assert run.ttft_ms is not None
    assert run.tpot_ms is not None
    return Figures(run.ttft_ms.median, run.tpot_ms.median, run.output_throughput_tokens_per_s or 0.0)


def _ratios(ours: RunReport, theirs: PeerRun) -> dict[str, float]:
    return {name: getattr(_figures(ours), name) / getattr(theirs, name) for name in COMPARED}


def _table(ours: RunReport, theirs: PeerRun, concurrency: int) -> list[str]:
    heading = f"llama.cpp, {concurrency} under way for each: RUNE | aiperf | RUNE / aiperf"
    return [
        heading,
        f"requests: {ours.completed} | {theirs.completed}",
        *(
            f"{name}: {getattr(_figures(ours), name):.2f} | {getattr(theirs, name):.2f} | {ratio:.3f}"
            for name, ratio in _ratios(ours, theirs).items()
        ),
    ]
