"""What RUNE asks of a provider of GPUs, as plain data. Every method may raise `RentalError`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from rune.rentals.instance import Instance, Listing
from rune.rentals.offers import Offer, Requirements


@dataclass(frozen=True, slots=True)
class Order:
    """What a machine is made from; prices are the offer's.

    Attributes
    ----------
    image
        With its tag; None takes the template's.
    template_hash
        Of the provider; what is set here besides wins over it.
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
class Template:
    """A recipe stored with the provider.

    Attributes
    ----------
    flags
        Its environment and ports, as flags of `docker run`.
    starts_itself
        Whether nothing but the image decides what runs: no script, no arguments, no ssh server in its place.
    """

    template_hash: str
    image: str
    flags: str
    disk_gb: int
    starts_itself: bool


class Provider(Protocol):
    """A market of machines."""

    async def search(self, requirements: Requirements) -> tuple[Offer, ...]:
        """Return offers that may do; the server's filters are no promise."""
        ...

    async def find_template(self, template_hash: str) -> Template | None:
        """Return a stored recipe, or None."""
        ...

    async def read_credit_usd(self) -> Decimal | None:
        """Return the money left, or None where the key may not know."""
        ...

    async def create(self, order: Order) -> int:
        """Order a machine and return its contract. Never called twice for one label.

        Raises
        ------
        CreateLostError
            Nobody knows whether it was made.
        RentalError
            It was not made; but where the error names a contract, that exists and must be destroyed.
        """
        ...

    async def list_instances(self, begun_at: datetime) -> Listing:
        """Return every machine of the account; anything less is an error, and never an empty listing."""
        ...

    async def show(self, contract_id: int) -> Instance | None:
        """Return one machine; None is no proof of its absence, for fresh ones are shown late."""
        ...

    async def label(self, contract_id: int, label: str) -> None:
        """Name a machine."""
        ...

    async def destroy(self, contract_id: int) -> bool:
        """Ask to destroy a machine; return whether the provider knew it and took the order.

        One that it does not know is no error: it is gone, or too fresh to be seen. Neither answer is proof.
        """
        ...
