"""The ports of the rental store and of the provider limits, and the one way to write a rental that others write."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rune.errors import RentalContendedError, RentalNotFoundError
from rune.events.record import PublicEvent
from rune.rentals.instance import Listing
from rune.rentals.record import Rental
from rune.storage.change import Change


@dataclass(frozen=True, slots=True)
class RentalRefused:
    """A requirement did not hold, so nothing was written; `found` is the row as it is, None if there is none."""

    found: Rental | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A job's turn as its worker has claimed it, by the numbers that every other claim and every end change."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class EndedPage:
    """Some of a tenant's ended rentals, newest first.

    Attributes
    ----------
    position
        After which older ones follow; None where there are none.
    """

    rentals: tuple[Rental, ...]
    position: str | None = None


class ReleaseQueue(Protocol):
    """Who destroys machines hears of a rental that its tenant has ended."""

    def send(self, rental_id: str) -> bool:
        """Send the message; return False if the queue did not take it. The janitor's tick does the same work."""
        ...


class RentalStore(Protocol):
    """Where rentals are stored. Every method raises StoreUnavailableError when the store cannot be reached."""

    def open(
        self,
        rental: Rental,
        credit_micro_usd: int | None = None,
        *,
        key: str | None = None,
        opened_count: int | None = None,
        turn: Turn | None = None,
    ) -> bool:
        """Write a new rental, and reserve what it may cost; return False if this attempt is written already.

        What is reserved for it is given back in the write that proves its end.

        Parameters
        ----------
        credit_micro_usd
            The account's credit, which is the most that all living rentals may reserve. None where it is not known.
        opened_count
            The tenant's, as it was read before the rental was decided on: so two workers do not both order the
            tenant's last machine. None where it does not matter.
        key
            Of the machine's server, written in a row of its own; None for a machine without one.
        turn
            In which the rental's job wants it: nothing is written once another worker has the job, or it has ended.
            None where it does not matter.

        Raises
        ------
        LeaseLostError
            The turn is no longer the job's present one.
        CreditReservedError
            Other rentals have reserved too much of it.
        RentalContendedError
            The tenant has opened another rental since.
        """
        ...

    def read_key(self, rental_id: str) -> str | None:
        """Return the key of a guarded machine's server; None where there is none, or no more.

        It is a secret: in no result, event or log.
        """
        ...

    def read_opened_count(self, tenant: str) -> int:
        """Return how many rentals a tenant has opened, as all earlier writes left it."""
        ...

    def read_reserved_micro_usd(self) -> int:
        """Return what all living rentals have reserved."""
        ...

    def update(self, rental: Rental, change: Change) -> Rental | RentalRefused:
        """Write the rental if the change's requirements hold, with the event that it leaves; return it as written.

        Parameters
        ----------
        rental
            The row that the change was decided on.
        """
        ...

    def take(self, rental: Rental, change: Change, job_id: str, turn: Turn) -> Rental | RentalRefused:
        """Write a kept rental that a job takes, as `update` does.

        Parameters
        ----------
        turn
            In which the job wants it, as of `open`.

        Raises
        ------
        LeaseLostError
            The turn is no longer the job's present one.
        RentalContendedError
            What the job that borrowed it last has used stands on the rental alone: the next use would overwrite it.
        """
        ...

    def tell_once(self, event: PublicEvent, expires_at: datetime) -> bool:
        """Write an event of a machine that is no rental's own; return False if it is written already."""
        ...

    def read(self, rental_id: str) -> Rental | None:
        """Return a rental as all earlier writes left it."""
        ...

    def read_attempts(self, job_id: str) -> tuple[Rental, ...]:
        """Return all that a job rented, in order, as all earlier writes left it."""
        ...

    def read_alive(self, tenant: str, *, needed_by: str | None = None) -> tuple[Rental, ...]:
        """Return a tenant's rentals that are not proven gone, as all earlier writes left them.

        A row that this version does not understand is left out and named in the log; the janitor rings for it.

        Parameters
        ----------
        needed_by
            A job that would rent again if its own rental were left out.

        Raises
        ------
        UnreadableRowError
            The row left out is one that this job opened or holds.
        """
        ...

    def read_ended(self, tenant: str, before: str | None, limit: int) -> EndedPage:
        """Return up to `limit` of a tenant's rentals whose machine is proven gone, by their end, newest first.

        They are remembered for `rune.rentals.lifecycle.REMEMBERED`. A rental for which no machine was made is not
        among them.
        """
        ...

    def find_alive(self, limit: int) -> tuple[str, ...]:
        """Return ids of rentals that are not proven gone, oldest first; may lag behind the latest writes."""
        ...

    def find_uncharged(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return ids of ended rentals for which the provider's charges are due, those first that wait the longest.

        It may lag behind the latest writes.
        """
        ...


type Decide = Callable[[Rental], Change | None]
"""Decides what to write on a rental as it is; None leaves it so. Pure, since it may be asked again."""

WRITE_TRIES = 4
"""A row changes hands a few times in its life, so losing even twice is rare."""


type Write = Callable[[Rental, Change], Rental | RentalRefused]
"""Writes a change of a rental; see `RentalStore.update` and `RentalStore.take`."""


def update_rental(
    rental_store: RentalStore, rental: Rental, decide: Decide, write: Write | None = None
) -> Rental:
    """Write what is decided on a rental, and return the rental as it then is.

    Where others wrote first, the decision is made again on what they wrote. That includes a write of ours whose
    answer was lost and which the client repeated: on its own result, `decide` has nothing left to write.

    Raises
    ------
    RentalContendedError
        Others wrote first at each of `WRITE_TRIES` tries.
    RentalNotFoundError
        There is no such rental.
    StoreUnavailableError
        The rental store cannot be reached: the write may have happened.
    """
    write = write or rental_store.update
    for _ in range(WRITE_TRIES):
        change = decide(rental)
        if change is None:
            return rental
        written = write(rental, change)
        if not isinstance(written, RentalRefused):
            return written
        if written.found is None:
            raise RentalNotFoundError(rental.rental_id)
        rental = written.found
    raise RentalContendedError("Others write this rental all the time.")


class Endpoint(StrEnum):
    """Calls that the provider counts together."""

    SEARCH = "search"
    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    EDIT = "edit"
    DESTROY = "destroy"
    TEMPLATES = "templates"
    ACCOUNT = "account"
    CHARGES = "charges"


MAX_CLOCK_ERROR = timedelta(minutes=20)
"""A stored time further ahead comes from a wrong clock: the longest back-off is 15 minutes."""


class ProviderLimits(Protocol):
    """What all workers share about the provider's key: when the next call may be made, and one listing.

    A time further ahead than `MAX_CLOCK_ERROR` is ignored: one wrong clock must not block all others.
    Raises StoreUnavailableError when it cannot be reached.
    """

    def reserve(self, endpoint: Endpoint, now: datetime, interval: timedelta) -> timedelta:
        """Take the next call of an endpoint; return zero, or how long to wait before asking again."""
        ...

    def back_off(self, endpoint: Endpoint, until: datetime) -> None:
        """Allow no call of the endpoint before a moment; an earlier moment changes nothing."""
        ...

    def read_listing(self) -> Listing | None:
        """Return the latest listing that a worker shared."""
        ...

    def share_listing(self, listing: Listing) -> None:
        """Share a listing, unless a later one is there."""
        ...
