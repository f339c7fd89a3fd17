"""Token counts as a server tells them, held against each other.

Servers count in different ways under the same names. Reasoning is a part of `completion_tokens` with OpenAI, comes
on top of them with xAI, and is left out of all but `total_tokens` on Gemini's OpenAI endpoint. A prompt's cached
tokens are a part of it, or beside it. Some send 0 for what they did not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rune.llm.fields import as_object, read_count

_MOST_CHARS_PER_TOKEN = 40
_LEAST_DOUBTED_CHARS = 200


@dataclass(frozen=True, slots=True)
class ToldCounts:
    """Tokens as a server counted them; None where it does not say.

    Attributes
    ----------
    output_count
        With reasoning, once it has been reconciled.
    total_count
        Of all tokens, by which the others are checked.
    """

    prompt_count: int | None = None
    output_count: int | None = None
    cached_count: int | None = None
    reasoning_count: int | None = None
    total_count: int | None = None


def read_usage(usage: Mapping[str, object]) -> ToldCounts:
    """Return the counts of a `usage` object, reconciled."""
    prompt_details = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    output_details = as_object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    return reconcile(
        ToldCounts(
            prompt_count=_first(usage, "prompt_tokens", "input_tokens"),
            output_count=_first(usage, "completion_tokens", "output_tokens"),
            cached_count=_known(
                read_count(prompt_details, "cached_tokens"),
                _first(usage, "prompt_cache_hit_tokens", "cached_tokens"),
            ),
            reasoning_count=_known(
                read_count(output_details, "reasoning_tokens"), read_count(usage, "reasoning_tokens")
            ),
            total_count=read_count(usage, "total_tokens"),
        )
    )


def reconcile(told: ToldCounts) -> ToldCounts:
    """Return the counts in OpenAI's meaning: cached is a part of the prompt, reasoning a part of the output.

    A prompt of 0 tokens was not counted, since no chat has none.
    """
    prompt, cached = told.prompt_count or None, told.cached_count or 0
    if prompt is not None and cached > prompt:
        prompt += cached
    told = replace(told, prompt_count=prompt)
    if told.total_count is None:
        return _with_reasoning_on_top(told)
    if told.output_count is None:
        known = prompt is not None and told.total_count >= prompt
        return replace(told, output_count=told.total_count - (prompt or 0) if known else None)
    return _with_rest(told, told.total_count - (prompt or 0) - told.output_count)


def is_believable(output_count: int, *, chunk_count: int, char_count: int) -> bool:
    """Return whether an answer of so many chunks and characters can have so few tokens.

    A token may stand for many characters, such as spaces, but then it does not come in several chunks.
    """
    is_long = char_count > max(_LEAST_DOUBTED_CHARS, _MOST_CHARS_PER_TOKEN * output_count)
    return not (is_long and chunk_count > 2 * output_count)


def _with_reasoning_on_top(told: ToldCounts) -> ToldCounts:
    """Return the counts where no total tells: there cannot be more reasoning than output."""
    reasoning, output = told.reasoning_count or 0, told.output_count
    if output is None or reasoning <= output:
        return told
    return replace(told, output_count=output + reasoning)


def _with_rest(told: ToldCounts, rest: int) -> ToldCounts:
    """Return the counts with the tokens of the total that no other count holds."""
    output, reasoning, cached = told.output_count or 0, told.reasoning_count or 0, told.cached_count or 0
    if rest <= 0:
        return told
    if rest == reasoning:
        return replace(told, output_count=output + reasoning)
    if told.prompt_count is None:
        is_on_top = reasoning > output and rest > reasoning
        on_top = reasoning if is_on_top else 0
        return replace(told, prompt_count=rest - on_top, output_count=output + on_top)
    if rest == cached:
        return replace(told, prompt_count=told.prompt_count + cached)
    if cached and reasoning and rest == cached + reasoning:
        return replace(told, prompt_count=told.prompt_count + cached, output_count=output + reasoning)
    # What the server generated and tells only in the total, such as Gemini's thoughts.
    return replace(told, output_count=output + rest, reasoning_count=max(reasoning, rest))


def _first(usage: Mapping[str, object], *keys: str) -> int | None:
    return _known(*(read_count(usage, key) for key in keys))


def _known(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)
