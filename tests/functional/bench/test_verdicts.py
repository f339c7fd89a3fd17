"""What a comparison says of measured servers: of the same one twice, and of one that is a fifth slower."""

import random
from dataclasses import replace

import pytest

from local.simulators.scripted import Script
from rune.bench.comparison import compare
from rune.bench.records import Point
from rune.contracts import BenchmarkReport
from tests.functional.bench.serving import Served, running_process
from tests.functional.bench.truth import TASK, measure
from tests.measured_builders import a_report

pytestmark = pytest.mark.alone

GAPS_MS = tuple(random.Random(7).uniform(5.0, 9.0) for _ in range(97))
FAST = Script(ttft_ms=40.0, gap_ms=GAPS_MS, output_tokens=20)
SLOW = replace(FAST, ttft_ms=48.0, gap_ms=tuple(1.2 * gap_ms for gap_ms in GAPS_MS))
METRICS = ("ttft_ms", "tpot_ms", "e2el_ms", "output_throughput_tokens_per_s")


def report_of(script: Script) -> BenchmarkReport:
    """Measure one point: 64 requests, four at a time."""
    task = replace(TASK, repetitions=16)
    return a_report(measure("openai", Served(script), task, Point(0, 4), running=running_process).report)


def test_equal_runs_are_no_different_and_a_fifth_slower_is_worse() -> None:
    first, again, slower = report_of(FAST), report_of(FAST), report_of(SLOW)

    comparison = compare([("first", first), ("again", again), ("slower", slower)])

    verdicts = {
        metric.name: [value.verdict for value in metric.values[1:]] for metric in comparison.points[0].metrics
    }
    assert [verdicts[name] for name in METRICS] == [["no difference", "worse"]] * len(METRICS)
