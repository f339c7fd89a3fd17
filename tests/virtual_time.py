"""An event loop whose time jumps to the next timer, so that hours of measuring take seconds."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import override
from unittest.mock import patch

_NS_PER_SECOND = 1_000_000_000


class VirtualClock:
    """The time of the loops that it makes."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic_ns(self) -> int:
        """Return its time as `time.monotonic_ns` does."""
        return round(self.seconds * _NS_PER_SECOND)

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """Return a loop that never waits."""
        return _Loop(self)


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self._clock.seconds += timeout
        return super().select(None if timeout is None else 0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_Selector(clock))
        self._virtual = clock

    @override
    def time(self) -> float:
        return self._virtual.seconds


@contextmanager
def virtual_time() -> Iterator[VirtualClock]:
    """Let stamps be those of a virtual clock while the block runs."""
    clock = VirtualClock()
    stamp: Callable[[], int] = clock.monotonic_ns
    with patch.object(time, "monotonic_ns", stamp):
        yield clock
