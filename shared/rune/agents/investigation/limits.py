"""How far an investigation may go. At a bound the model gives its best partial answer; it is no error."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Bound(StrEnum):
    """What ended an investigation before the model did; part of the result."""

    TURNS = "turns"
    TOOL_CALLS = "tool_calls"
    TOKENS = "tokens"
    SECONDS = "seconds"
    DOLLARS = "dollars"
    NOTHING_READ = "nothing_read"
    """No bound of the work: the model called the cluster well, twice, and had read nothing of it."""
    REPEATED_CALLS = "repeated_calls"
    """The model asked for the same again and again."""
    INVALID_CALLS = "invalid_calls"
    """Too many calls could not be understood."""
    NO_REPORT = "no_report"
    """The model wrote text, or nothing, instead of calling a tool."""
    CLUSTER_LOST = "cluster_lost"
    """What it reads stopped answering."""
    CONTEXT = "context"
    """The conversation does not fit the model's context."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one investigation.

    Attributes
    ----------
    turn_count
        Answers of the model, without the last one for which a bound asks.
    token_count
        Of all its calls together, prompts included.
    seconds
        From the beginning on, after which no more is read. The last answer may take `final_seconds` more.
    cost_usd
        What the job may have cost when another turn begins; None where dollars do not bound it.
    repeated_call_count, invalid_call_count
        Of all turns together.
    calls_per_turn
        Calls of one answer that are carried out; the others are told so.
    turn_seconds
        Longest time of one answer.
    result_bytes
        Longest result of a tool.
    transcript_bytes
        Of results in the transcript; the oldest become one line each.
    """

    turn_count: int = 20
    tool_call_count: int = 40
    token_count: int = 400_000
    seconds: float = 900.0
    final_seconds: float = 120.0
    cost_usd: Decimal | None = None
    repeated_call_count: int = 8
    invalid_call_count: int = 6
    calls_per_turn: int = 8
    turn_seconds: float = 300.0
    result_bytes: int = 6 * 1024
    transcript_bytes: int = 96 * 1024
