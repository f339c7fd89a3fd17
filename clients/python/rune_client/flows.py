"""How calls are sent: when again, page by page, and until a job has ended.

Nothing here speaks HTTP or sleeps. A flow is a generator: it yields what is to be done and is sent what came of it.
`rune_client.client` does it, with or without asyncio. So both clients have one protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import httpx

from rune_client import answers
from rune_client.calls.call import Call
from rune_client.calls.jobs import Polled, poll_events, poll_job
from rune_client.documents import JobEvent, JobRecord
from rune_client.errors import (
    ApiError,
    NetworkError,
    RateLimitedError,
    ServerError,
    UnreadableAnswerError,
    WaitTimedOutError,
)

FINAL_STATUSES = frozenset({"succeeded", "failed", "cancelled"})
"""Of a job that has ended."""

_PASSING = (NetworkError, RateLimitedError, ServerError)
"""Another try may help: nothing came, it was too much at once, or the server failed."""

_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LAST_LOOK_SECONDS = 5.0
"""For a look at a job that begins when the time to wait is over, or almost."""

_POLL_SECONDS = 2.0
"""Between two looks at a job where RUNE does not say when the next one is worth it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a call once; the reply is its answer, or the reason that there is none.

    Attributes
    ----------
    ends_at
        Moment on the policy's clock after which the rest of an answer is not waited for.
    """

    call: Call[Any]
    ends_at: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, then go on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Give[T]:
    """Hand out one item of an iteration, then go on."""

    item: T


type Reply = httpx.Response | NetworkError | None
type Flow[T] = Generator[Send | Pause, Reply, T]
type Stream[T] = Generator[Send | Pause | Give[T], Reply]


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is.

    Attributes
    ----------
    retries
        How often a call is sent again at most. Only calls that may be: those that read, and those with a key.
    deadline_seconds
        After which no call is sent again, and no answer waited for.
    patience_seconds
        How long one who follows a job puts up with a server that does not answer.
    clock
        Seconds that only rise.
    chance
        A number from 0 to 1, another one each time.
    """

    retries: int
    deadline_seconds: float
    patience_seconds: float
    clock: Callable[[], float]
    chance: Callable[[], float]

    def pause_seconds(self, attempt: int, wanted_seconds: float | None) -> float:
        """Return how long to wait before the next attempt; a little by chance, so that many do not come at once."""
        growing = min(_LONGEST_PAUSE_SECONDS, _SHORTEST_PAUSE_SECONDS * 2.0 ** min(attempt, 10))
        if wanted_seconds is None:
            return growing * (0.5 + self.chance() / 2)
        return wanted_seconds + self.chance() * min(1.0, growing)


class Update(NamedTuple):
    """What is new of a job.

    Attributes
    ----------
    job
        The job as it stands now.
    events
        What has happened since the last update, oldest first; empty where only progress or cost have changed.
    """

    job: JobRecord
    events: list[JobEvent]


def sending[T](call: Call[T], policy: Policy, ends_at: float | None = None) -> Flow[T]:
    """Return what a call answers, sent again where that is safe and may help.

    Raises
    ------
    ApiError, NetworkError
        Of the last attempt.
    """
    limit = policy.clock() + policy.deadline_seconds
    ends_at = limit if ends_at is None else min(limit, ends_at)
    for attempt in count():
        answer = yield Send(call, ends_at)
        try:
            return _read(call, answer)
        except (ApiError, NetworkError) as error:
            pause = policy.pause_seconds(attempt, _wanted_seconds(error))
            is_last = not call.is_repeatable or attempt >= policy.retries or not isinstance(error, _PASSING)
            if is_last or policy.clock() + pause >= ends_at:
                if call.is_raw and isinstance(answer, httpx.Response):
                    return call.reads(answer)
                raise
        yield Pause(pause)
    raise AssertionError("the count never ends")


def paging(make: Callable[[str | None], Call[Any]], member: str, policy: Policy) -> Stream[Any]:
    """Give every item of the list `member`, page after page. A page may be empty and not be the last."""
    cursor: str | None = None
    while True:
        page = yield from sending(make(cursor), policy)
        for item in page.get(member, []):
            yield Give(item)
        following = page.get("next_cursor")
        if not following:
            return
        if following == cursor:
            raise UnreadableAnswerError(
                200, None, "A list gave the same cursor again, so it would never end."
            )
        cursor = following


@dataclass(slots=True)
class _Watch:
    """What one who follows a job remembers between two looks."""

    job_id: str
    heard_at: float
    etag: str | None = None
    failure_count: int = 0


