"""Named to be collected last: the job recovers while the other tests run."""

import time

from tests.e2e.client import RuneClient
from tests.e2e.environment import Losses
from tests.e2e.queues import Queues

RECOVERY_LIMIT_SECONDS = 240.0
"""From the kill: the lease, a tick, and the answer once more. Two ticks more where the message meets a dead
process, which the emulator learns only then."""


def test_job_succeeds_exactly_once_when_its_worker_is_killed_in_the_middle_of_the_answer(
    rune: RuneClient, queues: Queues, losses: Losses
) -> None:
    lost = losses.worker
    left_seconds = RECOVERY_LIMIT_SECONDS - (time.monotonic() - lost.killed_at)

    job = rune.wait_for_end(lost.job_id, limit_seconds=max(5.0, left_seconds))

    assert job.status == "succeeded"
    assert job.finished_at
    since_kill_seconds = time.monotonic() - lost.killed_at
    took_seconds = since_kill_seconds - (time.time() - job.finished_at.timestamp())
    # Shown by pytest -s; a figure to report, not to judge.
    print(f"\nkilled in its middle, the job ended {took_seconds:.1f} s later")  # noqa: T201
    assert took_seconds < RECOVERY_LIMIT_SECONDS
    events = rune.get_events(lost.job_id)
    assert [(event.event, event.error_type) for event in events] == [
        ("job.accepted", None),
        ("job.running", None),
        ("backend.list_models", None),
        ("worker.lost", "worker_lost"),
        ("benchmark.point", None),
        ("benchmark.measure", None),
        ("job.succeeded", None),
    ]
    assert events[3].labels == {"step": "measure", "lost": "1"}
    asked = lost.read_chats()
    assert [request.outcome for request in asked] == ["cancelled", "completed"]
    assert 0 < asked[0].chunk_count < asked[1].chunk_count
    assert queues.wrongly_dead() == []
