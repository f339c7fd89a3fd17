"""A receiver of webhooks on loopback, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.webhook_builders import Post

type Answer = Callable[[int], int]
"""From the number of the POST, from 1, to the status."""


@dataclass
class Receiver:
    """What a receiver got.

    Attributes
    ----------
    answer
        Replaced by a test; may also wait.
    """

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answer: Answer = lambda _number: 204

    def wait_for(self, count: int, seconds: float) -> list[Post]:
        """Return the posts once there are so many; fails after a while."""
        deadline = time.monotonic() + seconds
        while len(self.posts) < count:
            assert time.monotonic() < deadline, f"{len(self.posts)} of {count} posts came"
            time.sleep(0.05)
        return self.posts

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        lower = {name.lower(): value for name, value in headers.items()}
        self.posts.append(Post(path, body, lower, datetime.now(UTC)))
        return self.answer(len(self.posts))


@contextmanager
def running_receiver(answer: Answer | None = None) -> Iterator[Receiver]:
    """Give a receiver that listens on a free port of loopback."""
    receiver = Receiver()
    if answer is not None:
        receiver.answer = answer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver._take(self.path, dict(self.headers), body)  # its own server
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
