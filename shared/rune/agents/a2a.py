"""The agent `a2a`: a server that speaks the Agent2Agent protocol 1.0 over JSON-RPC, such as kagent.

Protocol: https://a2a-protocol.org/v1.0.0/specification/, and its SDK 1.3.0, run 2026-11. The
question is sent with `returnImmediately`, and the task is looked after with `GetTask`. Servers of 0.3 are refused.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import override
from urllib.parse import urlsplit

from rune.agents.agent_server import AgentServer
from rune.agents.protocol import AgentAnswer, AgentKind, AgentRequest, AgentTokens, Need
from rune.agents.remote_tasks import RemoteAgent
from rune.errors import (
    BadResponseError,
    InvalidRequestError,
    ModelServerError,
    RequestRejectedError,
    ServerAccessError,
)
from rune.llm.failures import FailureContext, excerpt
from rune.llm.fields import as_list, as_object, mend_text, read_text
from rune.llm.http_failures import describe_failure
from rune.net.addresses import AddressPolicy
from rune.tenants.document import A2aSettings, TenantAgents

NAME = "a2a"

HINT = (
    "No A2A server is set up for this tenant: the operator adds the base_url of its agent, and its token if it"
    " wants one, to the tenant's document."
)

VERSION = "1.0"
MAX_ARTIFACTS = 200

_CARD_PATH = "/.well-known/agent-card.json"
_STATE = "TASK_STATE_"
_UNDER_WAY = frozenset({"SUBMITTED", "WORKING", "UNSPECIFIED", ""})
_ERRORS: Mapping[int, str] = {
    -32001: "The A2A server does not know its task any more.",
    -32002: "The A2A task cannot be cancelled.",
    -32004: "The A2A server cannot do that.",
    -32601: "The A2A server does not know the method, so it does not speak A2A 1.0.",
    -32009: "The A2A server does not speak A2A 1.0.",
}
"""By code of JSON-RPC: what another try would meet again."""


class A2aAgent(RemoteAgent):
    """Sends questions to an A2A server."""

    def __init__(self, server: AgentServer, limit_seconds: float | None = None) -> None:
        super().__init__("The A2A server", limit_seconds)
        self._server = server
        self._url: str | None = None

    @classmethod
    def open(cls, settings: A2aSettings, policy: AddressPolicy) -> "A2aAgent":
        """Return the agent; nothing is sent yet."""
        token = settings.token.get_secret_value() if settings.token else None
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        server = AgentServer.open(
            settings.base_url,
            policy,
            name="The A2A server",
            headers={**bearer, "A2A-Version": VERSION},
            secret=token,
        )
        return cls(server, float(settings.task_timeout_seconds))

    @override
    async def check(self, request: AgentRequest) -> None:
        await self._find_url(request.timeout_seconds)

    @override
    async def submit(self, request: AgentRequest, timeout_seconds: float) -> str | AgentAnswer:
        message = {
            # The same each time, so that a server that looks takes it once.
            "messageId": f"rune-{request.job_id}",
            "role": "ROLE_USER",
            "parts": [{"text": request.question}],
        }
        params = {"message": message, "configuration": {"returnImmediately": True}}
        result = await self._call("SendMessage", params, timeout_seconds)
        task = as_object(result.get("task"))
        if task_id := read_text(task, "id"):
            return task_id
        message_back = as_object(result.get("message"))
        if not message_back:
            raise BadResponseError("The A2A server answered with neither a task nor a message.")
        return _answer(_text_of(message_back), (), "message")

    @override
    async def look(self, request: AgentRequest, task_id: str, timeout_seconds: float) -> AgentAnswer | None:
        result = await self._call("GetTask", {"id": task_id}, timeout_seconds)
        # The task itself; some servers put it into a member, as in the answer to SendMessage.
        task = as_object(result.get("task")) or result
        status = as_object(task.get("status"))
        state = read_text(status, "state").removeprefix(_STATE)
        said = _text_of(as_object(status.get("message")))
        if state in _UNDER_WAY:
            return None
        if state == "COMPLETED":
            artifacts = [as_object(each) for each in as_list(task.get("artifacts"))]
            text = "\n\n".join(filter(None, map(_text_of, artifacts))) or said
            return _answer(text, artifacts, "completed")
        if state == "INPUT_REQUIRED":
            return _answer(said or "The agent asks for more, and does not say what.", (), "input_required")
        if state == "AUTH_REQUIRED":
            raise ServerAccessError("The A2A agent wants another credential before it goes on.")
        words = f" It said: {excerpt(said)}" if said else ""
        raise RequestRejectedError(f"The A2A task ended as {excerpt(state.lower())}.{words}")

    @override
    async def cancel(self, task_id: str, timeout_seconds: float) -> None:
        await self._call("CancelTask", {"id": task_id}, timeout_seconds)

    @override
    async def aclose(self) -> None:
        await self._server.aclose()

    async def _call(
        self, method: str, params: Mapping[str, object], timeout_seconds: float
    ) -> Mapping[str, object]:
        url = await self._find_url(timeout_seconds)
        answer = await self._server.call(
            "POST",
            url,
            body={"jsonrpc": "2.0", "id": "1", "method": method, "params": params},
            headers={"Content-Type": "application/json"},
            timeout_seconds=timeout_seconds,
        )
        if error := as_object(answer.members.get("error")):
            raise _failure(error)
        result = answer.members.get("result")
        if not isinstance(result, dict):
            raise BadResponseError("The A2A server's answer has no result.")
        return result

    async def _find_url(self, timeout_seconds: float) -> str:
        """Return where the agent takes calls, from its card.

        Raises
        ------
        BadResponseError
            There is no card, or it names no JSON-RPC of version 1.
        RequestRejectedError
            It names an address on another origin, which no operator has allowed and which would get the token.
        """
        if self._url is not None:
            return self._url
        card = await self._server.call(
            "GET", self._server.base_url + _CARD_PATH, timeout_seconds=timeout_seconds
        )
        offered = [as_object(each) for each in as_list(card.members.get("supportedInterfaces"))]
        urls = [
            read_text(each, "url")
            for each in offered
            if read_text(each, "protocolBinding").upper() == "JSONRPC"
            and read_text(each, "protocolVersion").startswith("1.")
        ]
        if not urls:
            older = excerpt(read_text(card.members, "protocolVersion"))
            spoken = f" It speaks {older}." if older else ""
            raise BadResponseError(f"The agent's card names no JSON-RPC of A2A 1.0.{spoken}")
        own = [url for url in urls if _origin(url) == _origin(self._server.base_url)]
        if not own:
            raise RequestRejectedError(
                f"The agent's card names another server ({excerpt(urls[0])}) than base_url, which gets no token."
            )
        self._url = own[0]
        return self._url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def _failure(error: Mapping[str, object]) -> ModelServerError:
    code, said = error.get("code"), read_text(error, "message")
    if isinstance(code, int) and code in _ERRORS:
        return RequestRejectedError(_ERRORS[code])
    return describe_failure(None, {"error": {"message": said}}, FailureContext())


def _text_of(holder: Mapping[str, object]) -> str:
    return mend_text("\n".join(_texts_in(as_list(holder.get("parts")))))


def _texts_in(parts: Sequence[object]) -> Iterator[str]:
    """Yield what the parts of a message or an artifact say; data as JSON, and of files their addresses."""
    for part in map(as_object, parts):
        if text := read_text(part, "text"):
            yield text
        elif "data" in part:
            yield json.dumps(part["data"])
        elif url := read_text(part, "url"):
            yield url


def _answer(text: str, artifacts: Sequence[Mapping[str, object]], state: str) -> AgentAnswer:
    if not text.strip():
        raise BadResponseError("The A2A agent ended without saying anything.")
    return AgentAnswer(
        answer=text,
        metadata={"agent": NAME, "a2a_state": state, "token_count_source": "unreported"},
        tokens=AgentTokens(),
        phases_ms={},
        artifacts=tuple(map(_artifact, artifacts[:MAX_ARTIFACTS])),
    )


def _artifact(artifact: Mapping[str, object]) -> dict[str, str]:
    return {
        "type": "artifact",
        "name": excerpt(mend_text(read_text(artifact, "name"))),
        "description": excerpt(mend_text(read_text(artifact, "description"))),
        "part_count": str(len(as_list(artifact.get("parts")))),
    }


def _missing_setting(settings: TenantAgents) -> str | None:
    return HINT if settings.a2a is None else None


def _open(settings: TenantAgents, policy: AddressPolicy) -> A2aAgent:
    if settings.a2a is None:
        raise InvalidRequestError(HINT, pointer="/agent", code="agent_not_configured")
    return A2aAgent.open(settings.a2a, policy)


KIND = AgentKind(
    NAME,
    description="Sends the question to an A2A 1.0 server of the tenant's, which works with models of its own.",
    needs=frozenset({Need.SETTING}),
    missing_setting=_missing_setting,
    open=_open,
    streams_progress=True,
    takes_model=False,
    works_elsewhere=True,
)
