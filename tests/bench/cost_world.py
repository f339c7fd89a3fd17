"""All functions over one simulated cloud, with time that is moved and steps that may be looks."""

from __future__ import annotations

import copy
import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import boto3

from rune.aws.dynamodb_rows import to_row
from rune.aws.job_rows import hot_item, row_key
from rune.clock import SystemClock
from rune.jobs import lifecycle
from rune.jobs.lease import LOOK_SECONDS, Lease
from rune.jobs.outcomes import Again, Outcome
from rune.jobs.places import SHARE_KEPT, Share, ShareRow
from rune.jobs.record import Kind, StepName
from rune.jobs.step import Step, StepContext
from tests.bench.costs import Item, Usage
from tests.bench.handlers import WHOLE_INVOCATION_MS, Context, Handle, loaded
from tests.bench.meter import Meter, SentMessage, watched_clients
from tests.builders import a_benchmark_request, an_http_event, an_sqs_event

if TYPE_CHECKING:
    from tests.cloud import Cloud

LOOK_PAUSE_SECONDS = 15
MONEY_TIMEOUT_MS = 60_000

PUT_PREFIX = "00000000"
"""Of the ids of jobs that are put into the table without a POST."""


@dataclass(slots=True)
class _MovedTime:
    """The clock of the functions: a millisecond for each look at it, and what is skipped.

    So nothing gets late on a slow machine. Durations are measured in real time, and what was skipped.
    """

    look_count: int = 0
    skipped_seconds: float = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        began_at, monotonic_seconds = SystemClock().now(), SystemClock.monotonic_seconds

        def moved_now(_clock: SystemClock) -> datetime:
            self.look_count += 1
            return began_at + timedelta(seconds=self.skipped_seconds, milliseconds=self.look_count)

        def moved_monotonic(clock: SystemClock) -> float:
            return monotonic_seconds(clock) + self.skipped_seconds

        with (
            patch.object(SystemClock, "now", moved_now),
            patch.object(SystemClock, "monotonic_seconds", moved_monotonic),
        ):
            yield


@dataclass(slots=True)
class _Script:
    """How the steps of the next job differ from the real ones.

    Attributes
    ----------
    looks_left
        Of the first step: it finds nothing so many times, as a machine that boots.
    warm_up_seconds, shows_progress
        How long the warm-up takes, and whether it has new progress all the time.
    """

    time: _MovedTime
    looks_left: int = 0
    warm_up_seconds: float = 0.0
    shows_progress: bool = False

    async def run(self, step: Step, context: StepContext, lease: Lease) -> Outcome:
        """Stand in for `run_leased`, with the same looks at the lease."""
        if context.job.step is StepName.CHECK and self.looks_left:
            self.looks_left -= 1
            return Again(LOOK_PAUSE_SECONDS)
        if context.job.step is StepName.WARM_UP:
            for number in range(int(self.warm_up_seconds / LOOK_SECONDS)):
                self.time.skipped_seconds += LOOK_SECONDS
                if self.shows_progress:
                    context.progress["chunks"] = number
                look(lease, context)
        return await step(context)


def look(lease: Lease, context: StepContext) -> None:
    """Look after the lease once."""
    lease.must_stop(context)


@dataclass(slots=True)
class World:
    """All functions over one cloud."""

    cloud: Cloud
    meter: Meter
    time: _MovedTime
    script: _Script
    body: Mapping[str, object]
    api: Handle
    janitor: Handle
    workers: Mapping[str, Handle]
    sent: deque[tuple[str, str]] = field(default_factory=deque)
    """Messages that were not taken yet: queue and body."""
    invocations: Counter[str] = field(default_factory=Counter)
    """Of the functions, by name."""

    @property
    def slot_count(self) -> int:
        """Jobs that run at the same time."""
        return int(self.cloud.environment["RUNE_RUNNING_JOBS"])

    def run_job(
        self,
        *,
        request: Mapping[str, object] | None = None,
        looks: int = 0,
        step_seconds: float = 0.0,
        shows_progress: bool = False,
    ) -> Usage:
        """Return what a job uses from its POST to its end."""
        self.script.looks_left, self.script.warm_up_seconds = looks, step_seconds
        self.script.shows_progress = shows_progress

        def run() -> None:
            self.post(request)
            while self.sent:
                self.take(self.sent.popleft())

        used = self.metered(run)
        self.script.warm_up_seconds = 0.0
        return used

    def metered(self, do: Callable[[], object]) -> Usage:
        """Do it, and return what it used."""
        return self.meter.metered(do)[0]

    def post(self, request: Mapping[str, object] | None = None) -> str:
        """Post a job and return its id."""
        event = an_http_event("POST", "/v1/jobs/benchmark", {**self.body, **(request or {})})
        self.invocations["api"] += 1
        answer = self.api(event, Context())
        if answer["statusCode"] != 202:
            raise RuntimeError(f"POST was answered {answer['statusCode']}: {answer['body']}")
        self._note_sent()
        return str(json.loads(answer["body"])["job_id"])

    def take(self, message: tuple[str, str], remaining_ms: int | None = None) -> None:
        """Hand a message to the worker of its lane."""
        lane, body = message
        self.invocations["worker"] += 1
        whole_ms = MONEY_TIMEOUT_MS if lane != "inference" else WHOLE_INVOCATION_MS
        self.workers[lane](an_sqs_event(body), Context(remaining_ms or whole_ms))
        self._note_sent()

    def finish(self, job_id: str) -> None:
        """Take the messages of one job until it sends none."""
        while mine := [each for each in self.sent if json.loads(each[1])["job_id"] == job_id]:
            self.sent.remove(mine[0])
            self.take(mine[0])

    def tick(self) -> object:
        """Run the janitor once."""
        return self.janitor({}, Context())

    def empty(self) -> None:
        """Begin anew."""
        self.cloud.empty()
        self.sent.clear()
        self.meter.sent.clear()

    def put_waiting(self, count: int, tenants: int) -> None:
        """Put rows of jobs that wait, without calls."""
        now = SystemClock().now()
        names = [f"tenant-{number:03d}" for number in range(tenants)]
        rows: list[Item] = []
        for number in range(count):
            job, _ = lifecycle.accept(
                job_id=f"{PUT_PREFIX}{number:024x}",
                tenant=names[number % tenants],
                kind=Kind.BENCHMARK,
                first_step=StepName.CHECK,
                now=now - timedelta(hours=1) + timedelta(milliseconds=number),
                queue_timeout=timedelta(days=1),
                max_runtime=timedelta(hours=1),
                retention=timedelta(days=30),
            )
            rows.append(hot_item(job))
        for number, name in enumerate(names):
            of_tenant = len(range(number, count, tenants))
            share = Share(name, waiting=of_tenant, updated_at=now, expires_at=now + SHARE_KEPT)
            rows.append({**row_key(ShareRow(name)), **to_row(share)})
        put_rows(rows)

    def _note_sent(self) -> None:
        lanes = {url: lane for lane, url in self.cloud.queue_urls.items()}
        for message in self.meter.sent:
            self.time.skipped_seconds += message.delay_seconds
            self.sent.append((lanes[message.queue_url], message.body))
        self.meter.sent.clear()


