"""Suites for their callers: set, find, list, delete, and what a job is to run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rune.clock import Clock
from rune.errors import (
    InvalidDocumentError,
    InvalidRequestError,
    StoreContendedError,
    SuiteNotFoundError,
    TooManySuitesError,
)
from rune.jobs import suites
from rune.jobs.suites import Stale, Suite, SuiteStore, TooMany, digest_of, to_json
from rune.kubernetes.recorded.loading import SUITES, load_suite, parse_case
from rune.kubernetes.recorded.problems import InvalidCaseError
from rune.services.admission.suites import SuiteOutline, find_brought
from rune.workflows.benchmark.exercises import version_of

MOST_SUITES = 20
"""Of a tenant."""

_TRIES = 4
"""Of a write while another one writes the same suite."""

_MOST_PROBLEMS = 50
"""Told of one document."""


@dataclass(frozen=True, slots=True)
class FoundSuite:
    """A version of a suite with its cases.

    Attributes
    ----------
    record
        None for one that RUNE brings.
    """

    name: str
    digest: str
    cases: Sequence[Mapping[str, Any]]
    record: Suite | None = None

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Of the cases, in their order."""
        return tuple(str(case["id"]) for case in self.cases)


def brought(name: str) -> FoundSuite | None:
    """Return a suite that RUNE brings; None where there is none of the name."""
    if name not in SUITES:
        return None
    return FoundSuite(name, version_of(name), [dict(case.document) for case in load_suite(name)])


def all_brought() -> tuple[FoundSuite, ...]:
    """Return the suites that RUNE brings."""
    return tuple(suite for name in SUITES if (suite := brought(name)) is not None)


class SuiteService:
    """The suites that RUNE brings, and those of the caller's own tenant.

    Every method raises StoreUnavailableError when the store cannot be reached.
    """

    def __init__(self, store: SuiteStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def put(self, tenant: str, name: str, cases: Sequence[dict[str, Any]]) -> tuple[FoundSuite, bool]:
        """Return the suite, which has these cases from now on, and whether it is new.

        Where it has these cases already, nothing is written. Jobs go on with the cases that they began with.

        Raises
        ------
        InvalidRequestError
            RUNE brings a suite of this name.
        InvalidDocumentError
            A case cannot be understood, with a pointer to each fault; or two have the same id.
        TooManySuitesError
            The tenant has as many as it may have.
        """
        _refuse_brought(name, "choose another name")
        try:
            cases_json = to_json(cases)
            cases_json.encode()
        except ValueError:
            # Python's JSON knows NaN, and half a surrogate pair.
            raise InvalidRequestError("A case has a value that JSON cannot hold.", pointer="/cases") from None
        _check(cases)
        for _ in range(_TRIES):
            before = self._store.read(tenant, name)
            found = before if before is not None and before.is_there else None
            if found is not None and found.digest == digest_of(cases_json):
                return FoundSuite(name, digest_of(cases_json), cases, found), False
            after = suites.put(
                before, tenant, name, cases_json=cases_json, case_count=len(cases), now=self._clock.now()
            )
            match self._store.write(before, after, cases_json, MOST_SUITES):
                case TooMany():
                    raise TooManySuitesError(MOST_SUITES)
                case Stale():
                    continue
                case written:
                    return FoundSuite(name, digest_of(cases_json), cases, written), found is None
        raise StoreContendedError("The suite changes all the time; try again.")

    def find(self, tenant: str, name: str) -> FoundSuite:
        """Return a suite as it is now; raises SuiteNotFoundError, UnreadableRowError."""
        if (known := brought(name)) is not None:
            return known
        for _ in range(_TRIES):
            found = self._store.read(tenant, name)
            if found is None or found.digest is None:
                break
            # Between the two reads its cases may have been replaced and, much later, have expired.
            cases_json = self._store.read_cases(tenant, name, found.digest)
            if cases_json is not None:
                return FoundSuite(name, found.digest, json.loads(cases_json), found)
        raise SuiteNotFoundError(name)

    def outline(self, tenant: str, name: str) -> SuiteOutline | None:
        """Return what a job is to run of a suite; None where there is none."""
        if (known := find_brought(name)) is not None:
            return known
        try:
            found = self.find(tenant, name)
        except SuiteNotFoundError:
            return None
        return SuiteOutline(found.digest, found.case_ids)

    def list_suites(self, tenant: str) -> tuple[Suite, ...]:
        """Return the tenant's own suites by name."""
        return self._store.read_all(tenant)

    def delete(self, tenant: str, name: str) -> None:
        """Delete an own suite; jobs that are to run it still do.

        Raises
        ------
        InvalidRequestError
            RUNE brings a suite of this name.
        SuiteNotFoundError
            The tenant has none of this name.
        """
        _refuse_brought(name, "only your own can be deleted")
        for _ in range(_TRIES):
            found = self._store.read(tenant, name)
            if found is None or not found.is_there:
                raise SuiteNotFoundError(name)
            after = suites.delete(found, self._clock.now())
            if not isinstance(self._store.write(found, after, None, MOST_SUITES), (Stale, TooMany)):
                return
        raise StoreContendedError("The suite changes all the time; try again.")


def _refuse_brought(name: str, hint: str) -> None:
    if name in SUITES:
        raise InvalidRequestError(
            f"RUNE brings the suite {name!r}; {hint}.", pointer="/name", code="suite_name_taken"
        )


def _check(cases: Sequence[dict[str, Any]]) -> None:
    problems = list(_problems_of(cases))
    if problems:
        raise InvalidDocumentError(
            f"{problems[0]['pointer']}: {problems[0]['detail']}"
            if len(problems) == 1
            else f"There are {len(problems)} faults in the cases.",
            problems[:_MOST_PROBLEMS],
        )


def _problems_of(cases: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    first_with: dict[object, int] = {}
    for index, document in enumerate(cases):
        place = f"/cases/{index}"
        case_id = document.get("id")
        if isinstance(case_id, str) and first_with.setdefault(case_id, index) != index:
            yield {"pointer": f"{place}/id", "detail": f"Case {first_with[case_id]} has this id too."}
        try:
            parse_case(document)
        except InvalidCaseError as error:
            for each in error.problems:
                yield {"pointer": f"{place}{each.pointer}", "detail": each.message}
