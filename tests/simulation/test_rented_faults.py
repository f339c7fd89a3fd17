"""The fault table: no machine is lost, whatever the provider does and wherever a process crashes.

A cell is one mischief of the provider's, one way in which messages travel, and one process (a worker or the
janitor) that dies right after one of its effects. A sample is run: of each mischief every n-th death with messages
undisturbed, and of every third mischief fewer with messages that come twice or late. `RUNE_SIMULATED_STRIDE=1` runs
every death of each of them, in about an hour of one processor.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from rune.jobs.record import Job, Kind, Status
from tests.simulation.faults import Fault
from tests.simulation.mischief import MISCHIEFS, WRONG_KEYS, Mischief
from tests.simulation.renting import MESSAGES, Death, enact, list_deaths
from tests.simulation.sampling import stride
from tests.simulation.world import World

pytestmark = pytest.mark.slow

type RecordProperty = Callable[[str, object], None]
type End = tuple[Status, str | None]
type Play = tuple[Mischief, Kind]

STRIDES = {"undisturbed": stride(13), "duplicated": stride(23), "delayed": stride(23)}
"""Every n-th death of a play is run, by how messages travel."""

DISTURBED_STEP = 3
"""Every n-th play is also run with messages that come twice and late."""

PLAYS: tuple[Play, ...] = tuple((mischief, kind) for mischief in MISCHIEFS for kind in mischief.kinds)
IDS = [f"{mischief.name}-{kind}" for mischief, kind in PLAYS]

FATAL = {
    "provider_key": (
        "search_unauthorized",
        "search_forbidden",
        "create_unauthorized",
        "create_forbidden",
        "list_unauthorized",
        "list_forbidden",
        "listing_unauthorized_for_long",
        "listing_forbidden_for_long",
        "key_revoked_401",
        "key_revoked_meanwhile",
    ),
    "provider_refused": (
        "search_refused",
        "search_refused_400",
        "user_refused",
        "user_refused_400",
        "list_refused",
        "list_refused_400",
    ),
    "no_credit": (
        "create_insufficient_credit_400",
        "create_insufficient_credit_200",
        "create_spend_rate_limit",
        "create_missing_billing",
        "out_of_credit_from_the_start",
        "out_of_credit_meanwhile",
    ),
    "no_offer_fits": ("every_ask_gone", "search_finds_nothing"),
    "image_failed": ("boot_pull_error", "every_boot_exits"),
    "search_quota": ("search_quota",),
}
"""What a job cannot survive, by the code with which it then fails; everything else it does."""

LONGEST_RECOVERY_SECONDS = 360.0
"""Of a job whose worker has died: lease, tick and the step once more, the provider's own pace, and three minutes of
looking for an order that may have been sent."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the table."""

    play: Play
    messages: str
    death: Death

    def run(self) -> World:
        return enact(*self.play, MESSAGES[self.messages], {self.death.number: Fault.CRASH})

    def __str__(self) -> str:
        mischief, kind = self.play
        return f"{mischief.name} {kind}, {self.messages}, dies {self.death.place} (#{self.death.number})"


def deal_cells(play: Play) -> Iterator[Cell]:
    """Yield the cells of a play; neighbouring plays begin with another death, since many react alike."""
    number = PLAYS.index(play)
    for messages, step in STRIDES.items():
        if messages == "undisturbed" or number % DISTURBED_STEP == 0:
            _, deaths = list_deaths(*play, MESSAGES[messages])
            for death in deaths[number % step :: step]:
                yield Cell(play, messages, death)


def the_end(world: World) -> End:
    """Return how the job ended."""
    (job,) = world.table.jobs.values()
    return job.status, job.failure.code if job.failure else None


def expected_end(mischief: Mischief) -> End:
    """Return how a job ends with this mischief when no process crashes."""
    codes = [code for code, names in FATAL.items() if mischief.name in names]
    return (Status.FAILED, codes[0]) if codes else (Status.SUCCEEDED, None)


def judge(cell: Cell, world: World, calm: World) -> Iterator[str]:
    """Yield what is wrong with a cell."""
    yield from (f"{cell}: {violation}" for violation in world.violations)
    for job in world.table.jobs.values():
        end = job.status, job.failure.code if job.failure else None
        # A dead worker may have taken the mischief with it: then the job may also succeed.
        if cell.messages == "undisturbed" and end not in (the_end(calm), (Status.SUCCEEDED, None)):
            yield f"{cell}: ended as {end}"
        if cell.messages == "undisturbed" and seconds_between(calm, job) > LONGEST_RECOVERY_SECONDS:
            yield f"{cell}: ended {seconds_between(calm, job):.0f} s late"


def seconds_between(calm: World, job: Job) -> float:
    (calm_job,) = calm.table.jobs.values()
    if job.finished_at is None or calm_job.finished_at is None:
        return 0.0
    return (job.finished_at - calm_job.finished_at).total_seconds()


@pytest.mark.parametrize(("mischief", "kind"), PLAYS, ids=IDS)
def test_rented_job_ends_as_it_should_when_the_provider_misbehaves(mischief: Mischief, kind: Kind) -> None:
    world = enact(mischief, kind)

    assert world.violations == []
    assert the_end(world) == expected_end(mischief)


@pytest.mark.parametrize("kind", [Kind.BENCHMARK, Kind.LLM_INSTANCE])
@pytest.mark.parametrize("mischief", WRONG_KEYS, ids=lambda mischief: mischief.name)
def test_no_machine_is_called_gone_by_the_key_of_another_account(mischief: Mischief, kind: Kind) -> None:
    world = enact(mischief, kind)

    assert world.violations == []
    assert the_end(world) == (Status.SUCCEEDED, None)


@pytest.mark.parametrize(("mischief", "kind"), PLAYS, ids=IDS)
def test_no_machine_is_lost_when_the_provider_misbehaves_and_a_process_dies(
    mischief: Mischief, kind: Kind, record_property: RecordProperty
) -> None:
    began_seconds = time.process_time()
    calm = enact(mischief, kind)
    figures: Counter[str] = Counter()

    broken: list[str] = []
    for cell in deal_cells((mischief, kind)):
        world = cell.run()
        broken += judge(cell, world, calm)
        figures += Counter(cells=1, leaked=world.leaked, foreign_touched=world.foreign_touched)

    seconds = round(time.process_time() - began_seconds, 2)
    record_property("figures", {"leaked": 0, "foreign_touched": 0, **figures, "seconds": seconds})
    assert broken == []


def test_table_lets_processes_die_after_each_kind_of_effect() -> None:
    cells = [cell for play in PLAYS[::9] for cell in deal_cells(play)]

    assert {cell.messages for cell in cells} == set(STRIDES)
    assert {cell.death.place for cell in cells} >= {
        "after PUT asks",
        "after DELETE instances",
        "after open",
        "after note_contract",
        "after prove_release",
        "after commit",
        "after send",
    }
