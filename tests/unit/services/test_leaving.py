import asyncio
from dataclasses import dataclass, field, replace

import pytest

from rune.errors import ProviderFailedError, UnreadableRowError
from rune.jobs.lifecycle import Send
from rune.jobs.plan import describe
from rune.jobs.record import StepMessage
from rune.rentals.deployment import Deployment
from rune.rentals.record import EndReason, Rental, RentalState
from rune.services.leaving import Leaving, LeavingResult
from tests.builders import JOB_ID, RecordingQueue, a_claimed_job, after
from tests.memory_rental_store import MemoryRentalStore
from tests.rental_builders import (
    ACCOUNT_ID,
    ALIVE,
    CONTRACT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental,
    a_label,
    a_released_rental,
    a_rental_of,
    a_running_rental,
    an_instance,
)
from tests.unit.services.test_orphan_sweep import Tick, a_tick

MACHINE = an_instance()


@dataclass
class Departure:
    """An operator who has everything given back, a call at a time."""

    tick: Tick
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    has_key: bool = True

    def call(self, seconds: float = 35) -> LeavingResult:
        """Return what one call of so many seconds comes to."""
        began_at = self.tick.clock.now()

        def may_go_on() -> bool:
            return (self.tick.clock.now() - began_at).total_seconds() < seconds

        return asyncio.run(self.leaving.give_back_all(may_go_on))

    @property
    def leaving(self) -> Leaving:
        return Leaving(
            rental_store=self.tick.rental_store,
            deployments=self.tick.deployments,
            jobs=self.tick.jobs,
            queue=self.queue,
            clock=self.tick.clock,
            sweep=self.tick.orphan_sweep if self.has_key else None,
            pause=self.tick.pause,
        )


def test_everything_is_given_back_and_proven_gone() -> None:
    kept = a_kept_rental(kept_until=after(9999))
    orphan = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    stranger = an_instance(contract_id=8, label="my-training-box")
    departure = Departure(a_tick(kept, instances=(MACHINE, orphan, stranger)))

    result = departure.call(seconds=300)

    assert (result.is_done, result.left, result.destroyed_count) == (True, {}, 2)
    assert departure.tick.market.instances == [stranger]
    ended = departure.tick.rental()
    assert (ended.state, ended.end_reason) == (RentalState.RELEASED, EndReason.DEPLOYMENT_CLOSED)


def test_nothing_is_done_before_an_order_under_way_must_have_been_seen() -> None:
    departure = Departure(a_tick())

    assert not departure.call(seconds=60).is_done
    departure.tick.clock.advance(60)
    assert departure.call(seconds=0).is_done


@pytest.mark.parametrize("state", ALIVE)
def test_release_is_asked_of_every_rental_at_once(state: RentalState) -> None:
    departure = Departure(a_tick(ALIVE[state](), jobs=(a_claimed_job(),)))
    departure.tick.market.errors["list"] = [ProviderFailedError("500.")]

    result = departure.call(seconds=0)

    assert result.left == {RENTAL_ID: "releasing"}
    assert departure.tick.rental().state is RentalState.RELEASING


def test_job_that_holds_a_machine_is_cancelled_so_that_it_rents_no_other() -> None:
    departure = Departure(a_tick(a_running_rental(), instances=(MACHINE,), jobs=(a_claimed_job(),)))

    departure.call(seconds=0)
    departure.call(seconds=0)

    job = departure.tick.jobs.jobs[JOB_ID]
    assert (job.cancel_requested_at, job.warnings) == (after(3000), ("renting_closed",))
    assert describe(job) == "Stopping, since the operator has every rented machine given back."
    assert [send.message for send in departure.queue.sent] == [StepMessage(JOB_ID, 1)]
    assert isinstance(departure.queue.sent[0], Send)


def test_renting_is_closed_and_opened_again() -> None:
    departure = Departure(a_tick())
    before: Deployment = departure.tick.deployments.read()

    departure.call(seconds=0)
    assert departure.tick.deployments.read() == replace(before, closed_at=after(3000))

    departure.leaving.rent_again()
    assert departure.tick.deployments.read() == before


def test_nothing_is_done_while_a_machine_goes_on_being_listed() -> None:
    departure = Departure(a_tick(a_kept_rental(), instances=(MACHINE,)))
    departure.tick.market.is_destroying = False

    result = departure.call(seconds=300)

    assert (result.is_done, result.left) == (False, {RENTAL_ID: "releasing"})


def test_nothing_is_done_while_nothing_can_be_listed() -> None:
    departure = Departure(a_tick())
    departure.tick.market.errors["list"] = [ProviderFailedError("500.")] * 500

    assert not departure.call(seconds=300).is_done


def test_nothing_is_done_while_a_rental_is_of_another_account() -> None:
    departure = Departure(a_tick(a_kept_rental(account_id=ACCOUNT_ID + 1)))

    assert departure.call(seconds=300).left == {RENTAL_ID: "releasing"}


def test_nothing_is_done_without_a_key_as_long_as_a_rental_is_alive() -> None:
    departure = Departure(a_tick(a_kept_rental()), has_key=False)

    result = departure.call(seconds=300)

    assert (result.is_done, result.left) == (False, {RENTAL_ID: "releasing"})


def test_deployment_that_has_never_had_a_key_has_nothing_to_give_back() -> None:
    assert Departure(a_tick(a_released_rental()), has_key=False).call(seconds=300).is_done


class UnreadableRow(MemoryRentalStore):
    """One row is of another version."""

    def read(self, rental_id: str) -> Rental | None:
        if rental_id == RENTAL_ID:
            raise UnreadableRowError("Of another version.")
        return super().read(rental_id)


def test_rental_that_is_not_understood_is_named_and_keeps_no_other_from_being_given_back() -> None:
    other = a_rental_of(OTHER_JOB_ID, state=RentalState.KEPT, holder=None, contract_id=7)
    departure = Departure(a_tick(instances=(an_instance(contract_id=7, label=other.label),)))
    departure.tick.rental_store = UnreadableRow(a_kept_rental(), other)

    result = departure.call(seconds=300)

    assert (result.is_done, result.left) == (False, {RENTAL_ID: "not understood"})
    assert 7 in departure.tick.destroyed
    assert CONTRACT_ID not in departure.tick.destroyed
