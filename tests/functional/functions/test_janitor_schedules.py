"""Schedules that are due, through the janitor's handler."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.schedule_store import DynamoScheduleStore
from rune.errors import StoreUnavailableError
from rune.jobs.record import Kind
from rune.schedules.record import Schedule
from tests.builders import REQUEST, FakeClock, a_job, a_sample_event, after
from tests.functional.functions.asking import put_schedule, the_schedule_store
from tests.functional.functions.loading import loaded
from tests.functional.functions.test_janitor import Context, put, sent_to, what_was_done
from tests.parameters import Ssm
from tests.schedule_builders import KEY, a_schedule

if TYPE_CHECKING:
    from tests.cloud import Cloud

TICK = a_sample_event("schedule-tick")
PATH = "/rune/schedules/tenants"


@pytest.fixture(scope="module")
def janitor(shared_cloud: Cloud) -> Iterator[ModuleType]:
    environment = {**shared_cloud.environment, "RUNE_TENANTS_PATH": PATH}
    with loaded("janitor.handler", environment) as handler:
        yield handler


@pytest.fixture(autouse=True)
def _fresh_settings(clock: FakeClock) -> None:
    """Forget what was read of tenants in other tests."""
    Ssm()
    clock.advance(3600)


def stored(cloud: Cloud) -> Schedule:
    found = the_schedule_store(cloud).read(KEY)
    assert found is not None
    return found


def test_tick_posts_the_job_of_a_schedule(janitor: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule())

    assert janitor.handle(TICK, Context()) == what_was_done(fired=1)

    schedule = stored(cloud)
    (run,) = schedule.runs
    assert schedule.next_at == after(7200)
    job = cloud.store.read(run.job_id or "")
    assert job is not None
    assert (job.kind, job.tenant) == (Kind.BENCHMARK, "default")
    assert json.loads(cloud.store.read_request(job))["question"] == REQUEST["question"]
    assert sent_to(cloud, "inference") == [job.job_id]
    assert janitor.handle(TICK, Context()) == what_was_done()


def test_tick_puts_a_large_request_into_the_bucket(janitor: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule(), {**REQUEST, "question": "q" * 50_000})

    janitor.handle(TICK, Context())

    (run,) = stored(cloud).runs
    assert cloud.object_keys() == [f"requests/{run.job_id}.json"]


def test_tick_that_finds_nothing_due_makes_one_call_for_schedules(janitor: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule(due_at=after(3601), next_at=after(3601)))

    janitor.handle(TICK, Context())

    looked = [
        call.arguments["ExpressionAttributeValues"] for call in cloud.calls if call.operation == "Query"
    ]
    assert [values for values in looked if "schedule" in str(values)] == [
        {":bucket": {"S": "DUE#schedule#0"}, ":until": {"N": "1795438800000"}}
    ]
    assert set(cloud.operations) == {"Query"}


def test_tick_that_finds_nothing_due_loads_nothing_of_schedules(cloud: Cloud) -> None:
    script = (
        "import sys; from moto import mock_aws\n"
        "with mock_aws():\n"
        "    import janitor.handler as janitor\n"
        "    janitor.due_schedules.find_due = lambda *_: ()\n"
        "    before = set(sys.modules)\n"
        "    janitor._fire_schedules(lambda: True)\n"
        "    print(*set(sys.modules) - before)"
    )

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", script],
        env={**cloud.environment, "PYTHONPATH": "shared:functions:.", "AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == []


def test_tick_leaves_a_schedule_to_the_next_one_when_time_is_short(janitor: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule())

    assert janitor.handle(TICK, Context(remaining_ms=5_000))["left"] == 1
    assert stored(cloud) == a_schedule()


def test_job_of_a_suspended_tenant_is_refused(janitor: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    Ssm.write(f"{PATH}/default", {"suspended": True})
    clock.advance(30)
    put_schedule(cloud, a_schedule())

    assert janitor.handle(TICK, Context()) == what_was_done()

    assert [run.reason for run in stored(cloud).runs] == ["tenant_suspended"]


def test_tick_sends_late_turns_when_schedules_fail(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, a_job(due_at=after(-1), deadline_at=after(99_999)))
    put_schedule(cloud, a_schedule())

    def is_broken(*_: object) -> None:
        raise TypeError("unforeseen")

    monkeypatch.setattr(janitor, "_schedule_tick", is_broken)

    with pytest.raises(StoreUnavailableError, match="schedules"):
        janitor.handle(TICK, Context())
    assert sent_to(cloud, "inference") == [a_job().job_id]


def test_tick_fails_when_the_store_does_and_the_next_one_posts_no_second_job(
    janitor: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has posted the job when it meets the outage."""
    put_schedule(cloud, a_schedule())

    def is_down(*_: object, **__: object) -> None:
        raise StoreUnavailableError("Simulated outage.")

    with monkeypatch.context() as patch:
        patch.setattr(DynamoScheduleStore, "replace", is_down)
        with pytest.raises(StoreUnavailableError):
            janitor.handle(TICK, Context())
    posted = sent_to(cloud, "inference")
    done = janitor.handle(TICK, Context())

    assert done == what_was_done()
    assert [run.job_id for run in stored(cloud).runs] == posted
    assert sent_to(cloud, "inference") == []
