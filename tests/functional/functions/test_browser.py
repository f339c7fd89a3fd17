"""A real browser follows a job whose connection breaks off at every event. Needs a Chromium, as Debian has it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, override

import pytest
from starlette.responses import Response

from api import documents
from api.event_streams import answer, pause
from rune.errors import RateLimitedError
from rune.jobs.record import Status
from tests.browser import CHROMIUM, OPTIONS
from tests.builders import a_claimed_job, an_ended_job, an_event

PAGE = Path(__file__).with_name("follow.html")
SENTENCE = "a\nb\r\nc\u2028d\n\ndata: x\nid: 99\né\U0001f600"
HISTORY = [documents.job_event(an_event(number, labels={"detail": SENTENCE})) for number in (1, 2, 3)]
LIMIT_SECONDS = 60

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


class Job:
    """A job with one more event at each visit, whose reader is blocked for a while at the second one."""

    def __init__(self) -> None:
        self.positions: list[str | None] = []

    def answer(self, last_event_id: str | None) -> tuple[Response, int | None]:
        """Return the answer to a visit, and after how many events its connection breaks off."""
        self.positions.append(last_event_id)
        visit, position = len(self.positions), int(last_event_id or 0)
        if visit == 2:
            paused = pause(RateLimitedError(1))
            assert paused is not None
            return paused, None
        has_ended = visit >= len(HISTORY)
        job = an_ended_job(Status.SUCCEEDED) if has_ended else a_claimed_job()
        events = [event for event in HISTORY[: max(visit, 2)] if event.id > position]
        response = answer(
            events,
            documents.job_progress(job),
            position=position,
            next_seconds=None if has_ended else 1,
        )
        return response, 1 if events else None


@contextmanager
def serving(job: Job, seen: Queue[list[Any]]) -> Iterator[str]:
    """Serve the page and the stream of a job at one address, and put what the page has seen into a queue."""

    class Handler(BaseHTTPRequestHandler):
        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if not self.path.startswith("/v1/"):
                return self._send(200, {"Content-Type": "text/html"}, PAGE.read_bytes())
            response, cut = job.answer(self.headers.get("Last-Event-ID"))
            body = bytes(response.body)
            # The whole length is announced, so the browser sees that the connection broke off.
            sent = (
                body if cut is None else b"\n\n".join(body.split(b"\n\n")[: cut + 1]) + b"\n\nid: 77\ndata: {"
            )
            return self._send(
                response.status_code, dict(response.headers), sent, len(body) + 99 if cut else None
            )

        def do_POST(self) -> None:
            seen.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._send(200, {}, b"")

        def _send(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def browsing(url: str, profile: Path) -> Iterator[None]:
    """Show the address in a browser while the block runs."""
    command = [str(CHROMIUM), *OPTIONS, "--remote-debugging-port=0", f"--user-data-dir={profile}", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:  # noqa: S603  # ours
        try:
            yield
        finally:
            browser.kill()


def test_browser_sees_each_event_once_and_stops_at_the_end(tmp_path: Path) -> None:
    job, found = Job(), Queue[list[Any]]()

    with serving(job, found) as address, browsing(f"{address}/", tmp_path):
        seen = found.get(timeout=LIMIT_SECONDS)

    events = [(last_id, document) for kind, last_id, document in seen if kind == "job.event"]
    assert [last_id for last_id, _ in events] == ["1", "2", "3"]
    assert [document["labels"]["detail"] for _, document in events] == [SENTENCE] * 3
    # What had no empty line after it was dropped, and its id too; the pause kept the place.
    assert job.positions == [None, "1", "1", "2", "3"]
