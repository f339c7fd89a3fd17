"""What RUNE asks of every kind of model server, and what a server returns.

One protocol, one file per kind of server. All types but the protocol are plain data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from rune.llm.dialects import STANDARD, Dialect


class Role(StrEnum):
    """Whose turn it is in a chat."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call.

    Attributes
    ----------
    name
        1 to 64 letters, digits, `_` and `-`, which every kind of server takes.
    parameters
        JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; name and arguments are the model's output, unchecked.

    Attributes
    ----------
    id
        The server's, or one that RUNE makes where the server gives none.
    arguments
        None where the text is not a JSON object, such as that of a call which a limit cut off.
    arguments_text
        As received; of a server that sends an object, that object as JSON.
    """

    id: str
    name: str
    arguments: Mapping[str, object] | None
    arguments_text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    Attributes
    ----------
    tool_calls
        Of an assistant's turn; sent again before their results.
    tool_call_id, tool_name
        Of a tool's turn: the call whose result `content` is.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat to be answered.

    Attributes
    ----------
    context_tokens
        Context to load the model with, in tokens; None leaves the server's own. Only Ollama takes it. Another
        context than the loaded one reloads the model, so warm-up and chat send the same.
    max_output_tokens
        Longest answer in tokens; None leaves the server's own limit.
    ignore_eos
        Whether the answer continues to `max_output_tokens`. Sent only to servers that know it; see `Capabilities`.
    seed
        Of sampling; sent only to servers that know it.
    is_free
        Whether temperature and longest answer are RUNE's own choice, and may be left to a server that refuses them.
    tools, tool_choice
        What the model may call, and whether it must; `required` and `none` only where the server takes them.
    timeout_seconds
        Longest time from sending the request to the end of the answer.
    idle_timeout_seconds
        Longest silence of the connection while the answer is awaited and read.
    first_timeout_seconds
        The same before the first chunk with content, of a server that may keep requests in a queue; None takes the
        idle timeout. Bedrock refuses instead of queueing, so it always has the idle timeout.
    """

    model: str
    messages: tuple[Message, ...]
    timeout_seconds: float
    idle_timeout_seconds: float = 60.0
    first_timeout_seconds: float | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    ignore_eos: bool = False
    seed: int | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    is_free: bool = False


@dataclass(frozen=True, slots=True)
class Stamps:
    """When things happened to one request: nanoseconds of one monotonic clock, taken before parsing.

    `first_chunk` is the first chunk, with content or without. `first_content` is the first with content (text,
    reasoning or a tool call), `first_visible` the first with text. They and `last_content` are None for an answer
    without such a chunk.
    """

    sent_ns: int
    headers_ns: int
    first_chunk_ns: int
    first_content_ns: int | None
    first_visible_ns: int | None
    last_content_ns: int | None
    ended_ns: int


class TokenCountSource(StrEnum):
    """Who counted the tokens: the server's usage field, its timings, or RUNE, by chunks or by characters."""

    USAGE = "usage"
    SERVER = "server"
    CHUNKS = "chunks"
    CHARACTERS = "characters"
    """An estimate for chunks of several tokens each; see `rune.bench.token_estimates`."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How many tokens went in and out; None where the server does not say."""

    prompt_count: int | None
    output_count: int
    cached_count: int | None
    reasoning_count: int | None
    source: TokenCountSource


