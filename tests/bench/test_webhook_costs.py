"""What a delivery costs, counted from the calls; docs/webhooks.md has the numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from rune.aws.notices import SqsNoticeQueue
from rune.aws.webhook_store import DynamoWebhookStore
from rune.services.webhook_delivery import WebhookDelivery
from rune.services.webhook_queue import WebhookQueue, WebhookSink
from rune.storage.change import make_change
from tests.bench.costs import Usage
from tests.bench.meter import Meter, watched_clients
from tests.builders import NOW, FakeClock
from tests.cloud import TABLE, simulated_cloud, table_definition
from tests.webhook_builders import RETENTION, FixedKeys, ScriptedSender, a_public_event, an_endpoint

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


@dataclass
class World:
    """A webhook whose calls are metered."""

    meter: Meter
    sink: WebhookSink
    delivery: WebhookDelivery
    sender: ScriptedSender
    clock: FakeClock

    def publish(self, sequence: int) -> Usage:
        events = [a_public_event(sequence)]
        return self.meter.metered(lambda: self.sink.publish(events))[0]

    def deliver(self, *answers: int) -> Usage:
        self.sender.answers = [*answers]
        delivering = self.delivery.deliver(an_endpoint().key, lambda: True)
        return self.meter.metered(lambda: asyncio.run(delivering, loop_factory=asyncio.new_event_loop))[0]


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with simulated_cloud() as cloud:
        indexes = table_definition()["GlobalSecondaryIndexes"]
        keys = [[key["AttributeName"] for key in index["KeySchema"]] for index in indexes]
        meter = Meter(cloud.dynamodb, TABLE, keys)
        with watched_clients(meter.watch):
            session = boto3.session.Session()
            store = DynamoWebhookStore(session.client("dynamodb"), TABLE)
            sqs = session.client("sqs")
            notices = SqsNoticeQueue(lambda: sqs, cloud.queue_urls["notice"])
            store.create(an_endpoint(), make_change("create", NOW, requires=(), sets={}))
            sender = ScriptedSender(clock)
            yield World(
                meter,
                WebhookSink(WebhookQueue(store, notices, clock, RETENTION), lambda _event: None),
                WebhookDelivery(store, sender, FixedKeys(), notices, clock, lambda: 0),
                sender,
                clock,
            )


def row_of(act: str, usage: Usage) -> str:
    units, reads = usage.write_units + usage.index_units, f"{usage.read_units.normalize():f}"
    return f"| {act} | {usage.calls}, {units}, {reads}, {usage.messages} | {usage.usd * 1_000_000:.1f} |"


def test_page_tells_what_a_delivery_costs(world: World) -> None:
    world.publish(4)
    unproven = world.deliver(204)
    made = world.publish(1)
    first = world.deliver(204)
    world.publish(2)
    failed = world.deliver(500)
    world.clock.advance(5)
    again = world.deliver(204)
    nobody = world.meter.metered(lambda: world.sink.publish([a_public_event(3, tenant="acme")]))[0]

    rows = [
        row_of("an event for a tenant without webhooks", nobody),
        row_of("an event for one webhook", made),
        row_of("its delivery, taken at once", first),
        row_of("the first delivery to a receiver, or a callback, taken at once", unproven),
        row_of("a try that fails", failed),
        row_of("the next try, taken", again),
    ]
    missing = [row for row in rows if row not in PAGE]
    assert not missing, "\n".join(["", *missing])
