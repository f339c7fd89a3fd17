"""The exit codes of `rune`: what each one means, in one place (docs/command-line.md)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    SUCCEEDED = 0
    FAILED = 1
    REFUSED = 2
    CANCELLED = 3
    NOT_AUTHORIZED = 4
    TRY_AGAIN = 5
    NO_MONEY = 6
    WAIT_TIMED_OUT = 7
    NOT_FINISHED = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.SUCCEEDED: "succeeded",
    ExitCode.FAILED: "the job failed, or a gate failed",
    ExitCode.REFUSED: "wrong usage, or the request was refused",
    ExitCode.CANCELLED: "the job was cancelled, or you declined",
    ExitCode.NOT_AUTHORIZED: "not authorised",
    ExitCode.TRY_AGAIN: "network or server failed: worth another try",
    ExitCode.NO_MONEY: "cost cap, budget, or 402",
    ExitCode.WAIT_TIMED_OUT: "the wait timed out, the job lives on",
    ExitCode.NOT_FINISHED: "not finished yet",
    ExitCode.INTERRUPTED: "interrupted",
}
"""What each code says, as the documentation and `rune --help` have it."""