@dataclass(frozen=True, slots=True)
class ServerTimings:
    """The server's own timings in milliseconds, separate from RUNE's stamps; None where not reported."""

    total_ms: float | None = None
    load_ms: float | None = None
    prompt_eval_ms: float | None = None
    eval_ms: float | None = None


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"
    """A reason that RUNE does not know; the answer is kept."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One complete answer with its stamps and counts.

    Attributes
    ----------
    text, reasoning
        What the model thought aloud before its answer (`<think>`) is a part of the reasoning, wherever the server
        put it.
    chunk_arrivals_ns
        Arrival of every chunk with content, on the clock of `stamps`.
    chunk_chars
        Characters of text and reasoning in each of these chunks; empty where they are not known.
    has_hidden_reasoning
        Whether the server said that it keeps a part of the reasoning to itself.
    resent_count
        How often the request was sent anew before, on a connection that was just closing.
    """

    text: str
    reasoning: str
    finish_reason: FinishReason
    tokens: TokenCounts
    stamps: Stamps
    chunk_arrivals_ns: tuple[int, ...]
    server_timings: ServerTimings
    tool_calls: tuple[ToolCall, ...] = ()
    chunk_chars: tuple[int, ...] = ()
    has_hidden_reasoning: bool = False
    resent_count: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model on a server can do; None where the server does not say.

    Attributes
    ----------
    ignores_eos
        Whether a chat may ask for `ignore_eos`. False unless the server is known to take it.
    """

    chats: bool | None = None
    calls_tools: bool | None = None
    ignores_eos: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a server says of a model; None where it does not say.

    Attributes
    ----------
    context_tokens_trained, context_tokens_loaded
        The longest context that it was trained for, and the one that it is loaded with now.
    size_bytes, size_vram_bytes
        In memory, and how much of that is on GPUs; None for a model that is not loaded.
    """

    digest: str | None = None
    quantization: str | None = None
    parameter_size: str | None = None
    family: str | None = None
    context_tokens_trained: int | None = None
    context_tokens_loaded: int | None = None
    size_bytes: int | None = None
    size_vram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself; None where it does not say.

    Attributes
    ----------
    name
        The software, such as `ollama`, `vllm`, `llama.cpp`, `tgi`, `lmstudio`, `bedrock`.
    parallel_count
        Requests that it answers at a time.
    """

    name: str | None = None
    version: str | None = None
    parallel_count: int | None = None


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """What a server says of its load at one time; None where it does not say.

    Counters (`preempted_count` and the tokens) count from the server's start, and fall only when it starts anew.

    Attributes
    ----------
    source
        Whose metrics these are: `vllm`, `sglang`, `tgi`, `llama.cpp` or `ollama`.
    running_count, waiting_count
        Requests being answered, and requests in the server's queue.
    kv_used_ratio
        Share of the memory for contexts that is in use, 0 to 1.
    preempted_count
        Requests that lost that memory to others and were put back into the queue.
    prompt_tokens, cached_tokens
        Tokens of prompts, and how many of these came from the cache of prefixes.
    drafted_tokens, accepted_tokens
        Tokens that a draft proposed, and how many of these the model took.
    loaded
        Which load of the model this is, as text that another load seldom has; empty for a model that is not in
        memory.
    """

    source: str
    running_count: float | None = None
    waiting_count: float | None = None
    kv_used_ratio: float | None = None
    preempted_count: float | None = None
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    drafted_tokens: float | None = None
    accepted_tokens: float | None = None
    loaded: str | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long a model took to become ready: loading the weights, then generating one token."""

    load_ms: float
    first_token_ms: float


@dataclass(frozen=True, slots=True)
class WarmUpRequest:
    """A model to be made ready, with the options that the chat will use."""

    model: str
    timeout_seconds: float
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A model to be downloaded by the server.

    Attributes
    ----------
    slice_seconds
        Longest time of one call; a download that takes longer continues with the next call.
    stall_seconds
        Longest time in which no byte arrives.
    """

    model: str
    slice_seconds: float
    stall_seconds: float = 90.0


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How much of a download has arrived; layers are named one after another, so the total may still grow."""

    completed_bytes: int
    total_bytes: int


type OnPull = Callable[[PullProgress], None]
"""Called with every report of progress; must return at once."""

type OnChunk = Callable[[int], None]
"""Called with the number of chunks with content so far; must return at once."""


class ModelServer(Protocol):
    """A model server at one address. Every method may raise any `ModelServerError` or `AddressError`."""

    async def list_models(self) -> tuple[str, ...]:
        """Return the names of the models that the server offers, sorted."""
        ...

    async def list_running(self) -> tuple[str, ...]:
        """Return the names of the models in memory, sorted; empty where the server cannot tell."""
        ...

    async def has_model(self, model: str) -> bool | None:
        """Return whether the server offers the model, by the rules for names of its kind.

        None where only a chat can tell: the server has no list of models, or one that need not have all.
        """
        ...

    @property
    def dialect(self) -> Dialect:
        """What has been learnt of what the server takes."""
        return STANDARD

    def speak(self, dialect: Dialect) -> None:  # noqa: ARG002 few kinds have dialects
        """Begin with what was learnt before."""
        return None  # noqa: RET501 so that it is not abstract

    async def capabilities(self, model: str) -> Capabilities:
        """Return what the model can do on this server."""
        ...

    async def describe_server(self) -> ServerFacts:
        """Return what the server says of itself; a server that says nothing is not an error."""
        ...

    async def describe_model(self, model: str) -> ModelFacts:
        """Return what the server says of a model, now; an unknown model is not an error."""
        ...

    async def round_trip_ms(self) -> float | None:
        """Return the time of one TCP handshake with the server, in milliseconds; None where it cannot be known."""
        ...

    async def read_metrics(self, model: str) -> ServerMetrics | None:  # noqa: ARG002  # most say nothing
        """Return what the server says of its load, now; None where it does not say."""
        return None

    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Make the server download the model.

        Return True when it is complete, False when the slice ended before.
        """
        ...

    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Load the model and generate one token; other models on the server are left as they are."""
        ...

    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer, read as a stream; cancelling closes the connection, so that the server stops too."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
