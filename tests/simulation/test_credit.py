"""Credit that an earlier version has left reserved is freed, and jobs that waited for it go on."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rune.jobs.record import Status
from tests.simulation.faults import CALM, Odds
from tests.simulation.rented_days import SETTINGS, STORMY
from tests.simulation.requests import MODEL, rented_benchmark
from tests.simulation.world import World


@pytest.mark.parametrize("odds", [CALM, replace(STORMY, answer_seconds=(10.0, 10.0))])
def test_job_rents_when_credit_of_machines_that_are_gone_is_freed(odds: Odds) -> None:
    world = World(1, odds, vastai=replace(SETTINGS, credit_usd=Decimal("1.00")))
    account = world.account
    assert account is not None
    account.rental_store.credit = replace(account.rental_store.credit, reserved_micro_usd=990_000)
    world.submit(rented_benchmark(MODEL))
    world.run()

    (job,) = world.table.jobs.values()
    assert world.violations == []
    assert job.status is Status.SUCCEEDED
    assert account.rental_store.reserved_micro_usd == 0
