import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from rune.errors import (
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    RentalError,
    StoreRefusedError,
    StoreUnavailableError,
)
from rune.events.record import PublicEvent, Subject, SubjectKind
from rune.jobs.record import Job
from rune.rentals import lifecycle
from rune.rentals.instance import Instance
from rune.rentals.labels import make_label
from rune.rentals.paced_provider import PacedProvider
from rune.rentals.record import EndReason, Rental, RentalState, make_rental_id
from rune.rentals.store import Endpoint, RentalRefused
from rune.services.orphan_sweep import OrphanSweep, SweepResult
from rune.storage.change import Change, apply, make_change
from tests.builders import JOB_ID, NOW, FakeClock, a_claimed_job, after, an_ended_job
from tests.memory_job_store import MemoryJobStore
from tests.memory_rental_store import (
    ContestedRentalStore,
    MemoryDeploymentStore,
    MemoryProviderLimits,
    MemoryRentalStore,
)
from tests.rental_builders import (
    ACCOUNT_ID,
    CONTRACT_ID,
    DEPLOYMENT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    STAGE,
    a_created_rental,
    a_kept_rental,
    a_kept_rental_of,
    a_label,
    a_listing,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_rental_of,
    a_running_rental,
    an_instance,
    an_old_label,
)
from tests.unit.jobs.stores import a_store
from tests.unit.rentals.scripted import ScriptedMarket

MACHINE = an_instance()
TWIN = an_instance(contract_id=7)


@dataclass
class Tick:
    """A janitor's tick 50 minutes after the builders' things began, and what it works on."""

    market: ScriptedMarket
    rental_store: MemoryRentalStore
    jobs: MemoryJobStore = field(default_factory=lambda: a_store(an_ended_job()))
    clock: FakeClock = field(default_factory=lambda: FakeClock(after(3000)))
    provider_limits: MemoryProviderLimits = field(default_factory=MemoryProviderLimits)
    stage: str = STAGE
    deployments: MemoryDeploymentStore = field(default_factory=MemoryDeploymentStore)
    pauses_seconds: list[float] = field(default_factory=list)

    def sweep(self, may_go_on: Callable[[], bool] = lambda: True) -> SweepResult:
        return asyncio.run(self.orphan_sweep.sweep(may_go_on))

    @property
    def orphan_sweep(self) -> OrphanSweep:
        return OrphanSweep(
            provider=PacedProvider(self.market, self.provider_limits, self.clock),
            rental_store=self.rental_store,
            jobs=self.jobs,
            clock=self.clock,
            stage=self.stage,
            deployments=self.deployments,
            pause=self.pause,
        )

    @property
    def destroyed(self) -> list[object]:
        return self.market.called("destroy")

    def rental(self, rental_id: str = RENTAL_ID) -> Rental:
        return self.rental_store.rentals[rental_id]

    async def pause(self, seconds: float) -> None:
        self.pauses_seconds.append(seconds)
        self.clock.advance(seconds)


def a_tick(*rentals: Rental, instances: tuple[Instance, ...] = (), jobs: tuple[Job, ...] = ()) -> Tick:
    tick = Tick(ScriptedMarket(list(instances)), MemoryRentalStore(*rentals))
    # An earlier tick has read which account the key is of.
    tick.provider_limits.share_listing(a_listing(begun_at=NOW))
    if jobs:
        tick.jobs = a_store(*jobs)
    return tick


OTHER_DEPLOYMENT_ID = "a9b8c7d6e5"


@pytest.mark.parametrize(
    "label",
    [
        None,
        "",
        "my-training-box",
        make_label(STAGE, OTHER_DEPLOYMENT_ID, JOB_ID, 1),
        make_label("prod", OTHER_DEPLOYMENT_ID, JOB_ID, 1),
        an_old_label(),
        an_old_label(stage="prod"),
        an_old_label(stage="local-eu"),
        f"rune-{JOB_ID}-1",
        f"rune-{STAGE}-{DEPLOYMENT_ID}-experiment",
        f"rune-{STAGE}-{DEPLOYMENT_ID.upper()}-{JOB_ID}-1",
        f"x-{a_label()}",
        f"{a_label()}-copy",
        f"{a_label()}-{OTHER_JOB_ID}-1",
    ],
)
def test_sweep_never_touches_a_machine_that_is_not_labelled_for_its_deployment(label: str | None) -> None:
    tick = a_tick(instances=(an_instance(contract_id=7, label=label),))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert [name for name, _ in tick.market.calls] == ["list"]


