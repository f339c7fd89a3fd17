"""Stopping everything, by calls of the janitor's function until nothing is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rune_admin.errors import OperatorError

if TYPE_CHECKING:
    from rune_admin.deployment import LambdaClient

type Answer = dict[str, object]


def call(functions: LambdaClient, name: str, event: Answer) -> Answer:
    """Return a function's answer; raises OperatorError with its words where it failed."""
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    body: Answer = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise OperatorError(f"The function failed: {body.get('errorMessage', 'no reason given')}")
    return body


def stop_all(
    call_once: Callable[[], Answer],
    tell: Callable[[Answer], None],
    wait_seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Call until nothing is left or the time is over; return the last answer.

    Parameters
    ----------
    tell
        Told of each answer. A call that failed is made again: the janitor goes on meanwhile.
    """
    ends_at = now() + wait_seconds
    while True:
        try:
            answer = call_once()
        except OperatorError as error:
            answer = {"done": False, "failed": error.message}
        tell(answer)
        if answer.get("done") or now() >= ends_at:
            return answer
        sleep(min(5.0, max(0.0, ends_at - now())))
