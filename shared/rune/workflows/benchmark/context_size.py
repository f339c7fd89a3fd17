"""In which context a benchmark's model is loaded. Plain functions over plain data."""

from collections.abc import Sequence

from rune.bench.prompts import make_prompts
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest

SMALLEST_CONTEXT_TOKENS = 8192
LARGEST_CONTEXT_TOKENS = 131_072
"""Most that models in use were trained for (Llama 3.1, Qwen 3, Mistral: 128 Ki); more only fills GPU memory."""

DEFAULT_OUTPUT_TOKENS = 2048
"""Room for an answer whose length nobody limited."""

VERDICT_TOKENS = 2048
"""Room for a judge that thinks before it speaks."""

_BYTES_PER_TOKEN = 3
"""On the safe side: English prose has 4 to 5, code 3, Chinese 2 to 3."""

_FRAME_TOKENS = 128
"""The chat template, and the number before a prompt."""

_SYNTHETIC_MARGIN_PERCENT = 125


def judges_on_own_server(request: BenchmarkRequest) -> bool:
    """Return whether the answers are judged on the server that is measured, or on none."""
    judge = None if request.expected is None else request.expected.judge
    return judge is None or (judge.backend_url is None and judge.backend_type != "bedrock")


def context_tokens_of(
    request: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest, *, rents: bool
) -> int | None:
    """Return the context to load the model with, in tokens; None leaves the server's own.

    Every call of a job sends the same, since another one makes Ollama load the model anew. On a rented machine it
    holds the longest prompt with its answer, because Ollama's own default is small and drops the rest silently.
    """
    if not isinstance(request, BenchmarkRequest):
        return None
    if request.context_tokens is not None or not rents:
        return request.context_tokens
    workload = request.workload
    output_tokens = (workload.output_tokens if workload else None) or DEFAULT_OUTPUT_TOKENS
    if workload is not None and workload.input_tokens is not None:
        input_tokens = workload.input_tokens * _SYNTHETIC_MARGIN_PERCENT // 100
        return room_for(input_tokens + output_tokens)
    return context_for(make_prompts(request.question, workload), output_tokens)


def context_for(texts: Sequence[str], output_tokens: int) -> int:
    """Return a context that holds the longest of the texts with its answer, whatever the model's tokens are."""
    longest_bytes = max((len(text.encode()) for text in texts), default=0)
    return room_for(-(-longest_bytes // _BYTES_PER_TOKEN) + output_tokens)


def room_for(tokens: int) -> int:
    """Return the context for so many tokens beside the frame: a power of two, within what is sensible."""
    needed = 1 << (tokens + _FRAME_TOKENS - 1).bit_length()
    return min(max(SMALLEST_CONTEXT_TOKENS, needed), LARGEST_CONTEXT_TOKENS)
