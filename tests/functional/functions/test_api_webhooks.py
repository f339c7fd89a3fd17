"""Webhooks as callers see them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from rune.aws.webhook_store import DynamoWebhookStore
from rune.events.notices import EndpointNotice
from rune.events.record import Subject, SubjectKind
from rune.services.job_callbacks import JobCallbacks
from rune.services.webhook_delivery import WebhookDelivery
from rune.services.webhook_queue import WebhookQueue, WebhookSink
from rune.webhooks.answers import AttemptError
from tests.builders import JOB_ID, FakeClock, a_job, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    OF_ACME,
    SERVER,
    Response,
    a_problem,
    a_refusal,
    ask,
    assert_problem,
    get,
    post,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm
from tests.webhook_builders import (
    MASTER_KEY,
    RETENTION,
    FixedKeys,
    RecordingNotices,
    ScriptedSender,
    a_public_event,
    shown_secret,
    verify,
)

if TYPE_CHECKING:
    from tests.cloud import Cloud

WEBHOOKS = "/v1/webhooks"
CALLBACK_SECRET = f"{WEBHOOKS}/callback-secret"
BENCHMARK: dict[str, object] = {"question": "q", "model": "m", **SERVER}
URL = "https://ci.example/rune?job=1"
KEY_NAME = "/rune/test/signing-key"
UNKNOWN = f"wh_{'0' * 32}"
NO_KEY = a_problem(
    409, "signing_key_missing", "This deployment has no key to sign with, so it cannot do that."
)


@pytest.fixture(scope="module")
def api(shared_cloud: Cloud) -> Iterator[ModuleType]:
    Ssm().write(KEY_NAME, MASTER_KEY)
    key = {"RUNE_SIGNING_KEY_PARAMETER": KEY_NAME, "RUNE_WEBHOOKS": "true"}
    with loaded("api.handler", {**shared_cloud.environment, **key}) as handler:
        yield handler


class World:
    """What stands behind the API: the publisher's sink, and a worker with scripted receivers."""

    def __init__(self, cloud: Cloud, clock: FakeClock) -> None:
        self.store = DynamoWebhookStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])
        self.notices = RecordingNotices()
        self.sender = ScriptedSender(clock)
        self.delivery = WebhookDelivery(self.store, self.sender, FixedKeys(), self.notices, clock, lambda: 0)
        queue = WebhookQueue(self.store, self.notices, clock, RETENTION)
        self.sink = WebhookSink(queue, lambda _event: self.callback_url)
        self.callback_url: str | None = None

    def deliver(self, webhook_id: str, *answers: int | AttemptError) -> int:
        self.sender.answers = [*answers]
        delivering = self.delivery.deliver(f"default/{webhook_id}", lambda: True)
        return asyncio.run(delivering, loop_factory=asyncio.new_event_loop)


@pytest.fixture
def world(cloud: Cloud, clock: FakeClock) -> World:
    return World(cloud, clock)


def create(api: ModuleType, **body: object) -> Response:
    return post(api, {"url": URL, **body}, path=WEBHOOKS)


def created(api: ModuleType, **body: object) -> str:
    response = create(api, **body)
    assert response.status == 201, response.document
    webhook_id: str = response.document["webhook_id"]
    return webhook_id


def patch(api: ModuleType, webhook_id: str, **body: object) -> Response:
    return ask(api, an_http_event("PATCH", f"{WEBHOOKS}/{webhook_id}", body))


def delete(api: ModuleType, webhook_id: str) -> Response:
    return ask(api, an_http_event("DELETE", f"{WEBHOOKS}/{webhook_id}"))


def deliveries(api: ModuleType, webhook_id: str, query: str = "") -> list[dict[str, Any]]:
    response = get(api, f"{WEBHOOKS}/{webhook_id}/deliveries{query}")
    assert response.status == 200
    found: list[dict[str, Any]] = response.document["deliveries"]
    return found


