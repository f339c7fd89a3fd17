"""What a tenant's callers do with webhooks: make, list, change and remove them, and read what was delivered."""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from rune.clock import Clock
from rune.contracts.events import PingData
from rune.errors import (
    InvalidRequestError,
    SigningKeyMissingError,
    StoreUnavailableError,
    TooManyWebhooksError,
    WebhookDisabledError,
    WebhookNotFoundError,
)
from rune.events.catalog import CATALOG, make_event
from rune.net.addresses import AddressPolicy
from rune.services.admission.receivers import check_receiver
from rune.services.callback_secrets import read_callback_secrets, rotate_callback_secret
from rune.services.webhook_log import WebhookLog
from rune.services.webhook_queue import WebhookQueue
from rune.signing_keys import SigningKeySource
from rune.storage.change import Change, IsBelow, make_change
from rune.webhooks import lifecycle
from rune.webhooks.filters import wants
from rune.webhooks.record import (
    ENDPOINT_PREFIX,
    Endpoint,
    EndpointStatus,
    Secret,
    callback_owner,
)
from rune.webhooks.signing import derive_secret, show_secret
from rune.webhooks.store import MAX_ENDPOINTS, EndpointRefused

TRIES = 8
"""Of a change that meets others."""

PING = "rune.ping"

