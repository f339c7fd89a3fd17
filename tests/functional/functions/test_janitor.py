from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from rune.errors import SettingsError, StoreUnavailableError
from rune.jobs.engine import NOT_UNDERSTOOD_METRIC
from rune.jobs.record import Job
from rune.jobs.store import Submission
from rune.logs import NAMESPACE
from tests.builders import (
    JOB_ID,
    a_claimed_job,
    a_job,
    a_sample_event,
    a_waiting_job,
    after,
    an_ended_job,
    an_event,
)
from tests.functional.functions.loading import loaded
from tests.template import load_template

if TYPE_CHECKING:
    from tests.cloud import Cloud

TICK = a_sample_event("schedule-tick")


@pytest.fixture(scope="module")
def janitor(shared_cloud: Cloud) -> Iterator[ModuleType]:
    with loaded("janitor.handler", shared_cloud.environment) as handler:
        yield handler


@dataclass(frozen=True)
class Context:
    """What Lambda tells of an invocation."""

    remaining_ms: int = 50_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def put(cloud: Cloud, *jobs: Job) -> None:
    for job in jobs:
        cloud.store.submit(Submission(job, "{}", an_event()))
    cloud.calls.clear()


def what_was_done(sent: int) -> dict[str, int]:
    """Return the answer of a deployment that has no account with a provider of GPUs."""
    return {"sent": sent, "destroyed": 0, "proven": 0}


def test_tick_sends_late_turns_into_their_lanes(janitor: ModuleType, cloud: Cloud) -> None:
    put(
        cloud,
        a_job(job_id="never-begun", due_at=after(-1)),
        a_waiting_job(job_id="waiting", due_at=after(-2)),
        a_claimed_job(job_id="worker-lost", due_at=after(-3)),
        a_job(job_id="on-its-way"),
        an_ended_job(job_id="ended"),
    )

    assert janitor.handle(TICK, Context()) == what_was_done(sent=3)

    sent = {
        lane: sorted(json.loads(body)["job_id"] for body in cloud.received(lane))
        for lane in ("money", "inference")
    }
    assert sent == {"money": ["never-begun", "worker-lost"], "inference": ["waiting"]}


def test_tick_takes_four_calls_for_a_late_turn(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(due_at=after(-1)))

    janitor.handle(TICK, Context())

    assert cloud.operations == ["Query", "BatchGetItem", "UpdateItem", "SendMessage"]
    job = cloud.store.read(JOB_ID)
    assert job
    assert (job.due_at, job.dispatches, job.seq) == (after(60), 1, 1)


def test_tick_takes_one_call_when_nothing_is_late(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(), an_ended_job(job_id="ended"))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=0)
    assert cloud.operations == ["Query"]


def test_second_tick_sends_nothing_when_the_first_has(janitor: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(due_at=after(-1)))

    assert [janitor.handle(TICK, Context()) for _ in range(2)] == [
        what_was_done(sent=1),
        what_was_done(sent=0),
    ]


@pytest.mark.parametrize(("remaining_ms", "sent"), [(5_001, 1), (5_000, 0)])
def test_tick_leaves_the_rest_to_the_next_when_time_is_short(
    remaining_ms: int, sent: int, janitor: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_job(due_at=after(-1)))

    assert janitor.handle(TICK, Context(remaining_ms)) == what_was_done(sent)


def test_tick_fails_so_that_the_alarm_sees_it_when_the_store_is_away(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(BaseClient, "_make_api_call", fail)

    with pytest.raises(StoreUnavailableError):
        janitor.handle(TICK, Context())


@dataclass(frozen=True)
class BrokenSweep:
    error: Exception

    async def sweep(self, _may_go_on: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [StoreUnavailableError("rentals"), TypeError("unexpected keyword argument")],
    ids=["store is away", "unforeseen"],
)
def test_tick_sends_late_turns_when_the_sweep_of_machines_fails(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    put(cloud, a_job(due_at=after(-1)))
    monkeypatch.setattr(janitor, "orphan_sweep", BrokenSweep(error))

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)


@pytest.mark.parametrize("missing", ["RUNE_TABLE", "RUNE_MONEY_QUEUE_URL", "RUNE_INFERENCE_QUEUE_URL"])
def test_start_is_refused_when_a_setting_is_missing(missing: str, cloud: Cloud) -> None:
    environment = {**cloud.environment, missing: ""}

    with pytest.raises(SettingsError, match=missing), loaded("janitor.handler", environment):
        pass


def test_tick_goes_on_when_a_row_is_not_understood(
    janitor: ModuleType, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    put(cloud, a_job(job_id="unknown", due_at=after(-9)), a_job(job_id="late", due_at=after(-1)))
    cloud.write_field("unknown", "step", "a_step_of_another_version")

    assert janitor.handle(TICK, Context()) == what_was_done(sent=1)

    (line,) = [record for record in caplog.records if record.msg == "row.unreadable"]
    assert (line.__dict__["job_id"], line.__dict__["metric"]) == ("unknown", "RowsNotUnderstood")


def test_tick_leaves_a_row_that_is_not_understood_alone_for_five_minutes(
    janitor: ModuleType, cloud: Cloud
) -> None:
    put(cloud, a_job(due_at=after(-1)))
    cloud.write_field(JOB_ID, "step", "a_step_of_another_version")
    before = cloud.row(JOB_ID)
    janitor.handle(TICK, Context())
    cloud.calls.clear()

    assert janitor.handle(TICK, Context()) == what_was_done(sent=0)

    assert cloud.operations == ["Query"]
    changed = {name for name, stored in cloud.row(JOB_ID).items() if stored != before[name]}
    assert changed == {"due_at", "version"}


def test_alarm_rings_when_a_row_is_not_understood() -> None:
    resources = load_template()["Resources"]

    counted = [each.get("Properties", {}) for each in resources.values()]
    ringing = [each for each in counted if each.get("MetricName") == NOT_UNDERSTOOD_METRIC]
    assert {each["Namespace"] for each in ringing} == {NAMESPACE}
    assert {dimension["Value"]["Ref"] for each in ringing for dimension in each["Dimensions"]} == {
        name
        for name, resource in resources.items()
        if resource.get("Properties", {}).get("Handler", "").startswith(("janitor.", "worker."))
    }