def not_found(webhook_id: str) -> dict[str, object]:
    return a_problem(404, "webhook_not_found", f"There is no webhook '{webhook_id}'.")


# ---------------------------------------------------------------- make, show, change, remove


def test_secret_is_shown_once(api: ModuleType, cloud: Cloud) -> None:
    made = create(api, events=["rune.job.*"], description="CI")

    shown = get(api, made.headers["location"])
    assert (made.status, shown.status) == (201, 200)
    assert made.document == {**shown.document, "secret": shown_secret(shown.document["webhook_id"])}
    assert shown.document == {
        "webhook_id": made.document["webhook_id"],
        "url": URL,
        "events": ["rune.job.*"],
        "description": "CI",
        "status": "enabled",
        "disabled_reason": None,
        "disabled_at": None,
        "created_at": "2026-11-23T12:00:00Z",
        "updated_at": "2026-11-23T12:00:00Z",
        "waiting_count": 0,
        "failing_since": None,
        "paused_until": None,
        "last_succeeded_at": None,
        "old_secret_valid_until": None,
    }
    assert get(api, WEBHOOKS).document == {"webhooks": [shown.document]}
    stored = json.dumps(cloud.rows())
    assert made.document["secret"].removeprefix("whsec_") not in stored
    assert MASTER_KEY not in stored


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            {"url": "https://10.0.0.1/"},
            a_refusal(
                "address_refused", "/url", "'10.0.0.1' is in a network to which RUNE does not connect."
            ),
        ),
        (
            {"url": "https://a:b@ci.example/"},
            a_refusal("address_refused", "/url", "The address may not hold a user name or a password."),
        ),
        (
            {"events": ["rune.job.succeeded", "rune.job.done"]},
            a_refusal("event_type_unknown", "/events/1", "No event is of the type 'rune.job.done'."),
        ),
    ],
)
def test_webhook_that_cannot_work_is_refused(
    body: dict[str, object], problem: dict[str, object], api: ModuleType, cloud: Cloud
) -> None:
    assert_problem(create(api, **body), problem)
    assert get(api, WEBHOOKS).document == {"webhooks": []}


def test_tenant_has_ten_webhooks_at_the_most(api: ModuleType, cloud: Cloud) -> None:
    first = created(api)
    for _ in range(9):
        created(api)
    sentence = "Your tenant has 10 webhooks already; remove one first."
    assert_problem(create(api), a_problem(409, "too_many_webhooks", sentence))

    assert delete(api, first).status == 204
    created(api)

    assert len(get(api, WEBHOOKS).document["webhooks"]) == 10


def test_removed_webhook_is_gone(api: ModuleType, cloud: Cloud, world: World) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event()])

    response = delete(api, webhook_id)

    assert (response.status, response.document) == (204, None)
    assert_problem(delete(api, webhook_id), not_found(webhook_id))
    assert_problem(get(api, f"{WEBHOOKS}/{webhook_id}"), not_found(webhook_id))
    assert world.deliver(webhook_id) == 0


@pytest.mark.parametrize("webhook_id", [UNKNOWN, "x", f"cb_{JOB_ID}"])
def test_unknown_webhook_is_not_found(webhook_id: str, api: ModuleType, cloud: Cloud) -> None:
    path = f"{WEBHOOKS}/{webhook_id}"
    answers = [
        get(api, path),
        patch(api, webhook_id, description="x"),
        delete(api, webhook_id),
        post(api, {}, path=f"{path}/rotate-secret"),
        post(api, None, path=f"{path}/test"),
        get(api, f"{path}/deliveries"),
        get(api, f"{path}/deliveries/evt_1"),
        post(api, {"event_id": "evt_1"}, path=f"{path}/redeliver"),
    ]

    for answer in answers:
        assert_problem(answer, not_found(webhook_id))


