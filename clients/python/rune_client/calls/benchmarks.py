"""Calls on benchmarks, their reports and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rune_client.answers import read_document, read_nothing, read_text
from rune_client.calls.call import Call, named, segment
from rune_client.documents import (
    BaselineList,
    BaselineRecord,
    PageLink,
    RecordsLinks,
    SuiteDocument,
    SuiteList,
    SuiteRecord,
)

type ReportFormat = Literal["json", "rune", "vllm", "aiperf", "markdown", "html"]
type ComparisonFormat = Literal["json", "markdown", "html", "junit"]

_JSON_FORMATS = frozenset({"json", "rune", "vllm", "aiperf"})


def report(job_id: str, *, format: ReportFormat | str = "json", run: int | None = None) -> Call[Any]:  # noqa: A002
    """Return the report of a benchmark that succeeded: a document, or for `markdown` and `html` a text.

    Parameters
    ----------
    format
        `json`, RUNE's own; `vllm` or `aiperf`, one run as those tools would write it; `markdown` or `html` for
        people.
    run
        Which run, for `vllm` and `aiperf`; the best one where none is named.

    Raises
    ------
    NotFoundError
        There is no such benchmark.
    ConflictError
        It has not ended, or ended without a report.
    """
    return Call(
        method="GET",
        path=f"/v1/benchmarks/{segment(job_id, 'The id of the job')}",
        reads=read_document if format in _JSON_FORMATS else read_text,
        query={"format": "rune" if format == "json" else format, "run": run},
        is_repeatable=True,
    )


def list_benchmarks(
    cursor: str | None,
    *,
    status: str | None = None,
    name: str | None = None,
    metadata: list[str] | None = None,
    page_size: int | None = None,
) -> Call[Any]:
    """Return a page of own benchmarks, newest first."""
    return Call(
        method="GET",
        path="/v1/benchmarks",
        reads=read_document,
        query={
            "status": status,
            "name": name,
            "metadata": metadata or [],
            "limit": page_size,
            "cursor": cursor,
        },
        is_repeatable=True,
    )


def compare(
    job_ids: Sequence[str],
    *,
    baseline: str | None = None,
    format: ComparisonFormat | str = "json",  # noqa: A002
    threshold: float | None = None,
    fail_on: Sequence[str] | str | None = None,
    undecided: Literal["skipped", "failure"] | None = None,
) -> Call[Any]:
    """Return benchmarks side by side: a document, or for `markdown`, `html` and `junit` a text.

    Parameters
    ----------
    job_ids
        2 to 10 of them; the others are held against the first. Beside a baseline 1 to 9.
    threshold
        Differences below this ratio are none; 0.05 where none is named.
    fail_on
        Limits, such as `ttft_ms.p95:1.10`. The document's `gate` says whether they are kept.
    undecided
        What an undecided check is in JUnit XML.
    """
    return Call(
        method="GET",
        path="/v1/benchmarks/compare",
        reads=read_document if format == "json" else read_text,
        query={
            "jobs": ",".join(job_ids),
            "baseline": baseline,
            "threshold": threshold,
            "fail_on": [fail_on] if isinstance(fail_on, str) else list(fail_on or []),
            "undecided": undecided,
            "format": format,
        },
        is_repeatable=True,
    )


def records(job_id: str) -> Call[RecordsLinks]:
    """Return links to a benchmark's single requests, each for 15 minutes."""
    return Call(
        method="GET",
        path=f"/v1/benchmarks/{segment(job_id, 'The id of the job')}/records",
        reads=read_document,
        is_repeatable=True,
    )


def benchmark_link(
    job_id: str,
    *,
    lifetime_seconds: int | None = None,
    compared_with: Sequence[str] | None = None,
    threshold: float | None = None,
) -> Call[PageLink]:
    """Return a link that opens the page of a report without a token. Anyone with the address can read it."""
    others = None if compared_with is None else list(compared_with)
    return Call(
        method="POST",
        path=f"/v1/benchmarks/{segment(job_id, 'The id of the job')}/links",
        reads=read_document,
        body=named(lifetime_seconds=lifetime_seconds, compared_with=others, threshold=threshold),
    )


def baselines() -> Call[BaselineList]:
    """Return the tenant's baselines."""
    return Call(
        method="GET",
        path="/v1/baselines",
        reads=read_document,
        is_repeatable=True,
    )


def baseline(name: str) -> Call[BaselineRecord]:
    """Return one baseline."""
    return Call(
        method="GET",
        path=f"/v1/baselines/{segment(name, 'The name of the baseline')}",
        reads=read_document,
        is_repeatable=True,
    )


def set_baseline(
    name: str, job_id: str, *, if_match: str | None = None, only_if_new: bool = False
) -> Call[BaselineRecord]:
    """Let a name stand for a benchmark.

    Parameters
    ----------
    if_match
        Only where the baseline still has this `ETag`.
    only_if_new
        Only where there is no baseline of this name.

    Raises
    ------
    ConflictError
        The condition does not hold; nothing was written.
    """
    return Call(
        method="PUT",
        path=f"/v1/baselines/{segment(name, 'The name of the baseline')}",
        reads=read_document,
        body={"job_id": job_id},
        headers=named(**{"If-Match": if_match, "If-None-Match": "*" if only_if_new else None}),
        # RUNE takes what it has already, whatever the condition.
        is_repeatable=True,
    )


def delete_baseline(name: str, *, if_match: str | None = None) -> Call[None]:
    """Remove a baseline; the benchmark stays."""
    return Call(
        method="DELETE",
        path=f"/v1/baselines/{segment(name, 'The name of the baseline')}",
        reads=read_nothing,
        headers=named(**{"If-Match": if_match}),
    )


def suites() -> Call[SuiteList]:
    """Return the suites of cases that RUNE brings, and the tenant's own."""
    return Call(method="GET", path="/v1/suites", reads=read_document, is_repeatable=True)


def suite(name: str) -> Call[SuiteDocument]:
    """Return a suite with its cases."""
    return Call(
        method="GET",
        path=f"/v1/suites/{segment(name, 'The name of the suite')}",
        reads=read_document,
        is_repeatable=True,
    )


def set_suite(name: str, cases: Sequence[Mapping[str, Any]]) -> Call[SuiteRecord]:
    """Let a name stand for cases; jobs that were accepted before keep theirs."""
    return Call(
        method="PUT",
        path=f"/v1/suites/{segment(name, 'The name of the suite')}",
        reads=read_document,
        body={"cases": [dict(case) for case in cases]},
        is_repeatable=True,
    )


def delete_suite(name: str) -> Call[None]:
    """Remove an own suite; jobs that are to run it still do."""
    return Call(
        method="DELETE",
        path=f"/v1/suites/{segment(name, 'The name of the suite')}",
        reads=read_nothing,
    )
