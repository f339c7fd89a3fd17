"""The end of a job, in whichever process it comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from rune.events.outbox import OutboxRow, fall_due
from rune.events.record import Subject, SubjectKind
from rune.jobs.metrics import tally
from rune.jobs.places import RowChange
from rune.jobs.receipts import ReceiptRow, describe, make_receipt, write_receipt
from rune.jobs.record import Event, Job
from rune.jobs.settlement import settle
from rune.jobs.store import JobStore
from rune.jobs.usage import count_usage, usage_row
from rune.storage.change import apply

if TYPE_CHECKING:
    from rune.jobs.transitions import Transition


def commit(store: JobStore, job: Job, transition: Transition) -> bool:
    """Commit a transition, at a job's end with the tallies of all its events; return False if it was refused.

    The end writes the job's receipt, settles what was reserved for it, and makes its events due to be published.
    Before it, its next write sends a notice of them.
    """
    now = ended_at(transition)
    if now is None:
        return store.commit(job, transition)
    events = _events_of(store, job)
    counted = RowChange(usage_row(job, events, now), count_usage(job, transition.change, now))
    ended = ended_job(job, transition)
    made = make_receipt(ended, transition.uses)
    receipt = RowChange(ReceiptRow(job.job_id), write_receipt(job, made, now))
    change = replace(transition.change, sets={**transition.change.sets, "display": ended.display})
    companions = [*transition.companions]
    companions.append(_fall_due(job, now))
    companions.append(counted)
    companions.append(receipt)
    companions += settle(job, transition)
    complete = replace(transition, change=change, companions=tuple(companions))
    return store.commit(job, complete, tally([*events, *transition.events]))


def ended_job(job: Job, transition: Transition) -> Job:
    """Return a job as its end leaves it, with the sentence that tells people of it."""
    ended = apply(transition.change, job)
    return replace(ended, display=describe(ended, make_receipt(ended, transition.uses)))


def _fall_due(job: Job, now: datetime) -> RowChange:
    row = OutboxRow(Subject(SubjectKind.JOB, job.job_id))
    return RowChange(row, fall_due(now, job.expires_at))


def _events_of(store: JobStore, job: Job) -> tuple[Event, ...]:
    history = store.read_events(job.job_id, after=0)
    return history.events if history else ()


def ended_at(transition: Transition) -> datetime | None:
    """Return when the job ends with this transition; None where it goes on."""
    finished_at = transition.change.sets.get("finished_at")
    return finished_at if isinstance(finished_at, datetime) else None


def ends(transition: Transition) -> bool:
    """Return whether the job is over with this transition."""
    return ended_at(transition) is not None
