"""Sending what is due to one endpoint at a time: claimed, tried, written down, left."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rune.errors import StoreUnavailableError
from rune.events.notices import EndpointNotice, SubjectNotice
from rune.events.record import PublicEvent
from rune.services.callback_secrets import read_callback_secrets
from rune.services.slow_lane import SlowLane
from rune.services.webhook_events import make_disabled_event
from rune.storage.change import apply
from rune.tenants.entries import NOT_UNDERSTOOD_METRIC
from rune.webhooks import attempts, lifecycle
from rune.webhooks.agenda import Agenda
from rune.webhooks.record import (
    Delivery,
    DisabledReason,
    Endpoint,
    EndpointStatus,
    callback_owner,
    parse_key,
)
from rune.webhooks.signing import derive_secret, sign
from rune.webhooks.store import EndpointRefused

if TYPE_CHECKING:
    from rune.clock import Clock
    from rune.events.notices import NoticeQueue
    from rune.signing_keys import SigningKeySource
    from rune.webhooks.store import Sender, WebhookStore

log = logging.getLogger(__name__)

WAKE = timedelta(seconds=20)
"""After which a worker begins no other attempt for an endpoint: the next notice goes on."""

LONGEST_NOTICE_DELAY_SECONDS = 900
"""Of SQS. What is due later, the tick finds."""

LANE_AGAIN_SECONDS = (2, 6)
"""After which a notice comes again that found the lane taken; spread, so that not all come at once."""

TRIES = 5
"""Of leaving an endpoint to which others add."""


@dataclass(slots=True)
class _Work:
    """One worker's work on one endpoint; `endpoint` is as far as this worker knows."""

    endpoint: Endpoint
    agenda: Agenda
    secrets: list[bytes]
    attempt_count: int = 0