def test_webhook_of_another_tenant_is_not_found(api: ModuleType, cloud: Cloud) -> None:
    webhook_id = created(api)

    response = get(api, f"{WEBHOOKS}/{webhook_id}", OF_ACME, token=ACMES_TOKEN)

    assert_problem(response, not_found(webhook_id))
    assert get(api, WEBHOOKS, OF_ACME, token=ACMES_TOKEN).document == {"webhooks": []}


def test_what_is_left_out_of_a_change_stays(api: ModuleType, cloud: Cloud) -> None:
    webhook_id = created(api, description="CI", events=["rune.job.*"])
    before = get(api, f"{WEBHOOKS}/{webhook_id}").document

    response = patch(api, webhook_id, url="https://new.example/")

    assert response.document == {**before, "url": "https://new.example/"}
    assert patch(api, webhook_id, description="", events=["*"]).document == {
        **response.document,
        "description": None,
        "events": ["*"],
    }


def test_disabled_webhook_gets_nothing_until_it_is_enabled(
    api: ModuleType, cloud: Cloud, world: World
) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event(1)])
    assert patch(api, webhook_id, status="disabled").document["disabled_reason"] == "caller"
    world.sink.publish([a_public_event(2)])

    assert world.deliver(webhook_id) == 0
    refused = a_problem(409, "webhook_disabled", f"Webhook '{webhook_id}' is disabled: enable it first.")
    assert_problem(post(api, None, path=f"{WEBHOOKS}/{webhook_id}/test"), refused)
    since = {"since": "2026-11-23T00:00:00Z"}
    assert_problem(post(api, since, path=f"{WEBHOOKS}/{webhook_id}/redeliver"), refused)

    cloud.calls.clear()
    assert patch(api, webhook_id, status="enabled").document["disabled_reason"] is None
    assert cloud.received("notice") == [json.dumps({"endpoint": f"default/{webhook_id}"})]
    assert world.deliver(webhook_id) == 1, "what it had got before"


# ---------------------------------------------------------------- secrets


def test_both_secrets_sign_after_a_rotation(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock
) -> None:
    made = create(api).document
    webhook_id = made["webhook_id"]

    rotated = post(api, {"overlap_seconds": 3600}, path=f"{WEBHOOKS}/{webhook_id}/rotate-secret").document

    assert rotated["old_secret_valid_until"] == "2026-11-23T13:00:00Z"
    world.sink.publish([a_public_event()])
    world.deliver(webhook_id)
    for secret in (made["secret"], rotated["secret"]):
        assert verify(world.sender.posts[0], secret)
    shown = get(api, f"{WEBHOOKS}/{webhook_id}").document
    assert shown["old_secret_valid_until"] == rotated["old_secret_valid_until"]
    assert "secret" not in shown
    clock.advance(3600)
    assert get(api, f"{WEBHOOKS}/{webhook_id}").document["old_secret_valid_until"] is None


def test_rotation_without_a_body_takes_the_default_overlap(api: ModuleType, cloud: Cloud) -> None:
    webhook_id = created(api)
    get(api, CALLBACK_SECRET)

    for path in (f"{WEBHOOKS}/{webhook_id}", CALLBACK_SECRET):
        rotated = post(api, None, path=f"{path}/rotate-secret")
        assert (rotated.status, rotated.document["old_secret_valid_until"]) == (200, "2026-11-24T12:00:00Z")


def test_secret_of_callbacks_is_shown_and_rotated(api: ModuleType, cloud: Cloud, world: World) -> None:
    world.callback_url = "https://ci.example/done"
    world.sink.publish([a_public_event()])
    callback_id = f"cb_{JOB_ID}"
    assert world.deliver(callback_id, 500) == 1
    (post_,) = world.sender.posts

    secret = get(api, CALLBACK_SECRET).document
    rotated = post(api, {"overlap_seconds": 0}, path=f"{CALLBACK_SECRET}/rotate-secret").document

    assert post_.url == "https://ci.example/done"
    assert verify(post_, secret["secret"])
    assert rotated["secret"] != secret["secret"] == shown_secret("callback:default")
    assert (secret["old_secret_valid_until"], rotated["old_secret_valid_until"]) == (None, None)
    assert get(api, CALLBACK_SECRET).document == rotated
    assert get(api, CALLBACK_SECRET, OF_ACME, token=ACMES_TOKEN).document != rotated
    (delivery,) = deliveries(api, callback_id)
    assert [attempt["status"] for attempt in delivery["attempts"]] == [500]


