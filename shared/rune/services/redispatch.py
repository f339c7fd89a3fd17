"""Sending the messages of late turns again, once a minute."""

import logging
from collections.abc import Callable

from rune.clock import Clock
from rune.jobs import lifecycle
from rune.jobs.store import JobStore, Refused, StepQueue

log = logging.getLogger(__name__)

LATE_JOBS_PER_SWEEP = 500


def redispatch_late_turns(
    store: JobStore, queue: StepQueue, clock: Clock, may_go_on: Callable[[], bool]
) -> int:
    """Send the messages of late turns again; return how many were sent.

    The new due time is written first, and only the janitor whose write was carried out sends: two at once send one
    message.

    Parameters
    ----------
    may_go_on
        Called before each job; once it returns False, the rest waits for the next tick.
    """
    sent_count = 0
    for job_id in store.find_late(clock.now(), LATE_JOBS_PER_SWEEP):
        if not may_go_on():
            log.warning("sweep.out_of_time", extra={"sent": sent_count})
            break
        # The index may be older than the row, and the row decides.
        job = store.read(job_id)
        now = clock.now()
        if job is None or not lifecycle.is_late(job, now):
            continue
        won = store.update(job_id, lifecycle.redispatch(job, now))
        if isinstance(won, Refused):
            continue
        lost = "worker" if job.lease_owner else "message"
        log.warning("turn.late", extra={"job_id": job_id, "seq": won.seq, "step": won.step, "lost": lost})
        if queue.send(lifecycle.message_for(won)):
            sent_count += 1
    return sent_count