@pytest.mark.parametrize(
    "rental",
    [
        a_running_rental(label=an_old_label()),
        a_kept_rental(label=an_old_label(), kept_until=after(2999)),
        a_released_rental(label=an_old_label(), contract_id=None),
    ],
)
def test_sweep_knows_a_machine_with_a_label_of_an_earlier_version_by_its_row(rental: Rental) -> None:
    tick = a_tick(rental, instances=(an_instance(label=an_old_label()),))

    assert tick.sweep().destroyed_count == 1
    assert tick.destroyed == [CONTRACT_ID]


def test_sweep_leaves_a_machine_with_a_label_of_an_earlier_version_and_no_row_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tick = a_tick(instances=(an_instance(label=an_old_label()),))

    assert tick.sweep() == SweepResult(is_complete=True)
    (line,) = [each for each in caplog.records if each.msg == "rental.not_ours"]
    assert (line.__dict__["rental_id"], line.__dict__.get("metric")) == (RENTAL_ID, None)


def test_sweep_leaves_a_machine_whose_label_of_an_earlier_version_is_not_the_one_in_the_row() -> None:
    stranger = an_instance(contract_id=7, label=an_old_label())
    tick = a_tick(a_kept_rental(), instances=(MACHINE, stranger))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.destroyed == []


def test_sweep_destroys_a_machine_that_has_no_row_and_raises_the_alarm() -> None:
    tick = a_tick(instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    assert tick.destroyed == [CONTRACT_ID]


@pytest.mark.parametrize(
    "error",
    [
        ProviderFailedError("Half a page."),
        ProviderKeyError("Unknown key."),
        ProviderBusyError("Too often.", 5),
    ],
    ids=repr,
)
def test_sweep_reads_no_error_of_a_listing_as_absence(error: RentalError) -> None:
    left = (
        a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990)),
        a_rental_of(OTHER_JOB_ID),
    )
    tick = a_tick(*left)
    tick.market.errors["list"] = [error]

    assert tick.sweep() == SweepResult(is_complete=False)
    assert tuple(tick.rental_store.rentals.values()) == left
    assert tick.destroyed == []


FRESH_ORPHAN = a_created_rental()
"""No listing has shown its machine yet."""

DUE = [
    a_releasing_rental(),
    a_releasing_rental(end_reason=EndReason.CALLER_ENDED, holder=None),
    a_kept_rental(kept_until=after(2999)),
    a_running_rental(),
    FRESH_ORPHAN,
]


@pytest.mark.parametrize("rental", DUE)
@pytest.mark.parametrize(
    "error",
    [ProviderFailedError("500."), ProviderKeyError("No right to list."), ProviderBusyError("429.", 900)],
    ids=repr,
)
def test_sweep_destroys_what_is_due_although_no_listing_can_be_read(
    rental: Rental, error: RentalError
) -> None:
    tick = a_tick(rental, instances=(MACHINE,))
    tick.market.errors["list"] = [error]

    assert tick.sweep().destroyed_count == 1
    assert tick.destroyed == [CONTRACT_ID]
    assert (tick.rental().state, tick.rental().destroyed_at) == (RentalState.RELEASING, after(3000))


@pytest.mark.parametrize("rental", DUE[:-1])
def test_sweep_destroys_before_it_lists(rental: Rental) -> None:
    tick = a_tick(rental, instances=(MACHINE,))

    tick.sweep()

    assert [name for name, _ in tick.market.calls] == ["destroy", "list", "show"]


def test_sweep_leaves_what_is_not_due_when_no_listing_can_be_read() -> None:
    kept, held = a_kept_rental(), a_rental_of(OTHER_JOB_ID, state=RentalState.RUNNING, contract_id=7)
    tick = a_tick(kept, held, jobs=(a_claimed_job(job_id=OTHER_JOB_ID),))
    tick.market.errors["list"] = [ProviderFailedError("500.")]

    tick.sweep()

    assert tuple(tick.rental_store.rentals.values()) == (kept, held)
    assert tick.destroyed == []


def test_sweep_asks_to_destroy_again_only_after_minutes_while_no_listing_can_be_read() -> None:
    tick = a_tick(a_releasing_rental(), instances=(MACHINE,))
    tick.market.errors["list"] = [ProviderFailedError("500.")] * 7
    tick.market.is_destroying = False

    for _ in range(7):
        tick.sweep()
        tick.clock.advance(60)

    assert tick.destroyed == [CONTRACT_ID, CONTRACT_ID]


