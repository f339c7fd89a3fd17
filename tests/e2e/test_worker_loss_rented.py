"""Named to be collected last: the jobs recover while the other tests run."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.client import RuneClient
from tests.e2e.environment import Losses
from tests.e2e.market import Market
from tests.e2e.rental_losses import HANGS

GONE_LIMIT_SECONDS = 180.0


@pytest.mark.parametrize("phase", HANGS)
def test_machine_is_gone_within_three_minutes_when_the_worker_is_killed(
    phase: str,
    rune: RuneClient,
    market: Market,
    losses: Losses,
    record_property: Callable[[str, object], None],
) -> None:
    (loss,) = [each for each in losses.rentals if each.phase == phase]
    left_seconds = GONE_LIMIT_SECONDS - (time.time() - loss.killed_at)

    market.wait_until_gone(loss.job_id, limit_seconds=max(1.0, left_seconds))

    (contract,) = market.contracts_of(loss.job_id)
    assert contract.destroyed_at
    gone_seconds = contract.destroyed_at - loss.killed_at
    assert gone_seconds < GONE_LIMIT_SECONDS
    job = rune.wait_for_end(loss.job_id)
    assert job.status == "succeeded", job.error
    assert job.cost_usd
    assert contract.total_usd <= job.cost_usd
    assert "worker.lost" in [event.event for event in rune.get_events(loss.job_id)]
    record_property("figures", f"worker killed in {phase}: its machine was gone after {gone_seconds:.1f} s")
