"""The queue of notices in memory, for unit tests and the simulation."""

from __future__ import annotations

from typing import override

from rune.events.notices import Notice, NoticeQueue


class MemoryNoticeQueue(NoticeQueue):
    """Keeps what was sent, in order."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []

    @override
    def send(self, notice: Notice, delay_seconds: int = 0) -> bool:
        self.sent.append(notice)
        return True
