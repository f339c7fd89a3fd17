"""Webhooks over days: publisher, queue, workers and tick with a simulated clock, and receivers of many kinds."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, override

from rune.events.notices import EndpointNotice, Notice, NoticeQueue
from rune.events.record import PublicEvent
from rune.services.late_webhooks import LateWebhooks
from rune.services.webhook_delivery import WebhookDelivery
from rune.services.webhook_queue import WebhookQueue, WebhookSink
from rune.storage.change import Change
from rune.webhooks.answers import Answer, AttemptError
from rune.webhooks.record import Delivery, Endpoint
from rune.webhooks.store import Sender
from tests.builders import NOW, FakeClock
from tests.memory_webhook_store import MemoryWebhookStore
from tests.simulation.faults import Crash
from tests.webhook_builders import (
    RETENTION,
    FixedKeys,
    Post,
    a_public_event,
    an_endpoint,
    shown_secret,
    verify,
)

JITTER = 0.0
TICK = timedelta(minutes=1)


@dataclass(frozen=True)
class Reply:
    """What a receiver does with one POST, and how long it takes."""

    seconds: float
    status: int | None = 200
    error: AttemptError | None = None
    retry_after_seconds: int | None = None


type Receiver = Callable[[timedelta, int], Reply]
"""From the time since the beginning, and the number of the POST, to what is done."""


def run(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine that waits for nothing real."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("the simulation waits for something real")


class CutStore(MemoryWebhookStore):
    """A store that passes a cut point before and after each call of a worker.

    Attributes
    ----------
    cut
        Called with the name of the point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut: Callable[[str], None] = lambda _name: None

    @override
    def update(self, endpoint: Endpoint, change: Change) -> Any:
        self.cut(f"before {change.name}")
        written = super().update(endpoint, change)
        self.cut(f"after {change.name}")
        return written

    @override
    def conclude(self, endpoint: Endpoint, *rest: Any, **more: Any) -> Any:
        cut, self.cut = self.cut, lambda _name: None
        cut("before result")
        written = super().conclude(endpoint, *rest, **more)
        cut("after result")
        self.cut = cut
        return written

    @override
    def enqueue(self, endpoint: Endpoint, *rest: Any) -> Any:
        cut, self.cut = self.cut, lambda _name: None
        written = super().enqueue(endpoint, *rest)
        self.cut = cut
        return written

    @override
    def claim_slow_lane(self, *arguments: Any) -> bool:
        self.cut("before lane")
        has_claimed = super().claim_slow_lane(*arguments)
        self.cut("after lane")
        return has_claimed

    @override
    def leave_slow_lane(self, *arguments: Any) -> None:
        self.cut("before leaving the lane")
        super().leave_slow_lane(*arguments)
        self.cut("after leaving the lane")

    @override
    def read_from(self, *arguments: Any, **more: Any) -> tuple[Delivery, ...]:
        self.cut("before read")
        return super().read_from(*arguments, **more)


@dataclass
class SimulatedQueue(NoticeQueue):
    """SQS: notices come at their moment, or are lost."""

    world: World
    loses: Callable[[], bool] = lambda: False

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        assert 0 <= delay_seconds <= 900, "SQS refuses more"
        if isinstance(notice, EndpointNotice) and not self.loses():
            at = self.world.clock.now() + timedelta(seconds=delay_seconds)
            self.world.at(at, lambda: self.world.wake(notice.endpoint))
        return True


@dataclass
class World(Sender):
    """One tenant with an endpoint for each receiver, each with an address of its own."""

    receivers: Mapping[str, Receiver]
    clock: FakeClock = field(default_factory=FakeClock)
    store: CutStore = field(default_factory=CutStore)
    posts: dict[str, list[Post]] = field(default_factory=dict)
    busy_until: dict[str, datetime] = field(default_factory=dict)
    loses_notices: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self._moments: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = count()
        self.notices = SimulatedQueue(self, self.loses_notices)
        queue = WebhookQueue(self.store, self.notices, self.clock, RETENTION)
        self.sink = WebhookSink(queue, lambda _event: None)
        self.delivery = WebhookDelivery(
            self.store, self, FixedKeys(), self.notices, self.clock, lambda: JITTER
        )
        self.late = LateWebhooks(self.store, self.notices, self.clock)
        for name in self.receivers:
            endpoint = an_endpoint(endpoint_id=f"wh_{name}", url=f"https://{name}.example/")
            self.store.endpoints[endpoint.tenant, endpoint.endpoint_id] = endpoint
            self.posts[name] = []

    def at(self, moment: datetime, act: Callable[[], None]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._moments, (moment, next(self._numbers), act))

    def publish_at(self, moment: datetime, *events: PublicEvent) -> None:
        """Publish events at a moment."""
        self.at(moment, lambda: self.sink.publish(events))

    def run_until(self, end: datetime) -> None:
        """Let time pass, with a tick each minute."""
        tick_at = self.clock.now() + TICK
        while self._moments or tick_at <= end:
            next_at = self._moments[0][0] if self._moments else tick_at
            if min(next_at, tick_at) > end:
                break
            if tick_at <= next_at:
                self._set_clock(tick_at)
                with suppress(Crash):
                    self.late.send(lambda: True)
                tick_at += TICK
                continue
            moment, _, act = heapq.heappop(self._moments)
            self._set_clock(moment)
            act()
        self._set_clock(end)

    def wake(self, key: str) -> None:
        """Let a worker take a notice; each endpoint's takes its own time, and none waits for another's."""
        now = self.clock.now()
        busy_until = self.busy_until.get(key, now)
        if busy_until > now:
            # The worker that has the endpoint sees at its end what was added.
            self.at(busy_until, lambda: self.wake(key))
            return
        try:
            run(self.delivery.deliver(key, lambda: True))
        except Crash:
            # SQS delivers it again after its visibility; what the tick sends comes earlier.
            return
        self.busy_until[key] = self.clock.now()

    @override
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        name = url.removeprefix("https://").partition(".")[0]
        now = self.clock.now()
        post = Post(url, body, dict(headers), now)
        verify(post, shown_secret(f"wh_{name}"))
        self.posts[name].append(post)
        reply = self.receivers[name](now - NOW, len(self.posts[name]))
        self.clock.advance(reply.seconds)
        self.store.cut("after POST")
        asked = reply.retry_after_seconds
        return Answer(
            now,
            round(reply.seconds * 1000),
            status=reply.status if reply.error is None else None,
            error=reply.error,
            retry_after=None if asked is None else timedelta(seconds=asked),
        )

    def endpoint(self, name: str) -> Endpoint:
        """Return a receiver's endpoint as it is."""
        return next(each for each in self.store.endpoints.values() if each.endpoint_id == f"wh_{name}")

    def deliveries(self, name: str) -> list[Delivery]:
        """Return a receiver's deliveries in order."""
        return list(self.store.read_from(self.endpoint(name), 0, 10**6))

    def _set_clock(self, moment: datetime) -> None:
        self.clock.instant = moment
        self.store.now = moment


def some_events(how_many: int, first: int = 1) -> list[PublicEvent]:
    """Return events of one job."""
    return [a_public_event(number) for number in range(first, first + how_many)]
