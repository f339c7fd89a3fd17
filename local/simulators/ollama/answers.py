"""Tokens, and the made-up text of a simulated model's answers.

White space belongs to the word after it, and a word is cut into tokens of up to six characters. "Is it unhealthy?"
is `Is`, ` it`, ` unheal`, `thy?`: four tokens, which join to the text again.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFACE = "Simulated answer:"

_TOKEN = re.compile(r"\s*\S{1,6}|\s+")
_HEALTH_WORDS = re.compile(r"health|cluster|pod|node|deploy|crash|fail|wrong|broken|down", re.IGNORECASE)

_HEALTH_SENTENCES = (
    "A workload whose restarts keep rising is unhealthy even while it is listed as running.",
    "Look first at pods that are not ready, then at the events of the last ten minutes.",
    "A pod that restarts in a loop usually says why in the last lines before each restart.",
    "A pod that stays pending waits for memory, for a volume or for a node that accepts it.",
    "When an image cannot be pulled, its name, its tag or the registry's secret is wrong.",
    "A container killed for memory needs a higher limit or a smaller working set.",
    "A readiness probe that fails takes the pod out of its service without restarting it.",
    "If several pods fail on one node, suspect the node before the pods.",
    "A rollout that never ends keeps the old version serving, so users may notice nothing yet.",
    "Certificates that expire soon are quiet today and an outage on the day.",
)
_GENERAL_SENTENCES = (
    "This text was put together from fixed sentences, so it knows nothing about your question.",
    "It arrives token by token at the speed that was set, as a real answer would.",
    "Its length in tokens is exact, which makes counts and rates easy to check.",
    "The same model and the same question always give the same text.",
    "Put a real model behind the same address to get a real answer.",
    "By its form this stream cannot be told from a real one.",
)
_THOUGHTS = (
    "Simulated reasoning: the question names a symptom, so causes come before remedies.",
    "What changed last is the best first guess.",
    "A failure that appears everywhere at once has one cause.",
    "An answer that can be acted on beats a complete one.",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a prompt."""

    role: str
    content: str


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text by the rule of this module."""
    return _TOKEN.findall(text)


def prompt_tokens(turns: Sequence[Turn]) -> list[str]:
    """Return the tokens of a chat: four markers for each message and the tokens of its text."""
    tokens: list[str] = []
    for turn in turns:
        tokens += ["<|start|>", turn.role, "<|end|>", "<|turn|>", *tokenize(turn.content)]
    return tokens


def fit_turns(turns: Sequence[Turn], context_tokens: int) -> list[Turn]:
    """Return the messages that fit: the oldest are dropped first, system messages and the last one never."""
    kept = list(turns)
    while len(prompt_tokens(kept)) > context_tokens:
        oldest = next((i for i, turn in enumerate(kept[:-1]) if turn.role != "system"), None)
        if oldest is None:
            break
        del kept[oldest]
    return kept


def compose_answer(model: str, prompt: str, *, token_count: int, seed: int | None = None) -> list[str]:
    """Return exactly `token_count` tokens, determined by the model, the prompt and the seed.

    A prompt about health is answered with advice, any other with a description of this text. A sentence that does
    not fit ends with "etc."
    """
    sentences = _HEALTH_SENTENCES if _HEALTH_WORDS.search(prompt) else _GENERAL_SENTENCES
    chosen_by = f"{model}\n{prompt}" + ("" if seed is None else f"\n{seed}")
    return _compose(PREFACE, sentences, seed=chosen_by, token_count=token_count)


def compose_reasoning(model: str, prompt: str, *, token_count: int) -> list[str]:
    """Return exactly `token_count` tokens of reasoning for a model that thinks."""
    return _compose(_THOUGHTS[0], _THOUGHTS[1:], seed=f"{model}\n{prompt}", token_count=token_count)


def _compose(opening: str, sentences: Sequence[str], *, seed: str, token_count: int) -> list[str]:
    order = random.Random(seed)
    tokens = tokenize(opening)
    while len(tokens) < token_count:
        for sentence in order.sample(sentences, len(sentences)):
            tokens += tokenize(f" {sentence}")
    ends_whole = token_count == 0 or tokens[token_count - 1].endswith((".", ":"))
    return tokens[:token_count] if ends_whole else [*tokens[: token_count - 1], " etc."]
