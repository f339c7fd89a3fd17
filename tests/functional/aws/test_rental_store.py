"""The rental store in DynamoDB, and in memory where both must do the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.outbox import DynamoOutbox
from rune.aws.rental_store import DynamoRentalStore
from rune.errors import (
    CreditReservedError,
    LeaseLostError,
    RentalContendedError,
    StoreUnavailableError,
    UnreadableRowError,
)
from rune.events.notices import SubjectNotice
from rune.jobs.record import DueClass
from rune.money.receipts import Charge
from rune.rentals import lifecycle
from rune.rentals.public_events import destroyed_machine
from rune.rentals.record import Rental, RentalState
from rune.rentals.store import EndedPage, RentalRefused, RentalStore, Turn
from tests.builders import JOB_ID, NOW, after
from tests.memory_outbox import RecordingNotices
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_rental_of,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

TABLE = "rune-test"


def many_rentals(count: int, tenant: str = "default") -> list[Rental]:
    """Return rentals of as many jobs, one second apart, in an order that their ids do not have."""
    ids = sorted((uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex for number in range(count)), reverse=True)
    return [
        a_rental_of(job_id, tenant=tenant, intended_at=after(number), due_at=after(number))
        for number, job_id in enumerate(ids)
    ]


def open_all(rental_store: RentalStore, *rentals: Rental) -> None:
    for rental in rentals:
        assert rental_store.open(rental)


def lines(cloud: Cloud) -> list[str]:
    """Return the rentals whose lines are not struck out."""
    rows = [row for row in cloud.rows() if row["sk"]["S"].startswith("RENTAL#") and "rental_id" in row]
    rows = [row for row in rows if row["pk"]["S"].startswith("TENANT#")]
    return [row["rental_id"]["S"] for row in rows if "expires_at" not in row]


# ---------------------------------------------------------------- open, read


@pytest.mark.parametrize("state", ALIVE)
def test_rental_comes_back_as_it_was_opened(state: RentalState, rental_store: RentalStore) -> None:
    rental = ALIVE[state]()

    assert rental_store.open(rental)

    assert rental_store.read(RENTAL_ID) == rental


def test_key_of_a_rental_is_read_by_its_id(rental_store: RentalStore) -> None:
    assert rental_store.open(a_rental(reserved_micro_usd=400), 700, key="of-this-one")
    assert rental_store.open(a_rental_of(OTHER_JOB_ID), key="of-the-other")
    assert rental_store.open(a_rental_of(OTHER_JOB_ID, 2))

    keys = [
        rental_store.read_key(each) for each in (RENTAL_ID, f"{OTHER_JOB_ID}-1", f"{OTHER_JOB_ID}-2", "?")
    ]

    assert keys == ["of-this-one", "of-the-other", None, None]


def test_key_of_the_first_open_stays(rental_store: RentalStore) -> None:
    assert rental_store.open(a_rental(), key="of-this-one")
    assert not rental_store.open(a_rental(), key="another")

    assert rental_store.read_key(RENTAL_ID) == "of-this-one"


def test_key_is_not_written_when_the_rental_is_not(rental_store: RentalStore) -> None:
    rental_store.open(a_rental_of(OTHER_JOB_ID, reserved_micro_usd=300))

    with pytest.raises(CreditReservedError):
        rental_store.open(a_rental(reserved_micro_usd=401), 700, key="of-this-one")

    assert rental_store.read_key(RENTAL_ID) is None


def test_key_is_in_a_row_of_its_own_that_expires_a_day_after_the_machine_must_be_gone(cloud: Cloud) -> None:
    rental = a_rental()
    DynamoRentalStore(cloud.dynamodb, TABLE).open(rental, key="of-this-one")

    assert cloud.operations == ["TransactWriteItems"]
    with_key = [row for row in cloud.rows() if "of-this-one" in str(row)]
    assert with_key == [
        {
            "pk": {"S": f"JOB#{JOB_ID}"},
            "sk": {"S": "KEY#0001"},
            "server_key": {"S": "of-this-one"},
            "expires_at": {"N": str(int(rental.ceiling_at.timestamp()) + 86_400)},
        }
    ]


def test_second_open_of_an_attempt_writes_nothing(rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental())

    assert not rental_store.open(a_rental(tenant="acme", contract_id=CONTRACT_ID))

    assert rental_store.read(RENTAL_ID) == a_rental()
    assert rental_store.read_alive("acme") == ()


def test_open_is_one_call(cloud: Cloud) -> None:
    DynamoRentalStore(cloud.dynamodb, TABLE).open(a_rental())

    assert cloud.operations == ["TransactWriteItems"]


def test_open_reserves_what_the_rental_may_cost_until_it_is_proven_gone(rental_store: RentalStore) -> None:
    rental = a_rental(reserved_micro_usd=400)
    other = a_rental_of(OTHER_JOB_ID, reserved_micro_usd=300)

    assert rental_store.open(rental, 700)
    assert rental_store.open(other, 700)
    assert rental_store.read_reserved_micro_usd() == 700

    gone = rental_store.update(rental, lifecycle.prove_release(rental, NOW, NOW))
    assert isinstance(gone, Rental)
    assert rental_store.read_reserved_micro_usd() == 300

    rental_store.update(gone, lifecycle.reopen(gone, CONTRACT_ID, NOW))
    assert rental_store.read_reserved_micro_usd() == 700


def test_open_writes_nothing_when_too_much_of_the_credit_is_reserved(rental_store: RentalStore) -> None:
    rental_store.open(a_rental_of(OTHER_JOB_ID, reserved_micro_usd=300))

    with pytest.raises(CreditReservedError):
        rental_store.open(a_rental(reserved_micro_usd=401), 700)

    assert rental_store.read(RENTAL_ID) is None
    assert rental_store.read_reserved_micro_usd() == 300


def test_open_writes_nothing_when_the_tenant_has_opened_another_since(rental_store: RentalStore) -> None:
    tenant = a_rental().tenant
    assert rental_store.read_opened_count(tenant) == 0
    rental_store.open(a_rental_of(OTHER_JOB_ID), opened_count=0)
    assert rental_store.read_opened_count(tenant) == 1

    for earlier in (0, 2):
        with pytest.raises(RentalContendedError):
            rental_store.open(a_rental(reserved_micro_usd=400), 700, opened_count=earlier)
    assert (rental_store.read(RENTAL_ID), rental_store.read_reserved_micro_usd()) == (None, 0)

    assert rental_store.open(a_rental(reserved_micro_usd=400), 700, opened_count=1)
    assert rental_store.read_opened_count(tenant) == 2
    assert not rental_store.open(a_rental(reserved_micro_usd=400), 700, opened_count=1)
    assert rental_store.read_opened_count("another") == 0


@pytest.mark.parametrize("turn", [Turn(8, 4), Turn(7, 5)])
def test_open_writes_nothing_when_the_job_has_gone_on_without_its_worker(cloud: Cloud, turn: Turn) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    row = {"pk": {"S": f"JOB#{JOB_ID}"}, "sk": {"S": "JOB"}}
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "epoch": {"N": "7"}, "seq": {"N": "4"}})

    with pytest.raises(LeaseLostError):
        rental_store.open(a_rental(reserved_micro_usd=400), 700, key="of-this-one", opened_count=0, turn=turn)
    assert cloud.rows() == [{**row, "epoch": {"N": "7"}, "seq": {"N": "4"}}]

    assert rental_store.open(a_rental(), turn=Turn(7, 4))


@pytest.mark.parametrize("turn", [Turn(8, 4), Turn(7, 5)])
def test_take_writes_nothing_when_the_job_has_gone_on_without_its_worker(cloud: Cloud, turn: Turn) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    row = {"pk": {"S": f"JOB#{OTHER_JOB_ID}"}, "sk": {"S": "JOB"}}
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "epoch": {"N": "7"}, "seq": {"N": "4"}})
    kept = a_kept_rental()
    rental_store.open(kept)
    taking = lifecycle.take_kept(kept, OTHER_JOB_ID, NOW, 0)

    with pytest.raises(LeaseLostError):
        rental_store.take(kept, taking, OTHER_JOB_ID, turn)
    assert rental_store.read(kept.rental_id) == kept

    taken = rental_store.take(kept, taking, OTHER_JOB_ID, Turn(7, 4))
    assert isinstance(taken, Rental)
    assert (taken.holder, rental_store.read(kept.rental_id)) == (OTHER_JOB_ID, taken)
    again = rental_store.take(kept, taking, OTHER_JOB_ID, Turn(7, 4))
    assert again == RentalRefused(taken)


@pytest.mark.parametrize(
    ("of_earlier", "is_taken"),
    [
        ({"status": {"S": "running"}, "borrowed_micro_usd": {"N": "99"}}, False),
        ({"status": {"S": "running"}}, False),
        ({"status": {"S": "running"}, "borrowed_micro_usd": {"N": "100"}}, True),
        ({"status": {"S": "succeeded"}}, True),
        (None, True),
    ],
)
def test_take_waits_until_the_job_before_has_its_cost_in_its_row(
    of_earlier: dict[str, Any] | None, is_taken: bool, cloud: Cloud
) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    row = {"pk": {"S": f"JOB#{OTHER_JOB_ID}"}, "sk": {"S": "JOB"}}
    cloud.dynamodb.put_item(TableName=TABLE, Item={**row, "epoch": {"N": "7"}, "seq": {"N": "4"}})
    if of_earlier is not None:
        earlier = {"pk": {"S": "JOB#earlier"}, "sk": {"S": "JOB"}}
        cloud.dynamodb.put_item(TableName=TABLE, Item={**earlier, **of_earlier})
    kept = replace(a_kept_rental(), used_by="earlier", used_micro_usd=100)
    rental_store.open(kept)
    taking = lifecycle.take_kept(kept, OTHER_JOB_ID, NOW, 0)

    refusal = nullcontext() if is_taken else pytest.raises(RentalContendedError)
    with refusal:
        rental_store.take(kept, taking, OTHER_JOB_ID, Turn(7, 4))

    found = rental_store.read(kept.rental_id)
    assert found is not None
    assert found.holder == (OTHER_JOB_ID if is_taken else None)


def test_open_writes_nothing_when_there_is_no_job(cloud: Cloud) -> None:
    with pytest.raises(LeaseLostError):
        DynamoRentalStore(cloud.dynamodb, TABLE).open(a_rental(), turn=Turn(1, 1))


def test_open_reserves_once_when_it_is_repeated(rental_store: RentalStore) -> None:
    rental = a_rental(reserved_micro_usd=400)

    assert rental_store.open(rental, 700)
    assert not rental_store.open(rental, 700)

    assert rental_store.read_reserved_micro_usd() == 400


def test_write_that_is_refused_gives_nothing_back(rental_store: RentalStore) -> None:
    rental = a_rental(reserved_micro_usd=400)
    rental_store.open(rental, 700)
    rental_store.update(rental, lifecycle.prove_release(rental, NOW, NOW))

    again = rental_store.update(rental, lifecycle.prove_release(rental, NOW, NOW))

    assert isinstance(again, RentalRefused)
    assert rental_store.read_reserved_micro_usd() == 0


NO_IDS = ["", JOB_ID, f"{JOB_ID}-", f"{JOB_ID}-x", f"{JOB_ID.upper()}-1", f"{RENTAL_ID}2345", f"{JOB_ID}-2"]


@pytest.mark.parametrize("rental_id", NO_IDS)
def test_read_finds_nothing_under_another_name(rental_id: str, rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental())

    assert rental_store.read(rental_id) is None


# ---------------------------------------------------------------- read_attempts


def test_attempts_are_a_jobs_own_in_the_order_of_their_numbers(rental_store: RentalStore) -> None:
    rentals = {attempt: a_rental_of(JOB_ID, attempt) for attempt in (10, 2, 1, 9, 11)}
    open_all(rental_store, *rentals.values(), a_rental_of(OTHER_JOB_ID))

    assert rental_store.read_attempts(JOB_ID) == tuple(rentals[attempt] for attempt in (1, 2, 9, 10, 11))
    assert rental_store.read_attempts("f" * 32) == ()


def test_attempts_hold_those_that_are_gone(rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental(), a_rental_of(JOB_ID, 2))
    gone = rental_store.update(a_rental(), lifecycle.prove_release(a_rental(), after(200), after(201)))

    assert rental_store.read_attempts(JOB_ID) == (gone, a_rental_of(JOB_ID, 2))


# ---------------------------------------------------------------- read_alive


def test_alive_are_the_tenants_own_oldest_first(rental_store: RentalStore) -> None:
    younger, older = a_rental_of(JOB_ID, 2, intended_at=after(5)), a_rental_of(OTHER_JOB_ID)
    open_all(rental_store, younger, older, a_rental(tenant="acme"), a_rental_of("f" * 32, tenant="default2"))

    assert rental_store.read_alive("default") == (older, younger)
    assert rental_store.read_alive("acme") == (a_rental(tenant="acme"),)
    assert rental_store.read_alive("nobody") == ()


@pytest.mark.slow
@pytest.mark.parametrize("count", [26, 101, 130])
def test_alive_are_all_when_they_are_more_than_one_read_holds(count: int, rental_store: RentalStore) -> None:
    rentals = many_rentals(count)
    open_all(rental_store, *rentals)

    assert rental_store.read_alive("default") == tuple(rentals)


def test_line_is_struck_out_when_the_rental_is_proven_gone_and_returns_when_it_turns_up(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, a_releasing_rental())

    gone = rental_store.update(
        a_releasing_rental(), lifecycle.prove_release(a_releasing_rental(), after(355), after(360))
    )
    assert isinstance(gone, Rental)
    assert gone == a_released_rental(cost_micro_usd=gone.cost_micro_usd, due_at=gone.due_at)
    assert lines(cloud) == []
    ended, struck = [row for row in cloud.rows() if row["pk"]["S"].startswith("TENANT#")]
    assert struck["expires_at"] == {"N": str(int(after(360).timestamp()))}
    assert ended["expires_at"] == {"N": str(int((after(360) + lifecycle.REMEMBERED).timestamp()))}
    assert rental_store.read_ended("default", None, 10) == EndedPage((gone,))

    reopened = rental_store.update(gone, lifecycle.reopen(gone, CONTRACT_ID, after(900)))
    assert lines(cloud) == [RENTAL_ID]
    assert rental_store.read_alive("default") == (reopened,)
    assert rental_store.read_ended("default", None, 10) == EndedPage(())


def test_line_stays_when_the_proof_is_refused(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, a_releasing_rental(version=9))

    refused = rental_store.update(
        a_releasing_rental(), lifecycle.prove_release(a_releasing_rental(), after(355), after(360))
    )

    assert refused == RentalRefused(a_releasing_rental(version=9))
    assert lines(cloud) == [RENTAL_ID]


def test_line_of_a_rental_that_is_gone_shows_nothing(cloud: Cloud) -> None:
    """A read of the lines and one of the rows are two calls, between which a rental may end."""
    open_all(DynamoRentalStore(cloud.dynamodb, TABLE), a_released_rental())

    assert lines(cloud) == [RENTAL_ID]
    assert DynamoRentalStore(cloud.dynamodb, TABLE).read_alive("default") == ()


def test_ended_are_the_tenants_own_newest_first_a_page_at_a_time(rental_store: RentalStore) -> None:
    names = [f"{number:032x}" for number in (3, 1, 2)]
    for number, name in enumerate([*names, "f" * 32]):
        tenant = "acme" if name == "f" * 32 else "default"
        rental = a_rental_of(name, tenant=tenant, contract_id=number + 1)
        open_all(rental_store, rental)
        rental_store.update(rental, lifecycle.prove_release(rental, after(400 + number), after(401 + number)))

    first = rental_store.read_ended("default", None, 2)
    second = rental_store.read_ended("default", first.position, 2)

    assert [each.job_id for each in first.rentals] == [names[2], names[1]]
    assert ([each.job_id for each in second.rentals], second.position) == ([names[0]], None)


def test_order_that_made_no_machine_is_not_among_the_ended(rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental())
    rental_store.update(a_rental(), lifecycle.prove_release(a_rental(), after(400), after(401)))

    assert rental_store.read_ended("default", None, 2) == EndedPage(())


def write_unknown_state(cloud: Cloud, rental: Rental) -> None:
    """Give a rental's row a state that only another version may know."""
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"JOB#{rental.job_id}"}, "sk": {"S": f"RENTAL#{rental.attempt:04d}"}},
        UpdateExpression="SET #state = :state",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": {"S": "of another version"}},
    )


