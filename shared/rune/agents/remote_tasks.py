"""An agent whose work another server does: it is handed over once, and looked after a look a turn."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import override

from rune.agents.protocol import Agent, AgentAnswer, AgentRequest, GoOn, Turn
from rune.errors import (
    AddressError,
    ModelServerError,
    RuneError,
    ServerOverloadedError,
    ServerTimeoutError,
    UnreadableRowError,
)
from rune.llm.fields import as_object, parse_json, read_count, read_number, read_text
from rune.llm.protocol import OnChunk

CALL_SECONDS = 30.0
"""Longest time of one call. A server that takes so long to accept work or to tell of it is not there."""

STOP_SECONDS = 2.0
"""Longest call that asks the server to stop; see `StepPlan.winds_down`."""

FIRST_PAUSE_SECONDS = 2
LONGEST_PAUSE_SECONDS = 15
"""Between two looks; it rises by a second each two looks."""

MAX_FAILED_LOOKS = 10
"""One after another. The work goes on elsewhere meanwhile, so an outage does not end it."""

LONGEST_FAILED_PAUSE_SECONDS = 60

DOUBLE_WARNING = (
    "The question may have been handed over more than once: an answer to it was lost, or a worker. It had the same"
    " key each time."
)

_LONGEST_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """Work that another server has.

    Attributes
    ----------
    id
        The server's own name of it.
    seconds_left
        Of the job, when it was handed over.
    looks, failed_looks
        At it so far, and how many failed since the last that did not.
    may_be_double
        Whether it may have been handed over before.
    """

    id: str
    seconds_left: float
    looks: int = 0
    failed_looks: int = 0
    may_be_double: bool = False

    def to_json(self) -> str:
        """Return it as an agent's state."""
        return json.dumps(
            {
                "id": self.id,
                "seconds_left": self.seconds_left,
                "looks": self.looks,
                "failed_looks": self.failed_looks,
                "may_be_double": self.may_be_double,
            }
        )

    @classmethod
    def from_json(cls, state_json: str) -> "RemoteTask":
        """Return what `to_json` wrote, also in a version with more members; raises UnreadableRowError otherwise."""
        try:
            members = as_object(parse_json(state_json.encode()))
        except ValueError:
            members = {}
        task_id = read_text(members, "id")
        if not task_id:
            raise UnreadableRowError("This version does not understand the state of another server's work.")
        return cls(
            task_id,
            read_number(members, "seconds_left") or 0.0,
            read_count(members, "looks") or 0,
            read_count(members, "failed_looks") or 0,
            members.get("may_be_double") is True,
        )


class RemoteAgent(Agent):
    """An agent that hands its question over and looks after it.

    Parameters
    ----------
    limit_seconds
        From the handing over to the answer; None for the job's own time.
    """

    def __init__(self, name: str, limit_seconds: float | None = None) -> None:
        self._name = name
        self._limit_seconds = limit_seconds

    @abstractmethod
    async def submit(self, request: AgentRequest, timeout_seconds: float) -> str | AgentAnswer:
        """Hand the question over; return the server's name of the work, or the answer where it comes at once."""

    @abstractmethod
    async def look(self, request: AgentRequest, task_id: str, timeout_seconds: float) -> AgentAnswer | None:
        """Return the answer; None while there is none. A failure of the work itself is not retryable."""

    @abstractmethod
    async def cancel(self, task_id: str, timeout_seconds: float) -> None:
        """Ask the server to stop; a server that cannot is no error."""

    @override
    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        timeout_seconds = min(CALL_SECONDS, request.timeout_seconds)
        if state_json is not None:
            return await self._look(request, RemoteTask.from_json(state_json), timeout_seconds)
        seconds_left = min(request.seconds_left, _LONGEST_SECONDS)
        submitted = await self.submit(request, timeout_seconds)
        # Nothing that can fail stands between the answer and the state with its id.
        may_be_double = request.try_number > 1
        if isinstance(submitted, AgentAnswer):
            return _with(submitted, {"submit_warning": DOUBLE_WARNING} if may_be_double else {}, {})
        task = RemoteTask(submitted, seconds_left, may_be_double=may_be_double)
        return _go_on(task, FIRST_PAUSE_SECONDS)

    @override
    async def stop(self, request: AgentRequest, state_json: str) -> AgentAnswer | None:
        task = RemoteTask.from_json(state_json)
        with suppress(ModelServerError, AddressError):
            await self.cancel(task.id, min(STOP_SECONDS, request.timeout_seconds))
        return None

    async def _look(self, request: AgentRequest, task: RemoteTask, timeout_seconds: float) -> Turn:
        taken_seconds = max(0.0, task.seconds_left - request.seconds_left)
        try:
            answer = await self.look(request, task.id, timeout_seconds)
        except ModelServerError as error:
            if not error.retryable or task.failed_looks >= MAX_FAILED_LOOKS:
                raise
            failed = replace(task, failed_looks=task.failed_looks + 1)
            return _go_on(failed, _pause_after(error, failed.failed_looks))
        if answer is not None:
            told = {"submit_warning": DOUBLE_WARNING} if task.may_be_double else {}
            return _with(answer, told, {"ask": round(taken_seconds * 1000)})
        if self._limit_seconds is not None and taken_seconds >= self._limit_seconds:
            await self.stop(request, task.to_json())
            raise ServerTimeoutError(f"{self._name} did not answer within {self._limit_seconds:g} seconds.")
        looks = task.looks + 1
        pause_seconds = min(FIRST_PAUSE_SECONDS + looks // 2, LONGEST_PAUSE_SECONDS)
        return _go_on(replace(task, looks=looks, failed_looks=0), pause_seconds)


def _go_on(task: RemoteTask, pause_seconds: int) -> GoOn:
    progress = {"looks": task.looks, "failed_looks": task.failed_looks}
    return GoOn(task.to_json(), progress, delay_seconds=pause_seconds)


def _pause_after(error: RuneError, failed_looks: int) -> int:
    asked = error.retry_after_seconds if isinstance(error, ServerOverloadedError) else None
    return min(asked or 5 * 2 ** (failed_looks - 1), LONGEST_FAILED_PAUSE_SECONDS)


def _with(answer: AgentAnswer, told: Mapping[str, str], phases_ms: Mapping[str, int]) -> AgentAnswer:
    return replace(answer, metadata={**answer.metadata, **told}, phases_ms={**answer.phases_ms, **phases_ms})
