"""Calls on jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import httpx

from rune_client.answers import read_document, read_text, retry_after_seconds
from rune_client.calls.call import Call, key_headers, named, segment
from rune_client.documents import ArtifactLinks, JobEvent, JobEvents, JobLink, JobPlan, JobReceipt, JobRecord
from rune_client.errors import InvalidArgumentError

type Kind = Literal["benchmark", "agentic-agent", "llm-instance"]

KINDS = ("benchmark", "agentic-agent", "llm-instance")
"""Of jobs, as their paths have it."""


class Polled(NamedTuple):
    """A look at a job: the document is None where it has not changed since the look before."""

    document: JobRecord | None
    etag: str | None
    retry_after_seconds: float | None


def submit(
    kind: Kind | str, body: Mapping[str, Any], *, idempotency_key: str | None = None, dry_run: bool = False
) -> Call[dict[str, Any]]:
    """Submit a job, and return `job_id`, `status` and `warnings`; with `dry_run` the plan, and no job is made.

    Parameters
    ----------
    idempotency_key
        Your own name for the request: the same request under the same key is the same job. Without it one is
        made, and kept while the request is sent again.

    Raises
    ------
    RefusedError, BudgetError, RateLimitedError
        Nothing was stored.
    NetworkError
        There may be a job or not; its `idempotency_key` tells under which key to ask again.
    """
    if kind not in KINDS:
        raise InvalidArgumentError(f"A job is one of {', '.join(KINDS)}.")
    key = uuid.uuid4().hex if idempotency_key is None else idempotency_key
    return Call(
        method="POST",
        path=f"/v1/jobs/{kind}",
        reads=read_document,
        body={**body, "dry_run": True} if dry_run else dict(body),
        headers=key_headers(key),
        is_repeatable=True,
    )


def plan(kind: Kind | str, body: Mapping[str, Any]) -> Call[JobPlan]:
    """Return what would follow of a job: whether it rents or waits, its estimate, and what budgets are left."""
    call = submit(kind, body, dry_run=True)
    return Call(
        method=call.method,
        path=call.path,
        reads=read_document,
        body=call.body,
        headers=call.headers,
        is_repeatable=True,
    )


def job(job_id: str) -> Call[JobRecord]:
    """Return where a job stands, and its result or error once it has ended."""
    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}",
        reads=read_document,
        is_repeatable=True,
    )


def poll_job(job_id: str, etag: str | None) -> Call[Polled]:
    """Return the job if it is not the one with this tag, and when to ask again."""

    def read(response: httpx.Response) -> Polled:
        document = None if response.status_code == httpx.codes.NOT_MODIFIED else read_document(response)
        return Polled(document, response.headers.get("ETag"), retry_after_seconds(response))

    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}",
        reads=read,
        headers=named(**{"If-None-Match": etag}),
        is_repeatable=True,
    )


def events(job_id: str, after: int = 0) -> Call[JobEvents]:
    """Return a job's history, oldest first: the events with an id above `after`."""
    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/events",
        reads=read_document,
        query={"after": after},
        is_repeatable=True,
    )


def poll_events(job_id: str, after: int) -> Call[list[JobEvent]]:
    """Return the events with an id above `after`."""

    def read(response: httpx.Response) -> list[JobEvent]:
        found: list[JobEvent] = read_document(response).get("events", [])
        return [event for event in found if event["id"] > after]

    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/events",
        reads=read,
        query={"after": after},
        is_repeatable=True,
    )


def list_jobs(
    cursor: str | None,
    *,
    status: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    metadata: list[str] | None = None,
    page_size: int | None = None,
) -> Call[Any]:
    """Return a page of own jobs, newest first."""
    return Call(
        method="GET",
        path="/v1/jobs",
        reads=read_document,
        query={
            "status": status,
            "kind": kind,
            "name": name,
            "metadata": metadata or [],
            "limit": page_size,
            "cursor": cursor,
        },
        is_repeatable=True,
    )


def cancel(job_id: str) -> Call[JobRecord]:
    """Cancel a job, and return it: `cancelled` at once if no worker had begun it, else about to stop.

    It is sent again where no answer comes, as a job that goes on may cost money. If the first request did arrive,
    the second may be refused with `job_finished`.

    Raises
    ------
    ConflictError
        The job has ended.
    """
    return Call(
        method="DELETE",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}",
        reads=read_document,
        is_repeatable=True,
    )


def artifacts(job_id: str) -> Call[ArtifactLinks]:
    """Return links to the files of an agent's result, each for 15 minutes. Anyone with a link can read the file."""
    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/artifacts",
        reads=read_document,
        is_repeatable=True,
    )


def receipt(job_id: str) -> Call[JobReceipt]:
    """Return what a job that has ended has cost, line by line.

    Raises
    ------
    ConflictError
        It has not ended.
    """
    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/receipt",
        reads=read_document,
        is_repeatable=True,
    )


def receipt_page(job_id: str) -> Call[str]:
    """Return the receipt of a job as Markdown."""
    return Call(
        method="GET",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/receipt",
        reads=read_text,
        headers={"Accept": "text/markdown"},
        is_repeatable=True,
    )


def job_link(
    job_id: str, what: Literal["job", "events", "report"], *, lifetime_seconds: int | None = None
) -> Call[JobLink]:
    """Return a link that opens one document of a job without a token. Anyone with the address can read it."""
    return Call(
        method="POST",
        path=f"/v1/jobs/{segment(job_id, 'The id of the job')}/links",
        reads=read_document,
        body=named(what=what, lifetime_seconds=lifetime_seconds),
    )
