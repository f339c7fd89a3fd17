"""Many submits in the same instant against one small budget, with conflicts as DynamoDB makes them.

A transaction holds its rows for a while, and meanwhile cancels every other write of them. moto and the emulator
carry out one request after another, so there is never a conflict. Time is virtual: of all threads one runs, until
it waits.

`python -m tests.functional.aws.contention 200 50` prints what 200 submits at once against a budget for 50 become.
"""

# ruff: noqa: T201  # a command line
from __future__ import annotations

import heapq
import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rune.aws.budget_store import DynamoBudgetStore
from rune.aws.job_store import DynamoJobStore, NoObjectStore
from rune.errors import RuneError
from rune.jobs.places import Terms
from rune.jobs.record import Kind, StepName
from rune.money.limits import SpendingLimits
from rune.services.admission.requests import Admitted
from rune.services.jobs import Caller, JobLimits, JobService
from tests.builders import TENANT, FakeClock, RecordingQueue
from tests.cloud import TABLE

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.cloud import Cloud

TRANSACTION_SECONDS, CALL_SECONDS = 0.020, 0.005
"""Of a transaction, and of any other call and of a refusal; some times what DynamoDB takes."""

API_SECONDS = 15.0
"""Of a request; see `ApiFunction` in the template."""

JOB_MICRO_USD = 100_000


class VirtualTime:
    """Runs threads one at a time, in the order of their virtual time.

    Attributes
    ----------
    now_seconds
        Since the start.
    """

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self._turns: list[tuple[float, int, Event]] = []
        self._numbers = itertools.count()
        self._paused = Event()

    def sleep(self, seconds: float) -> None:
        """Wait, in a thread of `run`."""
        turn = Event()
        heapq.heappush(self._turns, (self.now_seconds + seconds, next(self._numbers), turn))
        self._paused.set()
        turn.wait()

    def run(self, acts: Sequence[Callable[[], None]]) -> None:
        """Carry out all acts, which begin in the same instant; raise what one of them raised."""
        errors: list[BaseException] = []

        def run_one(act: Callable[[], None]) -> None:
            try:
                self.sleep(0)
                act()
            except BaseException as error:  # noqa: BLE001  # raised below, in the caller's thread
                errors.append(error)
            self._paused.set()

        for act in acts:
            self._paused.clear()
            Thread(target=run_one, args=(act,), daemon=True).start()
            self._paused.wait()
        while self._turns:
            self.now_seconds, _, turn = heapq.heappop(self._turns)
            self._paused.clear()
            turn.set()
            self._paused.wait()
        if errors:
            raise errors[0]


class ContendedClient:
    """A client whose transactions take time, and cancel other writes of their rows meanwhile."""

    def __init__(self, client: DynamoDBClient, time: VirtualTime) -> None:
        self._client = client
        self._time = time
        self._held: set[tuple[str, str]] = set()
        self.conflict_count = 0

    def __getattr__(self, name: str) -> object:
        operation = getattr(self._client, name)
        if name == "exceptions":
            return operation

        def call(**arguments: object) -> object:
            self._time.sleep(CALL_SECONDS)
            return operation(**arguments)

        return call

    def update_item(self, **arguments: Any) -> object:  # noqa: ANN401  # passed on
        self._time.sleep(CALL_SECONDS)
        if _key(arguments["Key"]) in self._held:
            self.conflict_count += 1
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
        return self._client.update_item(**arguments)

    def transact_write_items(self, **arguments: Any) -> object:  # noqa: ANN401  # passed on
        keys = [_key_of_write(write) for write in arguments["TransactItems"]]
        met = [key in self._held for key in keys]
        if any(met):
            self._time.sleep(CALL_SECONDS)
            self.conflict_count += 1
            error = {
                "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
                "CancellationReasons": [{"Code": "TransactionConflict" if held else "None"} for held in met],
            }
            raise self._client.exceptions.TransactionCanceledException(error, "TransactWriteItems")  # type: ignore[arg-type]
        self._held.update(keys)
        try:
            self._time.sleep(TRANSACTION_SECONDS)
            return self._client.transact_write_items(**arguments)
        finally:
            self._held.difference_update(keys)


def _key(key: dict[str, Any]) -> tuple[str, str]:
    return key["pk"]["S"], key["sk"]["S"]


def _key_of_write(write: dict[str, Any]) -> tuple[str, str]:
    (arguments,) = write.values()
    return _key(arguments.get("Key") or arguments["Item"])


@dataclass(slots=True)
class Rush:
    """What came of submits in the same instant.

    Attributes
    ----------
    answers
        How many were accepted, and how many were refused by each code.
    longest_seconds
        Until the last answer.
    """

    answers: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    conflict_count: int = 0


def rush(cloud: Cloud, post_count: int, fitting: int, slot_count: int = 5) -> Rush:
    """Submit many jobs in the same instant against a budget of the deployment for some of them."""
    time = VirtualTime()
    client: Any = ContendedClient(cloud.dynamodb, time)
    budget = fitting * JOB_MICRO_USD
    spending = SpendingLimits(10 * budget, 10 * budget, budget, 10 * budget)
    limits = JobLimits(
        timedelta(days=1), timedelta(hours=1), timedelta(days=30), JOB_MICRO_USD, spending=spending
    )
    service = JobService(
        DynamoJobStore(client, TABLE, NoObjectStore()),
        RecordingQueue(),
        FakeClock(),
        limits,
        slot_count,
        budgets=DynamoBudgetStore(client, TABLE),
    )
    request = Admitted(Kind.BENCHMARK, StepName.RENT, "{}", rents=True, max_cost_micro_usd=JOB_MICRO_USD)
    caller = Caller(TENANT, terms=Terms(max_waiting=post_count))
    came = Rush()

    def submit(number: int) -> None:
        try:
            service.submit(caller, request, f"one of many {number}")
            answer = "accepted"
        except RuneError as error:
            answer = error.code
        came.answers[answer] += 1
        came.longest_seconds = max(came.longest_seconds, time.now_seconds)

    with _sleeping_in(time):
        time.run([lambda number=number: submit(number) for number in range(post_count)])  # type: ignore[misc]
    came.conflict_count = client.conflict_count
    return came


@contextmanager
def _sleeping_in(time: VirtualTime) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rune.aws.dynamodb_table.time.sleep", time.sleep)
        yield


def main(post_count: int, fitting: int) -> None:
    """Print what the submits were answered."""
    from tests.cloud import simulated_cloud  # noqa: PLC0415  # moto takes a second to load

    logging.disable(logging.CRITICAL)
    with simulated_cloud() as cloud:
        came = rush(cloud, post_count, fitting)
    print(
        f"{post_count} submits in the same instant against a budget for {fitting}: {dict(came.answers)}, the last"
        f" answer after {came.longest_seconds:.1f} s of {API_SECONDS:.0f}, {came.conflict_count} conflicts"
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