@pytest.mark.parametrize("rental", [a_kept_rental(), a_created_rental(), a_releasing_rental()])
def test_sweep_calls_no_machine_gone_that_it_has_not_asked_to_destroy(rental: Rental) -> None:
    tick = a_tick(rental)

    tick.sweep()
    tick.clock.advance(60)
    tick.sweep()

    assert tick.destroyed == [CONTRACT_ID]
    assert tick.rental().state is RentalState.RELEASED


def test_sweep_raises_the_alarm_when_a_kept_machine_vanishes() -> None:
    tick = a_tick(a_kept_rental(kept_until=after(9999)))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    assert tick.rental().end_reason is EndReason.VANISHED


def test_sweep_leaves_a_kept_machine_that_a_listing_lacks_and_a_read_of_itself_shows() -> None:
    kept = a_kept_rental(kept_until=after(9999))
    tick = a_tick(kept, instances=(MACHINE,))
    tick.market.unlisted = frozenset({CONTRACT_ID})

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.rental() == kept


def test_sweep_calls_no_machine_gone_that_a_read_of_itself_shows() -> None:
    tick = a_tick(a_releasing_rental(), instances=(MACHINE,))
    tick.market.unlisted = frozenset({CONTRACT_ID})
    tick.market.is_destroying = False

    tick.sweep()

    assert tick.market.called("show") == [CONTRACT_ID]
    assert tick.rental().state is RentalState.RELEASING


def test_sweep_calls_no_machine_gone_while_it_cannot_be_read() -> None:
    tick = a_tick(a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990)))
    tick.market.errors["show"] = [ProviderFailedError("500.")]

    tick.sweep()
    assert tick.rental().state is RentalState.RELEASING

    tick.clock.advance(60)
    tick.sweep()
    assert tick.rental().state is RentalState.RELEASED


OTHER_ACCOUNT_ID = ACCOUNT_ID + 1


@pytest.mark.parametrize(
    "rental",
    [
        a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990)),
        a_kept_rental(kept_until=after(9999)),
        a_rental_of(JOB_ID, holder=None, updated_at=after(2999), state=RentalState.CREATED, contract_id=7),
    ],
)
def test_sweep_proves_nothing_of_another_account_and_rings(
    rental: Rental, caplog: pytest.LogCaptureFixture
) -> None:
    """The key was exchanged for one of another account, which shows none of the old one's machines."""
    tick = a_tick(replace(rental, account_id=OTHER_ACCOUNT_ID))

    assert tick.sweep().alarm_count == 1
    assert tick.rental().state is rental.state
    (line,) = [each for each in caplog.records if each.msg == "rental.of_other_account"]
    assert (line.__dict__["rental_id"], line.__dict__["metric"]) == (RENTAL_ID, "RentalsOutOfHand")


def test_sweep_proves_a_machine_gone_again_when_the_right_key_is_back() -> None:
    asked = a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990))
    tick = a_tick(asked)
    tick.provider_limits = MemoryProviderLimits()
    tick.market.account_id = OTHER_ACCOUNT_ID
    tick.sweep()
    assert tick.rental().is_alive

    tick.provider_limits = MemoryProviderLimits()
    tick.market.account_id = ACCOUNT_ID
    tick.clock.advance(60)

    assert tick.sweep() == SweepResult(is_complete=True, proven_count=1)


def test_sweep_ends_a_rental_of_an_earlier_version_that_has_no_account() -> None:
    tick = a_tick(a_releasing_rental(account_id=None))

    assert tick.sweep().proven_count == 1


@pytest.mark.parametrize("written", [None, OTHER_ACCOUNT_ID])
def test_sweep_writes_the_account_whose_listing_shows_the_machine(written: int | None) -> None:
    kept = a_kept_rental(kept_until=after(9999), account_id=written)
    tick = a_tick(kept, instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.rental() == replace(
        kept, account_id=ACCOUNT_ID, version=kept.version + 1, updated_at=after(3000)
    )


@pytest.mark.parametrize("error", [ProviderFailedError("500."), ProviderBusyError("429.", 5)], ids=repr)
def test_sweep_proves_nothing_while_the_account_of_the_key_is_unknown(error: RentalError) -> None:
    tick = a_tick(a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990)))
    tick.provider_limits = MemoryProviderLimits()
    tick.market.errors["read_account"] = [error]

    tick.sweep()
    assert tick.rental().is_alive

    tick.clock.advance(60)
    assert tick.sweep().proven_count == 1


