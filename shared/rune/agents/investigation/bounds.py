"""Whether a bound is reached. The results of calls already made are always answered first."""

from datetime import datetime
from decimal import Decimal

from rune.agents.investigation.limits import Bound, Limits
from rune.agents.investigation.state import State


def reached_bound(
    state: State, limits: Limits, now: datetime, spent_usd: Decimal | None, prompt_bytes: int
) -> Bound | None:
    """Return the bound that ends the reading before the next turn; None where there is none.

    Parameters
    ----------
    prompt_bytes
        Of the next prompt.
    """
    counts = state.counts
    spent_tokens = counts.prompt_tokens + counts.output_tokens
    # Another turn, and the last one after it.
    needed_tokens = 2 * foreseen_tokens(state, prompt_bytes) if counts.turns else 0
    reached = {
        Bound.TURNS: counts.turns >= limits.turn_count,
        Bound.TOOL_CALLS: counts.tool_calls >= limits.tool_call_count,
        Bound.TOKENS: spent_tokens + needed_tokens > limits.token_count,
        Bound.SECONDS: (now - state.began_at).total_seconds() >= limits.seconds,
        Bound.DOLLARS: (
            limits.cost_usd is not None and spent_usd is not None and spent_usd >= limits.cost_usd
        ),
        Bound.REPEATED_CALLS: counts.repeated_calls > limits.repeated_call_count,
        Bound.INVALID_CALLS: counts.invalid_calls > limits.invalid_call_count,
    }
    return next((bound for bound, is_reached in reached.items() if is_reached), None)


def foreseen_tokens(state: State, prompt_bytes: int) -> int:
    """Return about what an answer to a prompt takes, by what the last prompt took and by the average answer."""
    if not state.last_prompt_bytes or not state.counts.turns:
        return 0
    prompt_tokens = prompt_bytes * state.last_prompt_tokens // state.last_prompt_bytes
    return prompt_tokens + state.counts.output_tokens // state.counts.turns
