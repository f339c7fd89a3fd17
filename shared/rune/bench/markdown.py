"""A comparison as Markdown, for people and their pull requests."""

import re
from collections.abc import Iterator, Sequence

from rune.bench.comparison import MIN_SAMPLES
from rune.contracts import ComparedJob, ComparedMetric, ComparedPoint, ComparedValue, Comparison

_LABELS = {
    "ttft_ms": "Time to first token",
    "tpot_ms": "Time per output token",
    "itl_ms": "Gap between chunks",
    "e2el_ms": "End-to-end latency",
    "steady_output_throughput_tokens_per_s": "Output throughput, steady",
    "output_throughput_tokens_per_s": "Output throughput",
    "request_throughput_per_s": "Request throughput",
    "output_tokens_per_s_per_user": "Speed for each user",
    "failed_ratio": "Failed requests",
    "good_ratio": "Requests within limits",
    "quality_score": "Quality",
    "reliability_ratio": "Reliability",
    "usd_per_million_output_tokens": "Price of 1 M output tokens",
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~&])")
# Line ends of every kind, and marks that turn the direction of the text after them.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_FULL_DIGITS = 1000


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown: who, then a table for each point, then how to read it.

    Names come from callers and servers, so everything in them that Markdown or HTML would read is escaped.
    """
    letters = {job.job_id: _letter(index) for index, job in enumerate(comparison.jobs)}
    lines = ["# Comparison", "", *_jobs_table(comparison.jobs, letters)]
    for point in comparison.points:
        lines += ["", f"## {_point_title(point)}", "", *_metrics_table(point, letters)]
    if comparison.notes:
        lines += ["", "## Notes", "", *(f"- {escape(note)}" for note in comparison.notes)]
    return "\n".join([*lines, "", *_legend(comparison)]) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", _UNPRINTABLE.sub(" ", text))


def _letter(index: int) -> str:
    """Return A for the first, Z for the 26th, AA for the one after it."""
    rest, place = divmod(index, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + place)


def _jobs_table(jobs: Sequence[ComparedJob], letters: dict[str, str]) -> Iterator[str]:
    yield "| | Job | Model | Backend | Server | GPU | Warnings |"
    yield "|---|---|---|---|---|---|---|"
    for job in jobs:
        cells = (job.job_id, job.model, job.backend, job.server or "", job.gpu or "", ", ".join(job.warnings))
        yield f"| **{letters[job.job_id]}** | {' | '.join(escape(cell) for cell in cells)} |"


def _point_title(point: ComparedPoint) -> str:
    if point.request_rate_per_s is not None:
        return f"{point.request_rate_per_s:g} requests a second, at most {point.max_concurrency} at a time"
    return f"{point.max_concurrency} at a time"


def _metrics_table(point: ComparedPoint, letters: dict[str, str]) -> Iterator[str]:
    first, *others = [letters[value.job_id] for value in point.metrics[0].values] if point.metrics else [""]
    columns = [first, *(title for other in others for title in (other, f"{other} against {first}"))]
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---:|' + '---:|---|' * len(others)}"
    for metric in point.metrics:
        base, *held_against = metric.values
        cells = [_amount(base, metric)]
        for value in held_against:
            cells += [_amount(value, metric), _difference(value)]
        label = _LABELS.get(metric.name, metric.name)
        yield f"| {escape(label)} ({metric.better} is better) | {' | '.join(cells)} |"


def _amount(value: ComparedValue, metric: ComparedMetric) -> str:
    if value.value is None:
        return ""
    if metric.unit == "ratio":
        # The spread of zeros and ones says nothing that their mean does not.
        return f"{value.value:.1%}"
    spread = "" if value.std is None else f" ± {_number(value.std)}"
    return f"{_number(value.value)}{spread}{'' if metric.unit == 'score' else f' {metric.unit}'}"


def _difference(value: ComparedValue) -> str:
    verdict = f"**{value.verdict}**" if value.verdict in {"better", "worse"} else value.verdict or ""
    if value.difference_ratio is not None:
        return f"{value.difference_ratio:+.1%}: {verdict}"
    return verdict if value.difference is None else f"{value.difference:+.4g}: {verdict}"


def _number(value: float) -> str:
    """Return four significant digits, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= _FULL_DIGITS else f"{value:.4g}"


def _legend(comparison: Comparison) -> Iterator[str]:
    yield (
        f"*better* and *worse*: the {comparison.confidence:.0%} confidence interval of the difference (Welch's t) "
        f"leaves zero out, and the difference is at least {comparison.threshold_ratio:.0%}. Otherwise there is *no "
        f"difference*. Numbers without spread, or with fewer than {MIN_SAMPLES} independent values on a side, are "
        "*not comparable*. ± is the standard deviation over requests, or of throughput in ten parts of the time."
    )
    yield ""
    yield (
        "Each benchmark is one measurement at one time. What changes from hour to hour, as other guests of a "
        "machine do, is in no interval: repeat what matters."
    )
