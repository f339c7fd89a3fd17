"""Named to be collected late: the sweep recovers while the other tests run."""

import time
from collections.abc import Callable

from tests.e2e.client import RuneClient
from tests.e2e.environment import Losses
from tests.e2e.queues import Queues
from tests.e2e.sweeps import REQUESTS, report_of

RECOVERY_LIMIT_SECONDS = 260.0


def test_sweep_goes_on_with_every_point_measured_once_when_its_worker_is_killed_in_the_middle(
    rune: RuneClient, queues: Queues, losses: Losses, record_property: Callable[[str, object], None]
) -> None:
    lost = losses.sweep
    left_seconds = RECOVERY_LIMIT_SECONDS - (time.monotonic() - lost.killed_at)

    job = rune.wait_for_end(lost.job_id, limit_seconds=max(5.0, left_seconds))

    report, keys = report_of(rune, job)
    assert [(run.index, run.completed) for run in report.runs] == [
        (0, REQUESTS),
        (1, REQUESTS),
        (2, REQUESTS),
    ]
    assert len(set(keys)) == 3
    events = rune.get_events(lost.job_id)
    assert [event.labels["point"] for event in events if event.event == "benchmark.point"] == ["0", "1", "2"]
    assert "worker.lost" in [event.event for event in events]
    # What the dead worker asked of the second point is in nobody's numbers.
    asked = lost.read_chats()
    assert len([request for request in asked if request.outcome == "cancelled"]) >= 1
    assert len(asked) > 3 * REQUESTS
    assert queues.wrongly_dead() == []
    assert job.finished_at
    took_seconds = (job.finished_at - job.created_at).total_seconds()
    record_property(
        "figures", f"sweep killed in its second of three points: every point once, after {took_seconds:.1f} s"
    )
