"""Bad luck: what can happen at a cut point, and how likely it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Crash(BaseException):
    """The process is gone, between one instruction and the next."""


class Fault(StrEnum):
    """What can happen at a cut point."""

    CRASH = "crash"
    OUTAGE = "outage"
    """The other side cannot be reached, so nothing was done."""
    LOST_ANSWER = "lost_answer"
    PAUSE = "pause"
    """The process is frozen, for longer than its lease unless the odds say otherwise."""
    OVERTAKEN = "overtaken"
    STALLED = "stalled"
    """A worker is frozen between reading a rental and writing it."""
    DUPLICATE = "duplicate"
    DELAY = "delay"
    LOSE_MESSAGE = "lose_message"


@dataclass(frozen=True, slots=True)
class Odds:
    """Chance of each fault at every cut point where it can happen, and how long things take."""

    chances: dict[Fault, float] = field(default_factory=dict)
    overload: float = 0.0
    truncation: float = 0.0
    skew_seconds: float = 0.0
    answer_seconds: tuple[float, float] = (12.0, 12.0)
    pause_seconds: tuple[float, ...] = (200.0,)
    index_lag_seconds: float = 0.0


CALM = Odds()
