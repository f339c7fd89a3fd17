from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rune.rentals.bills import cost_micro_usd
from rune.rentals.instance import CLOCK_SKEW, Instance, Listing
from rune.rentals.proof import (
    LISTING_LAG,
    RECONCILE_WINDOW,
    SECOND_LOOK,
    USUAL_LISTING_LAG,
    Presence,
    choose_listing_start,
    find_loss,
    find_presence,
)
from rune.rentals.reconciliation import (
    ORPHAN_GRACE,
    OVERDUE_LIMIT,
    Action,
    Decision,
    adopt_contract,
    decide_action,
    leave_machine,
    record_gone,
    record_look,
    record_missed,
    record_not_made,
    record_price,
    write_decision,
)
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import apply
from tests.builders import JOB_ID, NOW, after
from tests.rental_builders import (
    ACCOUNT_ID,
    ALIVE,
    CONTRACT_ID,
    OTHER_JOB_ID,
    a_confirmed_listing,
    a_created_rental,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
    an_instance,
)

MACHINE = an_instance()
LEAVE = Decision(Action.LEAVE)
DESTROY = Decision(Action.DESTROY)
RECORD_GONE = Decision(Action.RECORD_GONE)
EXPIRED = Decision(Action.DESTROY, EndReason.EXPIRED)
NO_ROW = Decision(Action.DESTROY, EndReason.ORPHANED, "no row", is_alarming=True)
LEFT_BEHIND = Decision(Action.DESTROY, EndReason.ORPHANED, "its job has ended", is_alarming=True)
NEVER_MADE = Decision(Action.RECORD_GONE, EndReason.ORPHANED, "its job has ended", is_alarming=True)
VANISHED = Decision(Action.DESTROY, EndReason.VANISHED, "not listed any more", is_alarming=True)
CAME_BACK = Decision(Action.DESTROY, EndReason.ORPHANED, "it was taken for gone", is_alarming=True)
NOT_DESTROYED = Decision(Action.DESTROY, None, "its job does not get it destroyed", is_alarming=True)
NOT_NOTED = Decision(Action.RECORD_GONE, None, "its job does not get it destroyed", is_alarming=True)
OVERDUE = Decision(Action.DESTROY, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)
OVERDUE_GONE = Decision(Action.RECORD_GONE, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)

LATER = after(3599)
"""Before the builders' kept rental expires, and long after everything else has happened to the others."""


def decided(
    rental: Rental | None,
    instance: Instance | None = None,
    now: datetime = LATER,
    *,
    held_until: datetime | None = None,
    begun_at: datetime | None = None,
) -> Decision:
    """Return the decision on a machine, seen by a listing that began at once."""
    listing = a_confirmed_listing(*([instance] if instance else []), begun_at=begun_at or now)
    return decide_action(rental, listing, instance, held_until=held_until, now=now)


HELD_UNTIL = NOW + timedelta(hours=2)

TWIN_ID = CONTRACT_ID + 1
RUNNING_ALONE = a_running_rental(holder=None)
DESTROYED = a_releasing_rental(destroy_asked_at=after(310), destroyed_at=after(310))
ASKED = {"destroy_asked_at": after(9)}


@pytest.mark.parametrize(
    ("rental", "instance", "decision"),
    [
        (None, MACHINE, NO_ROW),
        (a_rental(), MACHINE, LEFT_BEHIND),
        (a_rental(), None, LEAVE),
        (a_rental(missed_at=after(120)), None, NEVER_MADE),
        (a_created_rental(), MACHINE, LEFT_BEHIND),
        (a_created_rental(), None, LEFT_BEHIND),
        (RUNNING_ALONE, MACHINE, LEFT_BEHIND),
        (RUNNING_ALONE, None, LEFT_BEHIND),
        (a_kept_rental(), MACHINE, LEAVE),
        (a_kept_rental(), None, VANISHED),
        (a_releasing_rental(), MACHINE, DESTROY),
        (a_releasing_rental(), None, DESTROY),
        (DESTROYED, None, RECORD_GONE),
        (DESTROYED, MACHINE, DESTROY),
        (a_releasing_rental(contract_id=None), None, LEAVE),
        (a_releasing_rental(contract_id=None, missed_at=after(120)), None, RECORD_GONE),
        (a_released_rental(), MACHINE, CAME_BACK),
        (a_released_rental(), None, LEAVE),
    ],
)
def test_janitor_knows_what_to_do_about_a_machine_that_no_job_holds(
    rental: Rental | None, instance: Instance | None, decision: Decision
) -> None:
    assert decided(rental, instance) == decision


