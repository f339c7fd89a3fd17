"""A comparison as Markdown, for people and their pull requests."""

import re
from collections.abc import Iterator, Sequence

from rune.bench.showing import describe_load, letter, name_of_number, number, printable
from rune.bench.verdicts import FALSE_VERDICT_RATIO
from rune.contracts import ComparedJob, ComparedMetric, ComparedPoint, ComparedValue, Comparison, GateCheck

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~&])")


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown: who, then a table for each point, then how to read it.

    Names come from callers and servers, so everything in them that Markdown or HTML would read is escaped.
    """
    letters = {job.job_id: letter(index) for index, job in enumerate(comparison.jobs)}
    names = {job.job_id: job.name for job in comparison.jobs if job.name}
    lines = ["# Comparison", "", *_jobs_table(comparison.jobs, letters)]
    if comparison.baseline is not None:
        lines += [
            "",
            f"**{letters[comparison.jobs[0].job_id]}** is the baseline {escape(comparison.baseline)}.",
        ]
    if comparison.gate is not None:
        lines += ["", f"## Gate: {comparison.gate}", "", *_checks_table(comparison.checks, letters)]
    for point in comparison.points:
        lines += ["", f"## {describe_load(point)}", "", *_metrics_table(point, letters, names)]
    if comparison.notes:
        lines += ["", "## Notes", "", *(f"- {escape(note)}" for note in comparison.notes)]
    return "\n".join([*lines, "", *_legend(comparison)]) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", printable(text))


def _jobs_table(jobs: Sequence[ComparedJob], letters: dict[str, str]) -> Iterator[str]:
    has_names = any(job.name for job in jobs)
    yield f"| | Job |{' Name |' if has_names else ''} Model | Backend | Server | GPU | Warnings |"
    yield f"|---|---|{'---|' if has_names else ''}---|---|---|---|---|"
    for job in jobs:
        names = (job.name or "",) if has_names else ()
        cells = (
            job.job_id,
            *names,
            job.model,
            job.backend,
            job.server or "",
            job.gpu or "",
            ", ".join(job.warnings),
        )
        yield f"| **{letters[job.job_id]}** | {' | '.join(escape(cell) for cell in cells)} |"


def _checks_table(checks: Sequence[GateCheck], letters: dict[str, str]) -> Iterator[str]:
    yield "| | Load | Limit | | |"
    yield "|---|---|---|---|---|"
    for check in checks:
        bound = "at most" if check.better == "lower" else "at least"
        limit = f"{check.metric} {bound} {check.limit_ratio:g} times"
        outcome = f"**{check.outcome}**" if check.outcome == "failed" else check.outcome
        cells = (escape(describe_load(check)), escape(limit), outcome, escape(check.reason))
        yield f"| {letters[check.job_id]} | {' | '.join(cells)} |"


def _metrics_table(point: ComparedPoint, letters: dict[str, str], names: dict[str, str]) -> Iterator[str]:
    job_ids = [value.job_id for value in point.metrics[0].values] if point.metrics else []
    heads = [_head(letters[job_id], names.get(job_id)) for job_id in job_ids] or [""]
    first, *others = [letters[job_id] for job_id in job_ids] or [""]
    columns = [heads[0]]
    for other, head in zip(others, heads[1:], strict=True):
        columns += [head, f"{other} against {first}"]
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---:|' + '---:|---|' * len(others)}"
    for metric in point.metrics:
        base, *held_against = metric.values
        cells = [_amount(base, metric)]
        for value in held_against:
            cells += [_amount(value, metric), _difference(value)]
        label = name_of_number(metric.name)
        yield f"| {escape(label)} ({metric.better} is better) | {' | '.join(cells)} |"


def _head(letter_of_job: str, name: str | None) -> str:
    return f"{letter_of_job}: {escape(name)}" if name else letter_of_job


def _amount(value: ComparedValue, metric: ComparedMetric) -> str:
    if value.value is None:
        return ""
    if metric.unit == "ratio":
        # The spread of zeros and ones says nothing that their mean does not.
        return f"{value.value:.1%}"
    spread = "" if value.std is None else f" ± {number(value.std)}"
    return f"{number(value.value)}{spread}{'' if metric.unit == 'score' else f' {metric.unit}'}"


def _difference(value: ComparedValue) -> str:
    verdict = f"**{value.verdict}**" if value.verdict in {"better", "worse"} else value.verdict or ""
    if value.requests_to_decide is not None:
        verdict += f" (would take {value.requests_to_decide:,} requests)"
    if value.difference_ratio is not None:
        return f"{value.difference_ratio:+.1%}: {verdict}"
    return verdict if value.difference is None else f"{value.difference:+.4g}: {verdict}"


def _legend(comparison: Comparison) -> Iterator[str]:
    yield (
        f"*better* and *worse*: the {comparison.confidence:.0%} confidence interval of the difference (Welch's t) "
        f"leaves zero out, so does the correction for many numbers (Benjamini and Hochberg, "
        f"{FALSE_VERDICT_RATIO:.0%}), and the difference is at least {comparison.threshold_ratio:.0%}, or as many "
        "points of a ratio. *no difference*: it is surely smaller. *undecided*: neither is sure; so many requests "
        "on each side would decide, if the numbers stay what they are. Numbers without spread are *not "
        "comparable*. ± is the standard deviation over requests, or of throughput in ten parts of the time."
    )
    yield ""
    yield (
        "Each benchmark is one measurement at one time. What changes from hour to hour, as other guests of a "
        "machine do, is in no interval: repeat what matters."
    )
