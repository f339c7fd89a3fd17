"""Webhooks through the deployed stack: made over HTTP, posted by the notifier, verified by the official library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from local.stack import Stack
from tests.e2e.client import RuneClient
from tests.e2e.model_server import ModelServer
from tests.e2e.waiting import wait_until
from tests.webhook_builders import Post
from tests.webhook_receiver import Receiver, running_receiver

LIMIT_SECONDS = 90.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _no_webhook_is_left(hooked: RuneClient) -> Iterator[None]:
    yield
    for webhook in hooked.http.get("/v1/webhooks").json()["webhooks"]:
        assert hooked.http.delete(f"/v1/webhooks/{webhook['webhook_id']}").status_code == 204


def make_webhook(hooked: RuneClient, url: str, *events: str) -> dict[str, Any]:
    response = hooked.http.post("/v1/webhooks", json={"url": url, "events": [*events] or ["*"]})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def post_benchmark(hooked: RuneClient, quick: ModelServer, **more: object) -> str:
    body = {"question": "Why?", "model": "llama3.1:8b", "backend_url": quick.url, **more}
    return hooked.post_benchmark(body)


def verified(post: Post, secret: str) -> dict[str, Any]:
    """Return the event that a receiver believes."""
    event: dict[str, Any] = Webhook(secret).verify(post.body, dict(post.headers))
    assert event["metadata"]["event_id"] == post.webhook_id
    return event


def deliveries(hooked: RuneClient, webhook_id: str) -> list[dict[str, Any]]:
    response = hooked.http.get(f"/v1/webhooks/{webhook_id}/deliveries")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["deliveries"]
    return found


def test_whole_job_is_told_in_order_signed_and_again_after_a_failure(
    hooked: RuneClient, quick: ModelServer, receiver: Receiver
) -> None:
    receiver.answer = lambda number: 500 if number == 1 else 204
    webhook = make_webhook(hooked, f"{receiver.url}/in?key=1", "rune.job.*")

    job_id = post_benchmark(hooked, quick)
    assert hooked.wait_for_end(job_id).status == "succeeded"

    def all_delivered() -> list[dict[str, Any]] | None:
        found = deliveries(hooked, webhook["webhook_id"])
        is_whole = any(each["type"] == "rune.job.succeeded" for each in found)
        return found if is_whole and all(each["state"] == "succeeded" for each in found) else None

    log = wait_until(all_delivered, "each event was delivered", limit_seconds=LIMIT_SECONDS)
    events = [verified(post, webhook["secret"]) for post in receiver.posts]
    first, *others = events
    again = next(event for event in others if event["metadata"] == first["metadata"])
    assert first["type"] == "rune.job.accepted"
    assert first == again
    in_order = [event["metadata"]["sequence"] for event in others if event is not again]
    assert in_order == sorted(set(in_order)), "no other waited for it, and each came once"
    assert others[-1] == again or events[-1]["type"] == "rune.job.succeeded"
    assert {event["data"]["job_id"] for event in events} == {job_id}
    assert {post.url for post in receiver.posts} == {"/in?key=1"}
    accepted = next(each for each in log if each["type"] == "rune.job.accepted")
    assert [attempt["status"] for attempt in accepted["attempts"]] == [500, 204]
    assert {each["event_id"] for each in log} == {post.webhook_id for post in receiver.posts}


def test_test_event_verifies_with_both_secrets_after_a_rotation(
    hooked: RuneClient, receiver: Receiver
) -> None:
    webhook = make_webhook(hooked, receiver.url, "rune.job.failed")
    path = f"/v1/webhooks/{webhook['webhook_id']}"
    rotated = hooked.http.post(f"{path}/rotate-secret", json={}).json()

    assert hooked.http.post(f"{path}/test").status_code == 202

    (post,) = receiver.wait_for(1, LIMIT_SECONDS)
    for secret in (webhook["secret"], rotated["secret"]):
        assert verified(post, secret)["type"] == "rune.ping"


def test_end_of_one_job_comes_to_its_callback(
    hooked: RuneClient, quick: ModelServer, receiver: Receiver
) -> None:
    job_id = post_benchmark(hooked, quick, callback_url=f"{receiver.url}/done")

    (post,) = receiver.wait_for(1, LIMIT_SECONDS)

    secret = hooked.http.get("/v1/webhooks/callback-secret").json()["secret"]
    event = verified(post, secret)
    assert (event["type"], event["data"]["job_id"], post.url) == ("rune.job.succeeded", job_id, "/done")
    assert [each["state"] for each in deliveries(hooked, f"cb_{job_id}")] == ["succeeded"]


def test_receivers_that_are_gone_or_redirect_delay_no_other_and_are_shown_as_they_are(
    hooked: RuneClient, receiver: Receiver
) -> None:
    with running_receiver(lambda _number: 410) as gone, running_receiver(lambda _number: 302) as elsewhere:
        hooks = {
            name: make_webhook(hooked, url)["webhook_id"]
            for name, url in (
                ("gone", gone.url),
                ("elsewhere", elsewhere.url),
                ("nobody", "http://127.0.0.1:9/"),
                ("well", receiver.url),
            )
        }
        for webhook_id in hooks.values():
            assert hooked.http.post(f"/v1/webhooks/{webhook_id}/test").status_code == 202
        receiver.wait_for(1, LIMIT_SECONDS)

        def outcomes() -> dict[str, object] | None:
            found = {name: deliveries(hooked, webhook_id)[-1:] for name, webhook_id in hooks.items()}
            tried = {name: of[0]["attempts"][0] for name, of in found.items() if of and of[0]["attempts"]}
            return {name: each["error"] or each["status"] for name, each in tried.items()} or None

        wait_until(
            lambda: outcomes() if len(outcomes() or {}) == len(hooks) else None,
            "each was tried",
            limit_seconds=LIMIT_SECONDS,
        )

        assert outcomes() == {
            "gone": "status",
            "elsewhere": "redirected",
            "nobody": "unreachable",
            "well": 204,
        }
        shown = hooked.http.get(f"/v1/webhooks/{hooks['gone']}").json()
        assert (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")
        assert {post.url for post in elsewhere.posts} == {"/"}, "no redirect was followed"
        # The others are told of the one that was disabled.
        told = receiver.wait_for(2, LIMIT_SECONDS)
        assert {json.loads(post.body)["type"] for post in told} == {"rune.ping", "rune.webhook.disabled"}


def test_no_secret_and_no_address_is_in_a_log(stack: Stack, hooked: RuneClient, receiver: Receiver) -> None:
    webhook = make_webhook(hooked, f"{receiver.url}/in?key=planted-in-the-address")
    hooked.http.post(f"/v1/webhooks/{webhook['webhook_id']}/test")
    receiver.wait_for(1, LIMIT_SECONDS)

    logs = stack.aws.client("logs")
    for group in stack.state.log_groups.values():
        for planted in (webhook["secret"].removeprefix("whsec_"), "planted-in-the-address"):
            found = logs.filter_log_events(logGroupName=group, filterPattern=f'"{planted}"')
            assert [event["message"] for event in found["events"] if planted in event["message"]] == []
