"""What one attempt makes of its delivery and of its endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.storage.change import Change, Is, Value, make_change
from rune.webhooks.answers import Answer, AttemptError
from rune.webhooks.lifecycle import LEASE, WELL
from rune.webhooks.record import (
    MAX_ATTEMPTS_KEPT,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledReason,
    Endpoint,
    EndpointStatus,
)
from rune.webhooks.schedule import GIVEN_UP_AFTER, find_back_off, find_delay

DISABLED_AFTER = timedelta(days=5)
"""Of only failures."""

FORGOTTEN_AFTER = timedelta(days=2)
"""Failures so far apart are not one long failure: nothing was tried between them."""

FAILURES_UNTIL_PAUSE = 5
"""In a row, of any kind; a receiver that fails them all is left alone for a while, however it answers."""

_LEASE_LEFT = LEASE / 2
"""With less of it left, an attempt also renews the lease. Not each does, as the index is written too."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What is written after an attempt, in one transaction.

    Attributes
    ----------
    goes_on
        Whether other deliveries may be tried at once.
    disabled
        Why the endpoint is disabled by it; None where it is not.
    """

    endpoint: Change
    delivery: Change
    goes_on: bool = True
    disabled: DisabledReason | None = None


def is_too_old(delivery: Delivery, now: datetime) -> bool:
    """Return whether a delivery has waited for so long that it is no longer sent."""
    return now - delivery.began_at > GIVEN_UP_AFTER


def conclude(
    endpoint: Endpoint, delivery: Delivery, answer: Answer, now: datetime, jitter: float
) -> Consequence:
    """Return what follows from an answer.

    Parameters
    ----------
    jitter
        From 0 to 1, by chance.
    """
    if answer.is_success:
        of_endpoint = {**WELL, "last_succeeded_at": now, **_renewed(endpoint, now)}
        return Consequence(
            _endpoint_change(endpoint, delivery, DeliveryState.SUCCEEDED, of_endpoint, now),
            _delivery_change(delivery, answer, DeliveryState.SUCCEEDED, None, now),
        )
    is_last = delivery.is_once or answer.is_gone
    delay = None if is_last else find_delay(delivery.tries + 1, answer.retry_after, jitter)
    state = DeliveryState.FAILED if delay is None else DeliveryState.RETRYING
    failures = endpoint.failures_in_row + 1
    is_left_alone = answer.is_unwell or failures >= FAILURES_UNTIL_PAUSE
    # The failures until the first pause can come within a second, from a backlog: together they are one step.
    step = failures if answer.is_unwell else failures - FAILURES_UNTIL_PAUSE + 1
    since = _failing_since(endpoint, now)
    disabled = _find_reason(endpoint, answer, since, now)
    of_endpoint = {
        "failures_in_row": failures,
        "failing_since": since,
        "last_failed_at": now,
        "not_before": now + find_back_off(step, answer.retry_after) if is_left_alone else None,
        **_renewed(endpoint, now),
    }
    return Consequence(
        _endpoint_change(endpoint, delivery, state, of_endpoint, now, disabled),
        _delivery_change(delivery, answer, state, None if delay is None else now + delay, now),
        goes_on=not is_left_alone and disabled is None,
        disabled=disabled,
    )


def give_up(endpoint: Endpoint, delivery: Delivery, now: datetime) -> Consequence:
    """Return what follows where a delivery is too old to be sent; its receiver is asked nothing."""
    answer = Answer(now, 0, error=AttemptError.EXPIRED)
    return Consequence(
        _endpoint_change(endpoint, delivery, DeliveryState.FAILED, _renewed(endpoint, now), now),
        _delivery_change(delivery, answer, DeliveryState.FAILED, None, now),
    )


def ask_again(
    endpoint: Endpoint, delivery: Delivery, now: datetime, expires_at: datetime
) -> tuple[Change, Change]:
    """Return the writes by which a delivery is tried at once, from the beginning of its schedule.

    Not for one that was never tried: its turn comes.
    """
    return (
        make_change(
            "ask_again",
            now,
            requires=(Is("status", EndpointStatus.ENABLED.value), Is("due_at", endpoint.due_at)),
            sets={"not_before": None, "due_at": now, "last_asked_at": now},
            adds={} if delivery.state is DeliveryState.RETRYING else {"retrying_count": 1},
        ),
        make_change(
            "ask_again",
            now,
            requires=(Is("version", delivery.version),),
            sets={
                "state": DeliveryState.RETRYING,
                "due_at": now,
                "began_at": now,
                "tries": 0,
                "expires_at": max(delivery.expires_at, expires_at),
            },
        ),
    )


def _failing_since(endpoint: Endpoint, now: datetime) -> datetime:
    since, last = endpoint.failing_since, endpoint.last_failed_at
    return now if since is None or last is None or now - last > FORGOTTEN_AFTER else since


def _find_reason(endpoint: Endpoint, answer: Answer, since: datetime, now: datetime) -> DisabledReason | None:
    if endpoint.status is not EndpointStatus.ENABLED:
        # A caller has disabled or removed it meanwhile.
        return None
    if answer.is_gone:
        return DisabledReason.GONE
    has_failed_long = now - since >= DISABLED_AFTER and not endpoint.is_callback
    return DisabledReason.FAILURES if has_failed_long else None


def _endpoint_change(  # noqa: PLR0917  # one attempt: both rows, what becomes of them, and when
    endpoint: Endpoint,
    delivery: Delivery,
    state: DeliveryState,
    sets: Mapping[str, Value],
    now: datetime,
    disabled: DisabledReason | None = None,
) -> Change:
    was_retrying = delivery.state is DeliveryState.RETRYING
    moves = {} if was_retrying else {"tried_position": delivery.position}
    retrying = int(state is DeliveryState.RETRYING) - int(was_retrying)
    adds = {"retrying_count": retrying} if retrying else {}
    requires: tuple[Is, ...] = (Is("epoch", endpoint.epoch),)
    if disabled is None:
        return make_change("conclude", now, requires=requires, sets={**sets, **moves}, adds=adds)
    # It is told, so it also takes the number of an event.
    requires += (Is("status", EndpointStatus.ENABLED.value), Is("event_count", endpoint.event_count))
    stopped: dict[str, Value] = {
        "status": EndpointStatus.DISABLED,
        "disabled_reason": disabled,
        "disabled_at": now,
        "lease_until": None,
        "due_at": None,
    }
    adds = {**adds, "revision": 1, "event_count": 1}
    return make_change("disable", now, requires=requires, sets={**sets, **moves, **stopped}, adds=adds)


def _delivery_change(
    delivery: Delivery, answer: Answer, state: DeliveryState, due_at: datetime | None, now: datetime
) -> Change:
    number = delivery.attempts[-1].number + 1 if delivery.attempts else 1
    error = answer.failure
    attempt = Attempt(number, answer.at, answer.duration_ms, answer.status, error and error.value)
    return make_change(
        "conclude",
        now,
        requires=(Is("version", delivery.version),),
        sets={
            "state": state,
            "tries": delivery.tries + 1,
            "attempts": (*delivery.attempts, attempt)[-MAX_ATTEMPTS_KEPT:],
            "response": answer.response,
            "due_at": due_at,
        },
    )


def _renewed(endpoint: Endpoint, now: datetime) -> dict[str, Value]:
    if endpoint.lease_until is None or endpoint.lease_until - now > _LEASE_LEFT:
        return {}
    return {"lease_until": now + LEASE, "due_at": now + LEASE}