def test_row_that_is_not_understood_costs_itself_alone(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, a_rental(), a_rental_of(OTHER_JOB_ID))
    write_unknown_state(cloud, a_rental())

    assert rental_store.read_alive("default") == (a_rental_of(OTHER_JOB_ID),)
    assert rental_store.read_alive("default", needed_by=OTHER_JOB_ID) == (a_rental_of(OTHER_JOB_ID),)

    named = [line.__dict__["rental_id"] for line in caplog.records if line.msg == "row.unreadable"]
    assert named == [RENTAL_ID, RENTAL_ID]


@pytest.mark.parametrize("needed_by", [OTHER_JOB_ID, JOB_ID], ids=["opened by the job", "held by the job"])
def test_row_that_is_not_understood_is_not_left_out_for_the_job_that_needs_it(
    needed_by: str, cloud: Cloud
) -> None:
    """A job whose own rental were left out would rent a second machine."""
    borrowed = a_rental_of(OTHER_JOB_ID, holder=JOB_ID)
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, borrowed)
    write_unknown_state(cloud, borrowed)

    with pytest.raises(UnreadableRowError):
        rental_store.read_alive("default", needed_by=needed_by)


# ---------------------------------------------------------------- find_alive


@pytest.mark.slow
@pytest.mark.parametrize("count", [26, 101, 130])
def test_everything_alive_is_found_oldest_first_up_to_a_limit(count: int, rental_store: RentalStore) -> None:
    rentals = [replace(rental, tenant=f"tenant-{n % 3}") for n, rental in enumerate(many_rentals(count))]
    open_all(rental_store, *reversed(rentals))
    ids = tuple(rental.rental_id for rental in rentals)

    assert rental_store.find_alive(500) == ids
    assert rental_store.find_alive(7) == ids[:7]


