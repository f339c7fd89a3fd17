"""The agent `holmes`: a HolmesGPT server over HTTP, which investigates a cluster with its own tools.

Protocol: https://github.com/HolmesGPT/holmesgpt/blob/master/docs/reference/http-api.md and its server.py, read
2026-11, and version 0.45.0, run then. An investigation is one turn, since the server keeps nothing. It is asked for
as a stream, which tells of each model call and tool; within one of them it is silent, so a proxy before the server
must allow for that. Servers that know no streams answer whole.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import override

from rune.agents.agent_server import Secret
from rune.agents.protocol import Agent, AgentAnswer, AgentKind, AgentRequest, AgentTokens, Need
from rune.errors import (
    BadResponseError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelServerError,
    RequestRejectedError,
    ServerAccessError,
    StreamTruncatedError,
)
from rune.llm.failures import MAX_READ_CHARS, FailureContext, excerpt
from rune.llm.fields import as_list, as_object, mend_text, parse_json, read_count, read_number, read_text
from rune.llm.framing import SseReader
from rune.llm.http_failures import describe_failure
from rune.llm.protocol import OnChunk
from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.net.calls import Reply, ServerConnection
from rune.net.client import open_client
from rune.tenants.document import HolmesSettings, TenantAgents

NAME = "holmes"

HINT = (
    "No HolmesGPT server is set up for this tenant: the operator adds its base_url, and its api_key if it wants"
    " one, to the tenant's document. The agent 'ask' needs none."
)

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Longest answer. It holds the whole conversation, and the tools' results a second time: a context of a million
tokens is 4 MB of text, and about twice that as JSON."""

MAX_STREAM_BYTES = 4 * MAX_ANSWER_BYTES
"""Of all events of an investigation: each tool's result once, and then the answer."""

MAX_ARTIFACTS = 200
"""Tool calls of one answer that become artifacts; the count of all is in the metadata."""

_LIST_TIMEOUT_SECONDS = 15.0
_NS_PER_MS = 1_000_000
_OK = 200
_UNPROCESSABLE = 422
_STREAM_TYPE = "text/event-stream"
_READ_EVENTS = frozenset({"tool_calling_result", "ai_answer_end"})
_RATE_LIMITED = 5204
"""`error_code` of the event `error` for its model's provider that wants to be left alone."""

_GAVE_UP = re.compile(rb"exceeded max[_ ]steps|too many llm calls")