# ---------------------------------------------------------------- deliveries


def test_test_event_comes_once_whatever_the_filters(api: ModuleType, cloud: Cloud, world: World) -> None:
    webhook_id = created(api, events=["rune.job.failed"])

    sent = post(api, None, path=f"{WEBHOOKS}/{webhook_id}/test")

    assert (sent.status, sent.document) == (202, {"event_id": f"evt_webhook_{webhook_id}_1"})
    assert world.deliver(webhook_id, AttemptError.TIMEOUT) == 1
    body = json.loads(world.sender.posts[0].body)
    assert (body["type"], body["data"]) == ("rune.ping", {"webhook_id": webhook_id})
    (delivery,) = deliveries(api, webhook_id)
    assert (delivery["type"], delivery["state"], delivery["attempts"][0]["error"]) == (
        "rune.ping",
        "failed",
        "timeout",
    )
    again = post(api, None, path=f"{WEBHOOKS}/{webhook_id}/test")
    assert again.document == {"event_id": f"evt_webhook_{webhook_id}_2"}


def test_deliveries_tell_of_each_attempt(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock
) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event(1), a_public_event(2, "rune.job.running")])
    world.deliver(webhook_id, 500, 204)
    clock.advance(5)
    world.deliver(webhook_id, 200)

    newest, oldest = deliveries(api, webhook_id)
    assert newest["type"] == "rune.job.running"
    assert oldest == {
        "event_id": f"evt_job_{JOB_ID}_1",
        "type": "rune.job.accepted",
        "state": "succeeded",
        "created_at": "2026-11-23T12:00:00Z",
        "next_attempt_at": None,
        "attempts": [
            {"number": 1, "at": "2026-11-23T12:00:00Z", "duration_ms": 42, "status": 500, "error": "status"},
            {"number": 2, "at": "2026-11-23T12:00:05Z", "duration_ms": 42, "status": 200, "error": None},
        ],
        "response": "thanks",
    }
    one = get(api, f"{WEBHOOKS}/{webhook_id}/deliveries/{oldest['event_id']}").document
    assert one == {**oldest, "body": json.loads(world.sender.posts[0].body)}
    assert_problem(
        get(api, f"{WEBHOOKS}/{webhook_id}/deliveries/evt_9"),
        a_problem(404, "delivery_not_found", "There is no delivery of 'evt_9'."),
    )


def test_deliveries_come_in_pages(api: ModuleType, cloud: Cloud, world: World) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event(number) for number in range(1, 6)])
    world.deliver(webhook_id, 500)

    path = f"{WEBHOOKS}/{webhook_id}/deliveries"
    first = get(api, f"{path}?limit=3").document
    second = get(api, f"{path}?limit=3&cursor={first['next_cursor']}").document

    ids = [each["event_id"] for each in (*first["deliveries"], *second["deliveries"])]
    assert ids == [f"evt_job_{JOB_ID}_{number}" for number in (5, 4, 3, 2, 1)]
    assert second["next_cursor"] is None
    (retrying,) = deliveries(api, webhook_id, "?state=retrying")
    assert retrying["next_attempt_at"] == "2026-11-23T12:00:05Z"


def test_one_event_is_delivered_again_under_its_id(api: ModuleType, cloud: Cloud, world: World) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event()])
    world.deliver(webhook_id)
    (delivery,) = deliveries(api, webhook_id)
    cloud.received("notice")

    response = post(api, {"event_id": delivery["event_id"]}, path=f"{WEBHOOKS}/{webhook_id}/redeliver")

    assert (response.status, response.document) == (
        202,
        {"redelivered_count": 1, "continue_since": None},
    )
    assert cloud.received("notice") == [json.dumps({"endpoint": f"default/{webhook_id}"})]
    assert get(api, f"{WEBHOOKS}/{webhook_id}").document["waiting_count"] == 1
    assert world.deliver(webhook_id) == 1
    first, second = world.sender.posts
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert [each["number"] for each in deliveries(api, webhook_id)[0]["attempts"]] == [1, 2]


