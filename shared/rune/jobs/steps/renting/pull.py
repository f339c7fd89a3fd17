"""Putting the model on a rented machine, in slices that fit a function's time."""

from rune.errors import (
    AddressError,
    PullStalledError,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Again, Next, Outcome
from rune.jobs.record import Kind, StepName
from rune.jobs.settlement import MAX_FAILURES
from rune.jobs.step import StepContext
from rune.jobs.steps.measuring.ways import step_when_ready
from rune.jobs.steps.renting.machines import (
    SERVER_KIND,
    Machines,
    another,
    request_of,
)
from rune.jobs.steps.servers import time_left_seconds
from rune.llm.protocol import PullProgress, PullRequest
from rune.money.sizing import size_model
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState

_BYTES_PER_GB = 1_000_000_000

# What another machine may do better. A model that nobody has, or that the disk does not hold, is none of these.
_MACHINE_ERRORS = (
    AddressError,
    PullStalledError,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamFailedError,
    StreamTruncatedError,
)


class PullStep:
    """The step `pull`."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    async def pull(self, context: StepContext) -> Outcome:
        """Watch the machine download the model; what a slice does not finish, the next one goes on with."""
        held = self._machines.find_held(context.job)
        if held is None or held.state is not RentalState.RUNNING or held.url is None:
            return Next(StepName.BOOT)
        model = request_of(context).model or held.model or ""
        try:
            is_complete, pulled_bytes = await self._download(context, held, held.url, model)
        except _MACHINE_ERRORS as error:
            if context.job.failures + 1 < MAX_FAILURES:
                raise
            self._machines.give_up(held, EndReason.MODEL_FAILED, error.code)
            return another(EndReason.MODEL_FAILED, error.code, self._machines.spending(context.job, held))
        if not is_complete:
            return Again(0, dict(context.progress), self._machines.spending(context.job, held))
        now = self._machines.clock.now()
        if pulled_bytes is not None:
            held = self._machines.ledger.read(held.rental_id) or held
            held = self._machines.update(held, lifecycle.note_pulled(held, model, pulled_bytes, now))
        since = held.running_at if held.job_id == context.job.job_id else held.held_since
        took_ms = round((now - (since or now)).total_seconds() * 1000)
        return Next(
            self._next_step(context),
            phases_ms={"pull": took_ms},
            labels={"model": model, "bytes": str(pulled_bytes or 0)},
            spending=self._machines.spending(context.job, held),
        )

    async def _download(
        self, context: StepContext, held: Rental, url: str, model: str
    ) -> tuple[bool, int | None]:
        """Return whether the model is there, and how many bytes came; None where it was there already."""
        server = self._machines.open_server(SERVER_KIND, url)
        try:
            if await server.has_model(model):
                return True, None
            if self._note_most_bytes(held, model).holder != held.holder:
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
            return is_complete, seen.total_bytes
        finally:
            await server.aclose()

    def _note_most_bytes(self, held: Rental, model: str) -> Rental:
        """Write down what the download may cost before it begins; return the rental as it then is."""
        most_bytes = size_model(model, held.machine.vram_mb).download_gb * _BYTES_PER_GB
        if (held.model, held.pulling_bytes) != (model, most_bytes):
            change = lifecycle.note_pulling(held, model, most_bytes, self._machines.clock.now())
            return self._machines.update(held, change)
        return held

    def _next_step(self, context: StepContext) -> StepName:
        request = request_of(context)
        if context.job.kind is Kind.LLM_INSTANCE or request.backend_warmup:  # type: ignore[union-attr]
            return StepName.WARM_UP
        return step_when_ready(context.job.kind, request)


def percent(progress: PullProgress) -> int:
    """Return how much of what is known to come has come, from 0 to 100."""
    return 100 * progress.completed_bytes // progress.total_bytes if progress.total_bytes else 0
