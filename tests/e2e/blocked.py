"""Failed authentications from many threads at once, in a stack of their own."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import httpx

from local.emulator import find_function_pids
from local.settings import StackSettings
from local.stack import Stack, running_stack
from tests.e2e.client import RuneClient, bearer

THREADS = 20
REQUESTS_EACH = 3
# An environment for each is a process with an import of its own; eight on two cores are busy enough.
ENVIRONMENTS = 8
ANY_PATH = "/v1/jobs"
# The emulator gives this address to all its callers.
ROW = {"pk": {"S": "LIMIT#127.0.0.1"}, "sk": {"S": "LIMIT"}}
WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got, in the order in which they were answered."""

    status: int
    code: str
    error: str
    retry_after: int | None

    @classmethod
    def of(cls, response: httpx.Response) -> Answer:
        document = response.json()
        after = response.headers.get("retry-after")
        return cls(
            response.status_code, document.get("code", ""), document.get("error", ""), after and int(after)
        )


@dataclass(frozen=True, slots=True)
class BlockedAddress:
    """Our own address, after the storm.

    Attributes
    ----------
    token
        A valid one, of the tenant "default".
    answers
        What the wrong tokens got.
    environments
        Processes that answered them.
    row
        The limiter's row right after them.
    ends_at
        When the block ends, on the monotonic clock.
    """

    stack: Stack
    token: str
    answers: Sequence[Answer]
    environments: int
    row: dict[str, dict[str, str]]
    ends_at: float

    @property
    def first_instant_ms(self) -> int:
        """When the oldest failure that counts was, in epoch milliseconds."""
        return int(self.row["s0"]["N"])

    def count(self, code: str) -> int:
        """Return how many wrong tokens were answered with a code."""
        return Counter(answer.code for answer in self.answers)[code]

    def read_row(self) -> dict[str, dict[str, str]]:
        """Return the limiter's row as it is now."""
        return read_row(self.stack)

    @contextmanager
    def client(self, token: str | None = None) -> Iterator[RuneClient]:
        """Give a client of this stack, with the valid token unless another is named."""
        with RuneClient(self.stack.state.base_url, bearer(token or self.token)) as client:
            yield client


@contextmanager
def blocked_address(state_path: Path) -> Iterator[BlockedAddress]:
    """Start a stack, let the storm loose on it, and give what came of it while the stack runs."""
    token = secrets.token_urlsafe(32)
    settings = StackSettings(
        port=0,
        api_tokens=f"default:{token}",
        api_concurrency=ENVIRONMENTS,
        with_simulators=False,
        state_path=state_path,
    )
    with running_stack(settings) as stack:
        warm_up(stack)
        answers = storm(stack.state.base_url)
        row = read_row(stack)
        remaining = int(row["blocked_until"]["N"]) / 1000 - time.time() if "blocked_until" in row else 0.0
        environments = len(find_function_pids(stack.state.pids["emulator"], stack.state.functions["api"]))
        yield BlockedAddress(stack, token, answers, environments, row, time.monotonic() + remaining)


def warm_up(stack: Stack) -> None:
    """Have as many environments running as can be, so that the storm meets them all at once."""
    with RuneClient(stack.state.base_url, {}) as anyone, ThreadPoolExecutor(THREADS) as pool:
        for answer in pool.map(lambda _: anyone.http.get("/healthz"), range(THREADS)):
            answer.raise_for_status()


def storm(base_url: str) -> list[Answer]:
    """Return what wrong tokens from all threads got."""
    start = Barrier(THREADS)

    def knock(thread: int) -> list[Answer]:
        with RuneClient(
            base_url, bearer(f"a-wrong-token-of-thread-{thread:02}-that-opens-nothing")
        ) as client:
            start.wait()
            return [Answer.of(client.http.get(ANY_PATH)) for _ in range(REQUESTS_EACH)]

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(knock, range(THREADS)) for answer in answers]


def read_row(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the limiter's row of our address; empty if there is none."""
    table = stack.aws.client("dynamodb")
    found = table.get_item(TableName=stack.state.table, Key=ROW, ConsistentRead=True).get("Item", {})
    return dict(found)
