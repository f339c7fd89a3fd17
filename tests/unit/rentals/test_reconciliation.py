from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rune.rentals.instance import Instance
from rune.rentals.lifecycle import LISTING_LAG, RECONCILE_WINDOW, USUAL_LISTING_LAG
from rune.rentals.reconciliation import HELD_LIMIT, LISTING_SKEW, ORPHAN_GRACE, Act, Verdict, judge
from rune.rentals.record import EndReason, Rental, RentalState
from tests.builders import JOB_ID, NOW, after
from tests.rental_builders import (
    OTHER_JOB_ID,
    a_created_rental,
    a_kept_rental,
    a_listing,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
    an_instance,
)

MACHINE = an_instance()
LEAVE = Verdict(Act.LEAVE)
DESTROY = Verdict(Act.DESTROY)
PROVE_GONE = Verdict(Act.PROVE_GONE)
EXPIRED = Verdict(Act.DESTROY, EndReason.EXPIRED)
NO_ROW = Verdict(Act.DESTROY, EndReason.ORPHANED, "no row", is_alarming=True)
LEFT_BEHIND = Verdict(Act.DESTROY, EndReason.ORPHANED, "its job has ended", is_alarming=True)
LEFT_AND_GONE = Verdict(Act.PROVE_GONE, EndReason.ORPHANED, "its job has ended", is_alarming=True)
VANISHED = Verdict(Act.PROVE_GONE, EndReason.VANISHED, "not listed any more", is_alarming=True)
CAME_BACK = Verdict(Act.DESTROY, EndReason.ORPHANED, "it was taken for gone", is_alarming=True)
NOT_DESTROYED = Verdict(Act.DESTROY, None, "its job does not get it destroyed", is_alarming=True)
NOT_NOTED = Verdict(Act.PROVE_GONE, None, "its job does not get it destroyed", is_alarming=True)
OVERDUE = Verdict(Act.DESTROY, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)
OVERDUE_GONE = Verdict(Act.PROVE_GONE, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)

LATER = after(3599)
"""Before the builders' kept rental expires, and long after everything else has happened to the others."""


def judged(
    rental: Rental | None,
    instance: Instance | None = None,
    now: datetime = LATER,
    *,
    held_until: datetime | None = None,
    begun_at: datetime | None = None,
) -> Verdict:
    """Return the verdict on a machine, seen by a listing that began at once."""
    listing = a_listing(*([instance] if instance else []), begun_at=begun_at or now)
    return judge(rental, listing, instance, held_until=held_until, now=now)


HELD_UNTIL = NOW + timedelta(hours=2)

RUNNING_ALONE = a_running_rental(holder=None)


@pytest.mark.parametrize(
    ("rental", "instance", "verdict"),
    [
        (None, MACHINE, NO_ROW),
        (a_rental(), MACHINE, LEFT_BEHIND),
        (a_rental(), None, LEFT_AND_GONE),
        (a_created_rental(), MACHINE, LEFT_BEHIND),
        (a_created_rental(), None, LEFT_AND_GONE),
        (RUNNING_ALONE, MACHINE, LEFT_BEHIND),
        (RUNNING_ALONE, None, LEFT_AND_GONE),
        (a_kept_rental(), MACHINE, LEAVE),
        (a_kept_rental(), None, VANISHED),
        (a_releasing_rental(), MACHINE, DESTROY),
        (a_releasing_rental(), None, PROVE_GONE),
        (a_released_rental(), MACHINE, CAME_BACK),
        (a_released_rental(), None, LEAVE),
    ],
)
def test_judge_knows_what_to_do_about_a_machine_that_no_job_holds(
    rental: Rental | None, instance: Instance | None, verdict: Verdict
) -> None:
    assert judged(rental, instance) == verdict


@pytest.mark.parametrize("rental", [a_rental(), a_created_rental(), a_running_rental()])
@pytest.mark.parametrize("instance", [MACHINE, None, an_instance(actual_status="exited")])
def test_judge_leaves_a_machine_to_the_job_that_holds_it(rental: Rental, instance: Instance | None) -> None:
    assert judged(rental, instance, held_until=LATER) == LEAVE


@pytest.mark.parametrize(
    ("rental", "since", "present", "absent"),
    [
        (a_releasing_rental(), after(300), NOT_DESTROYED, NOT_NOTED),
        (a_releasing_rental(release_asked_at=None), after(300), NOT_DESTROYED, NOT_NOTED),
        (a_rental(), HELD_UNTIL, OVERDUE, OVERDUE_GONE),
        (a_created_rental(), HELD_UNTIL, OVERDUE, OVERDUE_GONE),
        (a_running_rental(), HELD_UNTIL, OVERDUE, OVERDUE_GONE),
    ],
)
def test_judge_steps_in_when_the_job_should_have_been_done_long_ago(
    rental: Rental, since: datetime, present: Verdict, absent: Verdict
) -> None:
    in_time, too_late = since + HELD_LIMIT, since + HELD_LIMIT + timedelta(milliseconds=1)

    assert judged(rental, MACHINE, in_time, held_until=HELD_UNTIL) == LEAVE
    assert judged(rental, None, in_time, held_until=HELD_UNTIL) == LEAVE
    assert judged(rental, MACHINE, too_late, held_until=HELD_UNTIL) == present
    assert judged(rental, None, too_late, held_until=HELD_UNTIL) == absent


