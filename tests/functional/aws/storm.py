"""Failed authentications from many environments at once, and what they cost.

For the tests and for `make bench`:

    with simulated_cloud() as cloud:
        print(as_table(measure(cloud)))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import TYPE_CHECKING

from rune.aws.auth_limiter import DynamoLimiter
from rune.tenants.limiter import subject_of
from tests.builders import FakeClock
from tests.cloud import TABLE, one_at_a_time

if TYPE_CHECKING:
    from tests.cloud import Cloud

ADDRESS = "203.0.113.7"
THREADS = 20
FAILURES_EACH = 5


@dataclass(frozen=True, slots=True)
class Storm:
    """What came of many failed authentications.

    Attributes
    ----------
    writes
        PutItem that was carried out.
    refused_writes
        PutItem whose condition did not hold: nothing is stored, and one write unit is billed all the same.
    """

    name: str
    wrong_token: int
    blocked: int
    writes: int
    refused_writes: int
    reads: int

    @property
    def calls_per_answer(self) -> float:
        """AWS calls for each request, on average."""
        return (self.writes + self.refused_writes + self.reads) / (self.wrong_token + self.blocked)


def storm(cloud: Cloud, name: str, limiters: Sequence[DynamoLimiter], *, at_once: bool) -> Storm:
    """Let each limiter count failures of one address, one after the other or all at once."""
    subject, start = subject_of(ADDRESS), Barrier(len(limiters))

    def fail(limiter: DynamoLimiter) -> list[int | None]:
        if at_once:
            start.wait(30)
        return [limiter.count_failure(subject) for _ in range(FAILURES_EACH)]

    cloud.calls.clear()
    with one_at_a_time("put_item"), ThreadPoolExecutor(len(limiters) if at_once else 1) as pool:
        answers = [answer for answers in pool.map(fail, limiters) for answer in answers]
    calls = Counter(cloud.operations)
    wrong_token = answers.count(None)
    stored = cloud.dynamodb.scan(TableName=TABLE)["Items"]
    writes = sum(int(item["n"]["N"]) for item in stored)
    return Storm(
        name, wrong_token, len(answers) - wrong_token, writes, calls["PutItem"] - writes, calls["GetItem"]
    )


def measure(cloud: Cloud) -> list[Storm]:
    """Return 100 failed authentications of one address: spread over environments, and at once."""

    def environments(count: int) -> list[DynamoLimiter]:
        cloud.empty()
        clock = FakeClock()
        return [DynamoLimiter(cloud.dynamodb, TABLE, clock) for _ in range(count)]

    return [
        storm(cloud, "1 environment, in turn", environments(1) * THREADS, at_once=False),
        storm(cloud, "20 environments, in turn", environments(THREADS), at_once=False),
        storm(cloud, "20 environments, at once", environments(THREADS), at_once=True),
        storm(cloud, "1 memory, 20 threads at once", environments(1) * THREADS, at_once=True),
    ]


def as_table(storms: Sequence[Storm]) -> str:
    """Return the storms as lines of a Markdown table."""
    lines = [
        "| 100 failures of one address | wrong token | blocked | writes | refused writes | reads | calls each |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.name} | {s.wrong_token} | {s.blocked} | {s.writes} | {s.refused_writes} | {s.reads} "
        f"| {s.calls_per_answer:.2f} |"
        for s in storms
    ]
    return "\n".join(lines)
