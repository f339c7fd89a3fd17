"""A case as an investigator meets it: its question, its recorded cluster, and what is right."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from rune.agents.tools import Toolbox
from rune.bench.diagnoses import Expected
from rune.contracts import BenchmarkRequest
from rune.errors import InvalidRequestError
from rune.jobs.suites import digest_of, to_json
from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.cluster import RecordedCluster
from rune.kubernetes.recorded.loading import SUITES, load_suite, parse_case
from rune.kubernetes.tools.toolbox import KubernetesToolbox

type ReadCases = Callable[[str, str, str], str | None]
"""As of `BenchmarkDependencies`."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One run of a case.

    Attributes
    ----------
    toolbox
        Over its cluster; the caller closes it.
    """

    question: str
    expected: Expected
    toolbox: Toolbox


def read_suite(read_cases: ReadCases, tenant: str, request: BenchmarkRequest) -> Mapping[str, Case]:
    """Return the cases of the request's suite by their ids, in the version that the job keeps.

    Raises
    ------
    InvalidRequestError
        That version is not there any more (`suite_changed`).
    StoreUnavailableError
        The tenant's cases cannot be read now.
    """
    name, version = request.suite or "", request.suite_version or ""
    if name in SUITES:
        found = None if version_of(name) != version else load_suite(name)
    else:
        cases_json = read_cases(tenant, name, version)
        found = None if cases_json is None else _parse(cases_json)
    if found is None:
        raise InvalidRequestError(
            "The version of the suite that the job was to run is not there any more.",
            pointer="/suite_version",
            code="suite_changed",
        )
    return {case.id: case for case in found}


@lru_cache(maxsize=2)
def _parse(cases_json: str) -> tuple[Case, ...]:
    """Return a suite's cases; a worker that goes on with a job does not check them again."""
    return tuple(map(parse_case, json.loads(cases_json)))


@cache
def version_of(name: str) -> str:
    """Return the version of a suite that RUNE brings; raises LookupError."""
    return digest_of(to_json([dict(case.document) for case in load_suite(name)]))


def open_exercise(case: Case, run: int) -> Exercise:
    """Return a run of a case. Each has other names and numbers, and the same for every model."""
    cluster = RecordedCluster(case, run)
    staged = cluster.stage
    expected = Expected(
        status=staged.expected.status,
        findings=staged.expected.findings,
        red_herrings=staged.red_herrings,
        owners={
            str(entity): str(owner)
            for entity in staged.world.objects
            if (owner := staged.world.owner_of(entity)) != entity
        },
    )

    toolbox = KubernetesToolbox(cluster, now=lambda: staged.world.now)
    return Exercise(staged.ask, expected, toolbox)


def expected_of(case: Case) -> Expected:
    """Return what is right, with the case's own names and no owners."""
    return Expected(case.expected.status, case.expected.findings, case.red_herrings)
