"""The fault table for jobs whose money ends before their work: by how much a machine costs more than its job may.

`python -m tests.simulation.capped_faults 1` prints it for every mischief of the provider's and every death of a
process; another number takes one cell in so many.

The time in which the provider refuses to destroy a machine is told apart: from the first order to destroy it, which
it refused or ignored, until it was gone. No rule of ours can make that shorter.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from local.simulators.vastai import VastaiFault, VastaiFaultKind
from rune.amounts import MICRO_USD_PER_USD
from rune.jobs.record import Kind
from rune.rentals.record import Rental
from rune.services.rentals import RentalService
from tests.simulation.caps import WORK
from tests.simulation.faults import CALM, Fault
from tests.simulation.mischief import MISCHIEFS, WRONG_KEYS, Mischief
from tests.simulation.provider import CALL_SECONDS, Account
from tests.simulation.renting import enact, list_deaths
from tests.simulation.requests import MODEL, rented_benchmark, rented_instance
from tests.simulation.rest import bill_micro_usd
from tests.simulation.world import World

REQUESTS = {
    Kind.BENCHMARK: rented_benchmark(MODEL, workload=WORK, max_cost_usd=0.11, boot_timeout_seconds=150),
    Kind.LLM_INSTANCE: rented_instance(MODEL, keep_seconds=300, max_cost_usd=0.16, boot_timeout_seconds=150),
}
"""The money of the first ends in the midst of its work, that of the second while its machine is kept: its tenant
extends it as far as the money goes."""

EXTENDED_AFTER_SECONDS = 200.0

PRICE_RISES = tuple(
    Mischief(
        f"price_rises_{factor:g}_times_after_{seconds:.0f}s",
        (VastaiFault(kind=VastaiFaultKind.PRICE_RISE, price_factor=factor, delay_seconds=seconds),),
        (Kind.BENCHMARK, Kind.LLM_INSTANCE),
    )
    for factor in (1.5, 3.0)
    for seconds in (30.0, 120.0, 250.0)
)

SLOW = replace(CALM, answer_seconds=(60.0, 90.0))

LONGEST_USUAL_DESTROY_SECONDS = 10 * CALL_SECONDS
"""From the order to destroy a machine until it is gone, where the provider does it at once."""


@dataclass(frozen=True, slots=True)
class Overrun:
    """What the machines of one job cost beyond what it may; negative where something was left.

    Attributes
    ----------
    usd, seconds
        Without what was billed while the provider refused to destroy a machine. Seconds are those of the dearest.
    refused_seconds
        For so long it refused.
    """

    name: str
    usd: float
    seconds: float
    refused_seconds: float
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table; without a death where `number` is None."""

    mischief: Mischief
    kind: Kind
    place: str = "nowhere"
    number: int | None = None
    fault: Fault = Fault.CRASH

    def run(self) -> Iterator[Overrun]:
        """Yield what the job's machines cost beyond its cap; nothing where it rented none."""
        planned = {} if self.number is None else {self.number: self.fault}
        world = _enact(self.mischief, self.kind, planned)
        overrun = _measure(str(self), world)
        if overrun is not None:
            yield overrun

    def __str__(self) -> str:
        return f"{self.mischief.name} {self.kind}, {self.fault} {self.place} (#{self.number})"


def deal(
    stride: int = 1,
    mischiefs: Sequence[Mischief] = MISCHIEFS,
    without_deaths: Sequence[Mischief] = (*WRONG_KEYS, *PRICE_RISES),
) -> Iterator[Cell]:
    """Yield every n-th cell, and each play without a death.

    The key of another account comes without a death: a job that ordered with it has a machine which only that key
    can destroy.
    """
    yield from (Cell(mischief, kind) for mischief in without_deaths for kind in mischief.kinds)
    number = 0
    for mischief in mischiefs:
        for kind in mischief.kinds:
            yield Cell(mischief, kind)
            _, deaths = list_deaths(mischief, kind, SLOW, REQUESTS[kind], _extend_later)
            for death in deaths:
                number += 1
                if number % stride == 0:
                    yield Cell(mischief, kind, death.place, death.number)