def following(
    job_id: str, policy: Policy, *, after: int = 0, timeout_seconds: float | None = None
) -> Stream[Update]:
    """Give what is new of a job until it has ended; the last update has its end.

    Raises
    ------
    WaitTimedOutError
        It has not, within the time.
    ApiError, NetworkError
        RUNE has not answered for `patience_seconds`, or refuses.
    """
    ends_at = None if timeout_seconds is None else policy.clock() + timeout_seconds
    watch, last = _Watch(job_id, policy.clock()), after
    while True:
        polled = yield from _look_in_time(watch, policy, ends_at, timeout_seconds)
        if polled.document is not None:
            # An event is written together with the job, so an unchanged job has none that is new.
            events = yield from _patiently(poll_events(job_id, last), watch, policy)
            last = max([last, *(event["id"] for event in events)])
            yield Give(Update(polled.document, events))
            if polled.document["status"] in FINAL_STATUSES:
                return
        yield _pause_in_time(polled, watch, policy, ends_at, timeout_seconds)


def waiting(job_id: str, policy: Policy, *, timeout_seconds: float) -> Flow[JobRecord]:
    """Return a job once it has ended.

    Raises
    ------
    WaitTimedOutError
        It has not, within the time.
    ApiError, NetworkError
        As for `following`.
    """
    ends_at = policy.clock() + timeout_seconds
    watch = _Watch(job_id, policy.clock())
    while True:
        polled = yield from _look_in_time(watch, policy, ends_at, timeout_seconds)
        if polled.document is not None and polled.document["status"] in FINAL_STATUSES:
            return polled.document
        yield _pause_in_time(polled, watch, policy, ends_at, timeout_seconds)


def _look_in_time(
    watch: _Watch, policy: Policy, ends_at: float | None, timeout_seconds: float | None
) -> Flow[Polled]:
    """Look at a job; an outage that lasts until the time is over is the end of the wait."""
    # A look takes its time also where none is left: else a job that has ended would be told as one that goes on.
    looks_until = None if ends_at is None else max(ends_at, policy.clock() + _LAST_LOOK_SECONDS)
    try:
        return (yield from _look(watch, policy, looks_until))
    except NetworkError:
        if ends_at is None or timeout_seconds is None or policy.clock() < ends_at:
            raise
        raise WaitTimedOutError(watch.job_id, timeout_seconds) from None


def _pause_in_time(
    polled: Polled, watch: _Watch, policy: Policy, ends_at: float | None, timeout_seconds: float | None
) -> Pause:
    """Return the pause before the next look, which is not later than the end of the time."""
    pause = _POLL_SECONDS if polled.retry_after_seconds is None else polled.retry_after_seconds
    if ends_at is None or timeout_seconds is None:
        return Pause(pause)
    left = ends_at - policy.clock()
    if left <= 0:
        raise WaitTimedOutError(watch.job_id, timeout_seconds)
    return Pause(min(pause, left))


def _look(watch: _Watch, policy: Policy, ends_at: float | None = None) -> Flow[Polled]:
    polled = yield from _patiently(poll_job(watch.job_id, watch.etag), watch, policy, ends_at)
    watch.etag = polled.etag or watch.etag
    return polled


def _patiently[T](call: Call[T], watch: _Watch, policy: Policy, ends_at: float | None = None) -> Flow[T]:
    """Return what a call answers, asked again through an outage: the job goes on meanwhile."""
    while True:
        try:
            result = yield from sending(call, policy, ends_at)
        except _PASSING as error:
            pause = policy.pause_seconds(watch.failure_count, _wanted_seconds(error))
            gives_up_at = watch.heard_at + policy.patience_seconds
            if ends_at is not None:
                gives_up_at = min(gives_up_at, ends_at)
            if policy.clock() + pause >= gives_up_at:
                raise
            watch.failure_count += 1
            yield Pause(pause)
        else:
            watch.heard_at, watch.failure_count = policy.clock(), 0
            return result


def _read[T](call: Call[T], answer: Reply) -> T:
    if isinstance(answer, NetworkError):
        answer.idempotency_key = call.idempotency_key
        raise answer
    assert answer is not None, "a call is answered, or there is a reason"  # noqa: S101  # for the types alone
    error = answers.error_of(answer)
    if error is not None:
        raise error
    return call.reads(answer)


def _wanted_seconds(error: ApiError | NetworkError) -> float | None:
    return error.retry_after_seconds if isinstance(error, ApiError) else None