def test_all_that_failed_since_a_time_is_delivered_again(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock
) -> None:
    webhook_id = created(api)
    for number in range(1, 9):
        world.sink.publish([a_public_event(number)])
        # A number is tried once, as a 410 is final; the webhook is enabled again for the next.
        world.deliver(webhook_id, 200 if number % 3 == 0 else 410)
        patch(api, webhook_id, status="enabled")
        clock.advance(60)

    since = {"since": "2026-11-23T12:03:00Z"}
    response = post(api, since, path=f"{WEBHOOKS}/{webhook_id}/redeliver")

    assert response.document == {"redelivered_count": 4, "continue_since": None}
    retrying = deliveries(api, webhook_id, "?state=retrying")
    assert [each["event_id"].rpartition("_")[2] for each in retrying] == ["8", "7", "5", "4"]
    world.sender.posts.clear()
    assert world.deliver(webhook_id) == 4
    assert get(api, f"{WEBHOOKS}/{webhook_id}").document["waiting_count"] == 0


def test_redelivery_goes_on_where_one_call_ends(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rune.services.webhook_log.MOST_AT_ONCE", 2)
    webhook_id = created(api)
    for number in range(1, 6):
        world.sink.publish([a_public_event(number)])
        world.deliver(webhook_id, 410)
        patch(api, webhook_id, status="enabled")
        clock.advance(60)

    counts, since = [], "2026-11-23T12:00:00Z"
    while since:
        response = post(api, {"since": since}, path=f"{WEBHOOKS}/{webhook_id}/redeliver").document
        counts.append(response["redelivered_count"])
        since = response["continue_since"]

    assert counts == [2, 2, 1]
    assert len(deliveries(api, webhook_id, "?state=retrying")) == 5


@pytest.mark.parametrize("body", [{}, {"event_id": "e", "since": "2026-11-23T12:00:00Z"}])
def test_redelivery_is_of_one_or_since(body: dict[str, object], api: ModuleType, cloud: Cloud) -> None:
    response = post(api, body, path=f"{WEBHOOKS}/{UNKNOWN}/redeliver")

    assert (response.status, response.document["detail"]) == (422, "The body: Give event_id or since.")


# ---------------------------------------------------------------- failing receivers


def test_receiver_that_is_gone_disables_its_webhook_and_the_others_are_told(
    api: ModuleType, cloud: Cloud, world: World
) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event()])

    world.deliver(webhook_id, 410)

    shown = get(api, f"{WEBHOOKS}/{webhook_id}").document
    assert (shown["status"], shown["disabled_reason"], shown["disabled_at"]) == (
        "disabled",
        "gone",
        "2026-11-23T12:00:00Z",
    )
    events = [row for row in cloud.rows() if row["pk"]["S"] == f"LOG#webhook:{webhook_id}"]
    assert [row["sk"]["S"] for row in events] == ["EVENT#00000001", "OUTBOX"]


def test_receiver_that_fails_is_left_alone_and_says_until_when(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock
) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event(1), a_public_event(2)])

    assert world.deliver(webhook_id, AttemptError.UNREACHABLE) == 1

    shown = get(api, f"{WEBHOOKS}/{webhook_id}").document
    assert (shown["paused_until"], shown["failing_since"], shown["waiting_count"]) == (
        "2026-11-23T12:00:05Z",
        "2026-11-23T12:00:00Z",
        2,
    )
    assert world.deliver(webhook_id) == 0
    assert world.notices.sent[-1] == (EndpointNotice(f"default/{webhook_id}"), 5)
    clock.advance(timedelta(seconds=5).total_seconds())
    assert world.deliver(webhook_id) == 2