@pytest.mark.parametrize("rental", [a_rental(), a_created_rental(), a_running_rental()])
@pytest.mark.parametrize("instance", [MACHINE, None, an_instance(actual_status="exited")])
def test_janitor_leaves_a_machine_to_the_job_that_holds_it(rental: Rental, instance: Instance | None) -> None:
    assert decided(rental, instance, held_until=LATER) == LEAVE


@pytest.mark.parametrize(
    ("rental", "since", "present", "absent"),
    [
        (a_releasing_rental(), after(300), NOT_DESTROYED, NOT_DESTROYED),
        (a_releasing_rental(release_asked_at=None), after(300), NOT_DESTROYED, NOT_DESTROYED),
        (DESTROYED, after(300), NOT_DESTROYED, NOT_NOTED),
        (a_rental(missed_at=after(120)), HELD_UNTIL, OVERDUE, OVERDUE_GONE),
        (a_created_rental(), HELD_UNTIL, OVERDUE, OVERDUE),
        (a_running_rental(), HELD_UNTIL, OVERDUE, OVERDUE),
    ],
)
def test_janitor_steps_in_when_the_job_should_have_been_done_long_ago(
    rental: Rental, since: datetime, present: Decision, absent: Decision
) -> None:
    in_time, too_late = since + OVERDUE_LIMIT, since + OVERDUE_LIMIT + timedelta(milliseconds=1)

    assert decided(rental, MACHINE, in_time, held_until=HELD_UNTIL) == LEAVE
    assert decided(rental, None, in_time, held_until=HELD_UNTIL) == LEAVE
    assert decided(rental, MACHINE, too_late, held_until=HELD_UNTIL) == present
    assert decided(rental, None, too_late, held_until=HELD_UNTIL) == absent


STOPPED_BY = after(900)


@pytest.mark.parametrize(
    ("rental", "expected"),
    [
        (a_created_rental(), Decision(Action.DESTROY, EndReason.COST_CAP, "its job may cost no more")),
        (a_running_rental(), Decision(Action.DESTROY, EndReason.COST_CAP, "its job may cost no more")),
        # A janitor has written that it is to be destroyed, and died.
        (a_releasing_rental(release_asked_at=after(890)), Decision(Action.DESTROY)),
        (
            a_kept_rental(state=RentalState.RUNNING, holder=OTHER_JOB_ID),
            Decision(Action.RETURN_TO_TENANT),
        ),
    ],
)
def test_janitor_steps_in_when_the_job_s_money_is_over(rental: Rental, expected: Decision) -> None:
    def decide(now: datetime) -> Decision:
        listing = a_confirmed_listing(MACHINE, begun_at=now)
        return decide_action(rental, listing, MACHINE, held_until=HELD_UNTIL, stopped_by=STOPPED_BY, now=now)

    assert decide(after(899.999)) == LEAVE
    assert decide(STOPPED_BY) == expected


def test_janitor_returns_a_borrowed_machine_to_its_tenant_when_the_job_is_long_overdue() -> None:
    borrowed = a_kept_rental(state=RentalState.RUNNING, holder=OTHER_JOB_ID)
    too_late = HELD_UNTIL + OVERDUE_LIMIT + timedelta(milliseconds=1)

    decision = decided(borrowed, MACHINE, too_late, held_until=HELD_UNTIL)

    assert decision == Decision(Action.RETURN_TO_TENANT)


