"""A schedule on the deployed stack: the janitor's own minute posts its jobs, with the janitor's own permissions."""

from __future__ import annotations

import uuid
from typing import Any

from tests.e2e.client import RuneClient
from tests.e2e.model_server import ModelServer
from tests.e2e.waiting import wait_until

TWO_TICKS_SECONDS = 150.0
"""Up to a minute until it is due, and two ticks; this machine may have much else to do."""


def test_schedule_posts_a_job_within_two_ticks_and_none_once_it_is_deleted(
    rune: RuneClient, quick: ModelServer
) -> None:
    # Too long for a row, so the janitor writes it into the bucket.
    question = "Why? " * 2_000
    request = {"question": question, "model": "llama3.1:8b", "backend_url": quick.url}
    body = {"name": uuid.uuid4().hex, "cron": "* * * * *", "kind": "benchmark", "request": request}
    created = rune.http.post("/v1/schedules", json=body)
    assert created.status_code == 201, created.text
    path = created.headers["location"]

    def first_run() -> dict[str, Any] | None:
        runs: list[dict[str, Any]] = rune.http.get(path).json()["runs"]
        return runs[-1] if runs else None

    run = wait_until(first_run, "the schedule has posted a job", limit_seconds=TWO_TICKS_SECONDS)
    deleted = rune.http.delete(path)

    assert (run["due_at"], run["reason"]) == (created.json()["next_at"], None)
    assert rune.wait_for_end(run["job_id"]).status == "succeeded"
    assert (deleted.status_code, rune.http.get(path).status_code) == (204, 404)
