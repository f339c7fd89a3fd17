"""Events on an EventBridge bus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import batched
from typing import Protocol, override

from rune.aws.errors import REFUSED_METRIC, TRANSIENT_CODES, store_errors
from rune.errors import StoreUnavailableError
from rune.events.envelopes import BUS_SOURCE, bus_detail_json
from rune.events.record import PublicEvent
from rune.events.sink import Sink

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 10
"""PutEvents takes no more. Each is under 20 KB, and a request may have 1 MB.
https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html"""

TRANSIENT_ENTRY_CODES = TRANSIENT_CODES | {"InternalFailure"}


class EventPutter(Protocol):
    """What is used of boto3's client for EventBridge."""

    def put_events(self, *, Entries: Sequence[Mapping[str, object]]) -> Mapping[str, object]:  # noqa: N803  # AWS's names
        """Return `{"FailedEntryCount": …, "Entries": […]}`, with an entry for each that was sent."""
        ...


class EventBus(Sink):
    """Puts events on the deployment's bus.

    EventBridge keeps no order. Rules deliver at least once, so consumers go by id and sequence.

    Parameters
    ----------
    get_client
        Called for each request.
    """

    def __init__(self, get_client: Callable[[], EventPutter], bus: str) -> None:
        self._get_client = get_client
        self._bus = bus

    @property
    @override
    def name(self) -> str:
        return "bus"

    @override
    def publish(self, events: Sequence[PublicEvent]) -> None:
        for some in batched(events, ENTRIES_AT_ONCE, strict=False):
            with store_errors("The event bus cannot be reached now."):
                answer = self._get_client().put_events(Entries=[self._entry(event) for event in some])
            self._check(some, answer)

    def _entry(self, event: PublicEvent) -> Mapping[str, object]:
        return {
            "Source": BUS_SOURCE,
            "DetailType": event.event_type,
            "Detail": bus_detail_json(event),
            "Time": event.occurred_at,
            "EventBusName": self._bus,
        }

    def _check(self, events: Sequence[PublicEvent], answer: Mapping[str, object]) -> None:
        """Look at each entry: the call succeeds also where entries fail.

        Raises
        ------
        StoreUnavailableError
            An entry failed. It is published again, with those beside it.
        """
        entries = answer.get("Entries")
        entries = entries if isinstance(entries, Sequence) else ()
        failed = {
            event.event_id: str(entry.get("ErrorCode"))
            for event, entry in zip(events, entries, strict=False)
            if isinstance(entry, Mapping) and entry.get("ErrorCode")
        }
        for code in sorted({*failed.values()} - TRANSIENT_ENTRY_CODES):
            # Another try does not help before an operator has acted.
            log.error("bus.entry_refused", extra={"reason": code, "metric": REFUSED_METRIC})
        if failed or answer.get("FailedEntryCount") or len(entries) < len(events):
            raise StoreUnavailableError("The event bus did not take all events.")