class WebhookDelivery:
    """Delivers. Whatever is lost on the way is found again by the endpoint's `due_at`.

    Parameters
    ----------
    chance
        Gives numbers from 0 to 1, for jitter.
    """

    def __init__(  # noqa: PLR0917  # ports
        self,
        store: WebhookStore,
        sender: Sender,
        keys: SigningKeySource,
        notices: NoticeQueue,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._sender = sender
        self._keys = keys
        self._notices = notices
        self._clock = clock
        self._chance = chance

    async def deliver_all(self, keys: Iterable[str], may_go_on: Callable[[], bool]) -> int:
        """Deliver to several endpoints at the same time, so that none waits for another; return the attempts made.

        What fails for one is logged, and done by a later notice.
        """
        wanted = list(dict.fromkeys(keys))
        lane = SlowLane(self._store, self._clock)
        made = await asyncio.gather(*(self._deliver_alone(key, may_go_on, lane) for key in wanted))
        return sum(made)

    async def _deliver_alone(self, key: str, may_go_on: Callable[[], bool], lane: SlowLane) -> int:
        try:
            return await self.deliver(key, may_go_on, lane)
        except StoreUnavailableError:
            log.warning("webhook.store_unavailable", exc_info=True, extra={"endpoint": key})
        except Exception:
            # The outermost edge: an unforeseen error with one endpoint must not keep others from their events.
            log.exception("webhook.failed", extra={"endpoint": key})
        return 0

    async def deliver(self, key: str, may_go_on: Callable[[], bool], lane: SlowLane | None = None) -> int:
        """Deliver what is due to one endpoint; return the attempts made.

        Nothing is done while another worker has the endpoint, or its receiver is left alone.

        Parameters
        ----------
        may_go_on
            Whether there is time for one more attempt.
        lane
            Of the invocation, where it delivers to several.

        Raises
        ------
        StoreUnavailableError
            The store, or the key to sign with, cannot be reached now.
        """
        parsed = parse_key(key)
        found = self._store.read(*parsed) if parsed else None
        if found is None or not self._is_ready(found):
            return 0
        secrets = self._secrets_of(found)
        if not secrets:
            self._store.update(found, lifecycle.postpone(found, self._clock.now(), self._key_again_at()))
            log.error("webhook.key_missing", extra={"endpoint": key, "metric": NOT_UNDERSTOOD_METRIC})
            return 0
        if lifecycle.is_proven(found):
            return await self._deliver_to(found, secrets, may_go_on)
        lane = lane or SlowLane(self._store, self._clock)
        if not lane.enter():
            # Its `due_at` stands, in case that this notice is lost.
            soonest, latest = LANE_AGAIN_SECONDS
            delay_seconds = round(soonest + (latest - soonest) * self._chance())
            self._notices.send(EndpointNotice(key), delay_seconds)
            return 0
        try:
            attempt_count = await self._deliver_to(found, secrets, may_go_on)
        except Exception:
            lane.leave()
            raise
        lane.leave()
        return attempt_count

    async def _deliver_to(self, found: Endpoint, secrets: list[bytes], may_go_on: Callable[[], bool]) -> int:
        claimed = self._store.update(found, lifecycle.claim(self._clock.now()))
        if isinstance(claimed, EndpointRefused):
            return 0
        work = _Work(claimed, Agenda(self._store), secrets)
        ends_at = self._clock.now() + WAKE
        for _ in range(TRIES):
            if not await self._work_off(work, lambda: self._clock.now() < ends_at and may_go_on()):
                return work.attempt_count
            if self._leave(work):
                return work.attempt_count
        # `due_at` is the end of the lease.
        return work.attempt_count

    def _is_ready(self, endpoint: Endpoint) -> bool:
        now = self._clock.now()
        if endpoint.status is not EndpointStatus.ENABLED:
            if endpoint.due_at is not None:
                self._store.update(endpoint, lifecycle.rest(endpoint, now))
            return False
        if endpoint.not_before is not None and endpoint.not_before > now:
            if endpoint.due_at is not None and endpoint.due_at < endpoint.not_before:
                self._store.update(endpoint, lifecycle.postpone(endpoint, now, endpoint.not_before))
            return False
        if endpoint.lease_until is not None and endpoint.lease_until > now:
            return False
        # Not by `due_at`, which the tick has just put off.
        return endpoint.due_at is not None or endpoint.open_count > 0

    def _secrets_of(self, endpoint: Endpoint) -> list[bytes]:
        now = self._clock.now()
        known, owner = endpoint.secrets, endpoint.endpoint_id
        keys = self._keys.current()
        if endpoint.is_callback:
            known = read_callback_secrets(self._store, keys, endpoint.tenant, now)
            owner = callback_owner(endpoint.tenant)
        derived = (derive_secret(keys, owner, each) for each in lifecycle.signing_secrets(known, now))
        return [secret for secret in derived if secret is not None]

    def _key_again_at(self) -> datetime:
        return self._clock.now() + lifecycle.KEY_MISSING

    async def _work_off(self, work: _Work, may_go_on: Callable[[], bool]) -> bool:
        """Try what is due; return whether the endpoint is still this worker's, to be left by it."""
        while work.endpoint.status is EndpointStatus.ENABLED and may_go_on():
            now = self._clock.now()
            if work.endpoint.not_before is not None and work.endpoint.not_before > now:
                return True
            delivery = work.agenda.choose(work.endpoint, now)
            if delivery is None:
                return True
            consequence = await self._try(work, delivery)
            if consequence is None:
                log.warning("webhook.lease_lost", extra={"endpoint": work.endpoint.key})
                return False
            if consequence.disabled is not None:
                return False
            if not consequence.goes_on:
                return True
        return True

    async def _try(self, work: _Work, delivery: Delivery) -> attempts.Consequence | None:
        """Try one delivery, and write what became of it; None where another worker has taken the endpoint."""
        now = self._clock.now()
        if attempts.is_too_old(delivery, now):
            return self._write(
                work,
                delivery,
                lambda endpoint, found: attempts.give_up(endpoint, found, self._clock.now()),
            )
        body = delivery.body.encode()
        headers = {
            "Content-Type": "application/json",
            **sign(work.secrets, delivery.event_id, int(now.timestamp()), body),
        }
        answer = await self._sender.post(work.endpoint.url, body, headers)
        work.attempt_count += 1
        jitter = self._chance()
        return self._write(
            work,
            delivery,
            lambda endpoint, found: attempts.conclude(endpoint, found, answer, self._clock.now(), jitter),
        )

    def _write(
        self,
        work: _Work,
        delivery: Delivery,
        decide: Callable[[Endpoint, Delivery], attempts.Consequence],
    ) -> attempts.Consequence | None:
        for _ in range(TRIES):
            consequence = decide(work.endpoint, delivery)
            events = self._events(work.endpoint, consequence.disabled)
            written = self._store.conclude(
                work.endpoint, consequence.endpoint, delivery, consequence.delivery, events
            )
            if isinstance(written, Endpoint):
                work.endpoint = written
                work.agenda.note(apply(consequence.delivery, delivery))
                if events:
                    self._notices.send(SubjectNotice(events[0].subject))
                return consequence
            # A caller may have changed either beside this worker; another worker raises the epoch.
            if written.found is None or written.found.epoch != work.endpoint.epoch:
                return None
            work.endpoint = written.found
            (delivery,) = self._store.read_from(work.endpoint, delivery.position, 1)
        return None

    def _events(self, endpoint: Endpoint, disabled: DisabledReason | None) -> list[PublicEvent]:
        if disabled is None:
            return []
        if endpoint.is_callback:
            # It is no webhook that anybody could enable again.
            log.info("webhook.callback_gone", extra={"endpoint": endpoint.key})
            return []
        log.warning("webhook.disabled", extra={"endpoint": endpoint.key, "reason": disabled.value})
        return [make_disabled_event(endpoint, disabled, self._clock.now())]

    def _leave(self, work: _Work) -> bool:
        """Leave the endpoint; return False if there is more to do than was known, which is looked at again."""
        now = self._clock.now()
        retries_at = work.agenda.retries_at()
        known = lifecycle.count_again(
            work.endpoint,
            has_pending=work.agenda.has_pending(work.endpoint),
            seen_count=len(retries_at),
            now=now,
        )
        next_at = lifecycle.find_next(known, retries_at, now)
        written = self._store.update(work.endpoint, lifecycle.release(work.endpoint, known, next_at, now))
        if isinstance(written, EndpointRefused):
            if written.found is None or written.found.epoch != work.endpoint.epoch:
                return True
            work.endpoint = written.found
            work.agenda.forget()
            return False
        if next_at is not None:
            delay_seconds = math.ceil((next_at - now).total_seconds())
            if delay_seconds <= LONGEST_NOTICE_DELAY_SECONDS:
                self._notices.send(EndpointNotice(work.endpoint.key), delay_seconds)
        return True
