"""Workers that die while a machine is being ordered, booted, or given back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.client import RuneClient
from tests.e2e.market import Market
from tests.e2e.waiting import wait_until

REQUEST: Mapping[str, object] = {
    "vastai": True,
    "min_dph": 2.3,
    "question": "Who gives the machine back?",
    "model": "llama3.1:8b",
}

# The worker is met within a call that never answers; of an order, the effect has happened by then.
HANGS: Mapping[str, Mapping[str, object]] = {
    "create": {"kind": "hang", "endpoint": "create", "after_effect": True},
    "boot": {"kind": "hang", "endpoint": "list"},
    "release": {"kind": "hang", "endpoint": "destroy"},
}


@dataclass(frozen=True, slots=True)
class RentalLoss:
    """A job whose worker is dead.

    Attributes
    ----------
    killed_at
        Epoch seconds.
    """

    phase: str
    job_id: str
    killed_at: float


def lose_workers(rune: RuneClient, market: Market, find_workers: Callable[[], list[int]]) -> list[RentalLoss]:
    """Kill -9 every process of the money lane in each phase of a rental, one job each.

    Nothing else may run in that lane.
    """
    losses = _kill_in(("create", "boot"), rune, market, find_workers)
    # A message that is handed to a dying process stays hidden; the next job's shall not be one of them.
    time.sleep(3.0)
    return [*losses, *_kill_in(("release",), rune, market, find_workers)]


def _kill_in(
    phases: Sequence[str], rune: RuneClient, market: Market, find_workers: Callable[[], list[int]]
) -> list[RentalLoss]:
    job_ids = {phase: _hang_in(phase, rune, market) for phase in phases}
    time.sleep(0.2)  # until the request has not only come but hangs
    for worker in find_workers():
        os.kill(worker, signal.SIGKILL)
    killed_at = time.time()
    return [RentalLoss(phase, job_id, killed_at) for phase, job_id in job_ids.items()]


def _hang_in(phase: str, rune: RuneClient, market: Market) -> str:
    """Return a job whose worker hangs in a phase."""
    market.add_faults(HANGS[phase])
    job_id = rune.post_benchmark(REQUEST)
    wait_until(lambda: not market.pending_faults(), f"a worker hangs in {phase}", limit_seconds=100.0)
    return job_id
