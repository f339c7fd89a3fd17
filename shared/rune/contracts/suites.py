"""Suites of cases, on which models are tried as investigators of Kubernetes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from rune.contracts.document import Document

SUITE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

MOST_CASES = 100
"""Of a suite; a body of 256 KiB holds about as many."""


class SuiteRequest(Document):
    """A suite's cases."""

    cases: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_CASES)]
    """Each as docs/diagnosis-cases.md has it, with an `id` of its own."""


class SuiteRecord(Document):
    """A suite."""

    name: str
    is_own: bool
    """False for one that RUNE brings."""
    version: str
    """SHA-256 of its cases: members sorted, no blanks, UTF-8. Equal versions have equal cases."""
    case_ids: list[str]
    created_at: datetime | None
    """Null for one that RUNE brings."""
    updated_at: datetime | None


class SuiteDocument(SuiteRecord):
    """A suite with its cases."""

    cases: list[dict[str, Any]]


class SuiteSummary(Document):
    """A suite in a list."""

    name: str
    is_own: bool
    version: str
    case_count: int
    updated_at: datetime | None


class SuiteList(Document):
    """Suites that RUNE brings, then the tenant's own by name; at most 20 of these."""

    suites: list[SuiteSummary]
