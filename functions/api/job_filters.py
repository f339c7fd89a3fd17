"""What lists of jobs have in common: what they can be asked for, and costs that rise."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Query

from api.services import Services
from rune.contracts.requests import MOST_METADATA
from rune.errors import InvalidRequestError
from rune.jobs.particulars import Wanted
from rune.jobs.record import Job

type NameQuery = Annotated[str | None, Query(max_length=128, description="Only jobs of exactly this `name`.")]
type MetadataQuery = Annotated[
    list[str] | None,
    Query(
        max_length=MOST_METADATA,
        description="Only jobs with this entry in `metadata`, as `key:value`; repeated, with all of them.",
    ),
]

_ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,39}):(.{0,128})", re.DOTALL)


def wanted_of(name: str | None, metadata: list[str] | None) -> Wanted:
    """Return what is looked for; raises InvalidRequestError for what is no entry of metadata."""
    entries: dict[str, str] = {}
    for text in metadata or ():
        found = _ENTRY.fullmatch(text)
        if found is None:
            raise InvalidRequestError(
                "Write an entry of metadata as key:value, such as metadata=team:search.",
                pointer="/metadata",
                code="metadata_filter_invalid",
            )
        if entries.setdefault(found[1], found[2]) != found[2]:
            raise InvalidRequestError(
                f"No job has two values of {found[1]!r}.",
                pointer="/metadata",
                code="metadata_filter_invalid",
            )
    return Wanted(name, entries)


def live_costs_micro_usd(services: Services, tenant: str, jobs: Sequence[Job]) -> Mapping[str, int]:
    """Return what those have cost by now whose cost rises, by their ids."""
    if not any(services.jobs.cost_moment(job) for job in jobs):
        return {}
    return services.rentals().live_costs_micro_usd(tenant, jobs, services.jobs.cost_moment)