class HolmesAgent(Agent):
    """Asks a HolmesGPT server.

    The key is sent as `Authorization: Bearer`. HolmesGPT takes `X-API-Key` as well, but passes every header except
    `Authorization` and cookies on to its tools, which would then have the key.
    """

    def __init__(self, connection: ServerConnection, api_key: str | None = None) -> None:
        self._connection = connection
        self._secret = Secret(api_key)

    @classmethod
    def open(cls, settings: HolmesSettings, policy: AddressPolicy) -> "HolmesAgent":
        """Return the agent; nothing is sent yet.

        Raises
        ------
        AddressRefusedError
            The policy does not allow its address; an operator allows private networks.
        """
        url = parse_backend_url(settings.base_url, policy)
        client = open_client(policy)
        api_key = settings.api_key.get_secret_value() if settings.api_key else None
        if api_key:
            # Of every request of this client, which follows no redirect and so reaches this server alone.
            client.headers["Authorization"] = f"Bearer {api_key}"
        return cls(ServerConnection(url, client), api_key)

    @override
    async def check(self, request: AgentRequest) -> None:
        await self._require_model(request.model, request.timeout_seconds)

    @override
    async def take_turn(
        self, request: AgentRequest, state_json: str | None, on_chunk: OnChunk
    ) -> AgentAnswer:
        """Return the server's analysis, with the tools that it used as artifacts.

        The model is looked up before each question: HolmesGPT answers a name that it does not know with its first
        model, and the answer does not name the model.

        Raises
        ------
        ModelNotFoundError
            The server's list does not have the model.
        ServerAccessError
            The server refuses the key, or its provider refuses its own.
        ServerOverloadedError
            The provider of its model wants to be left alone for a time.
        StreamTruncatedError
            The stream ended without its answer.
        ModelServerError, AddressError
            Any other of them.
        """
        began_s = time.monotonic()
        await self._require_model(request.model, request.timeout_seconds)
        # Never 0, which would mean no limit.
        remaining_seconds = max(0.001, request.timeout_seconds - (time.monotonic() - began_s))
        members, asked_ms = await self._investigate(request, remaining_seconds, on_chunk)
        return _answer(members, request.model, asked_ms)

    @override
    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _investigate(
        self, request: AgentRequest, timeout_seconds: float, on_chunk: OnChunk
    ) -> tuple[Mapping[str, object], int]:
        """Return the answer, and how many milliseconds it took."""
        body: dict[str, object] = {"ask": request.question, "model": request.model, "stream": True}
        ends_s = time.monotonic() + timeout_seconds
        while True:
            async with self._connection.call(
                "POST",
                self._connection.url.url + "/api/chat",
                body=body,
                total_timeout_seconds=max(0.001, ends_s - time.monotonic()),
            ) as reply:
                if reply.status == _UNPROCESSABLE and "stream" in body:
                    said = self._secret.taken_out_of(await reply.body_head())
                    if b"stream" not in said:
                        raise _failure(reply.status, said, FailureContext(request.model))
                    # An old server that takes no unknown fields; it has not begun.
                    body.pop("stream")
                    continue
                if reply.status == _OK and reply.media_type == _STREAM_TYPE:
                    members = await self._read_events(reply, request.model, on_chunk)
                else:
                    members = await self._read_object(reply, model=request.model)
                return members, math.ceil((time.monotonic_ns() - reply.sent_ns) / _NS_PER_MS)

    async def _read_events(self, reply: Reply, model: str, on_chunk: OnChunk) -> Mapping[str, object]:
        """Return what a whole answer would be, from the events of a stream."""
        reader, frames = reply.reader(max_bytes=MAX_STREAM_BYTES), SseReader(max_line_bytes=MAX_ANSWER_BYTES)
        tool_calls: list[Mapping[str, object]] = []
        count = 0
        waits_for_approval = False
        has_ended = False
        while not has_ended:
            received = await reader.read()
            has_ended = received is None
            for frame in frames.finish() if received is None else frames.feed(received):
                count += 1
                on_chunk(count)
                waits_for_approval |= frame.name == "approval_required"
                if not frame.is_error and frame.name not in _READ_EVENTS:
                    continue
                event = replace(frame, data=self._secret.taken_out_of(frame.data)).parse()
                if frame.name == "ai_answer_end":
                    return {**event, "tool_calls": tool_calls}
                if frame.is_error:
                    raise _failure_in_stream(event, model)
                # Not its data, which may be megabytes.
                result = {"status": as_object(event.get("result")).get("status")}
                tool_calls.append({**event, "result": result})
        if waits_for_approval:
            raise RequestRejectedError(
                "HolmesGPT waits for a person to approve a tool, which RUNE does not do."
            )
        raise StreamTruncatedError("HolmesGPT's answer broke off before its end.")

    async def _require_model(self, model: str, timeout_seconds: float) -> None:
        known = await self._list_models(min(_LIST_TIMEOUT_SECONDS, timeout_seconds))
        if model not in known:
            names = excerpt(", ".join(known)) or "none"
            raise ModelNotFoundError(
                f"HolmesGPT has no model {excerpt(model)!r} in its own list, which has: {names}."
            )

    async def _list_models(self, timeout_seconds: float) -> tuple[str, ...]:
        async with self._connection.call(
            "GET", self._connection.url.url + "/api/model", total_timeout_seconds=timeout_seconds
        ) as reply:
            listing = await self._read_object(reply)
        names = listing.get("model_name")
        if isinstance(names, str):
            # The server writes the list as a string of JSON; its documentation shows an array.
            try:
                names = parse_json(names.encode("utf-8", "replace"))
            except ValueError:
                names = None
        if not isinstance(names, list):
            raise BadResponseError("The server's answer is not a list of models: is it a HolmesGPT server?")
        return tuple(sorted({name for name in names if isinstance(name, str) and name}))

    async def _read_object(self, reply: Reply, *, model: str | None = None) -> Mapping[str, object]:
        if reply.status != _OK:
            body = self._secret.taken_out_of(await reply.body_head())
            raise _failure(reply.status, body, FailureContext(model, reply.retry_after_seconds))
        reader = reply.reader(max_bytes=MAX_ANSWER_BYTES)
        whole = bytearray()
        while (received := await reader.read()) is not None:
            whole += received.data
        try:
            value = parse_json(self._secret.taken_out_of(bytes(whole)))
        except ValueError as error:
            raise BadResponseError("HolmesGPT answered with something other than JSON.") from error
        if not isinstance(value, dict):
            raise BadResponseError("HolmesGPT answered with JSON that is not an object.")
        return value


def _missing_setting(settings: TenantAgents) -> str | None:
    return HINT if settings.holmes is None else None


def _open(settings: TenantAgents, policy: AddressPolicy) -> HolmesAgent:
    if settings.holmes is None:
        raise InvalidRequestError(HINT, pointer="/agent", code="agent_not_configured")
    return HolmesAgent.open(settings.holmes, policy)


