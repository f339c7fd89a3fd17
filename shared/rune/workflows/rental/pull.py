"""Putting the model on a rented machine, in slices that fit a function's time."""

from dataclasses import replace

from rune.errors import (
    AddressError,
    BadResponseError,
    PullStalledError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Again, Failed, Next, Outcome
from rune.jobs.step import StepContext
from rune.jobs.transitions import MAX_FAILURES
from rune.llm.protocol import PullProgress, PullRequest
from rune.money.sizing import size_model
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import RentalRefused
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import time_left_seconds
from rune.workflows.rental.dependencies import (
    SERVER_KIND,
    RentalDependencies,
    another,
    read_request,
)

_BYTES_PER_GB = 1_000_000_000
_WRITE_TRIES = 3

# What another machine may do better. A model that nobody has, or that the disk does not hold, is none of these.
_MACHINE_ERRORS = (
    AddressError,
    BadResponseError,
    PullStalledError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)


class PullStep:
    """The step `pull`."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def pull(self, context: StepContext) -> Outcome:
        """Watch the machine download the model; what a slice does not finish, the next one goes on with."""
        held = self._dependencies.find_rental(context.job)
        if held is None or held.state is not RentalState.RUNNING or held.url is None:
            return Next(step_after(context, Fact.MACHINE_NOT_RUNNING))
        model = read_request(context).model or held.model or ""
        try:
            is_complete, pulled_bytes = await self._download(context, held, held.url, model)
        except _MACHINE_ERRORS as error:
            if context.job.failures + 1 < MAX_FAILURES:
                # Whatever the error means elsewhere: here the same machine may do better a moment later.
                return replace(Failed.from_error(error), retryable=True)
            if held.job_id != context.job.job_id:
                # It runs, and is its tenant's; only this job could not put its model there.
                raise
            self._dependencies.give_up(held, EndReason.MODEL_FAILED, error.code)
            spending = self._dependencies.spending(context.job, held)
            return another(context, EndReason.MODEL_FAILED, error.code, spending)
        if not is_complete:
            return Again(0, dict(context.progress), self._dependencies.spending(context.job, held))
        now = self._dependencies.clock.now()
        if pulled_bytes is not None:
            held = self._dependencies.rental_store.read(held.rental_id) or held
            held = self._dependencies.update(held, lifecycle.note_pulled(held, model, pulled_bytes, now))
        since = held.running_at if held.job_id == context.job.job_id else held.held_since
        took_ms = round((now - (since or now)).total_seconds() * 1000)
        return Next(
            step_after(context, Fact.MODEL_READY),
            phases_ms={"pull": took_ms},
            labels={"model": model, "bytes": str(pulled_bytes or 0)},
            spending=self._dependencies.spending(context.job, held),
        )

    async def _download(
        self, context: StepContext, held: Rental, url: str, model: str
    ) -> tuple[bool, int | None]:
        """Return whether the model is there, and how many bytes came; None where it was there already."""
        server = self._dependencies.open_server(SERVER_KIND, url)
        try:
            if await server.has_model(model):
                return True, None
            if not self._note_most_bytes(held, model):
                # Somebody else has the machine by now, and would pay for this download.
                return False, None
            seen = PullProgress(0, 0)

            def show(progress: PullProgress) -> None:
                nonlocal seen
                seen = progress
                context.progress["pulled_bytes"] = progress.completed_bytes
                context.progress["total_bytes"] = progress.total_bytes
                context.progress["pulled_percent"] = percent(progress)

            request = PullRequest(model, slice_seconds=time_left_seconds(context))
            is_complete = await server.pull(request, show)
            return is_complete, _believable_bytes(seen.total_bytes, held, model)
        finally:
            await server.aclose()

    def _note_most_bytes(self, held: Rental, model: str) -> bool:
        """Write down what the download may cost before it begins; return False if that could not be done."""
        most_bytes = _most_bytes(held, model)
        for _ in range(_WRITE_TRIES):
            if (held.model, held.pulling_bytes) == (model, most_bytes):
                return True
            change = lifecycle.note_pulling(held, model, most_bytes, self._dependencies.clock.now())
            written = self._dependencies.rental_store.update(held, change)
            if not isinstance(written, RentalRefused):
                return True
            if written.found is None or written.found.holder != held.holder:
                return False
            held = written.found
        return False


def _most_bytes(held: Rental, model: str) -> int:
    return size_model(model, held.machine.vram_mb).download_gb * _BYTES_PER_GB


def _believable_bytes(told_bytes: int, held: Rental, model: str) -> int:
    """Return what a download took by its host's word; where that cannot be, the most that it may have taken."""
    if 0 < told_bytes <= held.machine.disk_gb * _BYTES_PER_GB:
        return told_bytes
    return _most_bytes(held, model)


def percent(progress: PullProgress) -> int:
    """Return how much of what is known to come has come, from 0 to 100."""
    if progress.completed_bytes >= progress.total_bytes:
        return 100 if progress.total_bytes else 0
    return 100 * progress.completed_bytes // progress.total_bytes