@pytest.mark.parametrize("state", ALIVE)
def test_rental_is_found_in_every_state_until_it_is_proven_gone(
    state: RentalState, rental_store: RentalStore
) -> None:
    rental = ALIVE[state]()
    open_all(rental_store, rental)
    assert rental_store.find_alive(10) == (RENTAL_ID,)

    gone = rental_store.update(rental, lifecycle.prove_release(rental, after(400), after(401)))
    assert rental_store.find_alive(10) == ()

    assert isinstance(gone, Rental)
    rental_store.update(gone, lifecycle.reopen(gone, CONTRACT_ID, after(900)))
    assert rental_store.find_alive(10) == (RENTAL_ID,)


def test_attempts_above_nine_are_found_by_their_own_ids(rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental_of(JOB_ID, 12))

    assert rental_store.find_alive(10) == (f"{JOB_ID}-12",)


def test_jobs_that_are_due_are_not_found_among_rentals(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, a_kept_rental())

    found = [cloud.store.find_late(due_class, after(86_400), 10) for due_class in DueClass]
    assert found == [()] * len(DueClass)
    assert rental_store.find_alive(10) == (RENTAL_ID,)


# ---------------------------------------------------------------- no table


def test_every_call_says_when_the_table_cannot_be_reached(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, "no-such-table")
    calls: list[Callable[[], object]] = [
        lambda: rental_store.open(a_rental()),
        lambda: rental_store.update(a_rental(), lifecycle.note_contract(a_rental(), 1, after(1))),
        lambda: rental_store.update(a_rental(), lifecycle.prove_release(a_rental(), after(1), after(1))),
        lambda: rental_store.read(RENTAL_ID),
        lambda: rental_store.read_attempts(JOB_ID),
        lambda: rental_store.read_alive("default"),
        lambda: rental_store.read_ended("default", None, 1),
        lambda: rental_store.find_alive(1),
    ]

    for call in calls:
        with pytest.raises(StoreUnavailableError):
            call()