def test_test_event_does_not_wait_for_a_receiver_that_is_left_alone(
    api: ModuleType, cloud: Cloud, world: World
) -> None:
    webhook_id = created(api)
    world.sink.publish([a_public_event()])
    world.deliver(webhook_id, AttemptError.UNREACHABLE)

    post(api, None, path=f"{WEBHOOKS}/{webhook_id}/test")

    assert world.deliver(webhook_id) == 1
    assert json.loads(world.sender.posts[-1].body)["type"] == "rune.ping"


# ---------------------------------------------------------------- one job


def test_end_of_a_job_is_posted_to_its_callback(
    api: ModuleType, cloud: Cloud, world: World, clock: FakeClock
) -> None:
    accepted = post(api, {**BENCHMARK, "callback_url": "https://ci.example:443/done?key=1"})
    assert accepted.status == 202, accepted.document
    job_id = accepted.document["job_id"]
    ask(api, an_http_event("DELETE", f"/v1/jobs/{job_id}"))
    find = JobCallbacks(cloud.store).find
    sink = WebhookSink(WebhookQueue(world.store, world.notices, clock, RETENTION), find)
    subject = Subject(SubjectKind.JOB, job_id)

    sink.publish([a_public_event(1, subject=subject)])
    assert world.notices.sent == [], "only of its end"
    sink.publish([a_public_event(2, "rune.job.cancelled", subject=subject)])

    assert world.deliver(f"cb_{job_id}") == 1
    assert world.sender.posts[0].url == "https://ci.example/done?key=1"
    secret = get(api, CALLBACK_SECRET).document["secret"]
    assert verify(world.sender.posts[0], secret)
    assert "callback_url" not in str(cloud.store.read_request(a_job(job_id=job_id)))
    again = post(api, {"event_id": f"evt_job_{job_id}_2"}, path=f"{WEBHOOKS}/cb_{job_id}/redeliver")
    assert again.document["redelivered_count"] == 1
    assert world.deliver(f"cb_{job_id}") == 1


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://169.254.169.254/", "'169.254.169.254' is in a network to which RUNE does not connect."),
        ("http://8.8.8.8/", "'8.8.8.8' is in a network to which RUNE does not connect."),
    ],
)
def test_callback_to_where_rune_does_not_post_is_refused(
    url: str, sentence: str, api: ModuleType, cloud: Cloud
) -> None:
    response = post(api, {**BENCHMARK, "callback_url": url})

    assert_problem(response, a_refusal("address_refused", "/callback_url", sentence))
    assert cloud.received("inference") == []


def test_another_callback_is_another_request(api: ModuleType, cloud: Cloud) -> None:
    key = {"idempotency-key": "k"}
    first = post(api, {**BENCHMARK, "callback_url": "https://a.example/"}, key)

    assert post(api, {**BENCHMARK, "callback_url": "https://A.example"}, key).document == first.document
    other = post(api, {**BENCHMARK, "callback_url": "https://b.example/"}, key)
    assert (other.status, other.document["code"]) == (422, "idempotency_key_reused")


# ---------------------------------------------------------------- without a key


def test_deployment_without_a_key_says_so(cloud: Cloud) -> None:
    with loaded("api.handler", cloud.environment) as without_key:
        assert_problem(create(without_key), NO_KEY)
        assert_problem(get(without_key, CALLBACK_SECRET), NO_KEY)
        assert_problem(post(without_key, {}, path=f"{CALLBACK_SECRET}/rotate-secret"), NO_KEY)
        assert get(without_key, WEBHOOKS).document == {"webhooks": []}
        sentence = "This deployment has no key to sign with, so it cannot do that."
        refused = post(without_key, {**BENCHMARK, "callback_url": "https://ci.example/"})
        assert_problem(refused, a_refusal("signing_key_missing", "/callback_url", sentence))
