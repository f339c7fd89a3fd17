"""An intake with everything around it in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import cast

from rune.contracts.problems import Problem
from rune.errors import StoreUnavailableError
from rune.jobs.record import Job
from rune.services.intake.desk import Addresses, Desk, Message
from rune.services.intake.inbox import DropService
from rune.services.intake.orders import Orders
from rune.services.intake.ways import Way
from rune.services.jobs import JobLimits, JobService
from rune.services.workflow_answers import WorkflowAnswers
from rune.tenants.settings import FixedTenants, TenantSettings
from tests.builders import NOW, FakeClock, RecordingQueue, a_benchmark_request, a_sample_event
from tests.memory_job_store import MemoryJobStore
from tests.tenant_builders import EVERYWHERE

BUCKET = "rune-dev-inboxbucket-1x2y3z"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:rune-dev-intake"
ADDRESSES = Addresses("default", {"acme.ci": "acme"}, TOPIC, BUCKET)
SAMPLES = {
    Way.DROP: "intake-drop",
    Way.BUS: "intake-bus",
    Way.QUEUE: "intake-queue",
    Way.TOPIC: "intake-topic",
    Way.WORKFLOW: "intake-workflow",
}
LIMITS = JobLimits(timedelta(days=1), timedelta(hours=1), timedelta(days=30), 10_000_000)

ALWAYS = lambda: True  # noqa: E731  # as the services take it


def a_body(way: Way) -> str:
    """Return what stands in the queue of a way, as `events/` shows it."""
    records = cast("list[dict[str, str]]", a_sample_event(SAMPLES[way])["Records"])
    return records[0]["body"]


def a_message(body: str, **overrides: object) -> Message:
    """Return the first delivery of a message."""
    return replace(Message(body, "message-1", 1, NOW, NOW), **overrides)  # type: ignore[arg-type]  # refuses unknown names


def a_drop_event(key: str = "inbox/default/benchmark/a.json", **of_object: object) -> str:
    """Return what EventBridge tells of a new object."""
    event = json.loads(a_body(Way.DROP))
    event["detail"]["object"] = {"key": key, "size": 10, "etag": "e", "sequencer": "1", **of_object}
    return json.dumps(event)


def an_order(**overrides: object) -> str:
    """Return an order as it is sent to the queue."""
    return json.dumps({"kind": "benchmark", "request": a_benchmark_request(), **overrides})


@dataclass
class MemoryInbox:
    """A bucket of which only the latest objects are kept."""

    objects: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    writes: int = 0
    fails_after: int | None = None

    def fetch(self, key: str, version_id: str | None, etag: str, largest_bytes: int) -> bytes | None:
        found = self.objects.get(key)
        return None if found is None else found[: largest_bytes + 1]

    def read_answer(self, key: str, drop_id: str) -> str | None:
        owner, text = self.answers.get(key, ("", ""))
        return text if owner == drop_id else None

    def write_answer(self, key: str, drop_id: str, text: str, *, has_lines: bool) -> None:
        if self.fails_after is not None and self.writes >= self.fails_after:
            raise StoreUnavailableError("bucket")
        self.writes += 1
        self.answers[key] = (drop_id, text)

    def answer(self, key: str) -> list[Mapping[str, object]]:
        """Return the documents of an answer."""
        return [json.loads(line) for line in self.answers[key][1].splitlines()]


@dataclass
class MemoryRefusals:
    """The failure queues."""

    kept: list[tuple[Way, str, str]] = field(default_factory=list)
    is_down: bool = False

    def put(self, way: Way, body: str, problem: Problem) -> None:
        if self.is_down:
            raise StoreUnavailableError("queue")
        self.kept.append((way, body, problem.code))

    @property
    def codes(self) -> list[str]:
        return [code for _, _, code in self.kept]


@dataclass
class MemoryTasks:
    """Tasks that wait; each is answered once."""

    answers: list[tuple[str, ...]] = field(default_factory=list)
    is_down: bool = False

    def succeed(self, token: str, output_json: str) -> None:
        self._note("succeed", token, output_json)

    def fail(self, token: str, error: str, cause: str) -> None:
        self._note("fail", token, error, cause)

    def beat(self, token: str) -> None:
        self._note("beat", token)

    def _note(self, *answer: str) -> None:
        if self.is_down:
            raise StoreUnavailableError("states")
        self.answers.append(answer)


def known_tenants(**others: TenantSettings) -> FixedTenants:
    """Return tenants with documents: default, acme, and those given."""
    return FixedTenants(
        {
            "default": TenantSettings(has_document=True),
            "acme": TenantSettings(has_document=True),
            **others,
        }
    )


@dataclass
class Office:
    """A desk, and what its messages lead to."""

    tenants: FixedTenants = field(default_factory=known_tenants)
    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    clock: FakeClock = field(default_factory=FakeClock)
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    refusals: MemoryRefusals = field(default_factory=MemoryRefusals)
    tasks: MemoryTasks = field(default_factory=MemoryTasks)

    @property
    def orders(self) -> Orders:
        jobs = JobService(
            self.store, self.queue, self.clock, LIMITS, slot_count=5, budgets=self.store.budgets
        )
        return Orders(jobs, self.tenants, EVERYWHERE, has_provider=False)

    @property
    def drops(self) -> DropService:
        return DropService(self.inbox, self.orders)

    @property
    def workflows(self) -> WorkflowAnswers:
        return WorkflowAnswers(self.store, self.tasks)

    @property
    def desk(self) -> Desk:
        return Desk(
            self.orders,
            self.drops,
            self.workflows,
            refusals=self.refusals,
            addresses=ADDRESSES,
            clock=self.clock,
        )

    def take(
        self, way: Way, body: str, may_go_on: Callable[[], bool] = ALWAYS, **message: object
    ) -> int | None:
        """Take a message as it is delivered."""
        return self.desk.take(way, a_message(body, **message), may_go_on)

    @property
    def jobs(self) -> list[Job]:
        return list(self.store.jobs.values())