# ---------------------------------------------------------------- events


def test_machine_is_told_of_once(cloud: Cloud) -> None:
    notices = RecordingNotices()
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE, notices)
    event = destroyed_machine(CONTRACT_ID, RENTAL_ID, "acme", after(60), has_rental=True)
    again = destroyed_machine(CONTRACT_ID, RENTAL_ID, "acme", after(120), has_rental=True)

    told = [rental_store.tell_once(each, after(3600)) for each in (event, again)]

    outbox = DynamoOutbox(cloud.dynamodb, TABLE)
    assert told == [True, False]
    assert outbox.read_log(event.subject, after=0, limit=9) == (event,)
    assert outbox.read(event.subject).due_at == after(120)
    assert notices.sent == [SubjectNotice(event.subject)]


def test_machine_of_no_tenant_leaves_no_empty_key(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    event = destroyed_machine(CONTRACT_ID, RENTAL_ID, "", after(60), has_rental=False)

    assert rental_store.tell_once(event, after(3600))

    # DynamoDB refuses an empty string in a key of an index, which moto takes.
    assert [row for row in cloud.rows() if row.get("tenant") == {"S": ""}] == []
    assert DynamoOutbox(cloud.dynamodb, TABLE).read_log(event.subject, after=0, limit=9) == (event,)


def test_change_with_an_event_is_one_call_and_reads_nothing(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    open_all(rental_store, a_rental())
    cloud.calls.clear()

    rented = rental_store.update(a_rental(), lifecycle.note_contract(a_rental(), CONTRACT_ID, after(3)))

    assert isinstance(rented, Rental)
    assert rented.contract_id == CONTRACT_ID
    assert cloud.operations == ["TransactWriteItems"]


def test_row_of_a_rentals_event_is_billed_as_one_kb(cloud: Cloud) -> None:
    rental_store = DynamoRentalStore(cloud.dynamodb, TABLE)
    rental = a_releasing_rental(tenant="t" * 64)
    open_all(rental_store, rental)
    rental_store.update(rental, lifecycle.prove_release(rental, after(355), after(360)))

    (event,) = [row for row in cloud.rows() if row["sk"]["S"].startswith("EVENT#")]
    assert sum(len(name) + len(*value.values()) for name, value in event.items()) < 1_024


# ---------------------------------------------------------------- charges


def test_ended_rental_waits_a_day_for_its_charges_and_no_longer_among_the_living(
    rental_store: RentalStore,
) -> None:
    open_all(rental_store, a_releasing_rental(), a_rental_of(OTHER_JOB_ID))
    ended = rental_store.update(
        a_releasing_rental(), lifecycle.prove_release(a_releasing_rental(), after(400), after(401))
    )
    assert isinstance(ended, Rental)

    assert rental_store.find_alive(9) == (f"{OTHER_JOB_ID}-1",)
    assert rental_store.find_uncharged(after(400 + 86_400), 9) == ()
    assert rental_store.find_uncharged(after(401 + 86_400), 9) == (RENTAL_ID,)

    written = rental_store.update(
        ended, lifecycle.note_charge(ended, Charge(9, 8, 7, 1), None, after(90_000), is_final=True)
    )
    assert rental_store.read(RENTAL_ID) == written
    assert rental_store.find_uncharged(after(900_000), 9) == ()


def test_rental_that_is_opened_again_is_among_the_living(rental_store: RentalStore) -> None:
    ended = a_released_rental(due_at=after(500))
    open_all(rental_store, ended)

    rental_store.update(ended, lifecycle.reopen(ended, CONTRACT_ID, after(450)))

    assert (rental_store.find_alive(9), rental_store.find_uncharged(after(900), 9)) == ((RENTAL_ID,), ())


def test_order_without_a_machine_waits_for_no_charge(rental_store: RentalStore) -> None:
    open_all(rental_store, a_rental())

    rental_store.update(a_rental(), lifecycle.prove_release(a_rental(), after(400), after(401)))

    assert rental_store.find_uncharged(after(900_000), 9) == ()