@pytest.mark.parametrize("rental", [a_rental(), a_created_rental(), RUNNING_ALONE])
def test_janitor_gives_a_row_a_minute_to_change_hands(rental: Rental) -> None:
    over = rental.updated_at + ORPHAN_GRACE

    assert decided(rental, MACHINE, over) == LEAVE
    assert decided(rental, MACHINE, over + timedelta(milliseconds=1)) == LEFT_BEHIND


@pytest.mark.parametrize(
    ("rental", "limit", "decision"),
    [
        (a_rental(missed_at=NOW), SECOND_LOOK, NEVER_MADE),
        (a_releasing_rental(contract_id=None, missed_at=NOW), SECOND_LOOK, RECORD_GONE),
        (
            a_releasing_rental(last_seen_stopped_at=None, running_at=None, **ASKED),
            LISTING_LAG,
            RECORD_GONE,
        ),
        (
            a_releasing_rental(last_seen_stopped_at=None, running_at=None, destroyed_at=after(9), **ASKED),
            USUAL_LISTING_LAG,
            RECORD_GONE,
        ),
        (a_releasing_rental(destroy_asked_at=after(400)), timedelta(seconds=400), RECORD_GONE),
    ],
)
def test_janitor_proves_nothing_by_a_listing_that_may_be_too_early(
    rental: Rental, limit: timedelta, decision: Decision
) -> None:
    enough = NOW + limit

    too_early = decided(rental, None, LATER, begun_at=enough - timedelta(milliseconds=1))

    assert too_early.action is not Action.RECORD_GONE
    assert decided(rental, None, LATER, begun_at=enough) == decision


@pytest.mark.parametrize("state_words", [{"actual_status": "exited"}, {"actual_status": "offline"}])
def test_janitor_gives_up_a_kept_machine_that_has_stopped(state_words: dict[str, str]) -> None:
    decision = decided(a_kept_rental(), an_instance(**state_words, status_text=""))

    assert decision == Decision(
        Action.DESTROY, EndReason.MACHINE_LOST, state_words["actual_status"], is_alarming=True
    )


BORROWED = a_kept_rental(state=RentalState.RUNNING, holder=OTHER_JOB_ID, held_since=after(300))


@pytest.mark.parametrize(
    ("rental", "instance", "decision"),
    [
        (BORROWED, MACHINE, Decision(Action.RETURN_TO_TENANT)),
        (BORROWED, None, Decision(Action.RETURN_TO_TENANT)),
        (replace(BORROWED, holder=JOB_ID), MACHINE, LEFT_BEHIND),
        (replace(BORROWED, holder=None), MACHINE, LEFT_BEHIND),
    ],
)
def test_janitor_gives_a_machine_back_that_was_kept_before_a_job_took_it_that_had_ended(
    rental: Rental, instance: Instance | None, decision: Decision
) -> None:
    assert decided(rental, instance) == decision


@pytest.mark.parametrize(
    ("kept_until", "now", "decision"),
    [
        (after(3600), after(3599.999), LEAVE),
        (after(3600), after(3600), EXPIRED),
        (after(3600), after(9999), EXPIRED),
        (None, after(301), EXPIRED),
    ],
)
def test_janitor_ends_a_kept_machine_at_its_time(
    kept_until: datetime | None, now: datetime, decision: Decision
) -> None:
    assert decided(a_kept_rental(kept_until=kept_until), MACHINE, now) == decision


@pytest.mark.parametrize(
    ("rental", "gone_at"),
    [(a_released_rental(), after(355)), (a_released_rental(released_at=None), NOW)],
)
def test_janitor_believes_a_machine_is_back_only_by_a_later_listing(
    rental: Rental, gone_at: datetime
) -> None:
    too_early = gone_at + CLOCK_SKEW

    assert decided(rental, MACHINE, begun_at=too_early) == LEAVE
    assert decided(rental, MACHINE, begun_at=too_early + timedelta(milliseconds=1)) == CAME_BACK


@pytest.mark.parametrize("held_until", [LATER, None])
def test_janitor_destroys_a_machine_that_came_back_whoever_seems_to_hold_it(
    held_until: datetime | None,
) -> None:
    assert decided(a_released_rental(), MACHINE, held_until=held_until) == CAME_BACK


# ---------------------------------------------------------------- what a listing proves


