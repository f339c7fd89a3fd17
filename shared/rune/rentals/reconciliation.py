"""What the provider shows about a rental, and what follows: plain functions over plain data.

Steps and the janitor share these rules. Functions that return `Change | None` are made for
`rune.rentals.store.update_rental`: None leaves the rental as it is, and each may be asked again about what others
wrote meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from rune.rentals import lifecycle
from rune.rentals.instance import CLOCK_SKEW, Instance, Listing, has_stopped
from rune.rentals.proof import (
    Presence,
    find_loss,
    find_presence,
    is_of_other_account,
    is_proven_gone,
    is_unseen_since_destroyed,
)
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import Change

ORPHAN_GRACE = timedelta(seconds=60)
"""How long the janitor leaves a rental without a job alone: its row may be about to change hands."""

OVERDUE_LIMIT = timedelta(minutes=10)
"""How long a job may take to release a machine; then the janitor does it."""

DESTROY_AGAIN_AFTER = timedelta(seconds=15)
"""A machine that is still listed so long after the provider took the order to destroy it is destroyed again."""

DESTROY_UNSEEN_AGAIN_AFTER = timedelta(minutes=5)
"""The same without a listing that shows the machine."""


def adopt_contract(rental: Rental, contract_id: int, now: datetime) -> Change | None:
    """Return the write that ties the rental to the contract that its create made, by answer or by label.

    A rental that was taken for never made, or for gone, is opened again: it must be destroyed and proven gone.
    """
    if rental.contract_id == contract_id:
        return None
    if not rental.is_alive:
        return lifecycle.reopen(rental, contract_id, now)
    # Of two machines with one label the row keeps the first; the other one is destroyed by its label.
    return lifecycle.note_contract(rental, contract_id, now) if rental.contract_id is None else None


def split_machines(
    rental: Rental | None, labelled: Sequence[Instance]
) -> tuple[Instance | None, Sequence[Instance]]:
    """Return the rental's own machine of those that carry its label, and those beside it that should not exist.

    Two machines have one label where an order was carried out twice on its way. As long as the contract is not
    known, the first is taken for the rental's own, and the others are left until it is.
    """
    if rental is None or not rental.is_alive:
        return (labelled[0], labelled[1:]) if labelled else (None, ())
    if rental.contract_id is None:
        return (labelled[0], ()) if labelled else (None, ())
    own = next((each for each in labelled if each.contract_id == rental.contract_id), None)
    return own, [each for each in labelled if each is not own]


def record_look(rental: Rental, instance: Instance, seen_at: datetime, now: datetime) -> Change | None:
    """Return the write for a look at a booting machine: the bill and the port timeout count from what was seen.

    Parameters
    ----------
    seen_at
        When the listing began.
    """
    if rental.state is not RentalState.CREATED:
        return None
    if instance.is_running:
        is_first = rental.first_seen_running_at is None
        return lifecycle.note_seen_running(rental, seen_at, now) if is_first else None
    latest = rental.last_seen_stopped_at
    # A machine that has stopped by itself may have run since the latest look, and that is billed.
    stopped_at = (latest or rental.intended_at) if has_stopped(instance) else seen_at
    if latest is not None and stopped_at <= latest:
        return None
    return lifecycle.note_seen_stopped(rental, stopped_at, now)


def record_price(rental: Rental, instance: Instance, now: datetime) -> Change | None:
    """Return the write for a machine that costs more than is written; the bill is made from the highest price."""
    price = instance.micro_usd_per_hour
    if not rental.is_alive or price is None or price <= rental.prices.micro_usd_per_hour:
        return None
    return lifecycle.note_price(rental, price, now)


def record_account(rental: Rental, listing: Listing, now: datetime) -> Change | None:
    """Return the write of the account whose listing shows the machine, where another one, or none, is written."""
    if not rental.is_alive or listing.account_id is None or listing.find(rental) is None:
        return None
    is_written = not is_of_other_account(rental, listing) and rental.account_id is not None
    return None if is_written else lifecycle.note_account(rental, listing.account_id, now)


def record_missed(rental: Rental, listing: Listing, now: datetime) -> Change | None:
    """Return the write of the first listing that lacks the machine of an order whose contract is not known."""
    if not rental.is_alive or rental.contract_id is not None:
        return None
    is_first = find_presence(rental, listing) is Presence.UNCONFIRMED
    return lifecycle.note_missed(rental, listing.begun_at, now) if is_first else None


def record_gone(
    rental: Rental, listing: Listing, now: datetime, reason: EndReason, detail: str | None = None
) -> Change | None:
    """Return the write that ends a rental whose machine the listing proves gone; None where it does not.

    Parameters
    ----------
    now
        When the listing had come.
    reason
        Why the rental ends, unless a release was asked for with a reason of its own.
    """
    if not rental.is_alive or not is_proven_gone(rental, listing):
        return None
    if rental.state is RentalState.RELEASING:
        return lifecycle.prove_release(rental, listing.begun_at, now)
    return lifecycle.prove_release(rental, listing.begun_at, now, reason, detail)


def record_absent(rental: Rental, listing: Listing, now: datetime) -> Change | None:
    """Return the write for a look at a machine that is being destroyed, and is too fresh for a proof.

    Parameters
    ----------
    now
        When the listing, and the read of the machine itself, had come.
    """
    if rental.state is not RentalState.RELEASING or rental.contract_id is None:
        return None
    if listing.find(rental) is not None:
        return None if rental.absent_at is None else lifecycle.note_absent(rental, None, now)
    is_first = rental.absent_at is None and is_unseen_since_destroyed(rental, listing)
    return lifecycle.note_absent(rental, now, now) if is_first else None


def record_not_made(rental: Rental, now: datetime, reason: EndReason, detail: str) -> Change | None:
    """Return the write that ends a rental whose order the provider refused, unless its machine was found."""
    if rental.state is not RentalState.INTENDED or rental.contract_id is not None:
        return None
    return lifecycle.prove_release(rental, now, now, reason, detail)


def give_up(rental: Rental, now: datetime, reason: EndReason, detail: str | None = None) -> Change | None:
    """Return the write that asks for the release, if none has: from then on the machine is destroyed."""
    if rental.state in (RentalState.RELEASING, RentalState.RELEASED):
        return None
    return lifecycle.ask_release(rental, reason, now, detail)


def leave_machine(
    rental: Rental, job_id: str, now: datetime, reason: EndReason, detail: str
) -> Change | None:
    """Return the write by which a job leaves a machine that failed it.

    Its own machine is given up. A borrowed one belongs to its tenant: it is kept as before, and the janitor decides
    whether it is lost.
    """
    if rental.is_borrowed:
        return lifecycle.give_back(rental, now, unfit_for=job_id) if rental.holder == job_id else None
    return give_up(rental, now, reason, detail)


def record_destroyed(rental: Rental, now: datetime, *, is_taken: bool) -> Change | None:
    """Return the write that says the provider has answered the order to destroy the machine."""
    if rental.state is not RentalState.RELEASING:
        return None
    return lifecycle.note_destroyed(rental, now, is_taken=is_taken)


class Action(StrEnum):
    """What the janitor does about a rental."""

    LEAVE = "leave"
    DESTROY = "destroy"
    """Ask for the release, then destroy the machine."""
    RETURN_TO_TENANT = "return_to_tenant"
    """A job that has ended, or is overdue, had borrowed the kept machine: it is kept again."""
    RECORD_GONE = "record_gone"
    """End the rental: its machine is proven gone."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the janitor does about a rental, and why.

    Attributes
    ----------
    reason
        Written into a row for which no release was asked; None where it was.
    is_alarming
        Whether the operator should hear of it: a machine billed for nothing, or disappeared without our doing.
    """

    action: Action
    reason: EndReason | None = None
    detail: str | None = None
    is_alarming: bool = False


LEAVE = Decision(Action.LEAVE)
RETURN_TO_TENANT = Decision(Action.RETURN_TO_TENANT)
DESTROY = Decision(Action.DESTROY)
RECORD_GONE = Decision(Action.RECORD_GONE)


def decide_action(
    rental: Rental | None,
    listing: Listing | None,
    instance: Instance | None,
    *,
    held_until: datetime | None,
    now: datetime,
    stopped_by: datetime | None = None,
) -> Decision:
    """Return what the janitor does.

    Parameters
    ----------
    rental
        The row; None where a machine with our label has none.
    listing
        None where none was read: then only what the row alone decides is done. A machine that is to be destroyed is
        destroyed all the same; only the end of the rental needs the proof.
    instance
        The machine in the listing; None where it is not there.
    held_until
        When the job that holds the rental should have released it; until then that job alone deals with it. None
        where no active job holds it.
    stopped_by
        When the job that holds the rental should have stopped, because its money is over; None where it has no end.
    """
    if rental is None:
        return Decision(Action.DESTROY, EndReason.ORPHANED, "no row", is_alarming=True)
    if rental.state is RentalState.RELEASED:
        return _decide_released(rental, listing, instance)
    if held_until is not None:
        decision = _decide_held(rental, held_until, stopped_by, now)
    elif rental.state is RentalState.KEPT:
        decision = _decide_kept(rental, listing, now)
    else:
        decision = _decide_unheld(rental, now)
    if decision.action is not Action.DESTROY:
        return decision
    if listing is not None and is_proven_gone(rental, listing):
        return replace(decision, action=Action.RECORD_GONE)
    return decision if _is_destroy_due(rental, instance, now) else LEAVE


def write_decision(
    rental: Rental, decision: Decision, listing: Listing | None, instance: Instance | None, now: datetime
) -> Change | None:
    """Return the write that a decision needs before anything is done; None where it needs none."""
    match decision.action:
        case Action.LEAVE:
            return None
        case Action.RETURN_TO_TENANT:
            return lifecycle.give_back(rental, now)
        case Action.RECORD_GONE if listing is not None:
            return record_gone(rental, listing, now, decision.reason or EndReason.ORPHANED, decision.detail)
    found_id = instance.contract_id if instance is not None else None
    if not rental.is_alive:
        return None if found_id is None else lifecycle.reopen(rental, found_id, now)
    if rental.state is RentalState.RELEASING:
        return None if found_id is None else adopt_contract(rental, found_id, now)
    reason = decision.reason or EndReason.ORPHANED
    return lifecycle.ask_release(rental, reason, now, decision.detail, rental.contract_id or found_id)


def _decide_held(
    rental: Rental, held_until: datetime, stopped_by: datetime | None, now: datetime
) -> Decision:
    """Leave the machine to its job, unless the job should have released it long ago, or has no money left."""
    is_without_money = stopped_by is not None and now >= stopped_by
    if rental.state is RentalState.RELEASING:
        asked_at = rental.release_asked_at or rental.updated_at
        if now - asked_at <= OVERDUE_LIMIT:
            return DESTROY if is_without_money else LEAVE
        return Decision(Action.DESTROY, None, "its job does not get it destroyed", is_alarming=True)
    if now - held_until <= OVERDUE_LIMIT and not is_without_money:
        return LEAVE
    if rental.is_borrowed:
        return RETURN_TO_TENANT
    if is_without_money:
        return Decision(Action.DESTROY, EndReason.COST_CAP, "its job may cost no more")
    return Decision(Action.DESTROY, EndReason.ORPHANED, "its job is long overdue", is_alarming=True)


def _decide_unheld(rental: Rental, now: datetime) -> Decision:
    """Decide about a rental that no job holds and that is not kept: being released, or left behind."""
    if rental.state is RentalState.RELEASING:
        return DESTROY
    if now - rental.updated_at <= ORPHAN_GRACE:
        return LEAVE
    if rental.is_borrowed:
        return RETURN_TO_TENANT
    return Decision(Action.DESTROY, EndReason.ORPHANED, "its job has ended", is_alarming=True)


def _decide_kept(rental: Rental, listing: Listing | None, now: datetime) -> Decision:
    if rental.kept_until is None or rental.kept_until <= now:
        return Decision(Action.DESTROY, EndReason.EXPIRED)
    loss = None if listing is None else find_loss(rental, listing)
    if loss is None or listing is None:
        return LEAVE
    reason = EndReason.VANISHED if listing.find(rental) is None else EndReason.MACHINE_LOST
    return Decision(Action.DESTROY, reason, loss, is_alarming=True)


def _decide_released(rental: Rental, listing: Listing | None, instance: Instance | None) -> Decision:
    """Decide about a machine that exists although its row says that it does not, or never did."""
    proven_at = rental.released_at or rental.intended_at
    if listing is None or instance is None or listing.begun_at <= proven_at + CLOCK_SKEW:
        return LEAVE
    return Decision(Action.DESTROY, EndReason.ORPHANED, "it was taken for gone", is_alarming=True)


def _is_destroy_due(rental: Rental, instance: Instance | None, now: datetime) -> bool:
    """Return whether an order to destroy is to be sent now: the machine is known, and the last order is old."""
    if instance is None:
        asked_at = rental.destroy_asked_at
        is_old = asked_at is None or now - asked_at > DESTROY_UNSEEN_AGAIN_AFTER
        return rental.contract_id is not None and is_old
    if instance.contract_id != rental.contract_id:
        return True
    return rental.destroyed_at is None or now - rental.destroyed_at > DESTROY_AGAIN_AFTER
