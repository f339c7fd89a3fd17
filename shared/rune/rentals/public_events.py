"""What others are told of rented machines, with the write that makes it so.

An event's number is the version of the row as that write leaves it. So each write with an event requires the
version that it was decided on (`rune.rentals.lifecycle`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from rune.amounts import MICRO_USD_PER_USD
from rune.events.record import PublicEvent
from rune.rentals.lifecycle import REMEMBERED
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import Change, apply

if TYPE_CHECKING:
    from rune.contracts.events import EventDocument


def rental_event(before: Rental, change: Change) -> PublicEvent | None:
    """Return the event that the change leaves; None for a change that others are not told of.

    A machine is rented once the provider has named its contract, and gone once that is proven. One that turns up
    after that is rented again. Of an order for which no machine was made nothing is told.

    Parameters
    ----------
    before
        The row that the change was decided on.
    """
    after = apply(change, before)
    has_new_contract = after.contract_id is not None and before.contract_id is None
    if has_new_contract or (after.is_alive and not before.is_alive):
        return _make("rented", after)
    if after.state is before.state or after.contract_id is None or after.state not in _TOLD:
        return None
    return _make(_TOLD[after.state], after)


def keep_events_until(rental: Rental, event: PublicEvent) -> datetime:
    """Return when the rental's events leave the table; it never moves back."""
    latest = max(rental.ceiling_at, event.occurred_at)
    return (latest + REMEMBERED).replace(microsecond=0)


def destroyed_machine(
    contract_id: int, rental_id: str, tenant: str, found_at: datetime, *, has_rental: bool
) -> PublicEvent:
    """Return the event of a machine with our label that is destroyed and is no rental's own; one a contract.

    Parameters
    ----------
    rental_id
        Which its label names.
    tenant
        Of that rental, or of its job; empty where neither is known any more.
    has_rental
        Whether there is such a rental, which has another machine.
    """
    # Imported here: contracts take ten milliseconds of a cold start, and few invocations tell of a machine.
    from rune.contracts.events import MachineDestroyedData  # noqa: PLC0415
    from rune.events.catalog import make_event  # noqa: PLC0415

    reason = "second_machine" if has_rental else "no_rental"
    return make_event(
        "rune.machine.destroyed",
        MachineDestroyedData(contract_id=contract_id, rental_id=rental_id, reason=reason, found_at=found_at),
        tenant=tenant,
        subject_id=str(contract_id),
        sequence=1,
        occurred_at=found_at,
    )


_TOLD = {RentalState.RUNNING: "running", RentalState.KEPT: "kept", RentalState.RELEASED: "gone"}


class _OfRental(TypedDict):
    rental_id: str
    job_id: str
    contract_id: int
    gpu_name: str
    gpu_count: int
    vram_mb: int
    place: str
    price_usd_per_hour: float
    rented_at: datetime
    rental_url: str


def _make(what: str, rental: Rental) -> PublicEvent:
    from rune.events.catalog import make_event  # noqa: PLC0415  # as above

    return make_event(
        f"rune.rental.{what}",
        _data(what, rental),
        tenant=rental.tenant,
        subject_id=rental.rental_id,
        sequence=rental.version,
        occurred_at=rental.updated_at,
    )


def _data(what: str, rental: Rental) -> EventDocument:
    from rune.contracts import events  # noqa: PLC0415  # as above

    of_rental = _of_rental(rental)
    match what:
        case "rented":
            return events.RentalRentedData(**of_rental, ceiling_at=rental.ceiling_at)
        case "running":
            return events.RentalRunningData(
                **of_rental,
                used_by_job_id=rental.holder or rental.job_id,
                is_open_to_the_world=rental.is_open,
            )
        case "kept":
            return events.RentalKeptData(
                **of_rental,
                kept_until=rental.kept_until or rental.ceiling_at,
                is_open_to_the_world=rental.is_open,
            )
    return events.RentalGoneData(
        **of_rental,
        released_at=rental.released_at or rental.updated_at,
        end_reason=(rental.end_reason or EndReason.ORPHANED).value,
        cost_usd=(rental.cost_micro_usd or 0) / MICRO_USD_PER_USD,
    )


def _of_rental(rental: Rental) -> _OfRental:
    return {
        "rental_id": rental.rental_id,
        "job_id": rental.job_id,
        "contract_id": rental.contract_id or 0,
        "gpu_name": rental.machine.gpu_name,
        "gpu_count": rental.machine.gpu_count,
        "vram_mb": rental.machine.vram_mb,
        "place": rental.machine.place,
        "price_usd_per_hour": rental.prices.micro_usd_per_hour / MICRO_USD_PER_USD,
        "rented_at": rental.intended_at,
        "rental_url": f"/v1/rentals/{rental.rental_id}",
    }
