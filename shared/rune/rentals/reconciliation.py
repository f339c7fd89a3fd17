"""What the janitor does about one machine or one row of the rental store, as a plain function over plain data."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rune.rentals.instance import Instance, Listing, has_stopped
from rune.rentals.lifecycle import RECONCILE_WINDOW, is_proof
from rune.rentals.record import EndReason, Rental, RentalState

ORPHAN_GRACE = timedelta(seconds=60)
"""How long a machine without a job may stay unremarked: the row may be about to change hands."""

HELD_LIMIT = timedelta(minutes=10)
"""How long a job may take to see off a machine that it gave up, or should have; then the janitor does it."""

LISTING_SKEW = timedelta(seconds=5)


class Act(StrEnum):
    """What is to be done."""

    LEAVE = "leave"
    DESTROY = "destroy"
    """The machine, once the row says so."""
    GIVE_BACK = "give_back"
    """The row, to its tenant: the machine was kept when a job took it that had ended."""
    PROVE_GONE = "prove_gone"
    """The row: the machine is proven gone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about a rental.

    Attributes
    ----------
    reason
        What is written into a row that nobody had given up yet; None where somebody had.
    is_alarming
        Whether a person should hear of it: a machine billed for nothing, or is gone without our doing.
    """

    act: Act
    reason: EndReason | None = None
    detail: str | None = None
    is_alarming: bool = False


LEAVE = Verdict(Act.LEAVE)
GIVE_BACK = Verdict(Act.GIVE_BACK)
DESTROY = Verdict(Act.DESTROY)
PROVE_GONE = Verdict(Act.PROVE_GONE)


def judge(
    rental: Rental | None,
    listing: Listing,
    instance: Instance | None,
    *,
    held_until: datetime | None,
    now: datetime,
) -> Verdict:
    """Return what to do.

    Parameters
    ----------
    rental
        The row; None where a machine with our label has none.
    instance
        The machine in the listing; None where it is not there.
    held_until
        When the job should have given it back that holds it and has not ended; until then the job sees to it, and
        nobody else. None where there is no such job.
    """
    if rental is None:
        return Verdict(Act.DESTROY, EndReason.ORPHANED, "no row", is_alarming=True)
    if rental.state is RentalState.RELEASED:
        return _judge_released(rental, listing, instance)
    if held_until is not None:
        return _judge_held(rental, listing, instance, held_until, now)
    return _judge_unheld(rental, listing, instance, now)


def _judge_held(
    rental: Rental, listing: Listing, instance: Instance | None, held_until: datetime, now: datetime
) -> Verdict:
    """Leave the machine to its job, unless the job should have been done with it long ago."""
    if rental.state is RentalState.RELEASING:
        asked_at = rental.release_asked_at or rental.updated_at
        if now - asked_at <= HELD_LIMIT:
            return LEAVE
        act = Act.PROVE_GONE if instance is None else Act.DESTROY
        overdue = Verdict(act, detail="its job does not get it destroyed", is_alarming=True)
    elif now - held_until <= HELD_LIMIT:
        return LEAVE
    else:
        act = Act.PROVE_GONE if instance is None else Act.DESTROY
        overdue = Verdict(act, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)
    return overdue if instance is not None else _judge_absent(rental, listing, overdue)


def _judge_unheld(rental: Rental, listing: Listing, instance: Instance | None, now: datetime) -> Verdict:
    """Judge a rental that no job sees to: given up, kept, or left behind."""
    match rental.state:
        case RentalState.RELEASING:
            return DESTROY if instance is not None else _judge_absent(rental, listing, PROVE_GONE)
        case RentalState.KEPT:
            return _judge_kept(rental, listing, instance, now)
    if now - rental.updated_at <= ORPHAN_GRACE:
        return LEAVE
    if instance is not None and _was_borrowed(rental):
        return GIVE_BACK
    act = Act.PROVE_GONE if instance is None else Act.DESTROY
    orphaned = Verdict(act, EndReason.ORPHANED, "its job has ended", is_alarming=True)
    return orphaned if instance is not None else _judge_absent(rental, listing, orphaned)


def _was_borrowed(rental: Rental) -> bool:
    """Return whether the rental was kept before its holder took it."""
    is_anothers = rental.holder is not None and rental.holder != rental.job_id
    return is_anothers and rental.state is RentalState.RUNNING and rental.kept_until is not None


def _judge_released(rental: Rental, listing: Listing, instance: Instance | None) -> Verdict:
    """Judge a machine that exists although its row says that it does not, or never did."""
    proven_at = rental.released_at or rental.intended_at
    if instance is None or listing.begun_at <= proven_at + LISTING_SKEW:
        return LEAVE
    return Verdict(Act.DESTROY, EndReason.ORPHANED, "it was taken for gone", is_alarming=True)


def _judge_kept(rental: Rental, listing: Listing, instance: Instance | None, now: datetime) -> Verdict:
    if instance is None:
        vanished = Verdict(Act.PROVE_GONE, EndReason.VANISHED, "not listed any more", is_alarming=True)
        return _judge_absent(rental, listing, vanished)
    if has_stopped(instance):
        return Verdict(Act.DESTROY, EndReason.MACHINE_LOST, instance.actual_status, is_alarming=True)
    if rental.kept_until is None or rental.kept_until <= now:
        return Verdict(Act.DESTROY, EndReason.EXPIRED)
    return LEAVE


def _judge_absent(rental: Rental, listing: Listing, verdict: Verdict) -> Verdict:
    """Return the verdict if the listing proves the absence; an order without answer may still take effect."""
    if rental.contract_id is None:
        return verdict if listing.begun_at > rental.intended_at + RECONCILE_WINDOW else LEAVE
    return verdict if is_proof(rental, listing) else LEAVE