def test_sweep_waits_its_turn_for_a_listing() -> None:
    tick = a_tick(instances=(MACHINE,))
    tick.provider_limits.back_off(Endpoint.LIST, after(3003))

    assert tick.sweep().is_complete
    assert tick.pauses_seconds == [3]


def test_sweep_destroys_what_an_ended_job_left_behind() -> None:
    tick = a_tick(a_running_rental(), instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, proven_count=1, alarm_count=1)
    rental = tick.rental()
    assert (rental.state, rental.end_reason) == (RentalState.RELEASED, EndReason.ORPHANED)


def test_sweep_gives_a_kept_machine_back_that_an_ended_job_took() -> None:
    taken = a_kept_rental(state=RentalState.RUNNING, holder=OTHER_JOB_ID, held_since=after(300))
    tick = a_tick(taken, instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert (tick.rental().state, tick.rental().holder) == (RentalState.KEPT, None)


def test_sweep_notes_what_a_machine_costs_that_nobody_looked_at() -> None:
    tick = a_tick(a_rental(), instances=(an_instance(micro_usd_per_hour=900_000),))

    tick.sweep()

    assert tick.rental().prices.micro_usd_per_hour == 900_000


def test_sweep_leaves_a_machine_to_the_job_that_works_on_it() -> None:
    tick = a_tick(a_running_rental(), instances=(MACHINE,), jobs=(a_claimed_job(),))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.rental() == a_running_rental()


ENOUGH_MICRO_USD = 332_000
"""For the builders' machine until the tick, and 70 s more. A job stops two minutes before the end of its money,
and the janitor waits 50 s for that."""


@pytest.mark.parametrize(
    ("cap_micro_usd", "micro_usd_per_hour", "cost_before_micro_usd", "is_destroyed"),
    [
        (ENOUGH_MICRO_USD, None, 0, False),
        (ENOUGH_MICRO_USD - 100, None, 0, True),
        (ENOUGH_MICRO_USD, 372_000, 0, False),
        (ENOUGH_MICRO_USD, 900_000, 0, True),
        (ENOUGH_MICRO_USD, None, 500, True),
        (ENOUGH_MICRO_USD + 500, None, 500, False),
        (None, 900_000, 0, False),
    ],
)
def test_sweep_destroys_a_machine_that_costs_more_than_its_lost_worker_knew(
    cap_micro_usd: int | None,
    micro_usd_per_hour: int | None,
    cost_before_micro_usd: int,
    *,
    is_destroyed: bool,
) -> None:
    job = a_claimed_job(
        deadline_at=after(20_000),
        cap_micro_usd=cap_micro_usd,
        cost_cap_at=after(9000) if cap_micro_usd else None,
    )
    first = a_released_rental(cost_micro_usd=cost_before_micro_usd)
    second_id, label = make_rental_id(JOB_ID, 2), make_label(STAGE, DEPLOYMENT_ID, JOB_ID, 2)
    second = a_running_rental(rental_id=second_id, attempt=2, label=label)
    machine = an_instance(label=label, micro_usd_per_hour=micro_usd_per_hour)
    tick = a_tick(first, second, instances=(machine,), jobs=(job,))

    tick.sweep()

    assert tick.destroyed == ([CONTRACT_ID] if is_destroyed else [])


def test_sweep_keeps_a_machine_for_less_time_when_its_price_has_risen() -> None:
    dearer = an_instance(micro_usd_per_hour=744_000)
    kept = a_kept_rental(ceiling_at=after(4000), kept_until=after(3900))
    tick = a_tick(kept, instances=(dearer,))

    tick.sweep()

    rental = tick.rental()
    assert rental.prices.micro_usd_per_hour == 744_000
    # Twice the price: half of the 1000 s that were left.
    assert (rental.ceiling_at, rental.kept_until) == (after(3500), after(3500))

    tick.sweep()
    assert tick.rental() == rental


def test_sweep_leaves_a_borrowed_machine_to_the_moment_that_its_borrower_knows() -> None:
    job = a_claimed_job(deadline_at=after(20_000), cap_micro_usd=1, cost_cap_at=after(9000))
    names = a_rental_of(OTHER_JOB_ID)
    borrowed = a_running_rental(
        rental_id=names.rental_id, label=names.label, job_id=OTHER_JOB_ID, holder=JOB_ID
    )
    tick = a_tick(borrowed, instances=(an_instance(label=borrowed.label),), jobs=(job,))

    tick.sweep()

    assert tick.rental(borrowed.rental_id) == borrowed


@pytest.mark.parametrize(("late_seconds", "is_destroyed"), [(0, False), (0.001, True)])
@pytest.mark.parametrize(
    ("deadline", "ceiling"),
    [(after(3000 - 600 - 300), after(20_000)), (after(20_000), after(3000 - 600))],
)
def test_sweep_gives_a_job_until_its_deadline_and_not_until_the_end_of_all_keeping(
    deadline: datetime, ceiling: datetime, late_seconds: float, is_destroyed: bool
) -> None:
    stuck = a_claimed_job(deadline_at=deadline)
    tick = a_tick(a_running_rental(ceiling_at=ceiling), instances=(MACHINE,), jobs=(stuck,))
    tick.clock.advance(late_seconds)

    tick.sweep()

    assert tick.destroyed == ([CONTRACT_ID] if is_destroyed else [])


def test_sweep_takes_a_machine_of_a_job_that_nobody_knows_for_left_behind() -> None:
    orphan = a_rental_of(OTHER_JOB_ID, state=RentalState.RUNNING, contract_id=7)
    tick = a_tick(orphan, instances=(an_instance(contract_id=7, label=orphan.label),))

    tick.sweep()

    assert tick.destroyed == [7]


def test_sweep_writes_the_contract_of_a_lost_order_down_before_it_destroys() -> None:
    tick = a_tick(a_rental(), instances=(MACHINE,))

    assert tick.sweep().destroyed_count == 1
    rental = tick.rental()
    assert (rental.contract_id, rental.state) == (CONTRACT_ID, RentalState.RELEASING)


def test_sweep_finds_a_machine_by_its_contract_when_its_label_is_lost() -> None:
    tick = a_tick(a_releasing_rental(), instances=(an_instance(label=None),))

    tick.sweep()

    assert tick.destroyed == [CONTRACT_ID]


def test_sweep_proves_a_machine_gone_and_bills_it_up_to_the_listing() -> None:
    tick = a_tick(a_releasing_rental(destroy_asked_at=after(2990), destroyed_at=after(2990)))

    assert tick.sweep() == SweepResult(is_complete=True, proven_count=1)
    rental = tick.rental()
    assert (rental.state, rental.released_at) == (RentalState.RELEASED, after(3000))
    assert rental.due_at == after(3000) + lifecycle.CHARGES_READ_EVERY
    # 50 minutes of disk, 49 of GPU, 4.9 GB and the image.
    assert rental.cost_micro_usd == 10_000 + 294_000 + 14_700 + 6_000


def test_sweep_ends_a_kept_machine_at_its_time_without_alarm() -> None:
    tick = a_tick(a_kept_rental(kept_until=after(2999)), instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, proven_count=1)
    assert tick.rental().end_reason is EndReason.EXPIRED


def test_sweep_destroys_a_machine_that_comes_back_although_it_was_proven_gone() -> None:
    tick = a_tick(a_released_rental(contract_id=None), instances=(MACHINE,))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    rental = tick.rental()
    assert (rental.state, rental.contract_id) == (RentalState.RELEASING, CONTRACT_ID)
    assert (rental.due_at, rental.cost_micro_usd) == (after(3000), None)


def test_sweep_sees_a_machine_through_to_its_proven_end_in_two_ticks() -> None:
    tick = a_tick(a_released_rental(), instances=(MACHINE,))

    tick.sweep()
    tick.clock.advance(60)
    second = tick.sweep()

    assert second == SweepResult(is_complete=True, proven_count=1)
    assert tick.rental().released_at == after(3060)


def test_sweep_goes_on_with_the_next_machine_when_one_cannot_be_destroyed() -> None:
    other = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    tick = a_tick(instances=(MACHINE, other))
    tick.market.errors["destroy"] = [ProviderFailedError("Down.")]

    assert tick.sweep().destroyed_count == 1
    assert tick.destroyed == [CONTRACT_ID, 7]


def test_sweep_keeps_the_providers_pace_between_two_machines() -> None:
    other = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    tick = a_tick(instances=(MACHINE, other))

    assert tick.sweep().destroyed_count == 2
    assert tick.pauses_seconds == [3]


@pytest.mark.parametrize("twins", [(MACHINE, TWIN), (TWIN, MACHINE)])
@pytest.mark.parametrize(
    "rental", [a_kept_rental(kept_until=after(9999)), a_running_rental(holder=OTHER_JOB_ID)]
)
def test_sweep_destroys_a_second_machine_with_one_label_and_leaves_the_first(
    rental: Rental, twins: tuple[Instance, ...]
) -> None:
    tick = a_tick(rental, instances=twins, jobs=(a_claimed_job(job_id=OTHER_JOB_ID),))

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    assert tick.destroyed == [7]
    assert tick.rental() == rental


@pytest.mark.parametrize("rentals", [(), (a_releasing_rental(),), (a_released_rental(),)])
def test_sweep_destroys_all_machines_of_one_label_in_one_tick(rentals: tuple[Rental, ...]) -> None:
    third = replace(MACHINE, contract_id=8)
    tick = a_tick(*rentals, instances=(MACHINE, TWIN, third))

    tick.sweep()

    assert sorted(str(each) for each in tick.destroyed) == sorted([str(CONTRACT_ID), "7", "8"])


def told_of(tick: Tick, instance: Instance) -> list[tuple[str, object]]:
    """Return tenant and reason of the events that tell of a machine."""
    subject = Subject(SubjectKind.MACHINE, str(instance.contract_id))
    return [(event.tenant, event.data["reason"]) for event in tick.rental_store.outbox.log_of(subject)]


def test_sweep_tells_once_of_a_second_machine_however_often_it_finds_it() -> None:
    tick = a_tick(a_running_rental(tenant="acme"), instances=(MACHINE, TWIN), jobs=(a_claimed_job(),))

    for _ in range(2):
        tick.sweep()
        tick.clock.advance(60)

    assert told_of(tick, TWIN) == [("acme", "second_machine")]
    assert told_of(tick, MACHINE) == []


@pytest.mark.parametrize(
    ("jobs", "tenant"), [((an_ended_job(tenant="acme"),), "acme"), ((an_ended_job(job_id=OTHER_JOB_ID),), "")]
)
def test_sweep_tells_of_a_machine_without_a_row_to_the_tenant_of_its_job(
    jobs: tuple[Job, ...], tenant: str
) -> None:
    tick = a_tick(instances=(MACHINE,), jobs=jobs)

    tick.sweep()

    assert told_of(tick, MACHINE) == [(tenant, "no_rental")]


class DeafRentalStore(MemoryRentalStore):
    """Takes no event."""

    def tell_once(self, event: PublicEvent, expires_at: datetime) -> bool:
        raise StoreUnavailableError("away")


def test_sweep_tells_of_a_machine_before_it_has_it_destroyed() -> None:
    tick = a_tick(instances=(MACHINE,))
    tick.rental_store = DeafRentalStore()

    with pytest.raises(StoreUnavailableError):
        tick.sweep()

    assert tick.destroyed == []


def test_sweep_leaves_both_machines_of_an_order_whose_contract_is_not_known_yet() -> None:
    tick = a_tick(a_rental(), instances=(MACHINE, TWIN), jobs=(a_claimed_job(),))

    assert tick.sweep() == SweepResult(is_complete=True)


def due_rentals(count: int) -> tuple[tuple[Rental, ...], tuple[Instance, ...]]:
    """Return rentals of as many jobs that are to be destroyed, and their machines."""
    job_ids = [f"{number:032x}" for number in range(count)]
    rentals = [
        a_rental_of(
            each,
            state=RentalState.RELEASING,
            contract_id=100 + number,
            holder=None,
            running_at=after(90),
            release_asked_at=after(300),
        )
        for number, each in enumerate(job_ids)
    ]
    machines = [an_instance(contract_id=100 + n, label=a_label(each)) for n, each in enumerate(job_ids)]
    return tuple(rentals), tuple(machines)


def test_sweep_names_many_machines_in_one_order() -> None:
    rentals, machines = due_rentals(45)
    tick = a_tick(*rentals, instances=machines)

    assert tick.sweep().destroyed_count == 45
    # It does not tell which of them it has taken.
    assert all(each.destroyed_at is None for each in tick.rental_store.rentals.values())
    named = [len(numbers) for numbers in tick.market.called("destroy_many") if isinstance(numbers, tuple)]
    assert (named, tick.destroyed) == ([20, 20, 5], [])
    assert all(each.destroy_asked_at is not None for each in tick.rental_store.rentals.values())


def test_sweep_orders_one_by_one_what_exists_after_an_order_of_many() -> None:
    rentals, machines = due_rentals(2)
    tick = a_tick(*rentals, instances=machines)
    tick.market.is_destroying = False
    tick.sweep()
    assert tick.destroyed == []

    tick.clock.advance(60)
    tick.sweep()

    assert tick.destroyed == [100, 101]


def test_sweep_orders_one_by_one_when_the_order_of_many_fails() -> None:
    rentals, machines = due_rentals(2)
    tick = a_tick(*rentals, instances=machines)
    tick.market.errors["destroy_many"] = [ProviderRefusedError("No such endpoint.")]

    assert tick.sweep().destroyed_count == 2
    assert tick.destroyed == [100, 101]


def change_the_version(rental: Rental) -> Change:
    return make_change("touch", after(2990), requires=(), sets={"updated_at": rental.updated_at})


@pytest.mark.parametrize("rental", [a_running_rental(), a_kept_rental(kept_until=NOW), a_released_rental()])
def test_sweep_decides_again_when_the_row_has_changed_meanwhile(rental: Rental) -> None:
    tick = a_tick(instances=(MACHINE,))
    tick.rental_store = ContestedRentalStore(rental, change_the_version)

    assert tick.sweep().destroyed_count == 1
    assert tick.rental().end_reason in (EndReason.ORPHANED, EndReason.EXPIRED)


@pytest.mark.parametrize("rental", [a_running_rental(), a_kept_rental(kept_until=NOW), a_released_rental()])
def test_sweep_destroys_nothing_that_others_write_all_the_time(rental: Rental) -> None:
    other = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    tick = a_tick(instances=(MACHINE, other))
    tick.rental_store = ContestedRentalStore(rental, *[change_the_version] * 50)

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    assert tick.destroyed == [7]


def take(rental: Rental) -> Change:
    return lifecycle.take_kept(rental, OTHER_JOB_ID, after(2999))


def put_off(rental: Rental) -> Change:
    return lifecycle.extend(rental, after(3600), after(2999))


@pytest.mark.parametrize("other", [take, put_off])
def test_sweep_leaves_a_kept_machine_that_was_taken_or_extended_meanwhile(
    other: Callable[[Rental], Change],
) -> None:
    kept = a_kept_rental(kept_until=after(2998))
    tick = a_tick(instances=(MACHINE,))
    tick.rental_store = ContestedRentalStore(kept, other)

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.rental() == apply(other(kept), kept)


def test_sweep_takes_no_listing_for_proof_that_began_before_the_last_order_to_destroy() -> None:
    tick = a_tick(a_releasing_rental(destroy_asked_at=after(2999)))
    tick.provider_limits.share_listing(a_listing(begun_at=after(2998)))

    assert tick.sweep() == SweepResult(is_complete=True)
    assert tick.rental().is_alive


class UnreadableRow(MemoryRentalStore):
    """One row holds what this version of the code cannot read."""

    def read(self, rental_id: str) -> Rental | None:
        if rental_id == RENTAL_ID:
            raise ValueError("'frozen' is not a valid RentalState")
        return super().read(rental_id)


def test_sweep_sees_to_all_other_machines_when_one_row_cannot_be_read() -> None:
    other = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    tick = a_tick(instances=(MACHINE, other))
    tick.rental_store = UnreadableRow()

    assert tick.sweep() == SweepResult(is_complete=True, destroyed_count=1, alarm_count=2)
    assert tick.destroyed == [7]


class AbsentStore(MemoryRentalStore):
    """The table cannot be reached any more."""

    def read(self, rental_id: str) -> Rental | None:
        raise StoreUnavailableError("Away.")


def test_sweep_gives_the_tick_up_when_the_table_is_away() -> None:
    tick = a_tick(instances=(MACHINE,))
    tick.rental_store = AbsentStore()

    with pytest.raises(StoreUnavailableError):
        tick.sweep()


class LateStore(MemoryRentalStore):
    """An order is written and carried out between the look at the rows and the listing."""

    def find_alive(self, limit: int) -> tuple[str, ...]:
        seen = super().find_alive(limit)
        self.open(a_rental(intended_at=after(2999), updated_at=after(2999)))
        return seen


def test_sweep_leaves_a_machine_that_was_ordered_during_the_sweep() -> None:
    tick = a_tick(instances=(MACHINE,), jobs=(a_claimed_job(),))
    tick.rental_store = LateStore()

    assert tick.sweep() == SweepResult(is_complete=True)


def limited(turns: int) -> Callable[[], bool]:
    """Return an answer that is yes so often."""
    left = iter([True] * turns)
    return lambda: next(left, False)


# Asked before every machine, and again before every wait for the provider's next call.
@pytest.mark.parametrize(("turns", "destroyed_count"), [(0, 0), (1, 1), (3, 1), (5, 2), (7, 4), (9, 4)])
def test_sweep_stops_when_its_time_is_over(turns: int, destroyed_count: int) -> None:
    labels = [a_label(f"{number:032x}") for number in range(4)]
    machines = [an_instance(contract_id=n, label=label) for n, label in enumerate(labels, 1)]
    tick = a_tick(instances=tuple(machines))

    assert tick.sweep(limited(turns)).destroyed_count == destroyed_count


def test_sweep_looks_at_unlisted_rows_only_after_every_machine() -> None:
    gone = a_releasing_rental(destroy_asked_at=after(2990))
    machine = an_instance(contract_id=7, label=a_label(OTHER_JOB_ID))
    tick = a_tick(gone, instances=(machine,))

    assert tick.sweep(limited(2)) == SweepResult(is_complete=True, destroyed_count=1, alarm_count=1)
    assert tick.rental() == gone


BUDGET = timedelta(seconds=35)


@pytest.mark.parametrize("endpoint", [Endpoint.LIST, Endpoint.DESTROY])
def test_sweep_never_waits_beyond_its_time(endpoint: Endpoint) -> None:
    tick = a_tick(instances=(MACHINE,))
    began_at: datetime = tick.clock.now()
    # What a 429 with `Retry-After: 900` leaves on the provider limits.
    tick.provider_limits.back_off(endpoint, began_at + timedelta(seconds=900))

    tick.sweep(lambda: tick.clock.now() - began_at < BUDGET)

    assert sum(tick.pauses_seconds) <= BUDGET.total_seconds()


def destroy(tick: Tick, rental_id: str = RENTAL_ID) -> SweepResult:
    return asyncio.run(tick.orphan_sweep.destroy(rental_id, lambda: True))


def test_destroy_sends_the_order_for_a_rental_that_its_tenant_has_ended() -> None:
    ended = a_kept_rental(state=RentalState.RELEASING, release_asked_at=after(3000))
    tick = a_tick(ended, instances=(MACHINE,))

    result = destroy(tick)

    assert result.destroyed_count == 1
    assert tick.market.called("destroy") == [CONTRACT_ID]
    assert tick.market.called("list_instances") == []


@pytest.mark.parametrize("rental", [a_kept_rental(kept_until=after(9000)), a_released_rental()])
def test_destroy_leaves_a_rental_alone_that_should_be_as_it_is(rental: Rental) -> None:
    tick = a_tick(rental, instances=(MACHINE,))

    assert destroy(tick).destroyed_count == 0
    assert tick.market.called("destroy") == []


def test_destroy_does_nothing_for_a_rental_that_is_unknown() -> None:
    assert destroy(a_tick(), f"{OTHER_JOB_ID}-1").destroyed_count == 0


def test_machine_is_destroyed_although_its_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_event: object, _expires_at: object) -> bool:
        raise StoreRefusedError("The table refuses the call.")

    tick = a_tick(instances=(an_instance(label=a_label(OTHER_JOB_ID)),))
    monkeypatch.setattr(tick.rental_store, "tell_once", refuse)

    tick.sweep()

    assert tick.market.called("destroy") == [CONTRACT_ID]


def test_rental_whose_write_is_refused_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = a_kept_rental(kept_until=after(2000))
    other = a_kept_rental_of(OTHER_JOB_ID, kept_until=after(2000), contract_id=TWIN.contract_id)
    twin = an_instance(contract_id=TWIN.contract_id, label=other.label)
    tick = a_tick(refused, other, instances=(MACHINE, twin))
    update = tick.rental_store.update

    def refuse_one(rental: Rental, change: Change) -> Rental | RentalRefused:
        if rental.rental_id == refused.rental_id:
            raise StoreRefusedError("The table refuses the call.")
        return update(rental, change)

    monkeypatch.setattr(tick.rental_store, "update", refuse_one)

    result = tick.sweep()

    assert tick.market.called("destroy") == [TWIN.contract_id]
    assert result.alarm_count > 0
