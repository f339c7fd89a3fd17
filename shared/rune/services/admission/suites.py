"""What is refused of a benchmark that tries a model as an investigator on a suite of cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rune.contracts import BenchmarkRequest
from rune.errors import InvalidRequestError, quote

type FindSuite = Callable[[str], "SuiteOutline | None"]
"""Finds a suite by its name: one that RUNE brings, or one of the tenant's own; None where there is none."""

DEFAULT_RUNS = 3
DEFAULT_TURNS = 20
DEFAULT_TOOL_CALLS = 40
DEFAULT_TOKENS = 200_000

MOST_RUNS = 300
"""Of a job, all cases together: each is some ten calls of the model, one after another."""

_OF_SUITES = ("suite_version", "cases", "runs", "max_turns", "max_tool_calls", "max_tokens")
_NOT_BESIDE = ("workload", "expected")


@dataclass(frozen=True, slots=True)
class SuiteOutline:
    """A version of a suite.

    Attributes
    ----------
    version
        SHA-256 of its cases.
    """

    version: str
    case_ids: Sequence[str]


def find_brought(name: str) -> SuiteOutline | None:
    """Return a suite that RUNE brings; None where there is none of the name."""
    # Imported at the first suite: few jobs have one.
    from rune.kubernetes.recorded.loading import load_suite  # noqa: PLC0415
    from rune.workflows.benchmark.exercises import version_of  # noqa: PLC0415

    try:
        version = version_of(name)
    except LookupError:
        return None
    return SuiteOutline(version, [case.id for case in load_suite(name)])


def admit_suite(request: BenchmarkRequest, find: FindSuite) -> BenchmarkRequest:
    """Return the request with all that a suite's run depends on: version, cases, runs, limits.

    Raises
    ------
    InvalidRequestError
        A field belongs to suites and none is named, or cannot go together with one; there is no such suite, version
        or case; or there are more runs than a job may have.
    """
    if request.suite is None:
        for name in _OF_SUITES:
            if getattr(request, name) is not None:
                raise InvalidRequestError(
                    f"{name} is of a suite: name one in suite.", pointer=f"/{name}", code="suite_missing"
                )
        return request
    _refuse_others(request, request.suite)
    found = find(request.suite)
    if found is None:
        raise InvalidRequestError(
            f"There is no suite {quote(request.suite)}.", pointer="/suite", code="suite_unknown"
        )
    if request.suite_version not in (None, found.version):
        raise InvalidRequestError(
            f"The suite {quote(request.suite)} has version {found.version} by now.",
            pointer="/suite_version",
            code="suite_changed",
        )
    cases = _cases_of(request, found)
    runs = request.runs or DEFAULT_RUNS
    count = len(cases) * runs
    if count > MOST_RUNS:
        raise InvalidRequestError(
            f"{len(cases)} cases, each run {runs} times, are {count:,} runs; a job may have {MOST_RUNS}.",
            pointer="/runs",
            code="suite_too_large",
        )
    return request.model_copy(
        update={
            "suite_version": found.version,
            "cases": cases,
            "runs": runs,
            "max_turns": request.max_turns or DEFAULT_TURNS,
            "max_tool_calls": request.max_tool_calls or DEFAULT_TOOL_CALLS,
            "max_tokens": request.max_tokens or DEFAULT_TOKENS,
        }
    )


def _refuse_others(request: BenchmarkRequest, suite: str) -> None:
    for name in _NOT_BESIDE:
        if getattr(request, name) is not None:
            raise InvalidRequestError(
                f"{name} cannot go together with suite: its cases bring what is asked, and what is right.",
                pointer=f"/{name}",
                code="suite_contradicted",
            )
    if request.question != suite:
        raise InvalidRequestError(
            "question cannot go together with suite: its cases bring what is asked.",
            pointer="/question",
            code="suite_contradicted",
        )


def _cases_of(request: BenchmarkRequest, found: SuiteOutline) -> list[str]:
    """Return the ids of the cases to run, in the suite's order."""
    if request.cases is None:
        return list(found.case_ids)
    unknown = [each for each in request.cases if each not in found.case_ids]
    if unknown:
        raise InvalidRequestError(
            f"The suite {quote(request.suite or '')} has no case {quote(unknown[0])}.",
            pointer=f"/cases/{request.cases.index(unknown[0])}",
            code="suite_case_unknown",
        )
    for index, each in enumerate(request.cases):
        if each in request.cases[:index]:
            # How often each is run is `runs`.
            raise InvalidRequestError(f"The case {quote(each)} is named twice.", pointer=f"/cases/{index}")
    return [each for each in found.case_ids if each in request.cases]
