"""Handlers of this repository in this process, each with an environment of its own."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

from rune.tenants.uses import TokenUses

type Handle = Callable[[Any, Any], Any]
"""A Lambda handler: event and context in, answer out."""


class Context:
    """What Lambda tells of an invocation, as far as our handlers ask.

    Parameters
    ----------
    remaining_ms
        Until Lambda ends the invocation. With the default a worker of the inference lane takes one turn. With
        `WHOLE_INVOCATION_MS` it goes on with the job's next ones.
    """

    aws_request_id = "bench"

    def __init__(self, remaining_ms: int = 50_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        return self._remaining_ms


WHOLE_INVOCATION_MS = 900_000
"""The timeout of the inference lane's function (template.yaml)."""


@contextmanager
def loaded(package: str, environment: Mapping[str, str]) -> Iterator[Handle]:
    """Give the handler of a function as a fresh execution environment would have it, silent."""
    name = f"{package}.handler"
    # Once a day and process, which is no job's cost.
    uses = patch.object(TokenUses, "note", lambda *_: None)
    with patch.dict(os.environ, environment), uses, _silence(), _closing_loops():
        sys.modules.pop(name, None)
        module: ModuleType = importlib.import_module(name)
        try:
            yield module.handle
        finally:
            sys.modules.pop(name, None)


@contextmanager
def _closing_loops() -> Iterator[None]:
    """Close the loops that are made within; the API makes one at import and never ends."""
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def note_loop() -> asyncio.AbstractEventLoop:
        made.append(new_event_loop())
        return made[-1]

    with patch.object(asyncio, "new_event_loop", note_loop):
        yield
    for loop in made:
        loop.close()


@contextmanager
def _silence() -> Iterator[None]:
    # Lines go where Lambda's own would, so they are made, but a terminal has no use for them.
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - os.devnull is no path
        root = logging.getLogger()
        handler = logging.StreamHandler(nowhere)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
