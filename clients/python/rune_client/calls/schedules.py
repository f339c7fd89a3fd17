"""Calls on schedules: jobs that are posted again and again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from rune_client.answers import read_document, read_nothing
from rune_client.calls.call import Call, key_headers, segment
from rune_client.documents import JobAccepted, ScheduleList, ScheduleRecord


def schedules() -> Call[ScheduleList]:
    """Return the tenant's schedules, by name."""
    return Call(
        method="GET",
        path="/v1/schedules",
        reads=read_document,
        is_repeatable=True,
    )


def schedule(schedule_id: str) -> Call[ScheduleRecord]:
    """Return a schedule with its next five times, and what became of the last ten."""
    return Call(
        method="GET",
        path=_path(schedule_id),
        reads=read_document,
        is_repeatable=True,
    )


def create_schedule(body: Mapping[str, Any]) -> Call[ScheduleRecord]:
    """Make a schedule. Each of its jobs may cost money.

    Parameters
    ----------
    body
        `name`, `kind`, `request` (a job's body), and `cron` or `rate`; `timezone`, `paused`, `ends_at`, `overlap`.
    """
    return Call(
        method="POST",
        path="/v1/schedules",
        reads=read_document,
        body=dict(body),
    )


def update_schedule(schedule_id: str, changes: Mapping[str, Any]) -> Call[ScheduleRecord]:
    """Change what is named, from the next occurrence on."""
    return Call(
        method="PATCH",
        path=_path(schedule_id),
        reads=read_document,
        body=dict(changes),
    )


def delete_schedule(schedule_id: str) -> Call[None]:
    """Remove a schedule; jobs that it has posted go on."""
    return Call(method="DELETE", path=_path(schedule_id), reads=read_nothing)


def pause_schedule(schedule_id: str) -> Call[ScheduleRecord]:
    """Post no more jobs until the schedule is resumed."""
    return Call(method="POST", path=f"{_path(schedule_id)}/pause", reads=read_document)


def resume_schedule(schedule_id: str) -> Call[ScheduleRecord]:
    """Post jobs again."""
    return Call(method="POST", path=f"{_path(schedule_id)}/resume", reads=read_document)


def run_schedule(schedule_id: str, *, idempotency_key: str | None = None) -> Call[JobAccepted]:
    """Post one more job of a schedule now.

    Parameters
    ----------
    idempotency_key
        As for `submit`; without it one is made.
    """
    return Call(
        method="POST",
        path=f"{_path(schedule_id)}/run",
        reads=read_document,
        headers=key_headers(uuid.uuid4().hex if idempotency_key is None else idempotency_key),
        is_repeatable=True,
    )


def _path(schedule_id: str) -> str:
    return f"/v1/schedules/{segment(schedule_id, 'The id of the schedule')}"
