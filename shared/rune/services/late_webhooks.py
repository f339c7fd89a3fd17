"""The tick's part for webhooks: endpoints whose moment has come, or whose notice or worker was lost."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rune.clock import Clock
from rune.errors import UnreadableRowError
from rune.events.notices import EndpointNotice, NoticeQueue
from rune.logs import ROWS_NOT_UNDERSTOOD_METRIC
from rune.webhooks import lifecycle
from rune.webhooks.store import EndpointRefused, WebhookStore

log = logging.getLogger(__name__)

ENDPOINTS_PER_TICK = 200


@dataclass(frozen=True, slots=True)
class LateWebhooks:
    """Sends notices for endpoints that are due."""

    store: WebhookStore
    notices: NoticeQueue
    clock: Clock

    def send(self, may_go_on: Callable[[], bool]) -> int:
        """Return how many notices were sent; raises StoreUnavailableError."""
        sent_count = 0
        for tenant, endpoint_id in self.store.find_due(self.clock.now(), ENDPOINTS_PER_TICK):
            if not may_go_on():
                break
            try:
                sent_count += self._send(tenant, endpoint_id)
            except UnreadableRowError:
                extra = {"endpoint": f"{tenant}/{endpoint_id}", "metric": ROWS_NOT_UNDERSTOOD_METRIC}
                log.exception("row.unreadable", extra=extra)
        return sent_count

    def _send(self, tenant: str, endpoint_id: str) -> bool:
        now = self.clock.now()
        endpoint = self.store.read(tenant, endpoint_id)
        if endpoint is None or endpoint.due_at is None or endpoint.due_at > now:
            # The index lags.
            return False
        # First, so that a full queue does not get a notice more each minute.
        change = lifecycle.postpone(endpoint, now, now + lifecycle.POSTPONED)
        if isinstance(self.store.update(endpoint, change), EndpointRefused):
            return False
        return self.notices.send(EndpointNotice(endpoint.key))
