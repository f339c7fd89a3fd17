"""What a benchmark asks: its prompts, and the number that each request's prompt begins with."""

import random
from functools import lru_cache

from rune.bench.prompt_sets import PROMPT_SETS, SYNTHETIC_WORDS
from rune.bench.turns import AnyPrompt, Conversation
from rune.contracts.workloads import RoledTurn, Workload
from rune.llm.protocol import Message, Role

_SYNTHETIC_PROMPTS = 16
_NONCE_TOKENS = 7  # measured: what 12 bytes of a proquint pair take in the vocabularies of most models

NONCE_BYTES = 12
"""Of the number that `add_nonce` puts before a prompt."""

LEARNING_WORDS = (32, 288)
"""Lengths of `learning_prompts`."""

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"
_NONCE_BITS = 32
_NONCE_MASK = 2**_NONCE_BITS - 1
_POINT_SHIFT = 24


def make_prompts(
    question: str, workload: Workload, *, tokens_per_word: float | None = None
) -> tuple[AnyPrompt, ...]:
    """Return the prompts of a workload, without numbers.

    Parameters
    ----------
    question
        The only prompt where the workload brings none.
    tokens_per_word
        Of `synthetic_words` in the model's tokens, from `learn_tokens_per_word`; None takes one for each, which
        holds for the vocabularies of most models.
    """
    if workload.prompts is not None:
        return tuple(map(_read_prompt, workload.prompts))
    if workload.prompt_set == "synthetic" and workload.input_tokens is not None:
        nonce_tokens = _NONCE_TOKENS if workload.prefix_cache == "busted" else 0
        word_count = max(1, round((workload.input_tokens - nonce_tokens) / (tokens_per_word or 1.0)))
        return tuple(
            synthetic_words(word_count, workload.seed, number) for number in range(_SYNTHETIC_PROMPTS)
        )
    return (question,) if workload.prompt_set is None else PROMPT_SETS[workload.prompt_set]


def _read_prompt(given: str | list[str | RoledTurn]) -> AnyPrompt:
    if isinstance(given, str):
        return given
    turns = (
        Message(Role.USER, turn) if isinstance(turn, str) else Message(Role(turn.role), turn.content)
        for turn in given
    )
    return Conversation(tuple(turns))


def synthetic_words(word_count: int, seed: int, number: int) -> str:
    """Return text of common English words that mean nothing together; another one for each number."""
    words = random.Random(f"words-{seed}-{number}")  # noqa: S311 nothing secret: it must be repeatable
    return " ".join(words.choices(SYNTHETIC_WORDS, k=word_count))


def learning_prompts(seed: int) -> tuple[str, ...]:
    """Return the two prompts from which the tokens of a synthetic word are learnt."""
    return tuple(synthetic_words(count, seed, number) for number, count in enumerate(LEARNING_WORDS))


def add_nonce(prompt: str, seed: int, point_index: int, number: int) -> str:
    """Return the prompt behind a number of its own, so that no two requests share a beginning.

    A prefix cache knows a prompt again by its beginning only (in blocks of 16 tokens in vLLM, by the longest common
    one in llama.cpp and Ollama), so the number comes first of all. It is written as two proquints
    (arXiv:0901.4016), such as `lusab-babad`, always of 11 characters: words that one can speak take fewer tokens
    than digits.

    Unique for `point_index` below 256 and `number` below 2**24, together with one seed.
    """
    mixed = _mix(point_index << _POINT_SHIFT | number, seed)
    return f"{_proquint(mixed >> 16)}-{_proquint(mixed & 0xFFFF)}\n{prompt}"


def _mix(value: int, seed: int) -> int:
    # Each step can be undone within 32 bits (an odd factor, a sum, a shift to the right onto itself), so different
    # values stay different; that the first characters differ is for the mixing to see to.
    for factor, summand in _rounds(seed):
        value = (value * factor + summand) & _NONCE_MASK
        value ^= value >> 15
    return value


@lru_cache(maxsize=64)
def _rounds(seed: int) -> tuple[tuple[int, int], ...]:
    draw = random.Random(f"nonce-{seed}")  # noqa: S311 as above
    return tuple((draw.getrandbits(_NONCE_BITS) | 1, draw.getrandbits(_NONCE_BITS)) for _ in range(3))


def _proquint(bits: int) -> str:
    consonants, vowels = _CONSONANTS, _VOWELS
    return (
        consonants[bits >> 12 & 15]
        + vowels[bits >> 10 & 3]
        + consonants[bits >> 6 & 15]
        + vowels[bits >> 4 & 3]
        + consonants[bits & 15]
    )
