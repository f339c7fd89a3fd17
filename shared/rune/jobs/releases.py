"""How long a job has been giving its machine back, and what keeps it from ending; from its history."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rune.jobs.record import RELEASING, Event, Job

LONGEST_USUAL_RELEASE = timedelta(hours=1)
"""A release that takes longer needs a person: what bills, or may bill, is not proven gone."""


def may_be_long(job: Job, now: datetime) -> bool:
    """Return whether a job may have been giving its machine back for too long; its history tells whether it has."""
    return job.is_releasing and now - (job.started_at or job.created_at) > LONGEST_USUAL_RELEASE


def is_long(job: Job, events: Sequence[Event], now: datetime) -> bool:
    """Return whether a job has been giving its machine back for too long."""
    return job.is_releasing and now - _began_at(job, events) > LONGEST_USUAL_RELEASE


def find_hindrance(events: Sequence[Event]) -> str | None:
    """Return the code of what last kept the present release from ending; None where nothing is told of it."""
    for event in reversed(events):
        if not _is_of_release(event):
            return None
        if event.error_type is not None:
            return event.error_type
    return None


def explain_hindrance(events: Sequence[Event]) -> str | None:
    """Return the sentence of what the last event tells of a hindrance, or its code where it has no sentence."""
    if not events or not _is_of_release(events[-1]) or events[-1].error_type is None:
        return None
    return events[-1].labels.get("detail", events[-1].error_type)


def _began_at(job: Job, events: Sequence[Event]) -> datetime:
    """Return when the present release began: after the last event of another step, or with the cancel request."""
    before = max((e.recorded_at for e in events if not _is_of_release(e)), default=job.created_at)
    return max(before, job.cancel_requested_at or before)


def _is_of_release(event: Event) -> bool:
    return event.labels.get("step") in RELEASING
