"""The generation of one token at the end of every warm-up."""

from rune.llm.protocol import ChatRequest, Message, ModelServer, Role, WarmUpRequest

_NS_PER_MS = 1_000_000


async def first_token_ms(server: ModelServer, request: WarmUpRequest, *, timeout_seconds: float) -> float:
    """Return how long the model takes from the request to one token.

    Raises
    ------
    ModelServerError, AddressError
        As `ModelServer.chat`.
    """
    tiny = ChatRequest(
        model=request.model,
        messages=(Message(Role.USER, "Hi"),),
        timeout_seconds=timeout_seconds,
        # A model that is being loaded is silent: only the total counts.
        idle_timeout_seconds=timeout_seconds,
        context_tokens=request.context_tokens,
        max_output_tokens=1,
        is_free=True,
    )
    stamps = (await server.chat(tiny, _ignore_chunk)).stamps
    # The token may have no text: half a character, or a control token.
    first_ns = stamps.ended_ns if stamps.first_content_ns is None else stamps.first_content_ns
    return (first_ns - stamps.sent_ns) / _NS_PER_MS


def _ignore_chunk(_count: int) -> None:
    pass
