"""Days on which many jobs rent machines, of every kind and with every kind of trouble, each from a seed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

from local.simulators.vastai import DEFAULT_OFFERS, BootScript, Endpoint, Loss, VastaiFault, VastaiSettings
from rune.services.admission.requests import Admitted
from rune.services.rentals import RentalService
from tests.simulation.faults import Fault, Odds
from tests.simulation.mischief import LISTING_REFUSALS, MISCHIEFS, QUICK_BOOT
from tests.simulation.provider import Account
from tests.simulation.renting import FOREIGN_LABELS, WITHOUT_RENTAL, plant_stray
from tests.simulation.requests import (
    AGENTIC_AGENT,
    BENCHMARK,
    LLM_INSTANCE,
    MODEL,
    OTHER_MODEL,
    rented_benchmark,
    rented_instance,
)
from tests.simulation.table import Guard
from tests.simulation.world import World

STORMY = Odds(
    chances={
        Fault.CRASH: 0.005,
        Fault.OUTAGE: 0.005,
        Fault.LOST_ANSWER: 0.005,
        Fault.PAUSE: 0.004,
        Fault.STALLED: 0.01,
        Fault.OVERTAKEN: 0.05,
        Fault.DUPLICATE: 0.1,
        Fault.DELAY: 0.03,
        Fault.LOSE_MESSAGE: 0.03,
    },
    overload=0.05,
    truncation=0.03,
    # Any two clocks are then at most as far apart as the product allows for.
    skew_seconds=2.5,
    answer_seconds=(1.0, 300.0),
    pause_seconds=(5.0, 70.0, 200.0),
)
"""Every process meets some trouble every few turns: turns have some twenty places for it."""

CONTENDED = Odds(
    chances={
        Fault.CRASH: 0.004,
        Fault.LOST_ANSWER: 0.01,
        Fault.PAUSE: 0.01,
        Fault.STALLED: 0.15,
        Fault.OVERTAKEN: 0.4,
    },
    answer_seconds=(1.0, 20.0),
    pause_seconds=(1.0, 20.0, 70.0, 130.0),
)
"""The table works, but a process that has read a rental is often slow to write it."""

SETTINGS = VastaiSettings(
    offers=DEFAULT_OFFERS,
    boot=BootScript(null_seconds=10.0, loading_seconds=40.0, port_lag_seconds=4.0, app_delay_seconds=3.0),
    credit_usd=Decimal(200),
    list_lag_seconds=5.0,
)

TROUBLES: tuple[VastaiFault, ...] = tuple(
    fault for mischief in MISCHIEFS for fault in mischief.faults if fault.times and fault.times < 10
)
"""Whatever the provider can do to one job, it may do to any."""

REQUESTS: tuple[Admitted, ...] = (
    rented_benchmark(),
    rented_benchmark(MODEL, vastai_stop_instance=False, keep_seconds=900),
    rented_benchmark(OTHER_MODEL, vastai_stop_instance=False, keep_seconds=1800),
    rented_benchmark(MODEL, backend_warmup=False, boot_timeout_seconds=120),
    rented_instance(OTHER_MODEL, keep_seconds=2400),
    rented_instance(MODEL, keep_seconds=300),
    BENCHMARK,
    AGENTIC_AGENT,
    LLM_INSTANCE,
)


def run_rented_day(
    seed: int,
    *,
    odds: Odds = STORMY,
    job_count: int = 8,
    hours: float = 1.0,
    regret_ratio: float = 0.25,
    unguarded: Collection[Guard] = (),
) -> World:
    """Return a world in which jobs were posted over some hours, when no machine of theirs is left."""
    world = World(seed, odds, unguarded=unguarded, vastai=replace(SETTINGS))
    account = world.account
    assert account is not None
    for label in FOREIGN_LABELS:
        account.vastai.plant_foreign(label)
    span_seconds = hours * 3600

    def post() -> None:
        job_id = world.submit(world.random.choice(REQUESTS))
        if job_id and world.random.random() < regret_ratio:
            world.plan(world.random.uniform(0.0, 400.0), lambda: world.cancel(job_id))

    for _ in range(job_count):
        world.plan(world.random.uniform(0.0, span_seconds), post)
    for _ in range(8):
        trouble = partial(account.vastai.faults.add, world.random.choice(TROUBLES))
        world.plan(world.random.uniform(0.0, span_seconds), trouble)
    for _ in range(6):
        world.plan(world.random.uniform(0.0, 2 * span_seconds), lambda: _visit(world))
    for _ in range(2):
        world.plan(world.random.uniform(0.0, span_seconds), lambda: _lose_one(world, account))
        world.plan(world.random.uniform(0.0, span_seconds), world.resend_by_hand)
    world.plan(world.random.uniform(0.0, span_seconds), lambda: _refuse_listings(world, account))
    world.plan(span_seconds / 2, lambda: plant_stray(account, WITHOUT_RENTAL))
    if world.random.random() < 0.5:
        world.plan(world.random.uniform(0.0, span_seconds), account.change_key)
    if world.random.random() < 0.3:
        account.late_orders_seconds.append(world.random.uniform(20.0, 900.0))
    return world.run(hours=24.0, until_kept_are_gone=True, until_redelivered=False)


def run_contended_day(seed: int, *, odds: Odds = CONTENDED, unguarded: Collection[Guard] = ()) -> World:
    """Return a world in which many jobs and callers wanted the same few kept machines."""
    world = World(seed, odds, unguarded=unguarded, vastai=replace(SETTINGS, boot=QUICK_BOOT))
    account = world.account
    assert account is not None

    def post(request: Admitted) -> None:
        job_id = world.submit(request)
        if job_id and world.random.random() < 0.3:
            world.plan(world.random.uniform(0.0, 120.0), lambda: world.cancel(job_id))

    world.submit(rented_instance(OTHER_MODEL, keep_seconds=7200))
    requests = (
        rented_benchmark(backend_warmup=False),
        rented_benchmark(OTHER_MODEL, vastai_stop_instance=False, keep_seconds=300),
        rented_instance(keep_seconds=120),
    )
    for _ in range(10):
        submit = partial(post, world.random.choice(requests))
        world.plan(world.random.uniform(0.0, 900.0), submit)
    for _ in range(10):
        world.plan(world.random.uniform(100.0, 1500.0), lambda: _visit(world))
        world.plan(world.random.uniform(0.0, 1000.0), world.resend_by_hand)
    for _ in range(3):
        world.plan(world.random.uniform(20.0, 1000.0), lambda: _lose_one(world, account))
        trouble = partial(account.vastai.faults.add, world.random.choice(TROUBLES))
        world.plan(world.random.uniform(0.0, 900.0), trouble)
    return world.run(hours=24.0, until_kept_are_gone=True, until_redelivered=False)


def _refuse_listings(world: World, account: Account) -> None:
    """Let listings alone fail for some minutes, in one way."""
    kind = world.random.choice(LISTING_REFUSALS)
    account.vastai.faults.add(
        VastaiFault(kind=kind, endpoint=Endpoint.LIST, times=world.random.randint(5, 60))
    )


def _visit(world: World) -> None:
    """Let a caller end or extend one of its machines."""
    keep = timedelta(seconds=world.random.choice((60, 900, 3600, 7200)))

    def extend(service: RentalService, rental_id: str) -> object:
        return service.extend("acme", rental_id, keep)

    def end(service: RentalService, rental_id: str) -> object:
        return service.end("acme", rental_id)

    world.visit_rentals(world.random.choice((extend, extend, end)))


def _lose_one(world: World, account: Account) -> None:
    """Take one of our machines away, in any state."""
    ours = [contract for contract, _ in account.our_contracts()]
    if ours:
        account.vastai.lose(world.random.choice(ours).contract_id, world.random.choice([*Loss]))
