"""How many tokens a text can be, from its bytes. The one rule for budgets, contexts and checks of counts.

Nothing here asks a tokenizer: before a job is accepted no model is known well enough to have one. Measured with
Mistral's Tekken (131,072 tokens, November 2026), in bytes of UTF-8 per token: Russian prose 6.4, French 5.1, Python
4.2, English 3.9, Chinese 2.8, JSON of numbers 2.0, random letters 1.3, emoji 1.1, tables of numbers, Khmer and
cuneiform 1.0.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rune.llm.protocol import Message, ToolSpec

CHAT_FRAME_TOKENS = 128
"""Of one request, for what a chat template puts around its messages."""

UNLIMITED_ANSWER_TOKENS = 65_536
"""Of one answer without a limit: about the most that a model on Bedrock writes (model cards, November 2026)."""

PROSE_BYTES_PER_TOKEN = 4.0
"""About the least of prose in any language that a tokenizer was trained on, Chinese and Japanese apart."""

_SYNTHETIC_MARGIN_PERCENT = 125
"""Synthetic prompts meet their length within a few percent."""

_REREAD_MARGIN_PERCENT = 125
"""A model's own words, read again, are split into tokens otherwise than it wrote them."""

_PAIRED = dict.fromkeys(map(ord, string.ascii_letters + " "))


def most_tokens(text: str) -> int:
    """Return the most tokens that a text can be: one for each byte of UTF-8. For what costs money.

    A token of a byte-level BPE vocabulary stands for at least one byte (GPT-2, section 2.2:
    https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf), and
    SentencePiece falls back to one token a byte (https://github.com/google/sentencepiece, `--byte_fallback`).
    Tables of numbers and rare scripts reach the bound.
    """
    return len(text.encode())


def most_prompt_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """Return the most tokens of a prompt with its definitions of tools, without what a chat template adds."""
    texts = [message.content for message in messages]
    texts += [call.arguments_text for message in messages for call in message.tool_calls]
    texts += [json.dumps([tool.name, tool.description, dict(tool.parameters)]) for tool in tools]
    return sum(map(most_tokens, texts))


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is at most. For the size of a context, where `most_tokens` wastes memory.

    Two ASCII letters or spaces are a token; a digit, a sign, or a byte of any other character is one each. That is
    more than any text of people has, code and tables included. It is no bound: of random letters, as in Base64, it
    leaves out up to a third.
    """
    single = len(text.translate(_PAIRED).encode())
    return single + -(-(most_tokens(text) - single) // 2)


def most_synthetic_tokens(input_tokens: int) -> int:
    """Return the most tokens that a synthetic prompt of this length has."""
    return -(-input_tokens * _SYNTHETIC_MARGIN_PERCENT // 100)


def most_reread_tokens(answer_tokens: int) -> int:
    """Return the most tokens that an answer of this length has as a part of the next prompt."""
    return -(-answer_tokens * _REREAD_MARGIN_PERCENT // 100)
