"""The end of a job, in whichever process it comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from rune.events.outbox import OutboxRow, fall_due
from rune.events.record import Subject, SubjectKind
from rune.jobs.metrics import Tallies, tally
from rune.jobs.places import RowChange
from rune.jobs.record import Job
from rune.jobs.store import JobStore

if TYPE_CHECKING:
    from rune.jobs.transitions import Transition


def commit(store: JobStore, job: Job, transition: Transition) -> bool:
    """Commit a transition, at a job's end with the tallies of all its events; return False if it was refused.

    The end also makes the job's events due to be published. Before it, its next write sends a notice of them.
    """
    return store.commit(job, _with_outbox(job, transition), _tallies(store, job, transition))


def _with_outbox(job: Job, transition: Transition) -> Transition:
    now = ended_at(transition)
    if now is None:
        return transition
    row = OutboxRow(Subject(SubjectKind.JOB, job.job_id))
    due = RowChange(row, fall_due(now, job.expires_at))
    return replace(transition, companions=(*transition.companions, due))


def _tallies(store: JobStore, job: Job, transition: Transition) -> Tallies | None:
    if not ends(transition):
        return None
    history = store.read_events(job.job_id, after=0)
    return tally([*(history.events if history else ()), *transition.events])


def ended_at(transition: Transition) -> datetime | None:
    """Return when the job ends with this transition; None where it goes on."""
    finished_at = transition.change.sets.get("finished_at")
    return finished_at if isinstance(finished_at, datetime) else None


def ends(transition: Transition) -> bool:
    """Return whether the job is over with this transition."""
    return ended_at(transition) is not None
