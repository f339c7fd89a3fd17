"""One worker with its endpoints; what happens over days is in tests/simulation/test_webhooks.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import override

import pytest

from rune.errors import StoreUnavailableError
from rune.events.notices import EndpointNotice
from rune.services.slow_lane import LANE_LEASE
from rune.services.webhook_delivery import WebhookDelivery
from rune.services.webhook_queue import WebhookQueue, WebhookSink
from rune.webhooks.answers import Answer
from rune.webhooks.lifecycle import KEY_MISSING
from rune.webhooks.record import Endpoint, EndpointStatus
from rune.webhooks.store import Sender
from tests.builders import JOB_ID, NOW, FakeClock, after
from tests.memory_webhook_store import MemoryWebhookStore
from tests.webhook_builders import (
    MASTER_KEY,
    RETENTION,
    FixedKeys,
    RecordingNotices,
    ScriptedSender,
    a_public_event,
    an_endpoint,
    shown_secret,
    verify,
)


class World:
    """A store with endpoints, and one worker."""

    def __init__(self, *names: str, sender: Sender | None = None, keys: str = MASTER_KEY) -> None:
        self.clock = FakeClock()
        self.store = MemoryWebhookStore()
        for name in names:
            endpoint = an_endpoint(endpoint_id=f"wh_{name}", url=f"https://{name}.example/")
            self.store.endpoints[endpoint.tenant, endpoint.endpoint_id] = endpoint
        self.notices = RecordingNotices()
        self.callback_url: str | None = None
        queue = WebhookQueue(self.store, self.notices, self.clock, RETENTION)
        self.sink = WebhookSink(queue, lambda _event: self.callback_url)
        self.scripted = ScriptedSender(self.clock)
        self.delivery = WebhookDelivery(
            self.store, sender or self.scripted, FixedKeys(keys), self.notices, self.clock, lambda: 0
        )

    def deliver_all(self, *names: str, may_go_on: bool = True) -> int:
        keys = [f"default/wh_{name}" for name in names]
        return asyncio.run(
            self.delivery.deliver_all(keys, lambda: may_go_on), loop_factory=asyncio.new_event_loop
        )

    def endpoint(self, name: str) -> Endpoint:
        return self.store.endpoints["default", f"wh_{name}"]


class HangingUntilTheOther(Sender):
    """A receiver that answers once the other one was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.other_was_asked: asyncio.Event | None = None

    @override
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        self.other_was_asked = self.other_was_asked or asyncio.Event()
        self.asked.append(url)
        if "hangs" in url:
            await asyncio.wait_for(self.other_was_asked.wait(), timeout=5)
        else:
            self.other_was_asked.set()
        return Answer(self.clock.now(), 1, status=200)


def test_receiver_that_hangs_delays_no_other_in_the_same_batch() -> None:
    sender = HangingUntilTheOther(FakeClock())
    world = World("hangs", "well", sender=sender)
    world.sink.publish([a_public_event()])

    assert world.deliver_all("hangs", "well") == 2
    assert sender.asked == ["https://hangs.example/", "https://well.example/"]


class WithAnotherInvocation(ScriptedSender):
    """Receivers of which the one that hangs is waited for while another invocation does its work."""

    other_world: World | None = None
    other_made: int | None = None

    @override
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        answer = await super().post(url, body, headers)
        if "hangs" in url and self.other_world is not None:
            other, self.other_world = self.other_world, None
            keys = ["default/wh_new", "default/wh_failed", "default/wh_well"]
            self.other_made = await other.delivery.deliver_all(keys, lambda: True)
        return answer


def test_receiver_that_hangs_holds_one_invocation_and_not_well_receivers_of_another() -> None:
    sender = WithAnotherInvocation(FakeClock())
    world = World("hangs", "new", "failed", "well", sender=sender)
    sender.other_world = world
    proven = {"well": 0, "failed": 1}
    for name, failures in proven.items():
        world.store.endpoints["default", f"wh_{name}"] = replace(
            world.endpoint(name), last_succeeded_at=NOW, failures_in_row=failures
        )
    world.sink.publish([a_public_event()])
    world.notices.sent.clear()

    assert world.deliver_all("hangs") == 1

    assert sender.other_made == 1
    assert [post.url for post in sender.posts] == ["https://hangs.example/", "https://well.example/"]
    assert world.notices.sent == [
        (EndpointNotice("default/wh_new"), 2),
        (EndpointNotice("default/wh_failed"), 2),
    ]
    assert world.endpoint("new").due_at is not None
    assert world.deliver_all("new", "failed") == 2, "the lane was left"


def test_lane_of_an_invocation_that_died_is_free_after_a_minute() -> None:
    world = World("a")
    world.sink.publish([a_public_event()])
    assert world.store.claim_slow_lane(NOW, NOW + LANE_LEASE)

    assert world.deliver_all("a") == 0
    world.clock.advance(61)
    assert world.deliver_all("a") == 1


def test_lane_is_left_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("a", "b")
    world.sink.publish([a_public_event()])

    def fail(*_: object) -> Endpoint:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "conclude", fail)
        assert world.deliver_all("a") == 0

    assert world.deliver_all("b") == 1


