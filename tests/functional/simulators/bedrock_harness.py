"""Shared parts of the tests of the simulated Bedrock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from local.simulators.bedrock import BedrockFault, BedrockSettings, SimulatedBedrock, create_app
from rune.llm.bedrock import BedrockServer
from rune.llm.protocol import ChatRequest, Message, Role
from tests.functional.simulators.hosting import Host

REGION = "us-east-1"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "anthropic.claude-3-7-sonnet-20250219-v1:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"
DEEPSEEK = "deepseek.r1-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
FAST = BedrockSettings(
    first_token_seconds=0.01, output_tokens_per_second=5_000, answer_tokens=20, reasoning_tokens=6
)
QUESTION = ChatRequest(
    HAIKU,
    (Message(Role.USER, "What is unhealthy?"),),
    timeout_seconds=10.0,
    idle_timeout_seconds=10.0,
)


def simulate(host: Host, *faults: BedrockFault, settings: BedrockSettings = FAST) -> SimulatedBedrock:
    """Put a new simulator behind the address."""
    state = SimulatedBedrock(settings)
    state.faults.add(*faults)
    host.app = create_app(state)
    return state


def ask[T](host: Host, question: Callable[[BedrockServer], Awaitable[T]]) -> T:
    """Return the answer that RUNE's client gets."""

    async def go() -> T:
        server = BedrockServer.open(REGION, host.address)
        try:
            return await question(server)
        finally:
            await server.aclose()

    return asyncio.run(go())


@contextmanager
def credentials() -> Iterator[None]:
    """Set credentials for AWS's clients in the environment, as Lambda does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.delenv("AWS_PROFILE", raising=False)
        yield
