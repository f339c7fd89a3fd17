"""Putting the model on a rented machine, in slices that fit a function's time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from rune.errors import (
    AddressError,
    ModelServerError,
    PullTooLateError,
    PullTooSlowError,
    ServerAccessError,
    StoreUnavailableError,
)
from rune.jobs.outcomes import Again, Failed, Next, Outcome
from rune.jobs.record import Job
from rune.jobs.step import StepContext
from rune.jobs.transitions import MAX_FAILURES
from rune.llm.protocol import ModelServer, OnPull, PullProgress, PullRequest
from rune.money.catalog import SYSTEM_DISK_GB
from rune.money.sizing import size_model
from rune.rentals import lifecycle
from rune.rentals.blame import Blame, Phase, find_blame
from rune.rentals.pull_pace import (
    LATE_WINDOWS,
    SLOW_WINDOWS,
    Download,
    PullWatch,
    is_late,
    is_worth_leaving,
    tell_speed,
)
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import Change
from rune.workflows.graph import Fact, step_after
from rune.workflows.model_servers import time_left_seconds
from rune.workflows.rental.dependencies import (
    MAX_MACHINES,
    RentalDependencies,
    RentalRequest,
    leave_and_rent_again,
    leave_for_its_model,
    read_request,
    rising_cost,
)
from rune.workflows.rental.pull_notes import PullNotes

_BYTES_PER_GB = 1_000_000_000


class PullStep:
    """The step `pull`."""

    def __init__(self, dependencies: RentalDependencies) -> None:
        self._dependencies = dependencies

    async def pull(self, context: StepContext) -> Outcome:
        """Let the machine download the model; what one slice does not finish, the next one goes on with."""
        dependencies, job = self._dependencies, context.job
        rental = dependencies.find_rental(job)
        if rental is None or rental.state is not RentalState.RUNNING or rental.url is None:
            return Next(step_after(context, Fact.MACHINE_NOT_RUNNING))
        request = read_request(context)
        model = request.model or rental.model or ""
        most_bytes = _most_bytes(request, rental, model)
        try:
            is_complete, pulled_bytes = await self._download(context, rental, rental.url, model, most_bytes)
        except (ModelServerError, AddressError) as error:
            return self._fail(context, rental, error)
        if not is_complete:
            rental = dependencies.reread(rental)
            return Again(0, dict(context.progress), dependencies.spending(job, rental))
        now = dependencies.clock.now()
        if pulled_bytes is not None:
            rental = self._record_pulled(rental, job.job_id, model, pulled_bytes)
        since = rental.running_at if rental.job_id == job.job_id else rental.held_since
        took_ms = round((now - (since or now)).total_seconds() * 1000)
        return Next(
            step_after(context, Fact.MODEL_READY),
            phases_ms={"pull": took_ms},
            labels={"model": model, "bytes": str(pulled_bytes or 0)},
            spending=dependencies.spending(job, rental),
        )

    def _fail(self, context: StepContext, rental: Rental, error: ModelServerError | AddressError) -> Outcome:
        """Return what follows from a failed download: another try, another machine, or the end of the job."""
        if isinstance(error, PullTooSlowError):
            reason, dependencies = EndReason.PULL_TOO_SLOW, self._dependencies
            if isinstance(error, PullTooLateError):
                dependencies.leave(context.job, rental, reason, error.sentence)
                return replace(Failed.from_error(error), is_final=True)
            return leave_and_rent_again(context, dependencies, rental, reason, error.sentence)
        is_impostor = rental.is_guarded and isinstance(error, ServerAccessError)
        is_only_here = _is_only_here(context, rental)
        if not is_impostor and find_blame(error, Phase.PULL, is_only_here=is_only_here) is Blame.REQUEST:
            raise error
        if context.job.failures + 1 < MAX_FAILURES:
            # Whether or not the error is retryable elsewhere: the same machine may do better a moment later.
            return replace(Failed.from_error(error), retryable=True)
        return leave_for_its_model(context, self._dependencies, rental, error)

    async def _download(
        self, context: StepContext, rental: Rental, url: str, model: str, most_bytes: int
    ) -> tuple[bool, int | None]:
        """Return whether the model is there, and how many bytes came; None where it was there already."""
        dependencies = self._dependencies
        server = dependencies.open_machine(rental, url)
        try:
            if await server.has_model(model):
                return True, None
            notes = PullNotes(dependencies.update, dependencies.clock, rental, context.job.job_id, model)
            if not notes.begin(most_bytes):
                # Another job has the machine by now, and would pay for this download.
                return False, None
            require_pace = self._pace_watcher(context.job, rental)
            spent = dependencies.spending(context.job, rental).cost_micro_usd or 0
            context.cost_at = rising_cost(spent, rental, dependencies.clock.now())

            def show(progress: PullProgress) -> None:
                notes.see(progress)
                require_pace(progress)
                context.progress["pulled_bytes"] = progress.completed_bytes
                context.progress["total_bytes"] = progress.total_bytes
                context.progress["pulled_percent"] = percent(progress)

            request = PullRequest(model, slice_seconds=time_left_seconds(context))
            is_complete = await _pull(server, request, show, notes)
            return is_complete, _believable_bytes(notes.seen.total_bytes, most_bytes, rental)
        finally:
            await server.aclose()

    def _pace_watcher(self, job: Job, rental: Rental) -> Callable[[PullProgress], None]:
        """Return a function that raises PullTooSlowError once the machine is to be given up.

        Another machine is expected to cost the job less, or, for PullTooLateError, every further minute is paid in
        vain.
        """
        other, clock, watch = rental.alternative, self._dependencies.clock, PullWatch()
        attempts = self._dependencies.rental_store.read_attempts(job.job_id)
        is_last = len([each for each in attempts if each.contract_id is not None]) >= MAX_MACHINES
        slow_windows = late_windows = 0

        def require_pace(progress: PullProgress) -> None:
            nonlocal slow_windows, late_windows
            now = clock.now()
            mbit = watch.look(progress.completed_bytes, now)
            if mbit is None:
                return
            download = Download(progress.completed_bytes, progress.total_bytes, mbit)
            time_left = job.ends_at - now
            is_slow = (
                other is not None
                and not is_last
                and is_worth_leaving(download, rental.prices, other, rental.image_bytes, time_left)
            )
            slow_windows = slow_windows + 1 if is_slow else 0
            late_windows = late_windows + 1 if is_late(download, time_left) else 0
            if slow_windows >= SLOW_WINDOWS:
                raise PullTooSlowError(tell_speed(download))
            if late_windows >= LATE_WINDOWS:
                raise PullTooLateError(tell_speed(download))

        return require_pace

    def _record_pulled(self, rental: Rental, job_id: str, model: str, pulled_bytes: int) -> Rental:
        """Write down what a complete download took, once."""
        now = self._dependencies.clock.now()

        def decide(found: Rental) -> Change | None:
            is_counted = found.pulling_model != model or not found.pulling_bytes
            if is_counted or not found.is_used_by(job_id):
                return None
            return lifecycle.note_pulled(found, model, pulled_bytes, now)

        return self._dependencies.update(
            self._dependencies.rental_store.read(rental.rental_id) or rental, decide
        )


async def _pull(server: ModelServer, request: PullRequest, show: OnPull, notes: PullNotes) -> bool:
    """Download for a slice of time, and write down how far it came, however it ends."""
    try:
        is_complete = await server.pull(request, show)
    except asyncio.CancelledError:
        with suppress(StoreUnavailableError):
            # What is written already covers it, with more.
            notes.stop()
        raise
    except PullTooSlowError:
        notes.stop()
        raise
    except (ModelServerError, AddressError) as error:
        notes.end(error)
        raise
    if not is_complete:
        notes.pause()
    return is_complete


def _is_only_here(context: StepContext, rental: Rental) -> bool:
    """Return whether another machine would have the room that this one lacks.

    One that was kept holds what other jobs have put there. One that the job rented has the disk that was asked for,
    unless its host has less: then even the model's known size does not fit.
    """
    total_bytes = context.progress.get("total_bytes", 0)
    room_gb = rental.machine.disk_gb - SYSTEM_DISK_GB
    return rental.is_borrowed or 0 < total_bytes <= room_gb * _BYTES_PER_GB


def _most_bytes(request: RentalRequest, rental: Rental, model: str) -> int:
    """Return the most that a model's download takes before its server has said so; the disk holds no more."""
    sized_gb = size_model(model, request.min_vram_mb).download_gb
    return min(sized_gb, rental.machine.disk_gb) * _BYTES_PER_GB


def _believable_bytes(reported_bytes: int, most_bytes: int, rental: Rental) -> int:
    """Return how large the host says that the model is, as far as its disk holds that; else the most."""
    return min(reported_bytes, rental.machine.disk_gb * _BYTES_PER_GB) if reported_bytes > 0 else most_bytes


def percent(progress: PullProgress) -> int:
    """Return how much of what is known to come has come, from 0 to 100."""
    if progress.completed_bytes >= progress.total_bytes:
        return 100 if progress.total_bytes else 0
    return 100 * progress.completed_bytes // progress.total_bytes
