"""The receiver of docs/webhooks.md takes what RUNE posts, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.ports import find_free_port
from rune.clock import SystemClock
from rune.errors import ModelServerError
from rune.events.envelopes import webhook_body_json
from rune.net.addresses import AddressPolicy
from rune.net.posts import PostClient
from rune.signing_keys import SigningKeys
from rune.webhooks.record import Secret
from rune.webhooks.signing import derive_secret, show_secret, sign
from tests.webhook_builders import MASTER_KEY, a_public_event

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = derive_secret(SigningKeys.parse(MASTER_KEY), "wh_1", Secret(1, 1)) or b""


def the_receiver() -> str:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return str(program)


@pytest.fixture
def url() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = find_free_port()
    program = the_receiver().replace('("", 8000)', f'("127.0.0.1", {port})')
    environment = {**os.environ, "RUNE_WEBHOOK_SECRET": show_secret(SECRET), "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(  # noqa: S603  # our own page
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{port}/", running
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


def post(url: str, secret: bytes) -> int | None:
    """Return the status; None where the receiver gave none."""
    event = a_public_event()
    body = webhook_body_json(event).encode()
    headers = sign([secret], event.event_id, int(SystemClock().now().timestamp()), body)

    async def go() -> int | None:
        client = PostClient(AddressPolicy.parse("127.0.0.0/8"))
        try:
            return (await client.post(url, body, headers, head_bytes=10)).status
        except ModelServerError:
            return None
        finally:
            await client.aclose()

    return asyncio.run(go(), loop_factory=asyncio.new_event_loop)


def test_receiver_of_the_page_is_fifteen_lines() -> None:
    lines = [line for line in the_receiver().splitlines() if line and not line.startswith(("import", "from"))]

    assert len(lines) <= 15


def test_receiver_of_the_page_takes_each_signed_event_once(url: tuple[str, subprocess.Popen[str]]) -> None:
    address, running = url
    deadline = time.monotonic() + 10
    while (status := post(address, SECRET)) is None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (status, post(address, SECRET), post(address, b"another secret")) == (204, 204, None)
    running.terminate()
    told, _ = running.communicate()
    assert told.count("rune.job.accepted") == 1