@pytest.mark.parametrize(
    ("rental", "earliest"),
    [
        (a_rental(missed_at=after(130)), after(130) + SECOND_LOOK),
        (a_releasing_rental(contract_id=None, missed_at=after(130)), after(130) + SECOND_LOOK),
        (a_created_rental(), NOW + LISTING_LAG),
        (a_created_rental(destroyed_at=after(9)), NOW + USUAL_LISTING_LAG),
        (a_created_rental(last_seen_stopped_at=after(20)), after(20)),
        (a_created_rental(first_seen_running_at=after(30)), after(30)),
        (a_running_rental(), after(90)),
    ],
)
def test_absence_means_something_only_after_the_last_sign_of_the_machine(
    rental: Rental, earliest: datetime
) -> None:
    too_early = earliest - timedelta(milliseconds=1)

    assert find_presence(rental, a_confirmed_listing(begun_at=too_early)) is Presence.UNKNOWN
    assert find_presence(rental, a_confirmed_listing(begun_at=earliest)) is Presence.ABSENT
    assert find_presence(rental, a_confirmed_listing(MACHINE, begun_at=LATER)) is Presence.LISTED


@pytest.mark.parametrize(
    ("rental", "begun_at", "missed_at"),
    [
        (a_rental(), after(119.999), None),
        (a_rental(), after(120), after(120)),
        (a_releasing_rental(contract_id=None), after(120), after(120)),
        (a_rental(missed_at=after(120)), after(400), None),
        (a_rental(account_id=ACCOUNT_ID + 1), after(400), None),
        (a_created_rental(), after(400), None),
        (a_released_rental(contract_id=None), after(400), None),
    ],
    ids=["early", "first", "releasing", "second", "another account's", "known contract", "ended"],
)
def test_first_listing_that_lacks_a_lost_order_is_written_and_proves_nothing(
    rental: Rental, begun_at: datetime, missed_at: datetime | None
) -> None:
    listing = a_confirmed_listing(begun_at=begun_at)

    change = record_missed(rental, listing, LATER)

    assert (None if change is None else apply(change, rental).missed_at) == missed_at
    if missed_at is not None:
        assert find_presence(rental, listing) is Presence.UNCONFIRMED
        assert record_gone(rental, listing, LATER, EndReason.CREATE_LOST) is None


def test_lost_order_that_a_listing_shows_was_not_missed() -> None:
    assert record_missed(a_rental(), a_confirmed_listing(MACHINE, begun_at=LATER), LATER) is None


@pytest.mark.parametrize(("seconds", "start"), [(120, None), (120.001, NOW + RECONCILE_WINDOW)])
def test_next_listing_must_begin_late_enough_once_absence_means_something(
    seconds: float, start: datetime | None
) -> None:
    assert choose_listing_start(a_rental(), after(seconds)) == start


@pytest.mark.parametrize(
    ("rental", "instance", "loss"),
    [
        (a_running_rental(), MACHINE, None),
        (a_running_rental(), an_instance(actual_status="exited", status_text="OOM"), "exited: OOM"),
        (a_running_rental(), None, "not listed any more"),
        # The listing began before the machine's server answered.
        (a_running_rental(running_at=after(400)), None, None),
        (a_created_rental(intended_at=after(300)), None, None),
    ],
)
def test_loss_is_what_a_listing_shows_or_proves(
    rental: Rental, instance: Instance | None, loss: str | None
) -> None:
    listing = a_confirmed_listing(*([instance] if instance else []), begun_at=after(399))

    assert find_loss(rental, listing) == loss


# ---------------------------------------------------------------- what follows, as a write


@pytest.mark.parametrize(
    ("rental", "state"),
    [
        (a_rental(), RentalState.CREATED),
        (a_releasing_rental(contract_id=None), RentalState.RELEASING),
        (a_released_rental(contract_id=None), RentalState.RELEASING),
        (a_released_rental(contract_id=TWIN_ID), RentalState.RELEASING),
    ],
)
def test_contract_of_a_create_is_adopted_in_every_state(rental: Rental, state: RentalState) -> None:
    change = adopt_contract(rental, CONTRACT_ID, LATER)

    assert change is not None
    adopted = apply(change, rental)
    assert (adopted.contract_id, adopted.state) == (CONTRACT_ID, state)
    assert adopt_contract(adopted, CONTRACT_ID, LATER) is None


