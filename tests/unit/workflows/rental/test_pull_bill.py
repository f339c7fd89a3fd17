"""What a download costs that did not end well, and who pays for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from rune.errors import (
    AddressRefusedError,
    ModelNotFoundError,
    RequestRejectedError,
    RuneError,
    StoreUnavailableError,
    StreamFailedError,
    StreamTruncatedError,
)
from rune.jobs.outcomes import Next, Outcome
from rune.jobs.record import StepName
from rune.llm.protocol import OnPull, PullProgress, PullRequest
from rune.rentals.bills import come_bytes
from rune.rentals.record import Rental, RentalState
from rune.storage.change import Change, make_change
from tests.builders import JOB_ID, NOW, FakeClock, after
from tests.fake_model_server import FakeModelServer
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import MODEL, OTHER_JOB_ID, a_running_rental
from tests.unit.workflows.rental.world import World, a_renting_job, a_world

GB = 1_000_000_000
MBIT = 800
"""100 MB in a second; twice as many may come."""

EMPTY = a_running_rental(downloaded_bytes=0, mbit_per_second=MBIT)
BORROWED = a_running_rental(
    job_id=OTHER_JOB_ID,
    held_since=after(1000),
    kept_until=after(3600),
    mbit_per_second=MBIT,
    borrowed_from_bytes=4_900_000_000,
)
JOB = a_renting_job(StepName.PULL)


class BreakingServer(FakeModelServer):
    """Tells of some bytes, lets some time pass, and breaks off."""

    def __init__(self, clock: FakeClock, error: BaseException, told: tuple[PullProgress, ...] = ()) -> None:
        super().__init__(models=())
        self._clock = clock
        self._error = error
        self._told = told

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        self.pulls.append(request)
        for progress in self._told:
            on_progress(progress)
            self._clock.advance(1)
        raise self._error


TOLD = (PullProgress(100_000_000, 4_900_000_000), PullProgress(200_000_000, 4_900_000_000))


def break_off(
    world: World, error: BaseException, told: tuple[PullProgress, ...] = (), model: str = MODEL
) -> Outcome | None:
    """Return how a pull ends that breaks off; None where its error is raised."""
    world.server = BreakingServer(world.clock, error, told)
    try:
        return world.run(replace(JOB, failures=2), model=model)
    except (type(error), asyncio.CancelledError):
        return None


@pytest.mark.parametrize(
    "error",
    [ModelNotFoundError("Unknown."), RequestRejectedError("Invalid name."), AddressRefusedError("No.")],
    ids=repr,
)
def test_pull_takes_nothing_when_it_fails_before_a_layer_is_named(error: RuneError) -> None:
    world = a_world(EMPTY, seconds=150)

    break_off(world, error)

    assert (world.rental().pulling_bytes, world.rental().downloaded_bytes) == (0, 0)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), StreamFailedError("Broke.")], ids=repr)
def test_pull_counts_what_was_seen_and_what_was_on_its_way_when_it_is_broken_off(
    error: BaseException,
) -> None:
    world = a_world(EMPTY, seconds=150)

    break_off(world, error, TOLD)

    # 200 MB were seen a second ago, and it takes two more until the machine stops; 200 MB a second.
    assert come_bytes(world.rental(), after(100_000)) == 200_000_000 + 3 * 200_000_000


def test_pull_counts_what_may_have_come_since_when_the_server_went_silent() -> None:
    world = a_world(EMPTY, seconds=150)

    break_off(world, StreamTruncatedError("Silent."), TOLD)

    seen_at = after(151)
    assert come_bytes(world.rental(), seen_at + timedelta(seconds=5)) == 200_000_000 + 5 * 200_000_000
    assert come_bytes(world.rental(), seen_at + timedelta(seconds=500)) == 9 * GB


def test_pull_counts_with_the_speed_that_was_seen_when_that_is_more_than_was_stated() -> None:
    world = a_world(EMPTY, seconds=150)
    told = (PullProgress(1, 4_900_000_000), PullProgress(400_000_001, 4_900_000_000))

    break_off(world, asyncio.CancelledError(), told)

    assert world.rental().mbit_per_second == 3_200
    assert world.rental().pulling_bytes == 400_000_001 + 3 * 800_000_000


def test_pull_counts_the_whole_model_when_the_machine_s_speed_is_not_known() -> None:
    world = a_world(replace(EMPTY, mbit_per_second=None), seconds=150)

    break_off(world, asyncio.CancelledError(), TOLD)

    assert come_bytes(world.rental(), after(151)) == 9 * GB


class OvertakingServer(BreakingServer):
    """Another worker begins the same download, before this one is broken off."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock, asyncio.CancelledError(), TOLD)
        self._rental_store = world.rental_store

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        found = self._rental_store.rentals[EMPTY.rental_id]
        self._rental_store.rentals[EMPTY.rental_id] = replace(found, version=found.version + 1)
        return await super().pull(request, on_progress)


