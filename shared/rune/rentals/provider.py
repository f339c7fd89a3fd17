"""The port to a provider of GPUs, as plain data. Every method may raise `RentalError`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import floor
from typing import Protocol

from rune.amounts import MICRO_USD_PER_USD
from rune.rentals.charges import Charges
from rune.rentals.instance import Instance, Listing
from rune.rentals.offers import Offer, Requirements


@dataclass(frozen=True, slots=True)
class Order:
    """What a machine is made from, at the offer's price.

    Attributes
    ----------
    image
        With its tag; None takes the image of the template.
    template_hash
        Of the provider; the other fields here override the template's.
    ports
        Container ports to be mapped to public ones.
    script
        Run by `/bin/sh` in place of the image's entrypoint; None leaves the image's (or template's) own start.
    """

    offer_id: int
    label: str
    disk_gb: int
    ports: tuple[int, ...]
    image: str | None = None
    template_hash: str | None = None
    script: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfferPage:
    """What one search found, cheapest first.

    Attributes
    ----------
    is_full
        Whether there may be more: the provider bounds what one search returns.
    """

    offers: tuple[Offer, ...]
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A template stored with the provider.

    Attributes
    ----------
    flags
        Its environment and ports, as flags of `docker run`.
    starts_itself
        Whether the image alone decides what runs: the template has no script, no arguments and no ssh server.
    """

    template_hash: str
    image: str
    flags: str
    disk_gb: int
    starts_itself: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a key, as far as the key may read it.

    Attributes
    ----------
    key_mark
        Which key it was read with, without telling the key.
    credit_usd
        The money left.
    """

    key_mark: str = ""
    account_id: int | None = None
    credit_usd: Decimal | None = None

    @property
    def credit_micro_usd(self) -> int | None:
        """The money left in millionths of a dollar, rounded down."""
        return None if self.credit_usd is None else floor(self.credit_usd * MICRO_USD_PER_USD)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a read of one machine showed. None is no proof of absence, since fresh machines are shown late."""

    instance: Instance | None
    key_mark: str = ""


class Provider(Protocol):
    """A market of rented machines."""

    async def search(self, requirements: Requirements, from_usd_per_hour: Decimal) -> OfferPage:
        """Return the cheapest offers at or above a price that may fit; the provider's filters are no promise."""
        ...

    async def find_template(self, template_hash: str) -> Template | None:
        """Return a stored template, or None."""
        ...

    async def read_account(self) -> Account:
        """Return the key's account; nothing of it is known where the key has no right to read it."""
        ...

    async def create(self, order: Order) -> int:
        """Order a machine and return its contract. Never called twice for one label.

        Raises
        ------
        CreateLostError
            It is unknown whether the machine was made.
        RentalError
            No machine was made. If the error names a contract, that contract exists and must be destroyed.
        """
        ...

    async def list_instances(self, begun_at: datetime) -> Listing:
        """Return every machine of the account; anything less is an error, and never an empty listing.

        The account's id is left open: `read_account` has it.
        """
        ...

    async def read_charges(self, since: datetime, until: datetime) -> Charges:
        """Return what each contract was charged for the days of a span, as far as that is known yet.

        Raises
        ------
        ProviderKeyError
            The key may not read charges.
        """
        ...

    async def show(self, contract_id: int) -> Sight:
        """Return what a read of one machine shows."""
        ...

    async def label(self, contract_id: int, label: str) -> None:
        """Name a machine."""
        ...

    async def read_log(self, contract_id: int, tail_lines: int) -> str:
        """Return the end of a machine's log, secrets included: it is to be searched, and never shown or kept."""
        ...

    async def destroy(self, contract_id: int) -> bool:
        """Ask to destroy a machine; return whether the provider knew it and took the order.

        An unknown machine is no error: it is gone, or too fresh to be seen. Neither answer is proof.
        """
        ...

    async def destroy_many(self, contract_ids: Sequence[int]) -> bool:
        """Ask to destroy several machines; return True: the answer does not tell what became of each."""
        ...
