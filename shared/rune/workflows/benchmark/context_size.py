"""In which context a benchmark's model is loaded. Plain functions over plain data."""

from collections.abc import Sequence

from rune.bench.prompts import NONCE_BYTES, make_prompts
from rune.bench.token_bounds import CHAT_FRAME_TOKENS, estimate_tokens, most_synthetic_tokens
from rune.bench.turns import longest_tokens
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, LlmInstanceRequest

SMALLEST_CONTEXT_TOKENS = 8192
SMALLEST_SHARED_CONTEXT_TOKENS = 2048
"""The same of a server with several contexts in its memory, one for each request that it answers at a time."""

LARGEST_CONTEXT_TOKENS = 131_072
"""Most that models in use were trained for (Llama 3.1, Qwen 3, Mistral: 128 Ki); more only fills GPU memory."""

DEFAULT_OUTPUT_TOKENS = 2048
"""Room for an answer whose length is not limited."""

INVESTIGATION_CONTEXT_TOKENS = 32_768
"""For prompt, tools and some twenty results. Ollama's own default of 4096 holds less than the first few."""

JUDGE_REPLY_TOKENS = 2048
"""Room for a judge that thinks before it speaks."""


def judges_on_own_server(request: BenchmarkRequest) -> bool:
    """Return whether the answers are judged on the server that is measured, or on none."""
    judge = None if request.expected is None else request.expected.judge
    return judge is None or not judge.is_elsewhere


def context_tokens_of(
    request: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest, *, rents: bool
) -> int | None:
    """Return the context to load the model with, in tokens; None leaves the server's own.

    Every call of a job sends the same, since another one makes Ollama load the model anew. On a rented machine it
    holds the longest prompt with its answer, because Ollama's own default is small and drops the rest silently.
    """
    if isinstance(request, AgenticAgentRequest):
        from rune.agents.registry import known_agent  # noqa: PLC0415  # only jobs of agents need it

        agent = known_agent(request.agent)
        return None if agent is None else agent.context_tokens
    if not isinstance(request, BenchmarkRequest):
        return None
    if request.context_tokens is not None:
        return request.context_tokens
    if request.suite is not None and request.backend_type == "ollama":
        return INVESTIGATION_CONTEXT_TOKENS
    if not rents:
        return None
    workload = request.measured
    output_tokens = workload.output_tokens or DEFAULT_OUTPUT_TOKENS
    if workload.input_tokens is not None:
        prompt_tokens = most_synthetic_tokens(workload.input_tokens)
    else:
        prompts = make_prompts(request.question, workload)
        prompt_tokens = longest_tokens(prompts, estimate_tokens, output_tokens)
    smallest = SMALLEST_SHARED_CONTEXT_TOKENS if max(workload.levels) > 1 else SMALLEST_CONTEXT_TOKENS
    return room_for(prompt_tokens + output_tokens, smallest)


def parallel_count_of(request: BenchmarkRequest | AgenticAgentRequest | LlmInstanceRequest) -> int:
    """Return how many requests the server of a rented machine is to answer at a time.

    Ollama answers one unless it is told otherwise, and above that its queue would be measured. As many as the
    workload has under way, of which all contexts together are at most `LARGEST_CONTEXT_TOKENS`: what is beyond that
    waits, and `server_parallel_exceeded` says so.
    """
    if not isinstance(request, BenchmarkRequest):
        return 1
    context_tokens = context_tokens_of(request, rents=True) or SMALLEST_CONTEXT_TOKENS
    return max(1, min(max(request.measured.levels), LARGEST_CONTEXT_TOKENS // context_tokens))


def context_for(texts: Sequence[str], output_tokens: int) -> int:
    """Return a context that holds each of the texts with an answer, by `estimate_tokens`."""
    return room_for(max(map(estimate_tokens, texts), default=0) + output_tokens)


def room_for(tokens: int, smallest: int = SMALLEST_CONTEXT_TOKENS) -> int:
    """Return the context for so many tokens beside number and frame: a power of two between the limits."""
    needed = 1 << (tokens + NONCE_BYTES + CHAT_FRAME_TOKENS - 1).bit_length()
    return min(max(smallest, needed), LARGEST_CONTEXT_TOKENS)
