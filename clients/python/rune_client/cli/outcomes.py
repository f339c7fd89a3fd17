"""From an error or an ended job to the exit code: the one rule for all commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rune_client.cli.exits import ExitCode
from rune_client.errors import (
    ApiError,
    BudgetError,
    NetworkError,
    NotAuthorizedError,
    RateLimitedError,
    RuneError,
    ServerError,
    WaitTimedOutError,
)

NO_MONEY_CODES = frozenset(
    {
        "bedrock_budget_exceeded",
        "budget_exhausted",
        "cost_cap_reached",
        "cost_cap_too_high",
        "cost_cap_too_low",
    }
)
"""Codes of refusals and of failed jobs that say that money was over or would not do (docs/api.md)."""

ENDED = frozenset({"succeeded", "failed", "cancelled"})


class UsageRefusedError(Exception):
    """The command cannot be done as it was given. Nothing was sent that could spend."""


class DeclinedError(Exception):
    """A person said no. Nothing was sent that could spend."""


class DetachedError(KeyboardInterrupt):
    """A person left a job to itself. It goes on, and may cost something."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


_CODES: Mapping[type[BaseException], ExitCode] = {
    KeyboardInterrupt: ExitCode.INTERRUPTED,
    DeclinedError: ExitCode.CANCELLED,
    UsageRefusedError: ExitCode.REFUSED,
    WaitTimedOutError: ExitCode.WAIT_TIMED_OUT,
    NetworkError: ExitCode.TRY_AGAIN,
    # What is left of the client's was not sent: settings or arguments that cannot be used.
    RuneError: ExitCode.REFUSED,
}


def code_of_error(error: BaseException) -> ExitCode:
    """Return the exit code of an error of the client, of the command line, or of an interrupt."""
    if isinstance(error, ApiError):
        return _code_of_answer(error)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.FAILED)


def _code_of_answer(error: ApiError) -> ExitCode:
    if error.code in NO_MONEY_CODES or isinstance(error, BudgetError):
        return ExitCode.NO_MONEY
    if error.code == "job_not_finished":
        return ExitCode.NOT_FINISHED
    if isinstance(error, NotAuthorizedError):
        return ExitCode.NOT_AUTHORIZED
    if isinstance(error, RateLimitedError | ServerError):
        return ExitCode.TRY_AGAIN
    return ExitCode.REFUSED


def code_of_job(job: Mapping[str, Any]) -> ExitCode:
    """Return the exit code of a job as the API shows it.

    A benchmark that succeeded with fewer points than were asked for, because its money was over, is `NO_MONEY`:
    what it measured is shown, and a pipeline does not take it for the whole.
    """
    status = str(job.get("status", "")).lower()
    if status not in ENDED:
        return ExitCode.NOT_FINISHED
    if status == "cancelled":
        return ExitCode.CANCELLED
    if status == "failed":
        return ExitCode.NO_MONEY if job.get("error_code") in NO_MONEY_CODES else ExitCode.FAILED
    report = (job.get("result") or {}).get("report") or {}
    return ExitCode.NO_MONEY if report.get("ended_by") == "cost_cap" else ExitCode.SUCCEEDED


def code_of_gate(gate: str | None, *, is_undecided_failure: bool) -> ExitCode:
    """Return the exit code of a comparison's gate: `passed`, `failed`, `undecided`, or None without limits."""
    if gate == "failed" or (gate == "undecided" and is_undecided_failure):
        return ExitCode.FAILED
    return ExitCode.SUCCEEDED
