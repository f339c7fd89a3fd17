"""Which address a job wants to be told of its end."""

from rune.events.record import PublicEvent
from rune.jobs.store import JobStore

ENDS = frozenset({"rune.job.succeeded", "rune.job.failed", "rune.job.cancelled"})
"""What is posted to a `callback_url`: the job's last event."""


class JobCallbacks:
    """Finds the `callback_url` of jobs that have one."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def find(self, event: PublicEvent) -> str | None:
        """Return where a job's end is posted to; None for any other event, and for a job without an address."""
        if event.event_type not in ENDS:
            return None
        job = self._jobs.read(event.subject.subject_id)
        callback = None if job is None else self._jobs.read_callback(job)
        return None if callback is None else callback.callback_url
