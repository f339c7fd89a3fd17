"""A real browser shows a page as it is sent: with its style, and without one request. Needs a Chromium."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import override

import pytest

from rune.pages.style import HEADERS
from tests.browser import CHROMIUM, run_browser
from tests.page_samples import the_pages

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

PROBE = "<script>document.title='it ran'</script><img src='/pixel'><link rel=stylesheet href='/a.css'>"


class Server(ThreadingHTTPServer):
    """Serves one page, with a probe behind it or without, and notes what is asked for."""

    def __init__(self, page: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = page
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.page.encode()
        self.send_response(200)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def visit(page: str, log: Path) -> tuple[list[str], str, list[str]]:
    """Return what a browser asked the server for, what it shows and says, and what it meant to open."""
    server = Server(page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        shown = run_browser(
            "--enable-logging=stderr",
            f"--log-net-log={log}",
            "--disable-background-networking",
            "--virtual-time-budget=2000",
            "--dump-dom",
            f"http://127.0.0.1:{server.server_port}/page",
        )
    finally:
        server.shutdown()
        server.server_close()
    events = json.loads(log.read_text())["events"]
    urls = [url for event in events if (url := event.get("params", {}).get("url", "")).startswith("http")]
    return server.asked, shown, urls


def test_page_is_shown_without_one_request(tmp_path: Path) -> None:
    asked, shown, urls = visit(the_pages()["rented"], tmp_path / "log.json")

    assert asked == ["/page"]
    assert {url.rpartition("/")[2] for url in urls} == {"page"}
    assert "Content Security Policy" not in shown


def test_policy_holds_back_what_a_page_must_not_do(tmp_path: Path) -> None:
    page = the_pages()["rented"].replace("</body>", f"{PROBE}</body>").replace("<p>", "<p style='color:red'>")

    asked, shown, _ = visit(page, tmp_path / "log.json")

    assert asked == ["/page"]
    assert "it ran" not in shown.partition("<body>")[0]
    assert "Content Security Policy" in shown
