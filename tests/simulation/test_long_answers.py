"""Answers of a reasoning model, 8,192 tokens at 30 a second: enough within the job's time, and true numbers."""

import pytest

from tests.simulation.long_answers import LONGEST_TOKENS, TOKENS_PER_S, measure_long_answers

FOUR_HOURS = 4 * 3600.0
CHUNK_TOKENS = 64


def test_long_answers_are_enough_within_the_jobs_time_at_one_to_four_at_a_time() -> None:
    outcome = measure_long_answers(
        runtime_seconds=FOUR_HOURS,
        concurrency=[1, 2, 3, 4],
        max_blocks=8,
        min_waves=5,
        tokens_per_chunk=CHUNK_TOKENS,
    )

    runs = outcome.report.runs
    assert outcome.report.ended_by == "all_measured"
    assert outcome.took_seconds < FOUR_HOURS
    assert [(run.completed, run.cut_off, len(run.blocks or ())) for run in runs] == [
        (10, 0, 5),
        (10, 0, 3),
        (15, 0, 3),
        (20, 0, 3),
    ]
    assert [run.warnings for run in runs] == [[]] * 4
    # The first chunk comes after half a second, and each other one after CHUNK_TOKENS / 30.
    truth = LONGEST_TOKENS / (0.5 + (LONGEST_TOKENS - CHUNK_TOKENS) / TOKENS_PER_S)
    for run in runs:
        assert run.steady_output_throughput_tokens_per_s == pytest.approx(
            truth * run.max_concurrency, rel=1e-3
        )
        assert run.tpot_ms is not None
        assert run.tpot_ms.median == pytest.approx(1000 / TOKENS_PER_S, rel=1e-3)


def test_answers_of_unequal_length_are_all_measured() -> None:
    """A block does not favour short answers: what it would have to cut off is left to the next, or asked again."""
    outcome = measure_long_answers(
        runtime_seconds=FOUR_HOURS,
        concurrency=[4],
        max_blocks=8,
        repetitions=40,
        shortest_tokens=1000,
        tokens_per_chunk=CHUNK_TOKENS,
    )

    (run,) = outcome.report.runs
    assert (run.completed, outcome.report.ended_by) == (40, "all_measured")
    assert run.output_tokens is not None
    assert run.output_tokens.mean == pytest.approx((1000 + LONGEST_TOKENS) / 2, rel=0.15)
    assert run.steady_output_throughput_tokens_per_s == pytest.approx(4 * TOKENS_PER_S, rel=0.03)


def test_long_answers_are_few_in_one_run() -> None:
    outcome = measure_long_answers(runtime_seconds=FOUR_HOURS, concurrency=[1], tokens_per_chunk=CHUNK_TOKENS)

    (run,) = outcome.report.runs
    assert "few_samples" in run.warnings


def test_blocks_are_reported_when_the_job_has_an_hour() -> None:
    outcome = measure_long_answers(
        runtime_seconds=3600.0, concurrency=[1, 2], max_blocks=8, min_waves=5, tokens_per_chunk=CHUNK_TOKENS
    )

    assert outcome.report.ended_by == "time_over"
    assert outcome.took_seconds <= 3600
    # The last block is as short as what is left of the hour, which is longer than an answer.
    assert [(run.completed, len(run.blocks or ())) for run in outcome.report.runs] == [(10, 5), (6, 2)]