@contextmanager
def many_rows_allowed() -> Iterator[None]:
    """Keep moto from sorting the whole table before each query, and from copying it before each transaction.

    A query sorts what it found anyway. The copy is what moto goes back to when a transaction fails; the rows that
    were put are shared with it, since no transaction on them fails here.
    """
    from moto.dynamodb.models.table import Table  # noqa: PLC0415  # it takes a second to load

    def all_items(table: Any) -> list[Any]:  # noqa: ANN401  # moto's
        return [row for rows in table.items.values() for row in rows.values()]

    def copy_table(table: Any, memo: dict[int, Any]) -> Any:  # noqa: ANN401  # moto's
        twin = copy.copy(table)
        twin.items = defaultdict(dict)
        for partition, rows in table.items.items():
            is_put = partition.value.startswith(f"JOB#{PUT_PREFIX}")
            twin.items[partition] = rows if is_put else copy.deepcopy(rows, memo)
        return twin

    with patch.multiple(Table, create=True, all_items=all_items, __deepcopy__=copy_table):
        yield


def put_rows(rows: Sequence[Item]) -> None:
    """Put rows into moto itself: its API would take minutes for so many, as would its check of sizes."""
    from moto.dynamodb.models import dynamodb_backends  # noqa: PLC0415  # it takes a second to load
    from moto.dynamodb.models.dynamo_type import DynamoType  # noqa: PLC0415
    from moto.dynamodb.models.dynamo_type import Item as MotoItem  # noqa: PLC0415

    from tests.cloud import TABLE  # noqa: PLC0415

    table = dynamodb_backends["123456789012"]["eu-central-1"].tables[TABLE]
    for row in rows:
        values = {name: DynamoType(cast("dict[str, Any]", value)) for name, value in row.items()}
        item = MotoItem(values["pk"], values["sk"], {})
        dict.update(item.attrs, values)
        table.items[values["pk"]][values["sk"]] = item


@contextmanager
def simulated_world(model_server: str) -> Iterator[World]:
    """Give an empty world while the block runs; its jobs measure this model server."""
    from tests.cloud import BUS, TABLE, simulated_cloud, table_definition  # noqa: PLC0415  # moto takes a second to load

    time = _MovedTime()
    script = _Script(time)
    with simulated_cloud() as cloud, many_rows_allowed(), time.installed(), ExitStack() as functions:
        indexes = table_definition()["GlobalSecondaryIndexes"]
        index_keys = [[key["AttributeName"] for key in index["KeySchema"]] for index in indexes]
        meter = Meter(cloud.dynamodb, TABLE, index_keys)
        functions.enter_context(watched_clients(meter.watch))
        workers = {}
        invocations = Counter[str]()
        notifier = functions.enter_context(loaded("notifier", cloud.environment))
        boto3.client("events").create_event_bus(Name=BUS)

        def follow(message: SentMessage) -> bool:
            """Follow a notice as soon as it is sent, so that no two are followed by one publication."""
            is_notice = message.queue_url == cloud.queue_urls["notice"]
            if is_notice:
                invocations["notifier"] += 1
                meter.term = "events"
                notifier(an_sqs_event(message.body), Context())
                meter.term = None
            return is_notice

        meter.take_at_once = follow
        for lane in ("money", "inference"):
            worker = loaded("worker", {**cloud.environment, "RUNE_LANE": lane})
            workers[lane] = functions.enter_context(worker)
            engine: Any = workers[lane].__globals__["engine"]
            engine._run_step = script.run  # looks that no clock waits for
        yield World(
            cloud,
            meter,
            time,
            script,
            a_benchmark_request(backend_url=model_server),
            functions.enter_context(loaded("api", cloud.environment)),
            functions.enter_context(loaded("janitor", cloud.environment)),
            workers,
            invocations=invocations,
        )
