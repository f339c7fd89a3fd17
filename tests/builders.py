"""Builders of complete, plausible objects; a test names only the fields that matter to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast, override

from rune.clock import Clock
from rune.jobs.lifecycle import LEASE, Send
from rune.jobs.plan import Lane
from rune.jobs.record import DueClass, Event, Failure, Job, Kind, Status, StepMessage, StepName
from rune.jobs.step import StepContext
from rune.jobs.store import StepQueue
from rune.jobs.tokens import TokenAccount

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""The time of tests; builders' jobs were posted then."""

JOB_ID = "6f1f0c2f5d7e4b0e9d3a41c05f6a7b8c"
"""The job of the builders and of `events/*.json`."""

TENANT = "default"

TOKEN = "local-token-that-opens-nothing-but-tests"
"""The token in `events/*.json`."""

REQUEST = {
    "question": "What is unhealthy in this Kubernetes cluster?",
    "model": "llama3.1:8b",
    "backend_url": "http://127.0.0.1:11434",
}

EVENTS = Path(__file__).parents[1] / "events"

_QUEUED = Job(
    job_id=JOB_ID,
    tenant=TENANT,
    kind=Kind.BENCHMARK,
    status=Status.QUEUED,
    step=StepName.CHECK,
    seq=1,
    epoch=0,
    version=1,
    event_count=1,
    created_at=NOW,
    updated_at=NOW,
    deadline_at=NOW + timedelta(hours=1),
    expires_at=NOW + timedelta(days=30),
    due_at=NOW + timedelta(seconds=60),
    due_class=DueClass.MESSAGE,
)


def after(seconds: float) -> datetime:
    """Return `NOW` plus so many seconds, which may be negative."""
    return NOW + timedelta(seconds=seconds)


def a_job(**overrides: object) -> Job:
    """Return a job that was accepted at `NOW`."""
    return replace(_QUEUED, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_claimed_job(**overrides: object) -> Job:
    """Return a job whose first turn a worker took at `NOW`."""
    claimed = {
        "status": Status.RUNNING,
        "epoch": 1,
        "version": 2,
        "attempts": 1,
        "lease_owner": "worker-1",
        "lease_until": NOW + LEASE,
        "due_at": NOW + LEASE,
        "due_class": DueClass.LEASE,
        "started_at": NOW,
    }
    return a_job(**{**claimed, **overrides})


def a_waiting_job(**overrides: object) -> Job:
    """Return a job that waits for its second turn, in the inference lane."""
    waiting = {
        "status": Status.RUNNING,
        "step": StepName.WARM_UP,
        "seq": 2,
        "epoch": 1,
        "version": 3,
        "event_count": 2,
        "started_at": NOW,
        "due_at": NOW + timedelta(seconds=60),
    }
    return a_job(**{**waiting, **overrides})


def an_ended_job(status: Status = Status.SUCCEEDED, **overrides: object) -> Job:
    """Return an ended job."""
    ended = {
        "status": status,
        "step": StepName.MEASURE,
        "seq": 4,
        "epoch": 3,
        "version": 7,
        "event_count": 5,
        "started_at": NOW,
        "finished_at": after(60),
        "due_at": None,
        "due_class": None,
        "failure": a_failure() if status is Status.FAILED else None,
    }
    return a_job(**{**ended, **overrides})


def a_failure(**overrides: object) -> Failure:
    """Return the failure of a job."""
    failure = Failure("stream_truncated", "The answer broke off.", StepName.MEASURE, retryable=True)
    return replace(failure, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def an_event(number: int = 1, **overrides: object) -> Event:
    """Return an event of a job's history."""
    event = Event(number, "job.accepted", "ok", NOW)
    return replace(event, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_send(**overrides: object) -> Send:
    """Return the first message of the builders' job."""
    send = Send(Lane.MONEY, StepMessage(JOB_ID, 1), 0)
    return replace(send, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_step_context(job: Job | None = None, request: Mapping[str, object] | None = None) -> StepContext:
    """Return the context of a step with ten minutes left."""
    document = a_benchmark_request() if request is None else request
    job = job or a_claimed_job()
    return StepContext(job, json.dumps(document), time_limit_seconds=600.0, tokens=TokenAccount(job))


def a_benchmark_request(**overrides: object) -> dict[str, object]:
    """Return the body of a request for a benchmark."""
    return {**REQUEST, **overrides}


def a_sample_event(name: str) -> dict[str, object]:
    """Return an event of AWS, from `events/<name>.json`."""
    return cast("dict[str, object]", json.loads((EVENTS / f"{name}.json").read_text()))


def an_http_event(
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    token: str | None = TOKEN,
    address: str | None = None,
) -> dict[str, object]:
    """Return a request as API Gateway passes it on (HTTP API, payload format 2.0).

    Parameters
    ----------
    path
        With its query, if any.
    body
        A string is sent as it is, anything else as JSON.
    headers
        Added to `host`, `content-type`, `content-length` and the bearer `token`; an empty value removes one.
    address
        The TCP peer that the gateway saw; by default that of the sample event.
    """
    event = a_sample_event("api-get-healthz")
    context = cast("dict[str, dict[str, object]]", event["requestContext"])
    path, _, query = path.partition("?")
    http = {**context["http"], "method": method, "path": path}
    if address is not None:
        http["sourceIp"] = address
    given = {"host": "api.example", **({"authorization": f"Bearer {token}"} if token else {})}
    if body is not None:
        text = body if isinstance(body, str) else json.dumps(body)
        given |= {
            "content-type": "application/json",
            "content-length": str(len(text.encode(errors="replace"))),
        }
        event["body"] = text
    given |= headers or {}
    return {
        **event,
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name: value for name, value in given.items() if value},
        "requestContext": {**context, "http": http},
    }


def an_sqs_event(*bodies: str) -> dict[str, list[dict[str, str]]]:
    """Return messages as the event source mapping passes them on."""
    sample = cast("dict[str, list[dict[str, str]]]", a_sample_event("sqs-step"))
    record = sample["Records"][0]
    return {"Records": [{**record, "body": body} for body in bodies]}


@dataclass(slots=True)
class FakeClock(Clock):
    """A clock that only a test moves."""

    instant: datetime = NOW
    elapsed_seconds: float = 0.0

    @override
    def now(self) -> datetime:
        return self.instant

    @override
    def monotonic_seconds(self) -> float:
        return self.elapsed_seconds

    def advance(self, seconds: float) -> None:
        """Move the clock ahead."""
        self.instant += timedelta(seconds=seconds)
        self.elapsed_seconds += seconds


@dataclass(slots=True)
class RecordingQueue(StepQueue):
    """A queue that records its messages; with `is_down` it takes none."""

    sent: list[Send] = field(default_factory=list)
    is_down: bool = False
    backlog_count: int = 0

    @override
    def send(self, send: Send) -> bool:
        if not self.is_down:
            self.sent.append(send)
        return not self.is_down

    @override
    def count_backlog(self, lane: Lane) -> int:
        return self.backlog_count
