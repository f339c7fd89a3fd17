"""What shows that a rental's machine exists, or that it does not: plain functions over plain data.

No single answer of the provider is proof of an absence. Listings have come back empty without an error
(https://github.com/vast-ai/vast-cli/issues/415), a fresh machine is shown late, and the key of another account
shows nothing of ours. So a machine counts as absent only where a complete listing of its own account lacks it,
which began late enough, and a read of the machine itself (`GET /instances/{id}/`) does not show it either.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from rune.rentals.instance import Listing, describe_state, has_stopped
from rune.rentals.record import Rental

RECONCILE_WINDOW = timedelta(seconds=120)
"""How long after its intent the machine of a lost create may still show up. The call itself lasts 20 s at most,
and listings show a fresh contract some seconds late (https://github.com/skypilot-org/skypilot and
https://github.com/dstackai/dstack poll for it)."""

SECOND_LOOK = timedelta(seconds=60)
"""Between two complete listings that lack the machine of a lost create, which then counts as never made. No machine
can be read by itself there, and listings that lose rows do so for a while."""

LISTING_LAG = timedelta(seconds=120)
"""How long complete listings may lack a machine that was just created."""

USUAL_LISTING_LAG = timedelta(seconds=30)
"""The same for a machine of which the provider says that it destroys it: it knows the contract by then."""


class Presence(StrEnum):
    """What a complete listing, and a read of the machine itself, say about a rental's machine."""

    LISTED = "listed"
    UNKNOWN = "unknown"
    """Not listed, but the listing began too early to say anything, or is of another account."""
    UNCONFIRMED = "unconfirmed"
    """Not listed, although it should be if it exists; there was no second look yet."""
    ABSENT = "absent"
    """Not listed, and not shown at another look either: a read of the machine itself, or, where its contract is not
    known, an earlier listing."""


def find_presence(rental: Rental, listing: Listing) -> Presence:
    """Return what a complete listing says about the rental's machine.

    Of an order whose contract is not known there is no machine to ask for. Two listings that lack its label, one
    well after the other, are all that can be had.
    """
    if listing.find(rental) is not None:
        return Presence.LISTED
    if is_of_other_account(rental, listing) or listing.begun_at < earliest_absence_at(rental):
        return Presence.UNKNOWN
    if rental.contract_id is None:
        return Presence.UNCONFIRMED if rental.missed_at is None else Presence.ABSENT
    return Presence.ABSENT if rental.contract_id in listing.unshown else Presence.UNCONFIRMED


def is_of_other_account(rental: Rental, listing: Listing) -> bool:
    """Return whether the listing may be of another account than the one that pays for the machine.

    A rental of an earlier version has no account written: for it every listing counts, as it did then.
    """
    return rental.account_id is not None and rental.account_id != listing.account_id


def is_proven_gone(rental: Rental, listing: Listing) -> bool:
    """Return whether the rental's machine is absent, by answers from after an order to destroy it."""
    if find_presence(rental, listing) is not Presence.ABSENT:
        return False
    if rental.contract_id is None:
        return True
    return rental.destroy_asked_at is not None and listing.begun_at >= rental.destroy_asked_at


def is_missing_since_destroyed(rental: Rental, listing: Listing) -> bool:
    """Return whether a listing of its account lacks a machine, begun after the order to destroy it was taken."""
    destroyed_at = rental.destroyed_at
    is_late_enough = destroyed_at is not None and listing.begun_at >= destroyed_at
    return is_late_enough and listing.find(rental) is None and not is_of_other_account(rental, listing)


def is_unseen_since_destroyed(rental: Rental, listing: Listing) -> bool:
    """Return whether neither such a listing nor a read of the machine itself shows it; less than a proof."""
    return is_missing_since_destroyed(rental, listing) and rental.contract_id in listing.unshown


def earliest_absence_at(rental: Rental) -> datetime:
    """Return when a listing must begin, at the earliest, for the absence of the rental's machine to mean anything.

    That is after the last sign of the machine. A machine that no listing has shown yet may be too fresh for
    listings, and an order without an answer may still take effect.
    """
    if rental.contract_id is None:
        first_look_at = rental.intended_at + RECONCILE_WINDOW
        return first_look_at if rental.missed_at is None else rental.missed_at + SECOND_LOOK
    signs = (rental.last_seen_stopped_at, rental.first_seen_running_at, rental.running_at)
    lag = timedelta(0)
    if not rental.was_seen:
        lag = LISTING_LAG if rental.destroyed_at is None else USUAL_LISTING_LAG
    return max([rental.intended_at + lag, *(sign for sign in signs if sign is not None)])


def choose_listing_start(rental: Rental, now: datetime) -> datetime | None:
    """Return when the next listing must begin to show that the machine does not exist.

    None while no listing can show that yet: then any recent one may show the machine.
    """
    earliest = earliest_absence_at(rental)
    return earliest if now > earliest else None


def find_loss(rental: Rental, listing: Listing) -> str | None:
    """Return in a few words how a machine that should run was lost; None as long as nothing shows it."""
    instance = listing.find(rental)
    if instance is None:
        return "not listed any more" if find_presence(rental, listing) is Presence.ABSENT else None
    return describe_state(instance) if has_stopped(instance) else None
