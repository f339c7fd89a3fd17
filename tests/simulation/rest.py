"""What must hold when everything has come to rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING

from rune.amounts import MICRO_USD_PER_USD
from rune.jobs.metrics import merge, tally
from rune.jobs.receipts import Receipt, read_receipt
from rune.jobs.record import ACTIVE, Job, Status
from rune.jobs.usage import add_up
from rune.money.budgets import Window, windows_of
from rune.money.receipts import PROVIDERS, sum_of
from rune.rentals.bills import cost_micro_usd
from rune.rentals.record import Rental, RentalState
from rune.workflows.rental.machine_uses import add_late_costs

if TYPE_CHECKING:
    from tests.simulation.provider import Account
    from tests.simulation.world import World


def check_jobs(world: World) -> None:
    """Look at every job: it has ended, and all that is written of it agrees."""
    for job in world.table.jobs.values():
        if job.status in ACTIVE:
            world.violate(f"I2: {job.job_id} never ended")
        numbers = [event.number for event in world.table.events_of(job.job_id)]
        if numbers != list(range(1, job.event_count + 1)):
            world.violate(f"history of {job.job_id} has gaps or doubles: {numbers}")
        has_result = world.table.result_of(job.job_id) is not None
        if not job.rents and has_result != (job.status is Status.SUCCEEDED):
            world.violate(f"{job.job_id} is {job.status} but has_result={has_result}")
        if job.status is Status.SUCCEEDED and not has_result:
            world.violate(f"{job.job_id} succeeded without a result")
    _check_places(world)
    _check_budgets(world)
    for tenant in {job.tenant for job in world.table.jobs.values()}:
        ended = [job for job in world.table.jobs.values() if not job.is_active and job.tenant == tenant]
        if world.table.read_tallies(tenant, world.now) != merge(
            tally(world.table.events_of(job.job_id)) for job in ended
        ):
            world.violate(f"the tallies of {tenant} are not those of its jobs' events")
        _check_usage(world, tenant, ended)
    if world.queue.dead_letters:
        world.violate("I9: a step message reached the dead-letter queue")


def _check_usage(world: World, tenant: str, ended: list[Job]) -> None:
    """Look at the counts by day, kind and model: each ended job counts once, with what it cost."""
    used = add_up(world.table.read_usage(tenant, date.min, date.max).values())
    expected = (
        len(ended),
        sum(job.status is Status.SUCCEEDED for job in ended),
        sum(job.cost_micro_usd for job in ended),
    )
    if (used.job_count, used.succeeded_count, used.cost_micro_usd) != expected:
        world.violate(f"the usage of {tenant} is {used}, of its jobs {expected}")


def _check_budgets(world: World) -> None:
    """Look at every budget: its amounts add up, and nothing is reserved for what has ended."""
    for window, balance in world.table.budgets.balances.items():
        used, reserved, spent = balance.used_micro_usd, balance.reserved_micro_usd, balance.spent_micro_usd
        if reserved + spent != used:
            world.violate(f"{window.tenant} {window.name}: {reserved} + {spent} is not {used}, what is used")
    rentals = [] if world.account is None else [*world.account.rental_store.rentals.values()]
    kept: Counter[Window] = Counter()
    for rental in rentals:
        if rental.budget_at is None:
            continue
        windows = windows_of(rental.tenant, rental.budget_at)
        if rental.is_alive:
            kept.update(dict.fromkeys(windows, rental.budget_micro_usd))
        elif rental.budget_micro_usd:
            world.violate(f"{rental.rental_id} has ended, and {rental.budget_micro_usd} are reserved for it")
    for window, balance in world.table.budgets.balances.items():
        if balance.reserved_micro_usd != kept[window]:
            world.violate(
                f"{window.tenant} {window.name}: {balance.reserved_micro_usd} are reserved, and {kept[window]} "
                "for what is kept"
            )


def _check_places(world: World) -> None:
    """Look at slots and shares: they hold and count just the jobs that run and wait."""
    running = {job.job_id for job in world.table.jobs.values() if job.is_active and not job.is_waiting}
    held = {slot.job_id for slot in world.table.slots.values() if slot.job_id is not None}
    if held - running:
        world.violate(f"slots of jobs that have ended: {sorted(map(str, held - running))}")
    for share in world.table.shares.values():
        has = sum(slot.tenant == share.tenant for slot in world.table.slots.values())
        waits = sum(job.is_waiting and job.tenant == share.tenant for job in world.table.jobs.values())
        if (share.running, share.waiting) != (has, waits):
            world.violate(
                f"the share of {share.tenant} counts {share.running}, {share.waiting}: {has}, {waits}"
            )


def check_machines(world: World, account: Account) -> None:
    """Look at every machine: none exists but those that are kept, and no foreign one was touched."""
    for contract, rental in account.our_contracts():
        is_kept = rental is not None and rental.state is RentalState.KEPT
        if rental is None or not is_kept or rental.kept_until is None or rental.kept_until <= world.now:
            world.leaked += 1
            state = None if rental is None else rental.state
            world.violate(f"leaked: {contract.label} exists, its row is {state}")
    for record in account.vastai.touched_foreign():
        world.foreign_touched += 1
        world.violate(f"a foreign machine was touched: {record.method} {record.path}")
    alive = [rental for rental in account.rental_store.rentals.values() if rental.is_alive]
    reserved = sum(rental.reserved_micro_usd for rental in alive)
    if account.rental_store.reserved_micro_usd != reserved:
        world.violate(f"{account.rental_store.reserved_micro_usd} are reserved, of the living {reserved}")
    for rental in alive:
        if rental.state is not RentalState.KEPT:
            world.violate(f"{rental.rental_id} is still {rental.state}")
    for job_id in {rental.job_id for rental in alive}:
        if sum(rental.job_id == job_id for rental in alive) > 1:
            world.violate(f"{job_id} has more than one living rental")


def check_money(world: World, account: Account) -> None:
    """Look at every bill: what is written covers what is charged, and nothing is counted twice."""
    billed = {
        rental.rental_id: bill_micro_usd(account, rental) for rental in account.rental_store.rentals.values()
    }
    for rental in account.rental_store.rentals.values():
        written = written_micro_usd(world, rental)
        if _was_never_heard_of(account, rental):
            billed[rental.rental_id] = Decimal(0)
        if billed[rental.rental_id] > written + _slack_micro_usd(world, rental):
            bill = billed[rental.rental_id]
            world.violate(f"{rental.rental_id} cost {bill:.0f} micro USD and {written} are written")
    for job in world.table.jobs.values():
        own = [
            rental for rental in account.rental_store.rentals.values() if _is_only_of(account, rental, job)
        ]
        slack = sum(_slack_micro_usd(world, rental) for rental in own)
        bill = sum((billed[rental.rental_id] for rental in own), Decimal(0))
        if bill > job.cost_micro_usd + slack:
            world.violate(f"{job.job_id} cost {bill:.0f} micro USD and says {job.cost_micro_usd}")
    _check_total(world, account)
    _check_spent(world, account, billed)


def _check_spent(world: World, account: Account, billed: Mapping[str, Decimal]) -> None:
    """Look at what the budgets call spent: it covers what ended machines were charged, and counts nothing twice."""
    charged: Counter[Window] = Counter()
    written: Counter[Window] = Counter()
    slack: Counter[Window] = Counter()
    for rental in account.rental_store.rentals.values():
        if rental.budget_at is None:
            continue
        windows = windows_of(rental.tenant, rental.budget_at)
        slack.update(dict.fromkeys(windows, _slack_micro_usd(world, rental)))
        written.update(dict.fromkeys(windows, written_micro_usd(world, rental)))
        if not rental.is_alive:
            charged.update(dict.fromkeys(windows, ceil(billed[rental.rental_id])))
    for window, balance in world.table.budgets.balances.items():
        spent = balance.spent_micro_usd
        if spent < charged[window] - slack[window]:
            world.violate(f"{window.tenant} {window.name}: {spent} spent, and {charged[window]} charged")
        if spent > written[window] + slack[window]:
            world.violate(f"{window.tenant} {window.name}: {spent} spent, and {written[window]} written")


def bill_micro_usd(account: Account, rental: Rental) -> Decimal:
    """Return what the provider charges for a rental, whichever machines were made for it.

    A price above the offer's is seen in listings. Where none ever showed the machine, the offer's counts.
    """
    contracts = [c for c in account.vastai.instances.values() if c.order.label == rental.label]
    usd = Decimal(0)
    for contract in contracts:
        bill = account.vastai.bill(contract.contract_id)
        offered = Decimal(contract.listing.offer.gpu_usd_per_hour) / Decimal(contract.usd_per_hour)
        known = Decimal(1) if rental.was_seen else min(Decimal(1), offered)
        usd += bill.total_usd - bill.gpu_usd + bill.gpu_usd * known
    return usd * MICRO_USD_PER_USD


def written_micro_usd(world: World, rental: Rental) -> int:
    """Return what a rental has cost by the rental store."""
    known = rental.cost_micro_usd
    return cost_micro_usd(rental, world.now) if known is None else known


def check_receipts(world: World, account: Account | None) -> None:
    """Look at every receipt: each ended job has one, and its lines add up to what the job says that it cost."""
    for job in world.table.jobs.values():
        stored = world.table.receipts.get(job.job_id)
        if (stored is None) != job.is_active:
            world.violate(f"{job.job_id} is {job.status} and has_receipt={stored is not None}")
        if stored is None:
            continue
        receipt = read_receipt(stored)
        told = sum_of(receipt.lines, *PROVIDERS)
        if told != job.cost_micro_usd:
            world.violate(f"the receipt of {job.job_id} adds up to {told}, the job cost {job.cost_micro_usd}")
        if account is not None:
            _check_uses(world, account, job, receipt)


def _check_uses(world: World, account: Account, job: Job, receipt: Receipt) -> None:
    """Look at the machines on a receipt: each that its job alone has used is there, with its whole cost."""
    attempts = account.rental_store.read_attempts(job.job_id)
    told = {
        use.rental_id: sum(line.micro_usd for line in use.lines)
        for use in add_late_costs(receipt, attempts, world.now).uses
    }
    for rental in attempts:
        is_whole = rental.contract_id is not None and rental.kept_until is None and not rental.is_alive
        if is_whole and told.get(rental.rental_id) != rental.cost_micro_usd:
            on_it = told.get(rental.rental_id)
            world.violate(f"{rental.rental_id} is {on_it} on a receipt and cost {rental.cost_micro_usd}")


def _check_total(world: World, account: Account) -> None:
    rentals = account.rental_store.rentals.values()
    if account.rental_store.reopened:
        return  # a machine that appeared after its job had ended is not in the job's cost
    written = sum(written_micro_usd(world, rental) for rental in rentals)
    slack = sum(_slack_micro_usd(world, rental) for rental in rentals)
    told = sum(job.cost_micro_usd for job in world.table.jobs.values())
    if told > written + slack:
        world.violate(f"jobs say {told} micro USD, their rentals cost {written}: something counts twice")


def _is_only_of(account: Account, rental: Rental, job: Job) -> bool:
    is_late = rental.rental_id in account.rental_store.reopened | account.rental_store.strays
    return rental.job_id == job.job_id and rental.kept_until is None and not is_late


def _was_never_heard_of(account: Account, rental: Rental) -> bool:
    """Return whether an order was lost, and its machine before it was seen; then its cost cannot be known."""
    contracts = [c for c in account.vastai.instances.values() if c.order.label == rental.label]
    return rental.contract_id is None and all(c.destroyed_by == "provider" for c in contracts)


def _slack_micro_usd(world: World, rental: Rental) -> int:
    """Return what clocks that are off make of a bill's two ends, and rounding."""
    skewed = 2 * world.skew.total_seconds() * rental.prices.micro_usd_per_hour / 3600
    return round(skewed) + 3