_ID = re.compile(r"(wh|cb)_[0-9a-f]{32}")
_LONGEST_ID = 64
_KEPT_AFTER_REMOVAL = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A secret as its owner is shown it."""

    text: str
    old_valid_until: datetime | None


class WebhookService:
    """Webhooks as one tenant's callers see them: other tenants' do not exist for them.

    Every method raises StoreUnavailableError when the store cannot be reached.
    """

    def __init__(
        self, queue: WebhookQueue, keys: SigningKeySource, policy: AddressPolicy, clock: Clock
    ) -> None:
        self._queue = queue
        self._store = queue.store
        self._keys = keys
        self._policy = policy
        self._clock = clock

    @cached_property
    def log(self) -> WebhookLog:
        """What was delivered."""
        return WebhookLog(self._queue, self._clock)

    def create(
        self, tenant: str, url: str, events: Sequence[str], description: str | None
    ) -> tuple[Endpoint, ShownSecret]:
        """Return a new webhook and its secret, which is shown this once.

        Raises
        ------
        InvalidRequestError
            RUNE does not post to the address, or a filter fits no event.
        TooManyWebhooksError
            The tenant has as many as it may have.
        SigningKeyMissingError
            The deployment has no key to sign with.
        """
        now = self._clock.now()
        endpoint = Endpoint(
            endpoint_id=f"{ENDPOINT_PREFIX}{uuid.uuid4().hex}",
            tenant=tenant,
            url=check_receiver(url, self._policy, "/url"),
            events=_check_filters(events),
            status=EndpointStatus.ENABLED,
            secrets=(Secret(1, self._key_version()),),
            created_at=now,
            updated_at=now,
            description=description or None,
        )
        one_more = make_change(
            "create",
            now,
            requires=(IsBelow("endpoint_count", MAX_ENDPOINTS),),
            sets={},
            adds={"endpoint_count": 1},
        )
        if not self._store.create(endpoint, one_more):
            raise TooManyWebhooksError(MAX_ENDPOINTS)
        return endpoint, self._show(endpoint.endpoint_id, endpoint.secrets)

    def list_webhooks(self, tenant: str) -> tuple[Endpoint, ...]:
        """Return the tenant's webhooks, oldest first."""
        return self._store.read_all(tenant)

    def find(self, tenant: str, webhook_id: str, *, or_callback: bool = False) -> Endpoint:
        """Return a webhook; raises WebhookNotFoundError.

        Parameters
        ----------
        or_callback
            Whether it may be the `callback_url` of a job.
        """
        found = self._store.read(tenant, webhook_id) if _ID.fullmatch(webhook_id) else None
        if found is None or found.status is EndpointStatus.REMOVED or (found.is_callback and not or_callback):
            raise WebhookNotFoundError(webhook_id[:_LONGEST_ID])
        return found

    def revise(  # what a caller may change
        self,
        tenant: str,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        is_enabled: bool | None = None,
    ) -> Endpoint:
        """Return the webhook as it is then; None leaves as it is, and an empty description is none.

        Raises
        ------
        WebhookNotFoundError
            The tenant has no such webhook.
        InvalidRequestError
            As `create`.
        """
        new_url = None if url is None else check_receiver(url, self._policy, "/url")
        new_events = None if events is None else _check_filters(events)

        def decide(found: Endpoint, now: datetime) -> Change:
            status = found.status
            if is_enabled is not None:
                status = EndpointStatus.ENABLED if is_enabled else EndpointStatus.DISABLED
            return lifecycle.revise(
                found,
                now,
                url=new_url or found.url,
                events=new_events or found.events,
                description=found.description if description is None else description or None,
                status=status,
            )

        revised = self._update(tenant, webhook_id, decide)
        if revised.due_at is not None:
            self._queue.wake(revised)
        return revised

    def remove(self, tenant: str, webhook_id: str) -> None:
        """Remove a webhook, with what it still waits for; raises WebhookNotFoundError."""
        for _ in range(TRIES):
            found, now = self.find(tenant, webhook_id), self._clock.now()
            one_less = make_change("remove", now, requires=(), sets={}, adds={"endpoint_count": -1})
            if self._store.remove(found, lifecycle.remove(found, now, now + _KEPT_AFTER_REMOVAL), one_less):
                return
        raise StoreUnavailableError("Others write the webhook all the time.")

    def rotate(self, tenant: str, webhook_id: str, overlap: timedelta) -> ShownSecret:
        """Return the webhook's new secret, shown this once.

        Raises
        ------
        WebhookNotFoundError
            The tenant has no such webhook.
        SigningKeyMissingError
            The deployment has no key to sign with.
        """
        version = self._key_version()
        rotated = self._update(
            tenant, webhook_id, lambda found, now: lifecycle.rotate(found, version, overlap, now)
        )
        return self._show(rotated.endpoint_id, rotated.secrets)

    def show_callback_secret(self, tenant: str) -> ShownSecret:
        """Return the secret that signs what is posted to `callback_url`; raises SigningKeyMissingError."""
        secrets = read_callback_secrets(self._store, self._keys.current(), tenant, self._clock.now())
        return self._show(callback_owner(tenant), secrets)

    def rotate_callback_secret(self, tenant: str, overlap: timedelta) -> ShownSecret:
        """Return another one; raises SigningKeyMissingError."""
        secrets = rotate_callback_secret(
            self._store, self._keys.current(), tenant, self._clock.now(), overlap
        )
        return self._show(callback_owner(tenant), secrets)

    def send_ping(self, tenant: str, webhook_id: str) -> str:
        """Send a test event, whatever the filters; return its id.

        Raises
        ------
        WebhookNotFoundError
            The tenant has no such webhook.
        WebhookDisabledError
            It gets nothing.
        """
        endpoint = self.find(tenant, webhook_id)
        event = make_event(
            PING,
            PingData(webhook_id=webhook_id),
            tenant=tenant,
            subject_id=webhook_id,
            sequence=endpoint.event_count + 1,
            occurred_at=self._clock.now(),
        )
        if self._queue.enqueue(endpoint, [event], is_test=True) is None:
            raise WebhookDisabledError(webhook_id)
        return event.event_id

    def paused_until(self, endpoint: Endpoint) -> datetime | None:
        """Return until when nothing is sent, as the receiver fails or asked for it; None where that is not so."""
        until = endpoint.not_before
        return until if until is not None and until > self._clock.now() else None

    def old_secret_valid_until(self, endpoint: Endpoint) -> datetime | None:
        """Return until when another secret than the present one signs too; None where none does."""
        return _old_secret_valid_until(endpoint.secrets, self._clock.now())

    def _update(
        self, tenant: str, webhook_id: str, decide: Callable[[Endpoint, datetime], Change]
    ) -> Endpoint:
        for _ in range(TRIES):
            found = self.find(tenant, webhook_id)
            written = self._store.update(found, decide(found, self._clock.now()))
            if not isinstance(written, EndpointRefused):
                return written
        raise StoreUnavailableError("Others write the webhook all the time.")

    def _key_version(self) -> int:
        version = self._keys.current().version
        if version is None:
            raise SigningKeyMissingError
        return version

    def _show(self, owner: str, secrets: tuple[Secret, ...]) -> ShownSecret:
        derived = derive_secret(self._keys.current(), owner, secrets[0]) if secrets else None
        if derived is None:
            raise SigningKeyMissingError
        return ShownSecret(show_secret(derived), _old_secret_valid_until(secrets, self._clock.now()))


def _old_secret_valid_until(secrets: tuple[Secret, ...], now: datetime) -> datetime | None:
    return max(
        (each.valid_until for each in secrets if each.valid_until and each.valid_until > now), default=None
    )


def _check_filters(filters: Sequence[str]) -> tuple[str, ...]:
    for number, each in enumerate(filters):
        if not any(wants((each,), name) for name in CATALOG):
            raise InvalidRequestError(
                f"No event is of the type {each!r}.", pointer=f"/events/{number}", code="event_type_unknown"
            )
    return tuple(dict.fromkeys(filters))