@pytest.mark.parametrize(
    "rental", [a_created_rental(contract_id=TWIN_ID), a_kept_rental(contract_id=TWIN_ID)]
)
def test_rental_that_is_alive_keeps_its_first_contract(rental: Rental) -> None:
    assert adopt_contract(rental, CONTRACT_ID, LATER) is None


@pytest.mark.parametrize("make", ALIVE.values(), ids=ALIVE)
def test_price_is_written_only_when_it_rises(make: Callable[[], Rental]) -> None:
    rental = make()
    change = record_price(rental, an_instance(micro_usd_per_hour=372_001), LATER)

    assert change is not None
    assert apply(change, rental).prices == replace(rental.prices, gpu_micro_usd_per_hour=360_001)
    for unchanged in (None, 0, 371_999, 372_000):
        assert record_price(rental, an_instance(micro_usd_per_hour=unchanged), LATER) is None
    dear = an_instance(micro_usd_per_hour=900_000)
    assert record_price(a_released_rental(), dear, LATER) is None


def test_rental_that_was_never_made_ends_for_the_reason_found() -> None:
    missed = a_rental(missed_at=after(120))

    change = record_gone(missed, a_confirmed_listing(begun_at=LATER), LATER, EndReason.CREATE_LOST, "why")

    assert change is not None
    ended = apply(change, missed)
    found = (ended.state, ended.end_reason, ended.end_detail)
    assert found == (RentalState.RELEASED, EndReason.CREATE_LOST, "why")


def test_bill_of_a_rental_goes_up_to_when_the_proof_had_come() -> None:
    change = record_gone(DESTROYED, a_confirmed_listing(begun_at=LATER), after(3700), EndReason.VANISHED)

    assert change is not None
    ended = apply(change, DESTROYED)
    assert (ended.released_at, ended.cost_micro_usd) == (LATER, cost_micro_usd(DESTROYED, after(3700)))


@pytest.mark.parametrize(("holder", "is_returned"), [(JOB_ID, True), ("a later job", False)])
def test_borrowed_machine_is_returned_by_the_job_that_has_it_alone(holder: str, is_returned: bool) -> None:
    borrowed = a_running_rental(job_id=OTHER_JOB_ID, holder=holder)

    change = leave_machine(borrowed, JOB_ID, LATER, EndReason.MACHINE_LOST, "exited")

    assert (change is not None) is is_returned


def test_rental_proven_gone_keeps_the_reason_of_its_release() -> None:
    change = record_gone(DESTROYED, a_confirmed_listing(begun_at=LATER), LATER, EndReason.VANISHED)

    assert change is not None
    assert apply(change, DESTROYED).end_reason is EndReason.JOB_ENDED


@pytest.mark.parametrize("make", [a_created_rental, a_running_rental, a_kept_rental, a_releasing_rental])
def test_absence_is_no_proof_before_an_order_to_destroy(make: Callable[[], Rental]) -> None:
    listing = a_confirmed_listing(begun_at=LATER)

    assert find_presence(make(), listing) is Presence.ABSENT
    assert record_gone(make(), listing, LATER, EndReason.ORPHANED) is None


@pytest.mark.parametrize(("seconds", "is_due"), [(0, False), (300, False), (300.001, True)])
def test_order_to_destroy_is_repeated_after_minutes_where_no_listing_shows_the_machine(
    seconds: float, is_due: bool
) -> None:
    decision = decide_action(DESTROYED, None, None, held_until=None, now=after(310 + seconds))

    assert decision == (DESTROY if is_due else LEAVE)


@pytest.mark.parametrize(("seconds", "is_due"), [(0, False), (15, False), (15.001, True)])
def test_order_to_destroy_is_repeated_after_seconds_where_the_machine_is_still_listed(
    seconds: float, is_due: bool
) -> None:
    assert decided(DESTROYED, MACHINE, after(310 + seconds)) == (DESTROY if is_due else LEAVE)