def deal_others(stride: int = 1) -> Iterator[Cell]:
    """Yield every n-th place at which a process may meet something else, where the provider does nothing wrong."""
    undisturbed = MISCHIEFS[0]
    for kind in undisturbed.kinds:
        world = _enact(undisturbed, kind)
        for number in range(0, len(world.cut_points), stride):
            place, possible = world.cut_points[number]
            for fault in sorted(possible - {Fault.CRASH}):
                yield Cell(undisturbed, kind, place, number, fault)


def _enact(mischief: Mischief, kind: Kind, planned: dict[int, Fault] | None = None) -> World:
    return enact(mischief, kind, SLOW, planned, request=REQUESTS[kind], prepare=_extend_later)


def _extend_later(world: World) -> None:
    def extend(service: RentalService, rental_id: str) -> None:
        assert world.account is not None
        rental = world.account.rental_store.rentals[rental_id]
        service.extend(rental.tenant, rental_id, rental.ceiling_at - world.now)

    world.plan(EXTENDED_AFTER_SECONDS, lambda: world.visit_rentals(extend))


def _measure(name: str, world: World) -> Overrun | None:
    account = world.account
    assert account is not None
    job = next(iter(world.table.jobs.values()), None)
    own = [*account.rental_store.rentals.values()]
    if job is None or job.cap_micro_usd is None or not own:
        return None
    beyond = float(sum(bill_micro_usd(account, rental) for rental in own)) - job.cap_micro_usd
    refused = {rental.rental_id: _refused_seconds(world, account, rental) for rental in own}
    beyond -= sum(refused[rental.rental_id] * _micro_usd_per_second(rental) for rental in own)
    # What was refused of it counts as its own machine's time; the rest is told as time of the dearest.
    dearest = max(_micro_usd_per_second(rental) for rental in own)
    return Overrun(
        name,
        beyond / MICRO_USD_PER_USD,
        beyond / dearest,
        sum(refused.values()),
        tuple(world.violations),
    )


def _refused_seconds(world: World, account: Account, rental: Rental) -> float:
    """Return for how long the provider refused to destroy the machines of a rental."""
    seconds = 0.0
    for contract in account.vastai.instances.values():
        asked_at = account.destroyed_from.get(contract.contract_id)
        if contract.order.label == rental.label and asked_at is not None:
            gone_at = account.vastai.bill(contract.contract_id).destroyed_at or world.now.timestamp()
            took_seconds = gone_at - asked_at
            seconds += took_seconds if took_seconds > LONGEST_USUAL_DESTROY_SECONDS else 0.0
    return seconds


def _micro_usd_per_second(rental: Rental) -> float:
    return rental.prices.micro_usd_per_hour / 3600


def main(stride: int) -> None:
    """Print by how much jobs overran their caps."""
    logging.disable(logging.CRITICAL)
    for title, cells in (("deaths", deal(stride)), ("other faults", deal_others(stride))):
        began_seconds = time.process_time()
        cell_count = 0
        found: list[Overrun] = []
        for cell in cells:
            cell_count += 1
            found += cell.run()
        beyond = [each for each in found if each.seconds > 0]
        print(
            f"{title}: {cell_count} runs, {len(found)} jobs with machines; {len(beyond)} beyond their cap;"
            f" {sum(bool(each.violations) for each in found)} with a broken rule;"
            f" {time.process_time() - began_seconds:.0f} s"
        )
        for each in sorted(found, key=lambda each: each.seconds, reverse=True)[:10]:
            refused = f", refused for {each.refused_seconds:.0f} s" if each.refused_seconds else ""
            print(f"  {each.seconds:+8.1f} s {each.usd:+.6f} USD{refused}: {each.name}")
        for each in [each for each in found if each.violations][:10]:
            print(f"  broken: {each.name}: {each.violations[0]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
