"""Tasks of Step Functions that wait for a token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from botocore.exceptions import ClientError

from rune.aws.errors import code_of, store_errors

log = logging.getLogger(__name__)

ENDED = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken"})
"""Nothing waits for such a token any more, and no later try changes that.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
"""


class TaskClient(Protocol):
    """What is used of boto3's client."""

    def send_task_success(self, *, taskToken: str, output: str) -> object:  # noqa: N803  # AWS's names
        """End the task well."""
        ...

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> object:  # noqa: N803  # as above
        """End the task otherwise."""
        ...

    def send_task_heartbeat(self, *, taskToken: str) -> object:  # noqa: N803  # as above
        """Say that the work goes on."""
        ...


class StepFunctionsTasks:
    """Tasks that wait; a token is never logged, since its holder can end the workflow."""

    def __init__(self, get_client: Callable[[], TaskClient]) -> None:
        self._get_client = get_client

    def succeed(self, token: str, output_json: str) -> None:
        """End the task well; raises StoreUnavailableError."""
        with _ended_is_no_error():
            self._get_client().send_task_success(taskToken=token, output=output_json)

    def fail(self, token: str, error: str, cause: str) -> None:
        """End the task otherwise; raises StoreUnavailableError."""
        with _ended_is_no_error():
            self._get_client().send_task_failure(taskToken=token, error=error, cause=cause)

    def beat(self, token: str) -> None:
        """Say that the work goes on; raises StoreUnavailableError."""
        with _ended_is_no_error():
            self._get_client().send_task_heartbeat(taskToken=token)


@contextmanager
def _ended_is_no_error() -> Iterator[None]:
    with store_errors("Step Functions cannot be reached now."):
        try:
            yield
        except ClientError as error:
            if code_of(error) not in ENDED:
                raise
            log.info("task.gone", extra={"reason": code_of(error)})