def test_endpoint_that_is_named_twice_is_delivered_to_once() -> None:
    world = World("a")
    world.sink.publish([a_public_event()])

    assert world.deliver_all("a", "a") == 1


def test_unforeseen_error_with_one_endpoint_keeps_no_other_from_its_events(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World("a", "b")
    world.sink.publish([a_public_event()])
    read = world.store.read

    def fail_for_a(tenant: str, endpoint_id: str) -> Endpoint | None:
        if endpoint_id == "wh_a":
            raise RuntimeError("boom")
        return read(tenant, endpoint_id)

    monkeypatch.setattr(world.store, "read", fail_for_a)

    assert world.deliver_all("a", "b") == 1
    assert [record.msg for record in caplog.records] == ["webhook.failed"]


def test_outage_is_logged_and_left_to_the_tick(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World("a")
    world.sink.publish([a_public_event()])

    def fail(*_: object) -> Endpoint:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(world.store, "conclude", fail)

    assert world.deliver_all("a") == 0
    assert [record.msg for record in caplog.records] == ["webhook.store_unavailable"]
    assert world.endpoint("a").due_at == world.endpoint("a").lease_until == after(90)


def test_worker_without_time_leaves_the_rest_to_the_next_notice() -> None:
    world = World("a")
    world.sink.publish([a_public_event()])
    world.notices.sent.clear()

    assert world.deliver_all("a", may_go_on=False) == 0

    assert world.notices.sent == [(EndpointNotice("default/wh_a"), 0)]
    assert (world.endpoint("a").due_at, world.endpoint("a").lease_until) == (NOW, None)


@pytest.mark.parametrize("keys", ["", "2:" + "x" * 40])
def test_delivery_that_cannot_be_signed_waits_and_rings(keys: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World("a", keys=keys)
    world.sink.publish([a_public_event()])

    with caplog.at_level(logging.ERROR):
        assert world.deliver_all("a") == 0

    (line,) = caplog.records
    assert (line.msg, vars(line)["metric"]) == ("webhook.key_missing", "SettingsNotUnderstood")
    assert world.endpoint("a").due_at == NOW + KEY_MISSING
    assert world.endpoint("a").open_count == 1


def test_no_address_and_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    world = World("a")
    world.store.endpoints["default", "wh_a"] = an_endpoint(
        endpoint_id="wh_a",
        url="https://a.example/?token=hidden-token",
        failing_since=after(-6 * 86_400),
        last_failed_at=NOW,
    )
    world.scripted.answers = [500]
    world.sink.publish([a_public_event()])

    with caplog.at_level(logging.DEBUG):
        world.deliver_all("a")

    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "webhook.disabled" in told
    assert "hidden-token" not in told
    assert shown_secret("wh_a").removeprefix("whsec_") not in told


def test_notice_of_an_endpoint_that_gets_nothing_settles_it() -> None:
    world = World("a")
    world.sink.publish([a_public_event()])
    disabled = an_endpoint(
        endpoint_id="wh_a", status=EndpointStatus.DISABLED, last_position=1, due_at=after(120)
    )
    world.store.endpoints["default", "wh_a"] = disabled

    assert world.deliver_all("a") == 0
    assert world.endpoint("a").due_at is None


def test_end_of_a_job_is_posted_to_its_callback_signed_by_its_tenant() -> None:
    world = World()
    world.callback_url = "https://ci.example/done"
    world.sink.publish([a_public_event(7, "rune.job.succeeded")])

    key = f"default/cb_{JOB_ID}"
    assert asyncio.run(world.delivery.deliver(key, lambda: True)) == 1

    (post,) = world.scripted.posts
    assert post.url == "https://ci.example/done"
    assert verify(post, shown_secret("callback:default"))
    world.sink.publish([a_public_event(7, "rune.job.succeeded")])
    assert asyncio.run(world.delivery.deliver(key, lambda: True)) == 0


def test_callback_that_is_gone_is_not_told_as_a_disabled_webhook(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.callback_url = "https://ci.example/done"
    world.scripted.answers = [410]
    world.sink.publish([a_public_event(7, "rune.job.succeeded")])

    with caplog.at_level(logging.INFO):
        asyncio.run(world.delivery.deliver(f"default/cb_{JOB_ID}", lambda: True))

    assert [(each.levelname, each.msg) for each in caplog.records] == [("INFO", "webhook.callback_gone")]


def test_event_of_no_tenant_goes_nowhere() -> None:
    world = World("a")

    world.sink.publish([a_public_event(tenant="")])

    assert world.store.deliveries == {}
    assert world.notices.sent == []


def test_receiver_that_is_left_alone_gets_no_notice_for_new_events() -> None:
    world = World("a")
    world.store.endpoints["default", "wh_a"] = an_endpoint(
        endpoint_id="wh_a", not_before=NOW + timedelta(minutes=15)
    )

    world.sink.publish([a_public_event()])

    assert world.notices.sent == []
    assert world.endpoint("a").due_at == NOW + timedelta(minutes=15)
