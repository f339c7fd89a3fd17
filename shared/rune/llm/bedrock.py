"""Amazon Bedrock, through Converse: the models of the operator's own AWS account."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, override

from rune.errors import ModelUnsupportedError
from rune.llm.answers import AnswerInProgress
from rune.llm.bedrock_calls import BedrockCalls, StreamedCall, TakeChunk
from rune.llm.bedrock_chat import ConverseAnswer, converse_arguments
from rune.llm.first_token import first_token_ms
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    Generation,
    ModelFacts,
    ModelServer,
    OnChunk,
    OnPull,
    PullRequest,
    ServerFacts,
    WarmUp,
    WarmUpRequest,
)

type _Summary = Mapping[str, Any]


class BedrockServer(ModelServer):
    """Bedrock in one region.

    Models are neither loaded nor pulled, and none is listed as running. A model's name is the id of a foundation
    model or of an inference profile (`us.anthropic.…`), or the ARN of either.
    """

    def __init__(self, calls: BedrockCalls) -> None:
        self._calls = calls
        self._listing = asyncio.Lock()
        self._listed: tuple[list[_Summary], list[_Summary]] | None = None

    @classmethod
    def open(cls, region: str, endpoint_url: str | None = None) -> "BedrockServer":
        """Return Bedrock in a region, at AWS's own addresses or at another one; nothing is sent yet."""
        return cls(BedrockCalls(region, endpoint_url))

    @override
    async def list_models(self) -> tuple[str, ...]:
        """Return the ids of the models that write text and of all inference profiles, sorted."""
        models, profiles = await self._list()
        ids = [model["modelId"] for model in models if _writes(model)]
        return tuple(sorted({*ids, *(profile["inferenceProfileId"] for profile in profiles)}))

    @override
    async def list_running(self) -> tuple[str, ...]:
        return ()

    @override
    async def has_model(self, model: str) -> bool:
        """Return whether the account's region lists the model or the profile, by id or ARN."""
        models, profiles = await self._list()
        arns = {summary["modelArn"] for summary in models if _writes(summary)}
        arns |= {profile["inferenceProfileArn"] for profile in profiles}
        return model in arns or model in await self.list_models()

    @override
    async def capabilities(self, model: str) -> Capabilities:
        """Return what the list says of the model, or of the model behind a profile; it says nothing of tools."""
        summary = await self._find(model)
        if summary is None:
            return Capabilities()
        return Capabilities(chats=_writes(summary) and summary.get("responseStreamingSupported") is not False)

    @override
    async def describe_server(self) -> ServerFacts:
        return ServerFacts(name="bedrock")

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        """Return the model's provider as its family: Bedrock tells neither digest nor size nor context."""
        summary = await self._find(model)
        return ModelFacts(family=summary.get("providerName") if summary else None)

    @override
    async def round_trip_ms(self) -> float | None:
        """Return None: AWS's edge answers a handshake, and the model is elsewhere."""
        return None

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        """Refuse, since there is nothing to download.

        Raises
        ------
        ModelUnsupportedError
            Always.
        """
        raise ModelUnsupportedError("Amazon Bedrock cannot be told to download a model.")

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Generate one token, which shows whether the account may use the model. `load_ms` is 0.

        Raises
        ------
        ModelServerError
            As `ModelServer.chat`.
        """
        return WarmUp(0.0, await first_token_ms(self, request, timeout_seconds=request.timeout_seconds))

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        loop = asyncio.get_running_loop()
        opened: list[ConverseAnswer] = []

        def open_answer(call: StreamedCall) -> TakeChunk:
            def tell(count: int) -> None:
                # The loop may have been closed meanwhile: then no caller waits for the count.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(on_chunk, count)

            answer = ConverseAnswer(
                request.model,
                AnswerInProgress(sent_ns=call.sent_ns, headers_ns=call.headers_ns, on_chunk=tell),
            )
            opened.append(answer)
            return answer.take

        ended_ns = await self._calls.converse(
            converse_arguments(request),
            open_answer,
            total_timeout_seconds=request.timeout_seconds,
            idle_timeout_seconds=request.idle_timeout_seconds,
        )
        return opened[0].complete(ended_ns)

    @override
    async def aclose(self) -> None:
        await self._calls.aclose()

    async def _list(self) -> tuple[list[_Summary], list[_Summary]]:
        # Once per server: a measurement asks as often as it opens connections, and AWS throttles lists early.
        async with self._listing:
            if self._listed is None:
                self._listed = await self._calls.list_models()
            return self._listed

    async def _find(self, model: str) -> _Summary | None:
        """Return the summary of a foundation model, or of the first one behind a profile."""
        models, profiles = await self._list()
        wanted = {model}
        for profile in profiles:
            if model in {profile["inferenceProfileId"], profile["inferenceProfileArn"]}:
                wanted |= {behind["modelArn"].rpartition("/")[2] for behind in profile.get("models", ())}
        return next((m for m in models if wanted & {m["modelId"], m["modelArn"]}), None)


def _writes(summary: _Summary) -> bool:
    return "TEXT" in summary.get("outputModalities", ("TEXT",))
