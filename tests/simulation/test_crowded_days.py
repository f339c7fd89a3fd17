"""More jobs than can run, of many tenants, while things break: none is lost, doubled or starved."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rune.jobs.lifecycle import OVERRUN
from rune.jobs.plan import CLOSING_GRACE, Lane
from rune.jobs.record import Status, StepMessage
from tests.simulation.crowded_days import run_crowded_day
from tests.simulation.flood import lasted_seconds, run_flood
from tests.simulation.janitor import TICK_SECONDS
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import BENCHMARK, SILENT, rented_benchmark
from tests.simulation.slots import job_slots
from tests.simulation.world import World

pytestmark = pytest.mark.slow

JOB_COUNT = int(os.environ.get("RUNE_SIMULATED_JOBS", "200"))
"""Of a day of ten times as many minutes; 2,000 of 20 tenants take half a minute."""


@pytest.mark.parametrize("seed", range(3))
def test_no_job_is_lost_or_starved_when_a_crowded_day_is_stormy(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    day = run_crowded_day(seed, job_count=JOB_COUNT, tenant_count=JOB_COUNT // 20, hours=JOB_COUNT / 80)

    figures = {
        "jobs": len(day.world.table.jobs),
        "longest_wait_seconds": round(day.longest_wait_seconds),
        "largest_wait_beside_a_fair_one": round(day.largest_wait_ratio, 2),
    }
    record_property("figures", figures)
    assert day.world.violations == []
    # A post that failed may have been stored: then its job ends like any other.
    assert day.posted_count - day.refused_count <= len(day.world.table.jobs) <= day.posted_count
    assert day.endings["succeeded"] >= 0.75 * len(day.world.table.jobs)
    assert day.largest_wait_ratio < 2


def test_flood_of_one_tenant_succeeds_and_delays_others_by_one_job(
    record_property: Callable[[str, object], None],
) -> None:
    undisturbed, flooded = run_flood(0, hours=24.0), run_flood(200, hours=24.0)

    plain_seconds = lasted_seconds(flooded.plain_job) or 0
    rented_seconds = lasted_seconds(flooded.rented_job) or 0
    record_property(
        "figures", {"plain_seconds": round(plain_seconds), "rented_seconds": round(rented_seconds)}
    )
    assert flooded.violations == []
    assert flooded.succeeded_count == 200
    assert flooded.rented_job.cost_micro_usd <= 1.01 * undisturbed.rented_job.cost_micro_usd
    one_job_seconds = lasted_seconds(undisturbed.plain_job) or 0
    assert plain_seconds <= 2 * one_job_seconds
    assert rented_seconds <= (lasted_seconds(undisturbed.rented_job) or 0) + one_job_seconds


def test_silent_servers_of_one_tenant_do_not_delay_the_machine_of_another() -> None:
    undisturbed, flooded = run_flood(0, hours=24.0), run_flood(50, hours=24.0, request=SILENT)

    assert flooded.violations == []
    assert flooded.rented_job.status is Status.SUCCEEDED
    assert flooded.rented_job.cost_micro_usd <= 1.01 * undisturbed.rented_job.cost_micro_usd
    assert (lasted_seconds(flooded.rented_job) or 0) <= 1.6 * (lasted_seconds(undisturbed.rented_job) or 0)


def test_messages_of_waiting_jobs_are_not_sent_by_the_janitor() -> None:
    flooded = run_flood(200, hours=24.0)

    # A rented job takes nine, each plain one the first message and the one after its warm-up.
    assert flooded.sent_count <= 2 * 201 + 9
    assert max(flooded.longest_backlog.values()) <= job_slots()


def test_job_ends_at_its_time_and_gives_its_machine_back_when_its_lane_is_dead() -> None:
    world = World(vastai=SETTINGS)
    world.submit(rented_benchmark())
    # Its machine boots by then.
    world.plan(15.0, lambda: world.queue.dead_lanes.add(Lane.INFERENCE))
    world.plan(20.0, lambda: world.submit(BENCHMARK))

    world.run(hours=30.0, until_redelivered=False)

    rented, plain = world.table.jobs.values()
    assert world.violations == []
    assert rented.failure
    assert plain.failure
    assert (rented.failure.code, plain.failure.code) == ("deadline_exceeded", "queue_timeout")
    late_seconds = [seconds_between(job.deadline_at, job.finished_at) for job in (rented, plain)]
    assert max(late_seconds) <= (OVERRUN + CLOSING_GRACE).total_seconds() + 3 * TICK_SECONDS
    assert world.account
    assert world.account.our_contracts() == []


def test_machine_is_not_rented_for_a_job_whose_message_comes_after_its_time_to_wait() -> None:
    world = World(vastai=SETTINGS)
    world.plan(0.0, lambda: world.queue.dead_lanes.add(Lane.MONEY))
    world.plan(1.0, lambda: world.submit(replace(rented_benchmark(), queue_timeout=timedelta(seconds=90))))

    def repeat_message() -> None:
        # Before the janitor looks.
        message = StepMessage(next(iter(world.table.jobs)), 1)
        world.queue.dead_lanes.clear()
        world.queue.allow_one_more(message)
        world.queue.deliver(message, Lane.MONEY)

    world.plan(100.0, repeat_message)

    world.run(hours=3.0)

    (job,) = world.table.jobs.values()
    assert world.violations == []
    assert job.failure
    assert (job.failure.code, job.started_at, job.cost_micro_usd) == ("queue_timeout", None, 0)
    assert world.account
    assert world.account.rental_store.rentals == {}


def seconds_between(earlier: datetime, later: datetime | None) -> float:
    assert later is not None
    return (later - earlier).total_seconds()
