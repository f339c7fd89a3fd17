"""What a tenant's callers may do to rentals, in both stores, and when somebody else writes first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rune.errors import (
    InvalidRequestError,
    RentalEndingError,
    RentalInUseError,
    RentalNotFoundError,
    RequestError,
    StoreUnavailableError,
)
from rune.rentals import lifecycle
from rune.rentals.bills import cost_so_far_micro_usd
from rune.rentals.record import EndReason, Rental, RentalState
from rune.rentals.store import RentalStore
from rune.services.rentals import RentalService
from rune.storage.change import Change
from tests.builders import JOB_ID, FakeClock, after
from tests.memory_rental_store import ContestedRentalStore, MemoryReleaseQueue, MemoryRentalStore
from tests.rental_builders import (
    ALIVE,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental_of,
    a_running_rental,
)

type Act = Callable[[RentalService], Rental]

KEEP = timedelta(hours=2)
LATER = 1800.0
ACTS: dict[str, Act] = {
    "find": lambda service: service.find("default", RENTAL_ID),
    "end": lambda service: service.end("default", RENTAL_ID),
    "extend": lambda service: service.extend("default", RENTAL_ID, KEEP),
}
HELD = (RentalState.INTENDED, RentalState.CREATED, RentalState.RUNNING)


def a_service(rental_store: RentalStore, seconds: float = LATER) -> RentalService:
    return RentalService(rental_store, FakeClock(after(seconds)), MemoryReleaseQueue())


# ---------------------------------------------------------------- what happens


def test_list_is_what_the_rental_store_knows_to_be_alive(rental_store: RentalStore) -> None:
    younger = a_rental_of(OTHER_JOB_ID, intended_at=after(60))
    rental_store.open(younger)
    rental_store.open(a_kept_rental())
    rental_store.open(a_rental_of("f" * 32, tenant="acme"))

    assert a_service(rental_store).list_rentals("default") == (a_kept_rental(), younger)


def test_end_gives_a_kept_machine_up(rental_store: RentalStore) -> None:
    rental_store.open(a_kept_rental())

    ended = a_service(rental_store).end("default", RENTAL_ID)

    assert ended == rental_store.read(RENTAL_ID)
    assert ended == a_kept_rental(
        state=RentalState.RELEASING,
        version=7,
        updated_at=after(LATER),
        end_reason=EndReason.CALLER_ENDED,
        release_asked_at=after(LATER),
    )


def test_end_has_the_machine_destroyed_at_once(rental_store: RentalStore) -> None:
    rental_store.open(a_kept_rental())
    releases = MemoryReleaseQueue()
    service = RentalService(rental_store, FakeClock(after(LATER)), releases)

    service.end("default", RENTAL_ID)

    assert releases.rental_ids == [RENTAL_ID]


def test_end_changes_nothing_when_the_machine_is_given_up_already(rental_store: RentalStore) -> None:
    rental_store.open(a_releasing_rental())

    assert a_service(rental_store).end("default", RENTAL_ID) == a_releasing_rental()
    assert rental_store.read(RENTAL_ID) == a_releasing_rental()


@pytest.mark.parametrize("keep", [timedelta(minutes=1), KEEP], ids=["sooner", "later"])
def test_extend_sets_the_end_from_now(keep: timedelta, rental_store: RentalStore) -> None:
    rental_store.open(a_kept_rental())

    extended = a_service(rental_store).extend("default", RENTAL_ID, keep)

    assert extended == rental_store.read(RENTAL_ID)
    assert extended == a_kept_rental(version=7, updated_at=after(LATER), kept_until=after(LATER) + keep)


@pytest.mark.parametrize("make", [*ALIVE.values()], ids=[*ALIVE])
def test_cost_is_the_bill_up_to_now(make: Callable[[], Rental]) -> None:
    assert a_service(MemoryRentalStore()).cost_micro_usd(make()) == cost_so_far_micro_usd(
        make(), after(LATER)
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize("rental", [None, a_kept_rental(tenant="acme"), a_released_rental(contract_id=None)])
def test_rental_that_is_not_there_for_the_tenant_is_not_found(rental: Rental | None, act: Act) -> None:
    rental_store = MemoryRentalStore(*([rental] if rental else []))

    with pytest.raises(RentalNotFoundError) as caught:
        act(a_service(rental_store))

    assert caught.value.sentence == f"There is no rental {RENTAL_ID!r}."
    assert rental_store.read(RENTAL_ID) == rental


@pytest.mark.parametrize("rental_id", ["", "x" * 5000, f"{JOB_ID}-01", f"{JOB_ID}-0001", f"{JOB_ID}-2"])
def test_rental_is_found_under_its_own_name_alone(rental_id: str, rental_store: RentalStore) -> None:
    rental_store.open(a_kept_rental())

    with pytest.raises(RentalNotFoundError) as caught:
        a_service(rental_store).find("default", rental_id)

    assert caught.value.rental_id == rental_id[:64]


@pytest.mark.parametrize("act", ["end", "extend"])
@pytest.mark.parametrize("state", HELD)
def test_rental_that_a_job_uses_is_left_to_it(
    state: RentalState, act: str, rental_store: RentalStore
) -> None:
    rental = ALIVE[state](holder=OTHER_JOB_ID)
    rental_store.open(rental)

    with pytest.raises(RentalInUseError) as caught:
        ACTS[act](a_service(rental_store))

    assert (caught.value.rental_id, caught.value.job_id) == (RENTAL_ID, OTHER_JOB_ID)
    assert rental_store.read(RENTAL_ID) == rental


def test_extend_is_refused_when_the_machine_is_given_up(rental_store: RentalStore) -> None:
    rental_store.open(a_releasing_rental())

    with pytest.raises(RentalEndingError):
        a_service(rental_store).extend("default", RENTAL_ID, KEEP)

    assert rental_store.read(RENTAL_ID) == a_releasing_rental()


@pytest.mark.parametrize(("seconds", "is_refused"), [(-1, False), (0, False), (1, True), (600_000, True)])
def test_extend_goes_to_the_ceiling_and_not_beyond(seconds: int, is_refused: bool) -> None:
    rental = a_kept_rental()
    rental_store = MemoryRentalStore(rental)
    keep = rental.ceiling_at - after(LATER) + timedelta(seconds=seconds)

    if is_refused:
        with pytest.raises(InvalidRequestError, match="until 2026-11-23T17:00:00Z at the latest") as caught:
            a_service(rental_store).extend("default", RENTAL_ID, keep)
        assert (caught.value.pointer, caught.value.specific_code) == (
            "/keep_seconds",
            "keep_seconds_too_long",
        )
        assert rental_store.read(RENTAL_ID) == rental
    else:
        extended = a_service(rental_store).extend("default", RENTAL_ID, keep)
        assert extended.kept_until == rental.ceiling_at + timedelta(seconds=seconds)


# ---------------------------------------------------------------- when somebody else writes first


def take(rental: Rental) -> Change:
    return lifecycle.take_kept(rental, OTHER_JOB_ID, after(LATER))


def put_off(rental: Rental) -> Change:
    return lifecycle.extend(rental, after(3700), after(LATER))


def expire(rental: Rental) -> Change:
    return lifecycle.ask_release(rental, EndReason.EXPIRED, after(LATER))


def vanish(rental: Rental) -> Change:
    return lifecycle.prove_release(rental, after(LATER), after(LATER), EndReason.VANISHED)


LOST_RACES: list[tuple[str, Callable[[Rental], Change], type[RequestError]]] = [
    ("end", take, RentalInUseError),
    ("extend", take, RentalInUseError),
    ("extend", expire, RentalEndingError),
    ("extend", vanish, RentalEndingError),
]


@pytest.mark.parametrize(("act", "other", "error"), LOST_RACES)
def test_service_judges_anew_what_others_made_of_the_rental(
    act: str, other: Callable[[Rental], Change], error: type[RequestError]
) -> None:
    rental_store = ContestedRentalStore(a_kept_rental(), other)

    with pytest.raises(error):
        ACTS[act](a_service(rental_store))

    assert rental_store.update_count == 1


def test_end_is_done_when_the_janitor_was_first() -> None:
    rental_store = ContestedRentalStore(a_kept_rental(), expire)

    ended = a_service(rental_store).end("default", RENTAL_ID)

    assert (ended.state, ended.end_reason, ended.version) == (RentalState.RELEASING, EndReason.EXPIRED, 7)


@pytest.mark.parametrize("act", ["end", "extend"])
def test_service_writes_on_top_of_others_while_the_machine_stays_kept(act: str) -> None:
    rental_store = ContestedRentalStore(a_kept_rental(), put_off, put_off, put_off)

    written = ACTS[act](a_service(rental_store))

    assert (written.version, rental_store.update_count) == (6 + 3 + 1, 4)


@pytest.mark.parametrize("act", ["end", "extend"])
def test_service_gives_up_when_others_write_all_the_time(act: str) -> None:
    rental_store = ContestedRentalStore(a_kept_rental(), *[put_off] * 50)

    with pytest.raises(StoreUnavailableError):
        ACTS[act](a_service(rental_store))

    assert rental_store.update_count == 4


def test_running_machine_is_named_with_the_job_that_rented_it_when_nobody_is_written_down() -> None:
    rental_store = MemoryRentalStore(a_running_rental(holder=None))

    with pytest.raises(RentalInUseError) as caught:
        a_service(rental_store).end("default", RENTAL_ID)

    assert caught.value.job_id == JOB_ID
