"""One call of the command line: what it was told for all commands, where it writes, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

import typer

from rune_client import ApiError, NetworkError, NotAuthorizedError, RuneError, WaitTimedOutError
from rune_client.cli.connection import Connection, GlobalOptions, settings_of
from rune_client.cli.exits import ExitCode
from rune_client.cli.outcomes import DeclinedError, DetachedError, UsageRefusedError, code_of_error
from rune_client.cli.output import Output
from rune_client.settings import Settings

__all__ = ["GlobalOptions", "Invocation", "command"]


@dataclass(frozen=True)
class Invocation:
    """What every command needs."""

    options: GlobalOptions

    @cached_property
    def output(self) -> Output:
        """Where it writes."""
        return Output(is_json=self.options.is_json)

    @cached_property
    def connection(self) -> Connection:
        """Which server it asks, and as whom."""
        return Connection.of(self.options, self.settings, self.output)

    @cached_property
    def settings(self) -> Settings:
        """What counts of flags, variables and files."""
        return settings_of(self.options)

    def take_variables_of_files(self) -> None:
        """Put what the settings files say for variables that are not set, where the command's own options look."""
        for name, setting in self.settings.options.items():
            os.environ.setdefault(name, setting.value)

    def close(self) -> None:
        """Close what was opened."""
        if "connection" in self.__dict__:
            self.connection.close()

    def answer(self, document: object, *shown: Any) -> ExitCode:  # noqa: ANN401  # what rich can show
        """Show an answer of the API: to people as it was made for them, to programs as it is."""
        self.output.show(*shown)
        self.output.result(ExitCode.SUCCEEDED, document)
        return ExitCode.SUCCEEDED

    def fail(self, error: BaseException, options: Mapping[str, str] | None = None) -> ExitCode:
        """Say what went wrong and return the exit code; `options` are the command's own, by the field of each."""
        code = code_of_error(error)
        self.output.clear_status()
        if isinstance(error, KeyboardInterrupt):
            self.output.result(code, error=described(error))
            return code
        self.output.problem(sentence_of(error), *_options_of(error, options or {}), *hints_of(error))
        self.output.result(code, error=described(error))
        return code


def sentence_of(error: BaseException) -> str:
    """Return an error as one sentence."""
    return error.detail if isinstance(error, ApiError) else str(error)


def described(error: BaseException) -> Mapping[str, Any]:
    """Return an error for programs."""
    told: dict[str, Any] = {"message": sentence_of(error)}
    if isinstance(error, KeyboardInterrupt):
        told["message"] = "interrupted"
    if isinstance(error, ApiError):
        told |= {"status": error.status, "code": error.code, "request_id": error.request_id}
        told |= {"errors": error.errors} if error.errors else {}
        told |= (
            {"retry_after_seconds": error.retry_after_seconds}
            if error.retry_after_seconds is not None
            else {}
        )
    if isinstance(error, WaitTimedOutError | DetachedError):
        told["job_id"] = error.job_id
    return told


def hints_of(error: BaseException) -> list[str]:
    """Return what may help."""
    hints = []
    if isinstance(error, ApiError):
        # The sentence has the first three.
        hints += [f"{each.get('pointer')}: {each.get('detail')}" for each in error.errors[3:]]
        known = f"{error.status} {error.code}" if error.code else str(error.status)
        hints.append(known + (f", request {error.request_id}" if error.request_id else ""))
        if error.retry_after_seconds is not None:
            hints.append(f"It may be sent again in {error.retry_after_seconds:.0f} s.")
    if isinstance(error, NotAuthorizedError):
        hints.append("`rune doctor` shows which token is used, and from where.")
    if isinstance(error, NetworkError):
        hints.append("`rune doctor` shows what is reachable.")
        if error.idempotency_key is not None and error.may_have_arrived:
            hints.append("It may have arrived. The same command goes on under the same key: one job at most.")
    if isinstance(error, WaitTimedOutError):
        hints.append(
            f"`rune jobs follow {error.job_id}` waits again, `rune jobs cancel {error.job_id}` ends it."
        )
    return hints


_FIELDS = {"max_cost": "max_cost_usd", "case": "cases", "prompt": "prompts", "event": "events"}
"""Parameters of commands whose field in a request has another name."""


def _options_by_field(ctx: typer.Context) -> dict[str, str]:
    """Return the options of the command at work, by the field of a request that each one becomes."""
    return {
        _FIELDS.get(param.name, param.name): "/".join(param.opts)
        for param in ctx.command.params
        if param.opts[0].startswith("-")
    }


def _options_of(error: BaseException, options: Mapping[str, str]) -> list[str]:
    """Return a line for each field that the API refused, with the option that sets it."""
    if not isinstance(error, ApiError):
        return []
    fields = [each.get("pointer", "").removeprefix("/workload").strip("/") for each in error.errors]
    return [f"{field} is set by {options[field]}." for field in dict.fromkeys(fields) if field in options]


def command[**P](function: Callable[P, ExitCode]) -> Callable[P, int]:
    """Let the errors of a command, whose first parameter is the context `ctx`, become its exit code."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> int:
        ctx: Any = kwargs["ctx"] if "ctx" in kwargs else args[0]
        try:
            return int(function(*args, **kwargs))
        except BrokenPipeError:
            # Whoever read the answer has enough of it, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return int(ExitCode.SUCCEEDED)
        except (RuneError, UsageRefusedError, DeclinedError, KeyboardInterrupt) as error:
            return int(of(ctx).fail(error, _options_by_field(ctx)))

    return guarded


def of(ctx: typer.Context) -> Invocation:
    """Return the call to which a command belongs."""
    invocation: Invocation = ctx.find_root().obj
    return invocation
