"""What one processor carries: `python -m tests.bench.streams [streams processes gap_ms answers]`.

A scripted server in a process of its own notes when it sends each chunk, and RUNE measures it. What is printed of
each point is how late RUNE's stamps are beside the server's, and how much of a processor RUNE's busiest process
used. A processor carries the chunks per second divided by that share, at most.
"""

import os
import statistics
import sys
from contextlib import suppress
from dataclasses import replace

from local.simulators.scripted import Script
from rune.bench.records import Point
from rune.contracts import GoodputLimits
from tests.functional.bench.serving import Served, running_process
from tests.functional.bench.truth import MS, TASK, Trial, compare, measure

POINTS = ((64, 1, 40.0, 2), (64, 1, 20.0, 2), (64, 1, 10.0, 2), (256, 4, 400.0, 3))
"""Streams, processes, milliseconds between the chunks of a stream, and answers of each stream."""

SECONDS_AN_ANSWER = 4.0
LIMITS = GoodputLimits(ttft_ms=10_000.0)


def main(*points: tuple[int, int, float, int]) -> None:
    """Print a row for each point."""
    # Beside others, RUNE's numbers would be those of the machine's queue.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    for streams, processes, gap_ms, answers in points:
        chunks = round(SECONDS_AN_ANSWER * 1000 / gap_ms)
        # Of unequal length, so that streams do not begin together for ever, as those of users do not.
        lengths = (chunks // 2, chunks, chunks * 3 // 2, chunks * 3 // 4, chunks * 5 // 4)
        scripts = tuple(Script(ttft_ms=500.0, gap_ms=gap_ms, output_tokens=length) for length in lengths)
        served = Served(scripts=scripts)
        repetitions = -(-streams * answers // len(TASK.prompts))
        trial = measure(
            "openai",
            served,
            replace(TASK, repetitions=repetitions, warmup_count=streams),
            Point(0, streams),
            goodput=LIMITS,
            time_limit_seconds=90.0,
            running=running_process,
            process_count=processes,
        )
        _print(trial, streams, processes)


def _print(trial: Trial, streams: int, processes: int) -> None:
    late_ms, report = lateness_ms(trial), trial.report
    chunks_per_s = len(late_ms) / report.duration_s
    ratio = report.client_processor_ratio or 0.0
    p99_ms = statistics.quantiles(late_ms, n=100)[98]
    rings = "client_overloaded" in report.warnings
    print(  # noqa: T201 the program's output
        f"{streams} streams, {processes} processes, {report.completed} answers, {chunks_per_s:,.0f} chunks/s: "
        f"late by {statistics.median(late_ms):.2f} ms (median), {p99_ms:.2f} (p99), {max(late_ms):.2f} (max); "
        f"busiest processor {ratio:.3f}, so {chunks_per_s / processes / ratio:,.0f} chunks/s a processor; "
        f"loop lag p99 {report.loop_lag_p99_ms} ms; client_overloaded {'rings' if rings else 'is quiet'}"
    )
    for row in compare(trial, LIMITS):
        print(f"    {row}")  # noqa: T201 as above


def lateness_ms(trial: Trial) -> list[float]:
    """Return how much later than the promptest chunk each was stamped, beside when the server sent it.

    The point began at the same instant for all processes, so one difference of clocks is that of all.
    """
    differences = [
        (arrived_ns - sent_ns) / MS
        for record, exchange in trial.pairs
        if record.generation is not None
        for arrived_ns, sent_ns in zip(
            record.generation.chunk_arrivals_ns, exchange.times_ns("text"), strict=True
        )
    ]
    least = min(differences)
    return [difference - least for difference in differences]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        streams, processes, gap_ms, answers = sys.argv[1:5]
        main((int(streams), int(processes), float(gap_ms), int(answers)))
    else:
        main(*POINTS)
