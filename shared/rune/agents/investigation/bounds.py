"""Whether a bound is reached. The results of calls already made are always answered first."""

from datetime import datetime
from decimal import Decimal

from rune.agents.investigation.limits import Bound, Limits
from rune.agents.investigation.state import State


def reached_bound(state: State, limits: Limits, now: datetime, spent_usd: Decimal | None) -> Bound | None:
    """Return the bound that ends the reading before the next turn; None where there is none."""
    counts = state.counts
    spent_tokens = counts.prompt_tokens + counts.output_tokens
    reached = {
        Bound.TURNS: counts.turns >= limits.turn_count,
        Bound.TOOL_CALLS: counts.tool_calls >= limits.tool_call_count,
        Bound.TOKENS: spent_tokens + _next_tokens(state) > limits.token_count,
        Bound.SECONDS: (now - state.began_at).total_seconds() >= limits.seconds,
        Bound.DOLLARS: (
            limits.cost_usd is not None and spent_usd is not None and spent_usd >= limits.cost_usd
        ),
        Bound.REPEATED_CALLS: counts.repeated_calls > limits.repeated_call_count,
        Bound.INVALID_CALLS: counts.invalid_calls > limits.invalid_call_count,
    }
    return next((bound for bound, is_reached in reached.items() if is_reached), None)


def _next_tokens(state: State) -> int:
    """Return about what the last answer takes: as much as an average turn, so that it still fits the bound."""
    counts = state.counts
    return (counts.prompt_tokens + counts.output_tokens) // counts.turns if counts.turns else 0
