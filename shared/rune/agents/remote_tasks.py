"""An agent whose work another server does: it is handed over once, and looked after a look a turn."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import override

from rune.agents.protocol import Agent, AgentAnswer, AgentRequest, GoOn, Turn
from rune.errors import (
    ModelServerError,
    RuneError,
    ServerFailedError,
    ServerOverloadedError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
    UnreadableRowError,
)
from rune.llm.fields import as_object, parse_json, read_count, read_number, read_text
from rune.llm.protocol import OnChunk

CALL_SECONDS = 30.0
"""Longest time of one call. A server that takes so long to accept work or to tell of it is not there."""

STOP_SECONDS = 10.0
"""Longest call that asks the server to stop; several may follow one another."""

FIRST_PAUSE_SECONDS = 2
LONGEST_PAUSE_SECONDS = 15
"""Between two looks; it rises by a second each two looks."""

MAX_FAILED_SUBMITS = 2
"""To hand the question over, where the server may have it; what fails after them fails the turn."""

MAX_FAILED_LOOKS = 10
"""One after another. The work goes on elsewhere meanwhile, so an outage does not end it."""

LONGEST_FAILED_PAUSE_SECONDS = 60

DOUBLE_WARNING = (
    "The question may have been handed over more than once: an answer to it was lost, or a worker. It had the same"
    " key each time."
)

_LONGEST_SECONDS = 1e9

_ANSWER_LOST = (ServerUnreachableError, ServerTimeoutError, ServerFailedError, StreamTruncatedError)
"""Failures of a call that the server may have carried out."""


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """Work that another server has.

    Attributes
    ----------
    id
        The server's own name of it; empty until it has told one.
    seconds_left
        Of the job, when it was handed over.
    looks, failed_looks
        At it so far, and how many failed since the last that did not; before it has a name, of handing it over.
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
        if not task_id and not read_count(members, "failed_looks"):
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
        """Ask the server to stop; see `Agent.end_elsewhere` for what it raises."""

    @override
    async def take_turn(self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk) -> Turn:
        task = None if state_json is None else RemoteTask.from_json(state_json)
        if task is None or not task.id:
            return await self._submit(request, task)
        return await self._look(request, task, min(CALL_SECONDS, request.timeout_seconds))

    @override
    async def end_elsewhere(self, request: AgentRequest, state_json: str | None) -> str | None:
        timeout_seconds = min(STOP_SECONDS, request.timeout_seconds)
        task_id = "" if state_json is None else RemoteTask.from_json(state_json).id
        if task_id:
            await self.cancel(task_id, timeout_seconds)
            return None
        # The server may have the question, and only the answer that names its work was lost. With the same key it
        # names it again.
        submitted = await self.submit(request, timeout_seconds)
        if isinstance(submitted, AgentAnswer):
            return None
        return RemoteTask(submitted, 0.0, may_be_double=True).to_json()

    async def _submit(self, request: AgentRequest, task: RemoteTask | None) -> Turn:
        failed_count = 0 if task is None else task.failed_looks
        seconds_left = min(request.seconds_left, _LONGEST_SECONDS) if task is None else task.seconds_left
        may_be_double = request.try_number > 1 or task is not None
        try:
            submitted = await self.submit(request, min(CALL_SECONDS, request.timeout_seconds))
        except _ANSWER_LOST as error:
            if failed_count >= MAX_FAILED_SUBMITS:
                raise
            # It is kept that the server may have the question.
            failed = RemoteTask("", seconds_left, 0, failed_count + 1, may_be_double=True)
            return _go_on(failed, _pause_after(error, failed.failed_looks))
        # Nothing that can fail stands between the answer and the state with its id.
        if isinstance(submitted, AgentAnswer):
            return _with(submitted, {"submit_warning": DOUBLE_WARNING} if may_be_double else {}, {})
        return _go_on(RemoteTask(submitted, seconds_left, may_be_double=may_be_double), FIRST_PAUSE_SECONDS)

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
