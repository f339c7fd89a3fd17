import asyncio
from unittest.mock import AsyncMock

import pytest

from rune.llm.first_token import first_token_ms
from rune.llm.protocol import (
    ChatRequest,
    FinishReason,
    Generation,
    Message,
    ModelServer,
    Role,
    ServerTimings,
    Stamps,
    TokenCounts,
    TokenCountSource,
    WarmUpRequest,
)


@pytest.mark.parametrize(("first_content_ns", "expected_ms"), [(5_000_000, 4.0), (None, 8.0)])
def test_first_token_is_timed_with_the_options_of_the_warm_up(
    first_content_ns: int | None, expected_ms: float
) -> None:
    server = AsyncMock(spec=ModelServer)
    stamps = Stamps(1_000_000, 0, 0, first_content_ns, None, first_content_ns, 9_000_000)
    tokens = TokenCounts(None, 1, None, None, TokenCountSource.USAGE)
    server.chat.return_value = Generation("", "", FinishReason.LENGTH, tokens, stamps, (), ServerTimings())

    taken_ms = asyncio.run(first_token_ms(server, WarmUpRequest("m", 300.0, 2048), timeout_seconds=90.0))

    assert taken_ms == expected_ms
    assert server.chat.await_args.args[0] == ChatRequest(
        "m", (Message(Role.USER, "Hi"),), 90.0, 90.0, context_tokens=2048, max_output_tokens=1, is_free=True
    )
