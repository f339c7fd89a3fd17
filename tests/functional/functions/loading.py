"""Loading handlers as Lambda does: once, with their environment, which they read as they are imported."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import pytest

OWN_LOGGERS = ("rune", "api", "worker", "janitor", "notifier", "trigger")


@contextmanager
def loaded(name: str, environment: Mapping[str, str]) -> Iterator[ModuleType]:
    """Give a handler module imported afresh, and undo what its start does to the process."""
    with pytest.MonkeyPatch.context() as patch, _logging_restored():
        for variable, value in environment.items():
            patch.setenv(variable, value)
        patch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        if name == "api.handler":
            _loops.append(asyncio.get_event_loop())
        try:
            yield module
        finally:
            if name == "api.handler":
                _loops.pop().close()
                asyncio.set_event_loop(_loops[-1] if _loops else None)


_loops: list[asyncio.AbstractEventLoop] = []
"""What the API handlers that are loaded now have set as the process's own, the last one on top."""


@contextmanager
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers = {handler: handler.formatter for handler in root.handlers}
    levels = {name: logging.getLogger(name).level for name in OWN_LOGGERS}
    root_level = root.level
    try:
        yield
    finally:
        root.setLevel(root_level)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
        for handler, formatter in handlers.items():
            handler.setFormatter(formatter)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
