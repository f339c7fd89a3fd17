"""What must have been told of rented machines when everything has come to rest."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rune.amounts import MICRO_USD_PER_USD
from rune.events.record import Subject, SubjectKind
from rune.rentals.record import Rental

if TYPE_CHECKING:
    from tests.simulation.provider import Account
    from tests.simulation.world import World


def check_machines_are_told_of(world: World, account: Account) -> None:
    """Look at every event of a machine, drawn from what docs/events.md promises and not from the code."""
    for rental in account.rental_store.rentals.values():
        for broken in _broken_promises(account, rental):
            world.violate(f"{rental.rental_id} {broken}")
    _check_strays(world, account)


def _broken_promises(account: Account, rental: Rental) -> list[str]:
    events = account.rental_store.outbox.log_of(Subject(SubjectKind.RENTAL, rental.rental_id))
    told = [event.event_type.removeprefix("rune.rental.") for event in events]
    happened = account.rental_store.happened[rental.rental_id]
    found = []
    if told != happened:
        found.append(f"told of {told}, and what happened is {happened}")
    if any((earlier == "gone") != (later == "rented") for earlier, later in pairwise(["gone", *told])):
        found.append(f"was rented while it was there, or used after it was gone: {told}")
    if any(later.sequence <= earlier.sequence for earlier, later in pairwise(events)):
        found.append("numbered its events out of order")
    if (told[-1:] == ["gone"]) != (not rental.is_alive and rental.contract_id is not None):
        found.append(f"is {rental.state} and told {told} of its machine")
    if (
        told[-1:] == ["gone"]
        and events[-1].data["cost_usd"] != (rental.cost_micro_usd or 0) / MICRO_USD_PER_USD
    ):
        found.append(f"cost {rental.cost_micro_usd} micro USD, and told {events[-1].data}")
    return found


def _check_strays(world: World, account: Account) -> None:
    """Look at each machine of ours: of one that is no rental's own something is told once, of others nothing."""
    own = {rental.contract_id for rental in account.rental_store.rentals.values()}
    for contract in account.vastai.instances.values():
        log = account.rental_store.outbox.log_of(Subject(SubjectKind.MACHINE, str(contract.contract_id)))
        is_stray = account.is_ours(contract) and contract.contract_id not in own
        is_gone_by_itself = contract.destroyed_by == "provider"
        if len(log) != is_stray and not (is_stray and is_gone_by_itself and not log):
            world.violate(f"{contract.contract_id} is a stray: {is_stray}; it was told of {len(log)} times")
