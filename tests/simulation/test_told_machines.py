"""Others hear of every rented machine, and once of each that is no rental's own, wherever a process dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rune.events.record import Subject, SubjectKind
from rune.rentals.public_events import rental_event
from rune.rentals.record import Rental
from tests.memory_rental_store import MemoryRentalStore
from tests.simulation.faults import CALM, Fault
from tests.simulation.mischief import SETTINGS
from tests.simulation.notifier import SINKS
from tests.simulation.renting import WITHOUT_RENTAL, plant_stray
from tests.simulation.requests import rented_instance
from tests.simulation.world import World

CALLS = ("tell once", "DELETE instances", "notice", *SINKS, "advance", "read_log", "outbox read")
FAULTS = {Fault.CRASH, Fault.OUTAGE, Fault.LOST_ANSWER, Fault.LOSE_MESSAGE, Fault.DUPLICATE}
EFFECTS = {f"{moment} {call}" for call in CALLS for moment in ("before", "after")}


def run_with_strays(planned: dict[int, Fault] | None = None) -> World:
    """Return a world in which a machine was kept, and two others turned up beside it."""
    world = World(0, CALM, planned, vastai=SETTINGS)
    account = world.account
    assert account is not None

    def plant() -> None:
        plant_stray(account, WITHOUT_RENTAL)
        for rental in [*account.rental_store.rentals.values()]:
            plant_stray(account, rental.label)

    world.submit(rented_instance(keep_seconds=600))
    world.plan(200.0, plant)
    return world.run(until_kept_are_gone=True)


def told_of(world: World, rental: Rental) -> list[str]:
    assert world.account is not None
    log = world.account.rental_store.outbox.log_of(Subject(SubjectKind.RENTAL, rental.rental_id))
    return [event.event_type for event in log]


def reasons_told(world: World) -> list[object]:
    assert world.account is not None
    account = world.account
    subjects = [Subject(SubjectKind.MACHINE, str(each)) for each in account.vastai.instances]
    return [e.data["reason"] for subject in subjects for e in account.rental_store.outbox.log_of(subject)]


def test_kept_machine_is_told_of_from_its_contract_to_its_bill() -> None:
    world = run_with_strays()

    assert world.account is not None
    (rental,) = world.account.rental_store.rentals.values()
    assert world.violations == []
    assert told_of(world, rental) == [
        "rune.rental.rented",
        "rune.rental.running",
        "rune.rental.kept",
        "rune.rental.gone",
    ]
    assert reasons_told(world) == ["no_rental", "second_machine"]


def test_machines_are_told_of_once_wherever_who_tells_of_them_dies_or_loses_an_answer() -> None:
    calm = run_with_strays()
    ways: dict[tuple[str, Fault], list[int]] = {}
    for number, (place, possible) in enumerate(calm.cut_points):
        for fault in possible & FAULTS if place in EFFECTS else ():
            ways.setdefault((place, fault), []).append(number)
    # The first may be of a job; the last are of the machines, which outlive it.
    cells = {(number, fault) for (_, fault), numbers in ways.items() for number in numbers[-3:]}

    worlds = {(number, fault): run_with_strays({number: fault}) for number, fault in cells}

    assert len(cells) > 50
    assert {cell: world.violations for cell, world in worlds.items() if world.violations} == {}
    assert {cell for cell, world in worlds.items() if len(reasons_told(world)) != 2} == set()


def lose_events(change_name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what makes the rental store write no event of some changes."""

    def lose(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "tests.memory_rental_store.rental_event",
            lambda before, change: None if change.name == change_name else rental_event(before, change),
        )

    return lose


def tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryRentalStore, "tell_once", lambda *_: False)


@pytest.mark.parametrize(
    "break_it",
    [
        *(lose_events(name) for name in ("note_contract", "note_running", "keep", "prove_release")),
        tell_nothing,
    ],
    ids=["rented", "running", "kept", "gone", "destroyed"],
)
def test_simulation_sees_an_event_that_is_lost(
    break_it: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)

    assert run_with_strays().violations != []