def test_pull_leaves_the_bound_to_the_worker_that_downloads_now() -> None:
    world = a_world(EMPTY, seconds=150)
    world.server = OvertakingServer(world)

    with pytest.raises(asyncio.CancelledError):
        world.run(JOB)

    assert world.rental().pulling_bytes == 9 * GB


class DeafStore(MemoryRentalStore):
    """Fails from the second write on."""

    writes = 0

    def update(self, rental: Rental, change: Change) -> Rental:
        self.writes += 1
        if self.writes > 1:
            raise StoreUnavailableError("Away.")
        written = super().update(rental, change)
        assert isinstance(written, Rental)
        return written


def test_pull_is_cancelled_also_when_nothing_can_be_written() -> None:
    world = a_world(seconds=150)
    world.rental_store = DeafStore(EMPTY)
    world.server = BreakingServer(world.clock, asyncio.CancelledError(), TOLD)

    with pytest.raises(asyncio.CancelledError):
        world.run(JOB)

    assert world.rental().pulling_bytes == 9 * GB


def test_pull_takes_up_a_download_that_was_broken_off_with_all_that_it_may_take() -> None:
    world = a_world(EMPTY, seconds=150)
    break_off(world, asyncio.CancelledError(), TOLD)

    world.server = FakeModelServer(models=())
    world.run(JOB)

    assert (world.rental().downloaded_bytes, world.rental().pulling_bytes) == (4_900_000_000, 0)


def test_pull_leaves_the_owner_s_machine_as_it_was_when_a_borrower_names_no_model() -> None:
    world = a_world(BORROWED, seconds=1100)

    break_off(world, ModelNotFoundError("Unknown."), model="nosuch:8b; rm -rf /")

    left = world.rental()
    assert (left.model, left.downloaded_bytes, left.pulling_bytes) == (MODEL, 4_900_000_000, 0)


def test_pull_bills_a_borrower_for_what_it_downloads_and_leaves_the_owner_s_model_named() -> None:
    world = a_world(BORROWED, seconds=1100)
    world.server = FakeModelServer(models=(MODEL,))

    outcome = world.run(JOB, model="qwen3:8b")

    assert isinstance(outcome, Next)
    # 100 s at 0.372 USD an hour, and 4.9 GB.
    assert outcome.spending.cost_micro_usd == 10_334 + 14_700
    assert world.rental().model == MODEL
    assert world.rental().downloaded_bytes == 9_800_000_000


def test_pull_gives_a_borrowed_machine_back_with_what_it_may_have_downloaded() -> None:
    world = a_world(BORROWED, seconds=1100)

    outcome = break_off(world, StreamFailedError("Broke. It said: strange."), TOLD, model="qwen3:8b")

    assert isinstance(outcome, Next)
    assert world.rental().state is RentalState.KEPT
    # 102 s, and 0.8 GB.
    assert outcome.spending.cost_micro_usd == 10_540 + 2_400


def test_pull_ends_nothing_that_another_worker_has_ended_meanwhile() -> None:
    class CompletedStore(MemoryRentalStore):
        def update(self, rental: Rental, change: Change) -> Rental:
            if change.name == "note_pulling" and rental.version == EMPTY.version:
                done = make_change("done", NOW, requires=(), sets={"pulling_model": MODEL}, adds={})
                super().update(self.rentals[rental.rental_id], done)
            return super().update(rental, change)  # type: ignore[return-value]  # refused once

    world = a_world(seconds=150)
    world.rental_store = CompletedStore(EMPTY)
    world.server = FakeModelServer(models=())

    world.run(JOB)

    assert (world.server.pulls, world.rental().downloaded_bytes) == ([], 0)
    assert world.rental().holder == JOB_ID
