"""Which AWS calls a request, a worker's turn and a tick make, in order.

Counted at `before-send`, the event that botocore emits for each request that leaves, so a retry would count too.
Moto keeps the state, so each call sees what the ones before it left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from unittest.mock import patch

from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server
from rune.clock import SystemClock
from rune.jobs import lease
from tests.bench.handlers import WHOLE_INVOCATION_MS, Context, Handle, loaded
from tests.bench.meter import watched_clients
from tests.builders import TOKEN, a_benchmark_request, an_http_event, an_sqs_event

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from tests.cloud import Cloud

UNREACHED_SECONDS = 3600.0

ONE_TURN_MS = 50_000
"""With so little time left a worker of the inference lane begins no further turn."""

INSTANT = OllamaSettings(load_seconds=0.0, output_tokens_per_second=10_000.0, answer_tokens=300)
"""Its answer is so long that what a benchmark keeps between steps, 6,600 bytes, is always an object in the bucket.

Near `LARGEST_ROW_BYTES` it would be a row or an object by chance, as the number of digits of its times differs.
"""


@dataclass(frozen=True, slots=True)
class Calls:
    """The AWS calls of one act, in order."""

    act: str
    operations: tuple[str, ...]


class _Notebook:
    """Notes the calls that leave every client made while it is open."""

    def __init__(self) -> None:
        self.acts: list[Calls] = []
        self._operations: list[str] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """Note what clients of sessions made in the block send."""
        with watched_clients(self._watch):
            yield

    def _watch(self, client: BaseClient) -> None:
        client.meta.events.register_first("before-send.*.*", self._note)

    def _note(self, event_name: str, **_rest: object) -> None:
        self._operations.append(event_name.rpartition(".")[2])

    def note[Answer](self, act: str, do: Callable[[], Answer]) -> Answer:
        """Do it, and keep the calls that it made under the name."""
        self._operations.clear()
        answer = do()
        self.acts.append(Calls(act, tuple(self._operations)))
        return answer


def count_aws_calls() -> list[Calls]:
    """Return the calls of each request, turn and tick, each on a job that came there by its own way."""
    from tests.cloud import simulated_cloud  # noqa: PLC0415  # moto takes a second to load

    notebook = _Notebook()
    with (
        running_server(create_app(SimulatedOllama(INSTANT))) as model_server,
        simulated_cloud() as cloud,
        notebook.open(),
        loaded("api", cloud.environment) as api,
    ):
        body = a_benchmark_request(backend_url=model_server)
        _count_requests(notebook, api, body)
        _count_invocations(notebook, cloud, api, body)
        _count_waiting(notebook, cloud, api, body)
        _count_ticks(notebook, cloud, api, body)
    return notebook.acts


def _count_requests(notebook: _Notebook, api: Handle, body: dict[str, object]) -> None:
    job_id = notebook.note("POST job", lambda: _post(api, body))
    path = f"/v1/jobs/{job_id}"
    refused = {**body, "vastai": True}
    notebook.note("GET job", lambda: _ask(api, "GET", path))
    notebook.note("GET events", lambda: _ask(api, "GET", f"{path}/events"))
    notebook.note("401", lambda: _ask(api, "GET", path, token="x" * 43, status=401))
    notebook.note("422", lambda: _ask(api, "POST", "/v1/jobs/benchmark", refused, status=422))


def _count_invocations(notebook: _Notebook, cloud: Cloud, api: Handle, body: dict[str, object]) -> None:
    """Take the turns of three jobs: one alone, all of a job, and one that sees a cancel. The last comes twice."""
    with _worker(cloud, "inference") as take:
        job_id = _post(api, body)
        notebook.note("one turn of a job", lambda: take(job_id, 1))
        notebook.note("DELETE job, running", lambda: _ask(api, "DELETE", f"/v1/jobs/{job_id}", status=202))
        notebook.note("turn, cancelled", lambda: take(job_id, 2))
        whole_id = _post(api, body)
        notebook.note("all turns of a job", lambda: take(whole_id, 1, WHOLE_INVOCATION_MS))
        notebook.note("message, duplicate", lambda: take(whole_id, 1))


def _count_waiting(notebook: _Notebook, cloud: Cloud, api: Handle, body: dict[str, object]) -> None:
    """Fill the slots, and look at what waits."""
    first_id = _post(api, body)
    while not _post_waits(api, body):
        pass
    job_id = notebook.note("POST job, waits", lambda: _post(api, body))
    path = f"/v1/jobs/{job_id}"
    notebook.note("GET job, waiting", lambda: _ask(api, "GET", path))
    notebook.note("DELETE job, waiting", lambda: _ask(api, "DELETE", path, status=202))
    with _worker(cloud, "inference") as take:
        notebook.note("all turns, and the next job's slot", lambda: take(first_id, 1, WHOLE_INVOCATION_MS))


def _count_ticks(notebook: _Notebook, cloud: Cloud, api: Handle, body: dict[str, object]) -> None:
    now = SystemClock().now()
    cloud.empty()
    with loaded("janitor", cloud.environment) as janitor:
        notebook.note("tick, nothing late", lambda: janitor({}, Context()))
        _post(api, body)
        with patch.object(SystemClock, "now", lambda _clock: now + timedelta(minutes=5)):
            notebook.note("tick, one late turn", lambda: janitor({}, Context()))


@contextmanager
def _worker(cloud: Cloud, lane: str) -> Iterator[_Take]:
    """Give a worker of the lane, which takes the turn of a job by its number.

    It looks at no lease meanwhile: how often it would depends on how long a turn takes on this machine.
    """
    with (
        patch.object(lease, "LOOK_SECONDS", UNREACHED_SECONDS),
        loaded("worker", {**cloud.environment, "RUNE_LANE": lane}) as worker,
    ):

        def take(job_id: str, seq: int, remaining_ms: int = ONE_TURN_MS) -> object:
            return worker(an_sqs_event(json.dumps({"job_id": job_id, "seq": seq})), Context(remaining_ms))

        yield take


class _Take(Protocol):
    """Takes the turn of a job by its number, and those after it as far as the time allows."""

    def __call__(self, job_id: str, seq: int, remaining_ms: int = ONE_TURN_MS) -> object:
        """Return the handler's answer."""
        ...


def _post_waits(api: Handle, body: dict[str, object]) -> bool:
    """Post a job, and return whether it waits for a slot."""
    job_id = _post(api, body)
    return _ask(api, "GET", f"/v1/jobs/{job_id}")["queue_position"] is not None


def _post(api: Handle, body: dict[str, object]) -> str:
    return str(_ask(api, "POST", "/v1/jobs/benchmark", body, status=202)["job_id"])


def _ask(
    api: Handle,
    method: str,
    path: str,
    body: dict[str, object] | None = None,
    *,
    status: int = 200,
    token: str = TOKEN,
) -> dict[str, object]:
    answer = api(an_http_event(method, path, body, token=token), Context())
    if answer["statusCode"] != status:
        raise RuntimeError(f"{method} {path} was answered {answer['statusCode']}: {answer['body']}")
    members: dict[str, object] = json.loads(answer["body"])
    return members
