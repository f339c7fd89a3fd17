"""Schedules as callers see them; `test_api_credentials.py` holds the same routes closed to others."""

from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.schedule_store import DynamoScheduleStore
from rune.errors import SigningKeyMissingError, StoreUnavailableError
from rune.jobs.record import Kind, Status
from rune.schedules.record import Overlap, PauseReason, Run, RunOutcome
from rune.schedules.store import Stale
from rune.services.schedules import MOST_SCHEDULES
from tests.builders import JOB_ID, NOW, REQUEST, FakeClock, a_job, after, an_ended_job, an_http_event
from tests.functional.functions.asking import (
    Response,
    a_problem,
    a_refusal,
    a_wrong_field,
    ask,
    assert_problem,
    get,
    post,
    put,
    put_schedule,
    the_schedule_store,
)
from tests.schedule_builders import A_SCHEDULE, KEY, SCHEDULE_ID, a_paused_schedule, a_run, a_schedule

if TYPE_CHECKING:
    from tests.cloud import Cloud

SCHEDULES = "/v1/schedules"
SCHEDULE = f"{SCHEDULES}/{SCHEDULE_ID}"
NIGHTLY = {**A_SCHEDULE, "rate": None, "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


def create(api: ModuleType, **members: object) -> Response:
    return post(api, {**A_SCHEDULE, **members}, path=SCHEDULES)


def change(api: ModuleType, **members: object) -> Response:
    return ask(api, an_http_event("PATCH", SCHEDULE, members))


def act(api: ModuleType, verb: str, headers: dict[str, str] | None = None) -> Response:
    return post(api, None, {"content-length": "0", **(headers or {})}, f"{SCHEDULE}/{verb}")


# ---------------------------------------------------------------- create


def test_schedule_is_made_and_shown_with_its_next_five_times(api: ModuleType, cloud: Cloud) -> None:
    response = post(api, NIGHTLY, path=SCHEDULES)

    schedule_id = response.document["schedule_id"]
    assert (response.status, response.headers["location"]) == (201, f"{SCHEDULES}/{schedule_id}")
    times = [f"2026-11-{day}T01:30:00Z" for day in range(24, 29)]
    assert response.document == {
        "schedule_id": schedule_id,
        "name": "nightly",
        "kind": "benchmark",
        "state": "active",
        "paused_reason": None,
        "cron": "30 2 * * *",
        "rate": None,
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "ends_at": None,
        "next_at": times[0],
        "created_at": "2026-11-23T12:00:00Z",
        "updated_at": "2026-11-23T12:00:00Z",
        "next_times": times,
        "runs": [],
        "request": REQUEST,
    }
    assert get(api, f"{SCHEDULES}/{schedule_id}").document == response.document


def test_all_that_may_be_said_of_a_schedule_is_kept(api: ModuleType, cloud: Cloud) -> None:
    said = {"overlap": "cancel_running", "ends_at": "2026-12-01T01:00:00.123456+01:00", "paused": True}

    document = create(api, cron="cron(0 9 ? * 2-6 *)", rate=None, **said).document

    kept = {name: document[name] for name in ("cron", "overlap", "ends_at", "state", "paused_reason")}
    assert kept == {
        "cron": "0 9 * * 1-5",
        "overlap": "cancel_running",
        "ends_at": "2026-12-01T00:00:00.123000Z",
        "state": "paused",
        "paused_reason": "asked",
    }
    assert document["next_at"] is None
    assert len(document["next_times"]) == 5


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"cron": "0 9 * * *"}, a_wrong_field("", "Give either cron or rate.")),
        ({"rate": None}, a_wrong_field("", "Give either cron or rate.")),
        ({"ends_at": 1}, a_wrong_field("/ends_at", "An instant is text, such as 2027-01-31T12:00:00Z.")),
        (
            {"rate": None, "cron": "0 0 30 2 *"},
            a_refusal("cron_never", "/cron", "There is no such date, so the schedule would never be due."),
        ),
        (
            {"timezone": "Berlin"},
            a_refusal(
                "timezone_unknown",
                "/timezone",
                "timezone must be a name of the IANA database, such as Europe/Berlin or UTC.",
            ),
        ),
        (
            {"ends_at": "2026-11-23T12:59:59Z"},
            a_refusal(
                "schedule_never_due",
                "/ends_at",
                "The schedule would never be due: nothing is due before ends_at.",
            ),
        ),
        ({"request": {"question": "q"}}, a_wrong_field("/request/model", "This field is needed.")),
        (
            {"request": {**REQUEST, "modell": 1}},
            a_wrong_field("/request/modell", "There is no such field. Did you mean 'model'?"),
        ),
        (
            {"request": {**REQUEST, "max_runtime_seconds": 3601}},
            a_refusal(
                "time_too_long",
                "/request/max_runtime_seconds",
                "max_runtime_seconds may be at most 3600 here.",
            ),
        ),
        (
            {"request": {**REQUEST, "callback_url": "https://hooks.example/rune"}},
            a_refusal("signing_key_missing", "/request/callback_url", SigningKeyMissingError().sentence),
        ),
        (
            {"request": {**REQUEST, "backend_url": "http://10.0.0.1"}},
            a_refusal(
                "address_refused",
                "/request/backend_url",
                "'10.0.0.1' is in a network to which RUNE does not connect.",
            ),
        ),
        (
            {"request": {**REQUEST, "question": "q" * 100_000}},
            a_refusal(
                "schedule_request_too_large",
                "/request",
                "The request of a schedule has at most 100,000 bytes.",
            ),
        ),
    ],
)
def test_schedule_is_refused_at_the_door(
    members: dict[str, object], problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(create(api, **members), problem)
    assert cloud.rows() == []


@pytest.mark.parametrize("name", ["", " a", "a" * 65, "a/b", "a\n", "ä"])
def test_name_is_one_that_people_can_write(name: str, api: ModuleType) -> None:
    response = create(api, name=name)

    assert (response.status, response.document["errors"][0]["pointer"]) == (422, "/name")


def test_name_is_taken_once(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule())

    refused = create(api)

    sentence = "Your tenant has a schedule 'nightly' already."
    assert_problem(refused, a_problem(409, "schedule_name_taken", sentence))
    assert_problem(change_of_another(api, cloud), a_problem(409, "schedule_name_taken", sentence))


def change_of_another(api: ModuleType, cloud: Cloud) -> Response:
    put_schedule(cloud, a_schedule(schedule_id="a" * 32, name="other"))
    return ask(api, an_http_event("PATCH", f"{SCHEDULES}/{'a' * 32}", {"name": "nightly"}))


def test_tenant_has_fifty_at_most(api: ModuleType, cloud: Cloud) -> None:
    for number in range(MOST_SCHEDULES):
        put_schedule(cloud, a_schedule(schedule_id=f"{number:032x}", name=f"s{number}"))

    sentence = "Your tenant has 50 schedules already; delete one that is no longer needed."
    assert_problem(create(api), a_problem(409, "too_many_schedules", sentence))
    assert ask(api, an_http_event("DELETE", f"{SCHEDULES}/{1:032x}", None)).status == 204
    assert create(api).status == 201
    assert len(get(api, SCHEDULES).document["schedules"]) == MOST_SCHEDULES


# ---------------------------------------------------------------- show


def test_runs_are_shown_with_what_became_of_their_jobs(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(), an_ended_job(Status.FAILED, job_id="0" * 32))
    runs = (
        a_run(after(1), job_id="gone"),
        a_run(after(2), job_id="known", outcome=RunOutcome.CANCELLED),
        a_run(after(3), job_id="0" * 32),
        Run(after(4), after(4), reason="overlap"),
        Run(after(5), after(5), reason="tenant_suspended"),
        a_run(after(6), job_id=JOB_ID, is_manual=True),
    )
    put_schedule(cloud, a_schedule(runs=runs))

    shown = get(api, SCHEDULE).document["runs"]

    assert [(run["status"], run["reason"], run["manual"]) for run in shown] == [
        ("queued", None, True),
        ("refused", "tenant_suspended", False),
        ("skipped", "overlap", False),
        ("failed", None, False),
        ("cancelled", None, False),
        ("unknown", None, False),
    ]
    assert shown[0] == {
        "due_at": "2026-11-23T12:00:06Z",
        "decided_at": "2026-11-23T12:00:06Z",
        "status": "queued",
        "reason": None,
        "job_id": JOB_ID,
        "job_url": f"/v1/jobs/{JOB_ID}",
        "manual": True,
    }


def test_schedules_are_listed_by_name_without_those_of_others(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule(schedule_id="a" * 32, name="zz"))
    put_schedule(cloud, a_paused_schedule(name="aa", paused_because=PauseReason.FAILURES))
    put_schedule(cloud, a_schedule(schedule_id="b" * 32, tenant="acme"))

    listed = get(api, SCHEDULES).document["schedules"]

    assert [(line["name"], line["state"], line["paused_reason"]) for line in listed] == [
        ("aa", "paused", "failures"),
        ("zz", "active", None),
    ]


@pytest.mark.parametrize("schedule_id", ["0" * 32, "x", "a" * 2000, f"{SCHEDULE_ID}%23"])
def test_unknown_schedule_is_not_found(schedule_id: str, api: ModuleType, cloud: Cloud) -> None:
    response = get(api, f"{SCHEDULES}/{schedule_id}")

    assert (response.status, response.document["code"]) == (404, "schedule_not_found")
    assert len(response.document["detail"]) < 100


# ---------------------------------------------------------------- change


def test_change_leaves_what_it_does_not_name(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule(ends_at=after(9999), failures=3))

    assert change(api, name="other", overlap="allow", request={**REQUEST, "question": "Now?"}).status == 200

    changed = the_schedule_store(cloud).read(KEY)
    expected = a_schedule(ends_at=after(9999), name="other", overlap=Overlap.ALLOW, failures=0, version=2)
    assert changed == expected
    request = json.loads(the_schedule_store(cloud).read_request(expected))
    assert request == {**REQUEST, "question": "Now?"}


def test_other_rule_and_end_hold_from_now_on(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    put_schedule(cloud, a_schedule(ends_at=after(9999)))
    clock.advance(60)

    response = change(api, cron="0 9 * * *", timezone="Australia/Lord_Howe", ends_at=None)

    document = response.document
    assert (document["rate"], document["cron"], document["ends_at"]) == (None, "0 9 * * *", None)
    assert document["next_at"] == "2026-11-23T22:00:00Z"


@pytest.mark.parametrize(
    "members",
    [
        {"cron": "0 9 * * *", "rate": "1 hour"},
        {"cron": "x"},
        {"timezone": "x"},
        {"ends_at": "2026-11-23T12:00:00Z"},
        {"request": {}},
        {"kind": "llm-instance"},
        {"paused": True},
    ],
)
def test_change_is_refused_and_changes_nothing(
    members: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    put_schedule(cloud, a_schedule())

    assert change(api, **members).status == 422
    assert the_schedule_store(cloud).read(KEY) == a_schedule()


def test_change_is_decided_again_when_the_tick_wrote_first(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_schedule(cloud, a_schedule())
    replace_for_real, fired = DynamoScheduleStore.replace, a_run(after(3600))

    def overtaken(store: DynamoScheduleStore, *arguments: Any, **named: Any) -> object:  # noqa: ANN401
        monkeypatch.setattr(DynamoScheduleStore, "replace", replace_for_real)
        moved = replace(a_schedule(), runs=(fired,), next_at=after(7200), due_at=after(7200))
        store.replace(a_schedule(), moved, now=NOW)
        return store.replace(*arguments, **named)

    monkeypatch.setattr(DynamoScheduleStore, "replace", overtaken)

    assert change(api, name="other").document["next_at"] == "2026-11-23T14:00:00Z"
    changed = the_schedule_store(cloud).read(KEY)
    assert changed is not None
    assert (changed.name, changed.runs) == ("other", (fired,))


def test_schedule_that_changes_all_the_time_is_told_so(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_schedule(cloud, a_schedule())
    monkeypatch.setattr(DynamoScheduleStore, "replace", lambda *_, **__: Stale())

    assert change(api, name="other").status == 503


# ---------------------------------------------------------------- pause, resume, delete


def test_pause_and_resume(api: ModuleType, cloud: Cloud, clock: FakeClock) -> None:
    put_schedule(cloud, a_schedule())

    paused = [act(api, "pause").document for _ in range(2)]
    clock.advance(3 * 3600 + 1)
    resumed = [act(api, "resume").document for _ in range(2)]

    assert paused[0] == paused[1]
    assert (paused[0]["state"], paused[0]["paused_reason"], paused[0]["next_at"]) == ("paused", "asked", None)
    # Those it would have.
    assert paused[0]["next_times"][0] == "2026-11-23T13:00:00Z"
    assert resumed[0] == resumed[1]
    # What was due meanwhile is not made up for.
    assert (resumed[0]["state"], resumed[0]["next_at"]) == ("active", "2026-11-23T16:00:00Z")


def test_deleted_schedule_is_gone(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule())

    deleted = ask(api, an_http_event("DELETE", SCHEDULE, None))

    assert (deleted.status, deleted.document) == (204, None)
    again = ask(api, an_http_event("DELETE", SCHEDULE, None))
    assert [again.status, get(api, SCHEDULE).status, act(api, "run").status] == [404, 404, 404]
    assert get(api, SCHEDULES).document == {"schedules": []}
    assert create(api).status == 201


# ---------------------------------------------------------------- run


def test_run_posts_a_job_once_for_each_key(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_paused_schedule())

    first, again, other, without = (
        act(api, "run", headers)
        for headers in ({"idempotency-key": "k"}, {"idempotency-key": "k"}, {"idempotency-key": "l"}, None)
    )

    job_ids = [response.document["job_id"] for response in (first, other, without)]
    assert (first.status, first.headers["location"]) == (202, f"/v1/jobs/{job_ids[0]}")
    assert again.document == first.document
    assert again.headers["idempotency-replayed"] == "true"
    assert len(set(job_ids)) == 3
    jobs = [cloud.store.read(job_id) for job_id in job_ids]
    assert [job.kind for job in jobs if job] == [Kind.BENCHMARK] * 3
    assert [run["job_id"] for run in get(api, SCHEDULE).document["runs"]] == job_ids[::-1]


def test_run_under_the_same_key_is_the_same_job_when_the_request_was_changed(
    api: ModuleType, cloud: Cloud
) -> None:
    put_schedule(cloud, a_schedule())
    first = act(api, "run", {"idempotency-key": "k"})
    change(api, request={**REQUEST, "question": "Now?"})

    assert act(api, "run", {"idempotency-key": "k"}).document == first.document


def test_key_of_a_run_is_another_than_that_of_a_job(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule())

    ran = act(api, "run", {"idempotency-key": "k"})
    posted = post(api, REQUEST, {"idempotency-key": "k"})

    assert ran.document["job_id"] != posted.document["job_id"]


def test_run_is_refused_as_the_request_itself_would_be(api: ModuleType, cloud: Cloud) -> None:
    put_schedule(cloud, a_schedule(), {**REQUEST, "backend_credential": "gone"})

    refused = act(api, "run")

    assert (refused.status, refused.document["code"]) == (422, "credential_unknown")
    assert get(api, SCHEDULE).document["runs"] == []


def test_run_is_accepted_although_it_cannot_be_noted(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller without a key who got an error would post a second job."""
    put_schedule(cloud, a_schedule())

    def is_down(*_: object, **__: object) -> None:
        raise StoreUnavailableError("Simulated outage.")

    monkeypatch.setattr(DynamoScheduleStore, "replace", is_down)

    assert act(api, "run").status == 202