KIND = AgentKind(
    NAME,
    description="Lets a HolmesGPT server of the tenant's investigate with its own tools and models.",
    needs=frozenset({Need.SETTING}),
    missing_setting=_missing_setting,
    open=_open,
    streams_progress=True,
)


def _failure(status: int, body: bytes, context: FailureContext) -> ModelServerError:
    if status < 400:  # noqa: PLR2004 other successes; redirects ended earlier
        return BadResponseError(f"HolmesGPT answered with status {status}, which RUNE did not expect.")
    if status in {401, 403}:
        # It also answers 401 when its model's provider refused its own key.
        return ServerAccessError(
            "HolmesGPT refused the key of this tenant, or its provider refused HolmesGPT's."
        )
    if status in {404, 405}:
        return BadResponseError("The server does not know HolmesGPT's paths: is base_url a HolmesGPT server?")
    if status >= 500 and _GAVE_UP.search(body[:MAX_READ_CHARS].lower()):  # noqa: PLR2004 RFC 9110, 15.6
        return _gave_up()
    # Every failure inside it is a 500 with the provider's words, which tell the cause.
    return describe_failure(status, body, context)


def _failure_in_stream(event: Mapping[str, object], model: str) -> ModelServerError:
    said = read_text(event, "description") or read_text(event, "msg")
    context = FailureContext(model)
    if read_count(event, "error_code") == _RATE_LIMITED:
        return describe_failure(429, {"detail": said}, context)
    if _GAVE_UP.search(said[:MAX_READ_CHARS].lower().encode()):
        return _gave_up()
    return describe_failure(None, {"error": {"message": said}}, context)


def _gave_up() -> RequestRejectedError:
    # The same question would take as many steps again.
    return RequestRejectedError("HolmesGPT gave up: the question takes more steps than its max_steps allows.")


def _answer(members: Mapping[str, object], model: str, asked_ms: int) -> AgentAnswer:
    analysis = mend_text(read_text(members, "analysis"))
    if not analysis.strip():
        raise BadResponseError("HolmesGPT answered without an analysis.")
    tool_calls = as_list(members.get("tool_calls"))
    metadata = as_object(members.get("metadata"))
    tokens = _tokens(metadata)
    return AgentAnswer(
        answer=analysis,
        artifacts=tuple(_artifact(as_object(call)) for call in tool_calls[:MAX_ARTIFACTS]),
        metadata={
            "agent": NAME,
            "holmes_model": model,
            "tool_call_count": str(len(tool_calls)),
            "token_count_source": "unreported" if tokens is None else "usage",
            **_told_besides(as_object(metadata.get("costs"))),
        },
        tokens=tokens or AgentTokens(),
        phases_ms={"ask": asked_ms},
    )


def _artifact(call: Mapping[str, object]) -> dict[str, str]:
    """Return what a tool was used for. Not its result, which may be megabytes of a cluster, secrets included."""
    return {
        "type": "tool_call",
        "tool_name": excerpt(mend_text(read_text(call, "tool_name"))),
        "description": excerpt(mend_text(read_text(call, "description"))),
        "status": excerpt(mend_text(read_text(as_object(call.get("result")), "status"))),
    }


def _told_besides(costs: Mapping[str, object]) -> dict[str, str]:
    """Return what the server says that the investigation has cost, where it knows its model's price."""
    cost_usd, compactions = read_number(costs, "total_cost"), read_count(costs, "num_compactions")
    told = {"holmes_cost_usd": f"{cost_usd:.6f}"} if cost_usd else {}
    return {**told, "compaction_count": str(compactions)} if compactions else told


def _tokens(metadata: Mapping[str, object]) -> AgentTokens | None:
    """Return the tokens of the investigation; None without a count.

    `costs` counts all calls of the model (0.45). Older servers have no more than the last call, whose prompt was
    the whole conversation: `usage` is the provider's count, `tokens` HolmesGPT's own by role. `tools_tokens` are
    the results of tools, `tools_to_call_tokens` their descriptions, `assistant_tokens` all that the model wrote,
    the answer included.
    """
    usage, by_role = as_object(metadata.get("usage")), as_object(metadata.get("tokens"))
    costs = as_object(metadata.get("costs"))
    total = (
        read_count(costs, "total_tokens")
        or read_count(usage, "total_tokens")
        or read_count(by_role, "total_tokens")
    )
    if not total:
        return None
    written = read_count(costs, "completion_tokens")
    output = read_count(usage, "completion_tokens") or written or 0
    return AgentTokens(
        system_prompt=read_count(by_role, "system_tokens") or 0,
        tool_calls=(read_count(by_role, "tools_tokens") or 0)
        + (read_count(by_role, "tools_to_call_tokens") or 0),
        agent_reasoning=max(0, (written or read_count(by_role, "assistant_tokens") or 0) - output),
        output=output,
        total=total,
    )
