"""Rented jobs under one mischief each, as the tests run them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from rune.jobs.record import Kind
from rune.rentals.labels import make_label
from rune.services.admission.requests import Admitted
from tests.rental_builders import DEPLOYMENT_ID
from tests.simulation.faults import CALM, Fault, Odds
from tests.simulation.mischief import Mischief
from tests.simulation.notifier import SINKS
from tests.simulation.provider import STAGE, Account
from tests.simulation.requests import rented_benchmark, rented_instance
from tests.simulation.world import World

type Scene = tuple[object, ...]

JOB_ID_OF_OTHERS = "0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"

FOREIGN_LABELS = (
    None,
    "somebody-else",
    make_label(STAGE, "a9b8c7d6e5", JOB_ID_OF_OTHERS, 1),
    f"rune-{STAGE}-{JOB_ID_OF_OTHERS}-1",
    f"rune-{STAGE}-{DEPLOYMENT_ID}-by-hand-1",
    f"x{make_label(STAGE, DEPLOYMENT_ID, JOB_ID_OF_OTHERS, 1)}",
)
"""Labels of machines of the same account that RUNE must not touch; some of them are almost like ours."""

FOREIGN_LABELS_IN_TABLE = FOREIGN_LABELS[2:4]
"""The two most dangerous in thousands of runs: what is listed is written and read again each time."""

WITHOUT_RENTAL = make_label(STAGE, DEPLOYMENT_ID, JOB_ID_OF_OTHERS, 1)
"""Of a machine of ours whose rental nobody knows."""

REQUESTS = {
    Kind.BENCHMARK: rented_benchmark(boot_timeout_seconds=150),
    Kind.LLM_INSTANCE: rented_instance(keep_seconds=60, boot_timeout_seconds=150),
}

MESSAGES = {
    "undisturbed": CALM,
    "duplicated": Odds(chances={Fault.DUPLICATE: 0.5}),
    "delayed": Odds(chances={Fault.DELAY: 0.2}),
}


NO_DEATHS = ("after step", *(f"after {name}" for name in (*SINKS, "advance")))
"""Places at which no death is looked at: a step has had no effect by then, and no machine hears of the notifier,
whose deaths `test_told_machines` looks at."""


@dataclass(frozen=True, slots=True)
class Death:
    """One cell of the fault table: where a process dies.

    Attributes
    ----------
    number
        Of the cut point.
    scene
        What the run looked like there; two deaths in the same scene are the same death.
    """

    number: int
    place: str
    scene: Scene


class Scenery:
    """Takes down what a run looks like at each cut point at which a death counts."""

    def __init__(self) -> None:
        self.deaths: list[Death] = []

    def look(self, world: World) -> None:
        place, possible = world.cut_points[-1]
        if Fault.CRASH in possible and place.startswith("after ") and place not in NO_DEATHS:
            self.deaths.append(Death(len(world.cut_points) - 1, place, self._describe(world)))

    def _describe(self, world: World) -> Scene:
        account = world.account
        assert account is not None
        job = next(iter(world.table.jobs.values()), None)
        step = "" if job is None else f"{job.step} {job.status}"
        rentals = [f"{r.state} {r.contract_id}" for r in account.rental_store.rentals.values()]
        machines = [f"{c.contract_id} {c.moment(account.now()).is_up}" for c in account.vastai.live()]
        return (step, world.janitor.is_at_work, *rentals, *machines[len(FOREIGN_LABELS_IN_TABLE) :])


def enact(
    mischief: Mischief,
    kind: Kind,
    odds: Odds = CALM,
    planned: dict[int, Fault] | None = None,
    *,
    scenery: Scenery | None = None,
    request: Admitted | None = None,
    prepare: Callable[[World], None] | None = None,
) -> World:
    """Return the world in which one job has met the mischief, once everything has come to rest.

    Parameters
    ----------
    request
        The job's, if it is not the usual one of its kind.
    prepare
        Puts what else is to happen on the world's agenda.
    """
    world = World(0, odds, planned, vastai=mischief.settings)
    account = world.account
    assert account is not None
    if scenery is not None:
        world.watch_cut_point = scenery.look
    for label in (*FOREIGN_LABELS_IN_TABLE, *(None for _ in range(mischief.foreign_machines))):
        account.vastai.plant_foreign(label)
    account.vastai.faults.add(*mischief.faults)
    account.late_orders_seconds.extend(mischief.late_orders_seconds)
    if mischief.broke_after_seconds is not None:
        world.at(mischief.broke_after_seconds, lambda: account.vastai.add_credit(Decimal(-10_000)))
    if mischief.new_key_after_seconds is not None:
        world.at(mischief.new_key_after_seconds, account.change_key)
    if mischief.other_account_after_seconds is not None:
        world.at(mischief.other_account_after_seconds, lambda: account.use_other_account(600.0))
    if prepare is not None:
        prepare(world)
    world.submit(request or REQUESTS[kind])
    return world.run(until_kept_are_gone=True, until_redelivered=False)


def plant_stray(account: Account, label: str) -> None:
    """Let there be a machine of ours that no row knows, as an order makes one that is carried out twice."""
    contract_id = account.vastai.plant_foreign(label)
    contract = account.vastai.instances[contract_id]
    contract.is_foreign, contract.order = False, replace(contract.order, label=f"stray {contract_id}")
    account.orders[contract.order.label or ""] += 1


def list_deaths(
    mischief: Mischief,
    kind: Kind,
    odds: Odds = CALM,
    request: Admitted | None = None,
    prepare: Callable[[World], None] | None = None,
) -> tuple[World, list[Death]]:
    """Return the run without a death, and every death that makes a difference in it.

    A process that dies anywhere between two effects leaves the same world, so the places right after an effect
    stand for all. Of those that a run passes in the same scene again and again (the looks at a booting machine),
    the first and the last count.
    """
    scenery = Scenery()
    world = enact(mischief, kind, odds, scenery=scenery, request=request, prepare=prepare)
    first: dict[tuple[str, Scene], Death] = {}
    last: dict[tuple[str, Scene], Death] = {}
    for death in scenery.deaths:
        first.setdefault((death.place, death.scene), death)
        last[death.place, death.scene] = death
    kept = {death.number: death for death in (*first.values(), *last.values())}
    return world, [kept[number] for number in sorted(kept)]