@pytest.mark.parametrize("rental", [a_rental(), a_created_rental(), RUNNING_ALONE])
def test_judge_gives_a_row_a_minute_to_change_hands(rental: Rental) -> None:
    over = rental.updated_at + ORPHAN_GRACE

    assert judged(rental, MACHINE, over) == LEAVE
    assert judged(rental, MACHINE, over + timedelta(milliseconds=1)) == LEFT_BEHIND


@pytest.mark.parametrize(
    ("rental", "limit", "verdict"),
    [
        (a_rental(), RECONCILE_WINDOW, LEFT_AND_GONE),
        (a_releasing_rental(contract_id=None), RECONCILE_WINDOW, PROVE_GONE),
        (a_created_rental(), LISTING_LAG, LEFT_AND_GONE),
        (a_releasing_rental(last_seen_stopped_at=None, running_at=None), LISTING_LAG, PROVE_GONE),
        (
            a_releasing_rental(last_seen_stopped_at=None, running_at=None, destroyed_at=after(9)),
            USUAL_LISTING_LAG,
            PROVE_GONE,
        ),
    ],
)
def test_judge_proves_nothing_by_a_listing_that_may_be_too_early(
    rental: Rental, limit: timedelta, verdict: Verdict
) -> None:
    enough = NOW + limit + timedelta(milliseconds=1)

    assert judged(rental, None, LATER, begun_at=NOW + limit) == LEAVE
    assert judged(rental, None, LATER, begun_at=enough) == verdict


@pytest.mark.parametrize("state_words", [{"actual_status": "exited"}, {"actual_status": "offline"}])
def test_judge_gives_up_a_kept_machine_that_has_stopped(state_words: dict[str, str]) -> None:
    verdict = judged(a_kept_rental(), an_instance(**state_words))

    assert verdict == Verdict(
        Act.DESTROY, EndReason.MACHINE_LOST, state_words["actual_status"], is_alarming=True
    )


BORROWED = a_kept_rental(state=RentalState.RUNNING, holder=OTHER_JOB_ID, held_since=after(300))


@pytest.mark.parametrize(
    ("rental", "instance", "verdict"),
    [
        (BORROWED, MACHINE, Verdict(Act.GIVE_BACK)),
        (BORROWED, None, LEFT_AND_GONE),
        (replace(BORROWED, holder=JOB_ID), MACHINE, LEFT_BEHIND),
        (replace(BORROWED, kept_until=None), MACHINE, LEFT_BEHIND),
        (replace(BORROWED, holder=None), MACHINE, LEFT_BEHIND),
    ],
)
def test_judge_gives_a_machine_back_that_was_kept_before_a_job_took_it_that_had_ended(
    rental: Rental, instance: Instance | None, verdict: Verdict
) -> None:
    assert judged(rental, instance) == verdict


@pytest.mark.parametrize(
    ("kept_until", "now", "verdict"),
    [
        (after(3600), after(3599.999), LEAVE),
        (after(3600), after(3600), EXPIRED),
        (after(3600), after(9999), EXPIRED),
        (None, after(301), EXPIRED),
    ],
)
def test_judge_ends_a_kept_machine_at_its_time(
    kept_until: datetime | None, now: datetime, verdict: Verdict
) -> None:
    assert judged(a_kept_rental(kept_until=kept_until), MACHINE, now) == verdict


@pytest.mark.parametrize(
    ("rental", "gone_at"),
    [(a_released_rental(), after(355)), (a_released_rental(released_at=None), NOW)],
)
def test_judge_believes_a_machine_is_back_only_by_a_later_listing(rental: Rental, gone_at: datetime) -> None:
    too_early = gone_at + LISTING_SKEW

    assert judged(rental, MACHINE, begun_at=too_early) == LEAVE
    assert judged(rental, MACHINE, begun_at=too_early + timedelta(milliseconds=1)) == CAME_BACK


@pytest.mark.parametrize("held_until", [LATER, None])
def test_judge_destroys_a_machine_that_came_back_whoever_seems_to_hold_it(
    held_until: datetime | None,
) -> None:
    assert judged(a_released_rental(), MACHINE, held_until=held_until) == CAME_BACK
