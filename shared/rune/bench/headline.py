"""The figures that prices, the best run and a sweep go by: those of the steady state, where there is one."""

from collections.abc import Sequence

from rune.contracts import RunReport

MAX_FAILED_RATIO = 0.1
MIN_GOOD_RATIO = 0.9


def output_rate(run: RunReport) -> float | None:
    """Return output tokens per second while all slots were busy, or over the whole run where they never were."""
    if run.steady_output_throughput_tokens_per_s is not None:
        return run.steady_output_throughput_tokens_per_s
    return run.output_throughput_tokens_per_s


def request_rate(run: RunReport) -> float | None:
    """Return requests per second, in the proportion that they have to output tokens over the whole run."""
    return _in_proportion(run, run.request_throughput_per_s)


def total_rate(run: RunReport) -> float | None:
    """Return tokens in and out per second, in the proportion that they have to output tokens over the whole run."""
    return _in_proportion(run, run.total_throughput_tokens_per_s)


def good_rate(run: RunReport) -> float | None:
    """Return good requests per second; None without limits."""
    return _in_proportion(run, run.goodput_requests_per_s)


def best_run(runs: Sequence[RunReport]) -> int | None:
    """Return the index of the run that stands for the whole, the first of equals; None where none has an answer.

    It has the most good requests per second where the workload has limits, and else the most output tokens per
    second. Runs come first that did what they are named after: at most 10 % of the requests failed, at least 90 %
    kept the limits, and there was a request for each slot.
    """
    measured = [run for run in runs if output_rate(run)]
    if not measured:
        return None
    return max(measured, key=_rank).index


def has_empty_slots(run: RunReport) -> bool:
    """Return whether a closed load had fewer requests than slots, so that it never was what it is named after."""
    return run.load == "closed" and run.num_prompts < run.max_concurrency


def _rank(run: RunReport) -> tuple[bool, float]:
    ended = run.completed + run.failed
    is_sound = (
        run.failed <= MAX_FAILED_RATIO * ended
        and (run.good_ratio is None or run.good_ratio >= MIN_GOOD_RATIO)
        and not has_empty_slots(run)
    )
    rate = good_rate(run)
    return is_sound, (output_rate(run) or 0.0) if rate is None else rate


def _in_proportion(run: RunReport, whole: float | None) -> float | None:
    """Return a figure of the whole run as it is in the steady state.

    The steady state has the mix of all requests: a figure counted in its window would be wrong by those that its
    edges cut.
    """
    steady, tokens = run.steady_output_throughput_tokens_per_s, run.output_throughput_tokens_per_s
    if whole is None or steady is None or not tokens:
        return whole
    return whole * steady / tokens
