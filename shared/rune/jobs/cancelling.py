"""Cancelling a job: it ends at once where no worker has claimed it, and otherwise its worker is asked to end it."""

from rune.clock import Clock
from rune.errors import JobFinishedError, JobNotFoundError, StoreUnavailableError
from rune.jobs import closing, lifecycle
from rune.jobs.admission import Admission
from rune.jobs.record import Job, Status
from rune.jobs.store import JobStore, Refused, StepQueue
from rune.jobs.transitions import cancel_queued

_TRIES = 3
"""Of a cancel while the job changes its state."""


class Cancelling:
    """Cancels jobs.

    Parameters
    ----------
    warning
        What each cancelled job tells of why; None where it was asked for by name.
    """

    def __init__(
        self,
        store: JobStore,
        queue: StepQueue,
        clock: Clock,
        admission: Admission,
        warning: str | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._admission = admission
        self._warning = warning

    def cancel(self, job: Job, by: str | None = None) -> Job:
        """Cancel a job as it was read, and return it as it then is.

        Parameters
        ----------
        by
            Who asks; see `Job.cancelled_by`. The first one stays.

        Raises
        ------
        JobNotFoundError
            It is gone.
        JobFinishedError
            It had ended before.
        """
        for _ in range(_TRIES):
            if not job.is_active:
                raise JobFinishedError(job.job_id, job.status)
            if job.cancel_requested_at is not None:
                # Asked before: the janitor sends that message again if it was lost.
                return job
            cancelled = self._end(job, by) if job.status is Status.QUEUED else self._flag(job, by)
            if isinstance(cancelled, Job):
                return cancelled
            if cancelled.found is None:
                raise JobNotFoundError(job.job_id)
            # The job was admitted, claimed or ended since it was read.
            job = cancelled.found
        raise StoreUnavailableError("The job changes all the time; try again.")

    def _end(self, job: Job, by: str | None) -> Job | Refused:
        """End a job that no worker has claimed."""
        cancelled = cancel_queued(job, self._clock.now(), self._warning, by)
        if not closing.commit(self._store, job, cancelled):
            return Refused(self._store.read(job.job_id))
        ended = closing.ended_job(job, cancelled)
        self._admission.leave(ended)
        return ended

    def _flag(self, job: Job, by: str | None) -> Job | Refused:
        """Ask the worker of a job to end it."""
        change = lifecycle.request_cancel(job, self._clock.now(), warning=self._warning, by=by)
        flagged = self._store.update(job.job_id, change)
        if isinstance(flagged, Job):
            self._queue.send(lifecycle.message_for(flagged))
        return flagged
