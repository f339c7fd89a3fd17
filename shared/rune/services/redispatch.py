"""Sending the messages of late turns again, once a minute."""

import logging
from collections.abc import Callable
from contextlib import suppress

from rune.clock import Clock
from rune.errors import StoreUnavailableError, UnreadableRowError
from rune.jobs import lifecycle
from rune.jobs.store import JobStore, Refused, StepQueue

log = logging.getLogger(__name__)

LATE_JOBS_PER_SWEEP = 500

OUTAGE_ROWS = 3
"""After so many jobs one after another at which the store failed, the tick fails. One alone may be contended."""


def redispatch_late_turns(
    store: JobStore, queue: StepQueue, clock: Clock, may_go_on: Callable[[], bool]
) -> int:
    """Send the messages of late turns again; return how many were sent.

    The new due time is written first, and only the janitor whose write was carried out sends: two at once send one
    message. A job that cannot be dealt with costs itself alone: it is named, counted for an alarm, and set aside.

    Parameters
    ----------
    may_go_on
        Called before each job; once it returns False, the rest waits for the next tick.

    Raises
    ------
    StoreUnavailableError
        The store failed at some jobs, so that what is late stays late. The others were dealt with, unless it failed
        at several in a row.
    """
    sent_count = 0
    failures_in_a_row = 0
    failure: StoreUnavailableError | None = None
    for job_id in store.find_late(clock.now(), LATE_JOBS_PER_SWEEP):
        if not may_go_on():
            log.warning("sweep.out_of_time", extra={"sent": sent_count})
            break
        try:
            sent_count += _redispatch(job_id, store, queue, clock)
            failures_in_a_row = 0
        except StoreUnavailableError as error:
            failure = error
            failures_in_a_row += 1
            if failures_in_a_row == OUTAGE_ROWS:
                break
            # It is still late at the next tick.
            log.warning("turn.store_unavailable", exc_info=True, extra={"job_id": job_id})
    if failure is not None:
        raise failure
    return sent_count


def _redispatch(job_id: str, store: JobStore, queue: StepQueue, clock: Clock) -> bool:
    """Send the message of one job's turn again if it is late; return whether it was sent."""
    try:
        # The index may be older than the row, and the row decides.
        job = store.read(job_id)
        now = clock.now()
        if job is None or not lifecycle.is_late(job, now):
            return False
        won = store.update(job_id, lifecycle.redispatch(job, now))
        if isinstance(won, Refused):
            return False
        lost = "worker" if job.lease_owner else "message"
        log.warning("turn.late", extra={"job_id": job_id, "seq": won.seq, "step": won.step, "lost": lost})
        return queue.send(lifecycle.message_for(won))
    except StoreUnavailableError:
        raise
    except Exception:
        # The outermost edge of one job: an unforeseen error must not keep the other jobs waiting.
        log.exception("row.unreadable", extra={"job_id": job_id, "metric": "RowsNotUnderstood"})
        with suppress(UnreadableRowError):
            store.update(job_id, lifecycle.set_aside(clock.now()))
        return False
