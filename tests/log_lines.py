"""What functions write to their logs, as the formatter makes it at that moment."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, override

from rune.logs import JsonFormatter


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.setFormatter(JsonFormatter())

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Log:
    """The lines so far."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    @property
    def text(self) -> str:
        """All of it, as CloudWatch would have it."""
        return "\n".join(self._lines.texts)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines, or those with this event, without their time and level."""
        found = [json.loads(text) for text in self._lines.texts]
        return [
            {name: value for name, value in line.items() if name not in {"time", "level"}}
            for line in found
            if event in (None, line["event"])
        ]


@contextmanager
def logged() -> Iterator[Log]:
    """Collect what is logged meanwhile."""
    root, lines = logging.getLogger(), _Lines()
    root.addHandler(lines)
    try:
        yield Log(lines)
    finally:
        root.removeHandler(lines)
