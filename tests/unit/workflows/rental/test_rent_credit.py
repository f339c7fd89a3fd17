"""What a job reserves of the account's credit before it orders a machine."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rune.jobs.outcomes import Failed, Next, Requeue
from tests.builders import NOW
from tests.rental_builders import OTHER_JOB_ID, a_rental_of
from tests.unit.workflows.rental.world import a_renting_job, a_world

JOB = a_renting_job()
MICRO = Decimal("0.000001")
SECOND = timedelta(seconds=1)
LEAST_USD = Decimal("0.033716")
"""What the job is expected to cost on the offer, and two minutes of its machine."""
MOST_USD = Decimal("0.409930")
"""From now to the machine's ceiling, 65 minutes later, with 2 GB of image and 9 GB of model."""


@pytest.mark.parametrize("credit", ["0", LEAST_USD - MICRO, "-5"])
def test_rent_fails_before_it_orders_when_the_credit_is_too_low(credit: str) -> None:
    world = a_world()
    world.market.credit_usd = Decimal(credit)

    outcome = world.run(JOB)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("no_credit", False)
    assert [note.name for note in outcome.notes] == ["vastai.offer_search"]

    assert (world.market.orders, world.attempts) == ([], ())


@pytest.mark.parametrize(
    ("credit", "reserved"),
    [
        (LEAST_USD, LEAST_USD),
        (MOST_USD - MICRO, MOST_USD - MICRO),
        (MOST_USD, MOST_USD),
        (Decimal(100), MOST_USD),
        (None, MOST_USD),
    ],
)
def test_rent_reserves_all_that_the_machine_may_cost_as_far_as_the_credit_goes(
    credit: Decimal | None, reserved: Decimal
) -> None:
    world = a_world()
    world.market.credit_usd = credit

    assert isinstance(world.run(JOB), Next)
    assert len(world.market.orders) == 1
    assert world.rental().reserved_micro_usd == reserved * 1_000_000
    assert world.rental_store.read_reserved_micro_usd() == reserved * 1_000_000
    assert world.rental().is_credit_short is (reserved < MOST_USD)


def test_rent_reserves_no_more_than_the_job_may_cost() -> None:
    world = a_world()

    world.run(replace(JOB, cap_micro_usd=50_000))

    assert world.rental().reserved_micro_usd == 50_000


def test_job_stops_when_what_is_reserved_is_used_up() -> None:
    world = a_world()
    world.market.credit_usd = Decimal("0.1")

    outcome = world.run(JOB)

    assert isinstance(outcome, Next)
    # The image costs 0.004 USD and the model 0.018; the rest is an hour's part, but for the job's end.
    hours = (100_000 - 4_000 - 18_000) / 358_089
    assert outcome.spending.cost_cap_at is not None
    assert outcome.spending.cost_cap_at == pytest.approx(NOW + timedelta(hours=hours, minutes=-2), abs=SECOND)


def test_rent_waits_when_the_credit_is_kept_for_other_machines() -> None:
    world = a_world(a_rental_of(OTHER_JOB_ID, tenant="acme", reserved_micro_usd=80_000))
    world.market.credit_usd = Decimal("0.1")

    waiting = world.run(JOB)

    needed = {"credit_needed_micro_usd": int(LEAST_USD * 1_000_000)}
    assert isinstance(waiting, Requeue)
    assert (waiting.progress, [note.name for note in waiting.notes]) == (needed, ["vastai.credit_reserved"])
    assert (world.market.orders, world.attempts) == ([], ())

    searched = world.market.called("search")
    world.wait(20)
    assert world.run(replace(JOB, progress=needed)) == replace(waiting, notes=())
    assert world.market.called("search") == searched

    world.wait(20)
    world.market.credit_usd = Decimal("0.2")
    assert isinstance(world.run(replace(JOB, progress=needed)), Next)


def test_rent_waits_no_longer_when_others_have_used_up_the_credit() -> None:
    world = a_world(a_rental_of(OTHER_JOB_ID, tenant="acme", reserved_micro_usd=80_000))
    world.market.credit_usd = LEAST_USD - MICRO

    outcome = world.run(replace(JOB, progress={"credit_needed_micro_usd": int(LEAST_USD * 1_000_000)}))

    assert isinstance(outcome, Failed)
    assert outcome.code == "no_credit"


def test_rent_waits_when_another_job_reserves_first() -> None:
    world = a_world()
    world.market.credit_usd = Decimal("0.1")
    read = world.rental_store.read_reserved_micro_usd

    def read_before_another() -> int:
        reserved = read()
        world.rental_store.open(a_rental_of(OTHER_JOB_ID, tenant="acme", reserved_micro_usd=80_000))
        return reserved

    world.rental_store.read_reserved_micro_usd = read_before_another  # type: ignore[method-assign]

    assert isinstance(world.run(JOB), Requeue)
    assert (world.market.orders, world.attempts) == ([], ())
