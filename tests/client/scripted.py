"""A RUNE that answers by a script, and a client that sleeps in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from rune_client import RuneClient

TOKEN = "t0ken-of-a-tenant-which-nobody-may-ever-see"
JOB_ID = "58d7b0bcc7ec41fd93d390b669e918d4"

type Scripted = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class VirtualTime:
    """Seconds that pass only while someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers one request after the other, and keeps them. The last answer is given again."""

    def __init__(self, *answers: Scripted) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def document(content: object, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json=content, headers=headers)


def problem(status: int, code: str, detail: str = "It is so.", **members: object) -> httpx.Response:
    body = {
        "type": "about:blank",
        "title": "T",
        "status": status,
        "code": code,
        "detail": detail,
        "error": detail,
    }
    return httpx.Response(
        status,
        content=json.dumps({**body, "request_id": "r-1", **members}),
        headers={"Content-Type": "application/problem+json"},
    )


def a_client(script: Script, time: VirtualTime | None = None, **options: Any) -> RuneClient:  # noqa: ANN401  # the client's own
    """Return a client of the script, whose chance is always 1."""
    time = time or VirtualTime()
    client = RuneClient("https://rune.test", TOKEN, transport=script, **options)
    client._policy = replace(client._policy, clock=time.now, chance=lambda: 1.0)
    client._sleep = time.sleep
    return client
