"""An API that is as unkind as a network and a busy server can be: it cuts, loses answers, refuses, stalls.

It keeps what it was sent, and how many jobs it made: one key, one job, as the real one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

TOKEN = "t0ken-of-a-tenant-which-nobody-may-ever-see"

type Record = dict[str, Any]


class Sent(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Record | None

    @property
    def is_submit(self) -> bool:
        """Whether it makes a job; a plan does not."""
        is_job = self.method == "POST" and self.path.startswith("/v1/jobs/")
        return is_job and not (self.body or {}).get("dry_run")


class Answer(NamedTuple):
    """What is answered; `is_cut` cuts the connection."""

    status: int = 200
    document: object = None
    headers: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False


CUT = Answer(is_cut=True)


def problem(status: int, code: str, detail: str = "It is so.", **headers: str) -> Answer:
    document = {"status": status, "code": code, "detail": detail, "error": detail, "request_id": "r-1"}
    return Answer(status, document, tuple(headers.items()))


def a_plan(**changes: object) -> Record:
    """Return a plan that rents."""
    estimate = {
        "low_usd": 0.18,
        "likely_usd": 0.19,
        "high_usd": 0.21,
        "confidence_score": 0.95,
        "notes": [],
        "offer": {
            "gpu_name": "RTX 4090",
            "gpu_count": 1,
            "vram_mb": 24564,
            "place": "Quebec, CA",
            "usd_per_hour": 0.358,
        },
    }
    plan = {
        "dry_run": True,
        "kind": "benchmark",
        "rents": True,
        "would_wait": False,
        "max_runtime_seconds": 3600,
        "max_cost_usd": 0.5,
        "estimate": estimate,
        "budgets_after": [],
        "warnings": [],
    }
    return {**plan, **changes}


FREE = a_plan(rents=False, max_cost_usd=None, estimate=None)


def a_job(status: str, **changes: object) -> Record:
    job: Record = {
        "status": status,
        "kind": "benchmark",
        "message": "The model is being measured.",
        "progress": {"step": "measure", "try": 1},
        "result": None,
        "cost_usd": None,
        "max_cost_usd": None,
        "error": None,
        "error_code": None,
        "warnings": [],
    }
    return {**job, **changes}


def a_result(**report: object) -> Record:
    run = {"max_concurrency": 1, "completed": 1, "num_prompts": 1, "warnings": []}
    whole = {"runs": [run], "warnings": [], "ended_by": "all_measured", **report}
    return {"answer": "42", "model_name": "m", "report": whole, "rental": None}


SUCCEEDED = a_job("succeeded", result=a_result())


class FakeApi:
    """The API. `life` is what a job is, look after look; the last one stays.

    `loses_submits` submits are done and their answers lost; `refuses_submits` are answered first.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.sent: list[Sent] = []
        self.plan: Record = FREE
        self.life: list[Record] = [a_job("running"), SUCCEEDED]
        self.events: list[Record] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.loses_submits = 0
        self.refuses_submits: list[Answer] = []
        self.jobs: dict[str, str] = {}
        self.is_submitted = Event()
        self._looks = 0
        self._lock = Lock()

    def will_answer(self, method: str, path: str, *answers: Answer) -> None:
        """Answer these first, in their order."""
        self.answers[method, path] = list(answers)

    @property
    def submits(self) -> list[Sent]:
        """What was sent to make a job; plans are none."""
        return [each for each in self.sent if each.is_submit]

    def answer(self, sent: Sent) -> Answer:
        """Return what is answered to a request."""
        with self._lock:
            self.sent.append(sent)
            planned = self.answers.get((sent.method, sent.path.partition("?")[0]), [])
            if planned:
                return planned.pop(0)
            if sent.is_submit and self.refuses_submits:
                return self.refuses_submits.pop(0)
            usual = self._usual(sent)
            if sent.is_submit and self.loses_submits:
                self.loses_submits -= 1
                return CUT
            return usual

    def _usual(self, sent: Sent) -> Answer:
        parts = sent.path.split("?")[0].strip("/").split("/")
        if sent.method == "POST" and parts[:2] == ["v1", "jobs"]:
            if (sent.body or {}).get("dry_run"):
                return Answer(200, self.plan)
            key = sent.headers["idempotency-key"]
            job_id = self.jobs.setdefault(key, f"{len(self.jobs) + 1:032x}")
            self.is_submitted.set()
            return Answer(202, {"job_id": job_id, "status": "accepted"})
        if parts[:2] == ["v1", "jobs"] and len(parts) == 4:
            after = int(sent.path.partition("after=")[2] or 0)
            return Answer(200, {"events": [each for each in self.events if each["id"] > after]})
        if parts[:2] == ["v1", "jobs"] and len(parts) == 3:
            if sent.method == "DELETE":
                self.life = [a_job("cancelled")]
                return Answer(202, {"job_id": parts[2], **a_job("running")})
            job = self.life[min(self._looks, len(self.life) - 1)]
            self._looks += 1
            return Answer(
                200, {"job_id": parts[2], **job}, (("Retry-After", "0"), ("ETag", f'"{self._looks}"'))
            )
        return problem(404, "not_found")


def _handler_of(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = api.answer(Sent(self.command, self.path, headers, body))
            self.close_connection = True
            if answer.is_cut:
                # A reset, as of a machine that went away.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()
                return
            text = answer.document if isinstance(answer.document, str) else json.dumps(answer.document)
            content = text.encode()
            self.send_response(answer.status)
            for name, value in (("Content-Type", "application/json"), *answer.headers):
                self.send_header(name.replace("_", "-"), value)
            # Said, so that the client does not send its next request on a connection that is about to close.
            self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the library's names

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that we cut are no error."""


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Serve the API on a port of its own."""
    api = FakeApi("")
    server = _Server(("127.0.0.1", 0), _handler_of(api))
    api.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
