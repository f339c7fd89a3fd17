"""What may become of an endpoint, as conditional writes. What follows from an attempt is in `attempts`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rune.storage.change import Change, Is, IsAbsentOrBefore, Value, make_change
from rune.webhooks.record import READ_AT_ONCE, Delivery, DisabledReason, Endpoint, EndpointStatus, Secret

LEASE = timedelta(seconds=90)
"""For how long other workers leave an endpoint to the worker that claimed it; longer than any attempt."""

POSTPONED = timedelta(minutes=2)
"""How long a notice that the tick has sent may be under way before it sends the next."""

KEY_MISSING = timedelta(minutes=15)
"""For how long nothing is tried after it was found that nothing can be signed."""

LOOK_AGAIN = timedelta(minutes=1)
"""Where more is to be tried again than the index shows: it lags behind the table."""

LONGEST_INDEX_LAG = timedelta(days=1)
"""After which what the index does not show is not there."""

LONGEST_OVERLAP = timedelta(hours=24)
"""For how long a secret that was replaced signs beside the new one."""

MAX_SECRETS = 4
"""That sign at the same time. Receivers compare each signature."""

_INSTANT = timedelta(milliseconds=1)

WELL: Mapping[str, Value] = {"failures_in_row": 0, "failing_since": None, "not_before": None}
"""What is known of a receiver that has taken an event, and assumed of a new one."""


def is_proven(endpoint: Endpoint) -> bool:
    """Return whether the receiver has taken the last that was sent to its present address."""
    return endpoint.last_succeeded_at is not None and endpoint.failures_in_row == 0


def claim(now: datetime) -> Change:
    """Return the write by which a worker takes the endpoint; refused while another has it, or it is left alone."""
    return make_change(
        "claim",
        now,
        requires=(
            Is("status", EndpointStatus.ENABLED.value),
            IsAbsentOrBefore("lease_until", now + _INSTANT),
            IsAbsentOrBefore("not_before", now + _INSTANT),
        ),
        sets={"lease_until": now + LEASE, "due_at": now + LEASE},
        adds={"epoch": 1},
    )


def release(endpoint: Endpoint, known: Endpoint, next_at: datetime | None, now: datetime) -> Change:
    """Return the write by which a worker leaves the endpoint; refused where there is more to do than it has seen.

    Parameters
    ----------
    known
        The endpoint with the counts of what is really there (`count_again`).
    next_at
        When there is something to do; None where nothing is left.
    """
    return make_change(
        "release",
        now,
        requires=(
            Is("epoch", endpoint.epoch),
            Is("last_position", endpoint.last_position),
            Is("retrying_count", endpoint.retrying_count),
        ),
        sets={
            "lease_until": None,
            "due_at": next_at,
            "tried_position": known.tried_position,
            "retrying_count": known.retrying_count,
        },
    )


def count_again(endpoint: Endpoint, *, has_pending: bool, seen_count: int, now: datetime) -> Endpoint:
    """Return the endpoint without deliveries whose rows the table has deleted for their age.

    Parameters
    ----------
    has_pending
        Whether the table has one that was never tried; it does not lag.
    seen_count
        How many the index shows that are to be tried again.
    """
    moments = [each for each in (endpoint.last_failed_at, endpoint.last_asked_at) if each is not None]
    is_index_complete = all(now - each > LONGEST_INDEX_LAG for each in moments)
    lost = seen_count < min(endpoint.retrying_count, READ_AT_ONCE) and is_index_complete
    return replace(
        endpoint,
        tried_position=endpoint.tried_position if has_pending else endpoint.last_position,
        retrying_count=seen_count if lost else endpoint.retrying_count,
    )


def rest(endpoint: Endpoint, now: datetime) -> Change:
    """Return the write after which nobody looks at an endpoint that gets nothing."""
    return make_change(
        "rest",
        now,
        requires=(Is("status", endpoint.status.value), Is("due_at", endpoint.due_at)),
        sets={"due_at": None},
    )


def postpone(endpoint: Endpoint, now: datetime, until: datetime) -> Change:
    """Return the write after which the tick looks at the endpoint later; of two at once, one is refused."""
    return make_change("postpone", now, requires=(Is("due_at", endpoint.due_at),), sets={"due_at": until})


def find_next(endpoint: Endpoint, retries_at: Sequence[datetime], now: datetime) -> datetime | None:
    """Return when there is something to do for an endpoint that nobody works on; None where nothing is left.

    Parameters
    ----------
    retries_at
        Of the deliveries to be tried again that are known, when.
    """
    moments = [now] if endpoint.tried_position < endpoint.last_position else []
    moments += retries_at
    if len(retries_at) < min(endpoint.retrying_count, READ_AT_ONCE):
        moments.append(now + LOOK_AGAIN)
    if not moments:
        return None
    return max(min(moments), endpoint.not_before or min(moments), now)


def find_next_attempt(endpoint: Endpoint, delivery: Delivery) -> datetime | None:
    """Return when a delivery is tried again, at the soonest; None unless that has a moment of its own."""
    if delivery.due_at is None or endpoint.status is not EndpointStatus.ENABLED:
        return None
    return max(delivery.due_at, endpoint.not_before or delivery.due_at)


def enqueue(endpoint: Endpoint, count: int, now: datetime, *, is_test: bool = False) -> Change:
    """Return the write that comes with so many new deliveries.

    Parameters
    ----------
    is_test
        Whether a caller waits for it: then it is tried even if the receiver is left alone.
    """
    adds = {"last_position": count, **({"event_count": 1} if is_test else {})}
    return make_change(
        "enqueue",
        now,
        requires=(
            Is("status", EndpointStatus.ENABLED.value),
            Is("last_position", endpoint.last_position),
            *((Is("event_count", endpoint.event_count),) if is_test else ()),
            # As it was read: the worker that has the endpoint may leave it meanwhile.
            Is("due_at", endpoint.due_at),
        ),
        sets=look_soon(endpoint, now, is_urgent=is_test),
        adds=adds,
    )


def look_soon(endpoint: Endpoint, now: datetime, *, is_urgent: bool) -> dict[str, Value]:
    """Return what makes the tick look at the endpoint soon, in case that the notice is lost.

    Parameters
    ----------
    is_urgent
        Whether a caller waits, so that the receiver is no longer left alone.
    """
    if is_urgent:
        return {"not_before": None, "due_at": _earlier(endpoint.due_at, now + POSTPONED)}
    return {"due_at": _earlier(endpoint.due_at, max(now + POSTPONED, endpoint.not_before or now))}


def _earlier(due_at: datetime | None, moment: datetime) -> datetime:
    return moment if due_at is None else min(due_at, moment)


def revise(
    endpoint: Endpoint,
    now: datetime,
    *,
    url: str,
    events: tuple[str, ...],
    description: str | None,
    status: EndpointStatus,
) -> Change:
    """Return the write of what a caller wants changed; a new address and enabling forget earlier failures."""
    sets: dict[str, Value] = {"url": url, "events": events, "description": description}
    is_changed = status is not endpoint.status
    if is_changed and status is EndpointStatus.ENABLED:
        sets |= {"status": status, "disabled_reason": None, "disabled_at": None}
    elif is_changed:
        sets |= {
            "status": status,
            "disabled_reason": DisabledReason.CALLER,
            "disabled_at": now,
            "due_at": None,
        }
    if status is EndpointStatus.ENABLED and (is_changed or url != endpoint.url):
        sets |= WELL
        if endpoint.open_count:
            sets["due_at"] = now + POSTPONED
    if url != endpoint.url:
        # Nothing is known of the new one (`is_proven`).
        sets["last_succeeded_at"] = None
    return _by_caller("revise", endpoint, sets, now)


def remove(endpoint: Endpoint, now: datetime, expires_at: datetime) -> Change:
    """Return the write after which the endpoint is gone for its tenant."""
    sets: dict[str, Value] = {"status": EndpointStatus.REMOVED, "due_at": None, "expires_at": expires_at}
    return _by_caller("remove", endpoint, sets, now)


def rotate(endpoint: Endpoint, key_version: int, overlap: timedelta, now: datetime) -> Change:
    """Return the write that gives the endpoint another secret."""
    secrets = rotate_secrets(endpoint.secrets, key_version, overlap, now)
    return _by_caller("rotate", endpoint, {"secrets": secrets}, now)


def _by_caller(name: str, endpoint: Endpoint, sets: Mapping[str, Value], now: datetime) -> Change:
    """Return a write that meets those of other callers, and not those of a worker."""
    return make_change(
        name, now, requires=(Is("revision", endpoint.revision),), sets=sets, adds={"revision": 1}
    )


def rotate_secrets(
    secrets: tuple[Secret, ...], key_version: int, overlap: timedelta, now: datetime
) -> tuple[Secret, ...]:
    """Return a new secret, and those before it that still sign, for `overlap` at the most."""
    if not secrets:
        return (Secret(1, key_version),)
    until = now + overlap
    ends = [(each, min(each.valid_until or until, until)) for each in secrets]
    kept = [Secret(each.number, each.key_version, end) for each, end in ends if end > now]
    return (Secret(secrets[0].number + 1, key_version), *kept[: MAX_SECRETS - 1])


def signing_secrets(secrets: tuple[Secret, ...], now: datetime) -> tuple[Secret, ...]:
    """Return those that sign now, the present one first."""
    return tuple(each for each in secrets if each.valid_until is None or each.valid_until > now)
