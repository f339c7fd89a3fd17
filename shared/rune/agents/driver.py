"""The agent `driver`: a server that speaks RUNE's remote driver protocol.

`POST /v1/actions/ask` with `{"params": {…}}` is answered with a `job_id`, and `GET /v1/jobs/{job_id}` tells where
it stands (github.com/lpasquali/ai-benchmarks, read 2026-11).
"""

import json
from collections.abc import Mapping
from typing import Literal, override
from urllib.parse import quote

from rune.agents.agent_server import AgentServer
from rune.agents.protocol import AgentAnswer, AgentKind, AgentRequest, AgentTokens, Need
from rune.agents.remote_tasks import RemoteAgent
from rune.errors import BadResponseError, InvalidRequestError, RequestRejectedError
from rune.llm.failures import excerpt
from rune.llm.fields import as_list, as_object, mend_text, read_count, read_text
from rune.net.addresses import AddressPolicy
from rune.tenants.document import DriverSettings, TenantAgents

NAME = "driver"

HINT = (
    "No driver server is set up for this tenant: the operator adds its base_url, and its token if it wants one, to"
    " the tenant's document."
)

MAX_ARTIFACTS = 200

_SUCCEEDED = frozenset({"succeeded", "success", "completed"})
_FAILED = frozenset({"failed", "error", "cancelled", "canceled"})
_GONE = 404
_NO_SUCH_JOB = "rune-looks-whether-you-are-there"
_RESULT_TYPES: Mapping[str, Literal["text", "image", "structured", "report"]] = {
    "text": "text",
    "image": "image",
    "structured": "structured",
    "report": "report",
}


class DriverAgent(RemoteAgent):
    """Hands questions to a driver server."""

    def __init__(self, server: AgentServer, limit_seconds: float) -> None:
        super().__init__("The driver", limit_seconds)
        self._server = server

    @classmethod
    def open(cls, settings: DriverSettings, policy: AddressPolicy) -> "DriverAgent":
        """Return the agent; nothing is sent yet."""
        token = settings.token.get_secret_value() if settings.token else None
        # Both, with the same value, as clients in the field do.
        headers = {"Authorization": f"Bearer {token}", "X-API-Key": token} if token else {}
        server = AgentServer.open(
            settings.base_url,
            policy,
            name="The driver",
            headers={**headers, "X-Tenant-ID": settings.tenant},
            secret=token,
        )
        return cls(server, float(settings.action_timeout_seconds))

    @override
    async def check(self, request: AgentRequest) -> None:
        # No such job is the answer of a server that is there and takes the token. The protocol has nothing cheaper.
        await self._server.call(
            "GET",
            self._job_url(_NO_SUCH_JOB),
            timeout_seconds=request.timeout_seconds,
            taken=frozenset({_GONE}),
        )

    @override
    async def submit(self, request: AgentRequest, timeout_seconds: float) -> str:
        answer = await self._server.call(
            "POST",
            self._server.base_url + "/v1/actions/ask",
            body={"params": {"question": request.question, "model": request.model}},
            headers={"Idempotency-Key": f"rune-{request.job_id}"},
            timeout_seconds=timeout_seconds,
        )
        job_id = read_text(answer.members, "job_id").strip()
        if not job_id:
            raise BadResponseError("The driver took the question and named no job_id: is it a driver server?")
        return job_id

    @override
    async def look(self, request: AgentRequest, task_id: str, timeout_seconds: float) -> AgentAnswer | None:
        answer = await self._server.call(
            "GET", self._job_url(task_id), timeout_seconds=timeout_seconds, taken=frozenset({_GONE})
        )
        if answer.status == _GONE:
            raise RequestRejectedError("The driver does not know its job any more.")
        status = read_text(answer.members, "status").lower()
        if status in _FAILED:
            said = read_text(answer.members, "error") or read_text(answer.members, "message") or status
            raise RequestRejectedError(f"The driver failed. It said: {excerpt(mend_text(said))}")
        if status not in _SUCCEEDED:
            return None
        return _answer(as_object(answer.members.get("result")))

    @override
    async def cancel(self, task_id: str, timeout_seconds: float) -> None:
        await self._server.call("DELETE", self._job_url(task_id), timeout_seconds=timeout_seconds)

    @override
    async def aclose(self) -> None:
        await self._server.aclose()

    def _job_url(self, job_id: str) -> str:
        return f"{self._server.base_url}/v1/jobs/{quote(job_id, safe='')}"


def _answer(result: Mapping[str, object]) -> AgentAnswer:
    text = mend_text(read_text(result, "answer"))
    if not text.strip():
        raise BadResponseError("The driver's job succeeded without an answer.")
    telemetry = as_object(result.get("telemetry"))
    counted = as_object(telemetry.get("tokens"))
    tokens = AgentTokens(
        system_prompt=read_count(counted, "system_prompt") or 0,
        tool_calls=read_count(counted, "tool_calls") or 0,
        agent_reasoning=read_count(counted, "agent_reasoning") or 0,
        output=read_count(counted, "output") or 0,
        total=read_count(counted, "total") or 0,
    )
    artifacts = result.get("artifacts")
    told = {f"driver_{name}": text_of(value) for name, value in as_object(result.get("metadata")).items()}
    cost = telemetry.get("cost_estimate_usd")
    return AgentAnswer(
        answer=text,
        metadata={
            **told,
            **({} if cost is None else {"driver_cost_usd": text_of(cost)}),
            "agent": NAME,
            "token_count_source": "usage" if tokens.total else "unreported",
        },
        tokens=tokens,
        phases_ms={
            f"driver_{name}": ms for name, ms in map(_phase, as_list(telemetry.get("latency"))) if name
        },
        artifacts=tuple(map(_artifact, as_list(artifacts)[:MAX_ARTIFACTS]))
        if isinstance(artifacts, list)
        else None,
        result_type=_RESULT_TYPES.get(read_text(result, "result_type"), "text"),
    )


def _phase(entry: object) -> tuple[str, int]:
    members = as_object(entry)
    return excerpt(mend_text(read_text(members, "phase"))), read_count(members, "ms") or 0


def _artifact(entry: object) -> dict[str, str]:
    members = as_object(entry)
    return {"type": "artifact", **{str(name): text_of(value) for name, value in members.items()}}


def text_of(value: object) -> str:
    """Return a value of another server as a text of ours: itself, or its JSON."""
    return mend_text(value if isinstance(value, str) else json.dumps(value))


def _missing_setting(settings: TenantAgents) -> str | None:
    return HINT if settings.driver is None else None


def _open(settings: TenantAgents, policy: AddressPolicy) -> DriverAgent:
    if settings.driver is None:
        raise InvalidRequestError(HINT, pointer="/agent", code="agent_not_configured")
    return DriverAgent.open(settings.driver, policy)


KIND = AgentKind(
    NAME,
    description="Hands the question to a server of the tenant's that speaks RUNE's remote driver protocol.",
    needs=frozenset({Need.SETTING}),
    missing_setting=_missing_setting,
    open=_open,
    streams_progress=True,
    works_elsewhere=True,
)
