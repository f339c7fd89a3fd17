"""What the steps of a job tell each other of its model server: plain data, kept in the job's state.

The steps that come before the measurement keep nothing else. Others have the dialect in their own state.
"""

import json
from typing import Literal

from rune.contracts import Document, read_stored
from rune.errors import ModelServerError, ServerOverloadedError
from rune.jobs.outcomes import Again
from rune.jobs.step import StepContext
from rune.llm.dialects import STANDARD, Dialect

_PAUSE_SECONDS = 5
_LONGEST_PAUSE_SECONDS = 30

LOADING_SECONDS = "loading_seconds"
"""The progress of a job that waits for its server to load the model: for how long it has."""


class Acquaintance(Document):
    """The state after a step that has learnt something of the server, and has nothing else to keep."""

    of: Literal["server"] = "server"
    dialect: Dialect = STANDARD
    is_unlisted: bool = False
    """Whether the server's list of models does not have the model, although the server may."""

    def state_json(self) -> str | None:
        """Return it as a state; None, which leaves the state that is there, where nothing was learnt."""
        return None if self == Acquaintance() else self.model_dump_json()


def is_acquaintance(state_json: str) -> bool:
    """Return whether a state is no more than what was learnt of the server."""
    return bool(json.loads(state_json).get("of") == "server")


def acquaintance_in(state_json: str | None) -> Acquaintance:
    """Return what a state knows of the server, before the first point is measured."""
    if state_json is None or not is_acquaintance(state_json):
        return Acquaintance()
    return read_stored(Acquaintance, state_json)


def wait_while_loading(
    context: StepContext, error: ModelServerError, *, limit_seconds: float
) -> Again | None:
    """Return another turn of the step for a server that is loading its model; None where it has had its time."""
    waited_seconds = context.job.progress.get(LOADING_SECONDS, 0)
    left_seconds = int(limit_seconds) - waited_seconds
    if not error.is_loading or left_seconds <= 0:
        return None
    asked_seconds = error.retry_after_seconds if isinstance(error, ServerOverloadedError) else None
    pause_seconds = min(max(1, asked_seconds or _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS, left_seconds)
    return Again(pause_seconds, {LOADING_SECONDS: waited_seconds + pause_seconds})