def test_second_machine_with_the_label_is_destroyed_at_once() -> None:
    twin = an_instance(contract_id=TWIN_ID)

    assert decided(DESTROYED, twin, after(310)) == DESTROY


@pytest.mark.parametrize(
    ("rental", "decision"),
    [
        (a_releasing_rental(), DESTROY),
        (a_kept_rental(kept_until=after(3000)), EXPIRED),
        (a_created_rental(), LEFT_BEHIND),
        (RUNNING_ALONE, LEFT_BEHIND),
        (a_kept_rental(), LEAVE),
        (a_rental(), LEAVE),
        (a_releasing_rental(contract_id=None), LEAVE),
        (a_released_rental(), LEAVE),
    ],
)
def test_machine_is_destroyed_without_a_listing_where_its_row_decides(
    rental: Rental, decision: Decision
) -> None:
    assert decide_action(rental, None, None, held_until=None, now=LATER) == decision


@pytest.mark.parametrize(
    ("rental", "decision"), [(a_running_rental(), OVERDUE), (a_releasing_rental(), NOT_DESTROYED)]
)
def test_overdue_machine_of_a_job_is_destroyed_without_a_listing(rental: Rental, decision: Decision) -> None:
    now = HELD_UNTIL + OVERDUE_LIMIT + timedelta(milliseconds=1)

    assert decide_action(rental, None, None, held_until=HELD_UNTIL, now=now) == decision


@pytest.mark.parametrize(
    ("rental", "listing"),
    [
        (a_releasing_rental(), a_confirmed_listing(MACHINE, begun_at=LATER)),
        (a_releasing_rental(destroy_asked_at=LATER), a_confirmed_listing(begun_at=after(3598))),
        (a_released_rental(), a_confirmed_listing(begun_at=LATER)),
        # Another worker has found the contract meanwhile.
        (a_created_rental(), a_confirmed_listing(begun_at=after(100))),
    ],
)
def test_nothing_is_written_where_nothing_is_proven(rental: Rental, listing: Listing) -> None:
    assert record_gone(rental, listing, LATER, EndReason.CREATE_LOST) is None


def test_refused_order_ends_its_rental() -> None:
    change = record_not_made(a_rental(), LATER, EndReason.OFFER_GONE, "offer_gone")

    assert change is not None
    ended = apply(change, a_rental())
    assert (ended.state, ended.end_reason) == (RentalState.RELEASED, EndReason.OFFER_GONE)


@pytest.mark.parametrize(
    "rental", [a_created_rental(), a_releasing_rental(), a_released_rental(), a_rental(contract_id=1)]
)
def test_refused_order_whose_machine_was_found_all_the_same_does_not_end_its_rental(rental: Rental) -> None:
    assert record_not_made(rental, LATER, EndReason.OFFER_GONE, "offer_gone") is None


@pytest.mark.parametrize("seen_at", [after(50), after(70)])
def test_look_at_a_stopped_machine_never_goes_back_in_time(seen_at: datetime) -> None:
    loading = an_instance(actual_status="loading")
    rental = a_created_rental(last_seen_stopped_at=after(60))

    change = record_look(rental, loading, seen_at, LATER)

    assert (change is None) == (seen_at == after(50))


@pytest.mark.parametrize("make", [a_rental, a_running_rental, a_kept_rental, a_releasing_rental])
def test_look_is_written_only_while_the_machine_boots(make: Callable[[], Rental]) -> None:
    assert record_look(make(), MACHINE, LATER, LATER) is None


def test_orphan_without_a_contract_is_given_up_and_tied_to_its_machine_in_one_write() -> None:
    decision = Decision(Action.DESTROY, EndReason.ORPHANED, "its job has ended")
    change = write_decision(a_rental(), decision, a_confirmed_listing(MACHINE), MACHINE, LATER)

    assert change is not None
    written = apply(change, a_rental())
    assert (written.state, written.contract_id) == (RentalState.RELEASING, CONTRACT_ID)
