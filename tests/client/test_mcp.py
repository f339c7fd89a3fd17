"""What another agent may do over the Model Context Protocol: read freely, and spend with a cap and a token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.context import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from rune_client import AsyncRuneClient
from rune_client.mcp.server import make_server
from tests.client.scripted import JOB_ID, TOKEN, Script, Scripted, VirtualTime, document, problem
from tests.client.unkind import an_unkind_server, answers, hangs_up

PLAN = document({"dry_run": True, "rents": False, "max_cost_usd": 2.0})
ACCEPTED = document({"job_id": JOB_ID, "status": "accepted"}, 202)
LOST = httpx.ReadError("gone")
REQUEST = {"model": "m", "question": "2 + 2?", "backend_url": "http://gpu:11434"}


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


class Session:
    """Another agent, with a RUNE that answers by a script.

    `person` is what the person at its host answers; None is a host that can ask nobody. `mode` is the protocol:
    in the newer one a question is an answer of the tool, in the older one a request of the server.
    """

    def __init__(
        self,
        *answers: Scripted,
        limit_usd: float | None = None,
        person: ElicitResult | None = None,
        mode: Literal["auto", "legacy"] = "auto",
    ) -> None:
        self.person, self.mode = person, mode
        self.asked: list[str] = []
        self.script = Script(*answers)
        self.time = VirtualTime()
        self.client = AsyncRuneClient("https://rune.test", TOKEN, transport=self.script, retries=0)
        self.server = make_server(self.client, limit_usd=limit_usd, clock=self.time.now)
        self.agent: Client

    def run[T](self, act: Callable[[], Awaitable[T]]) -> T:
        async def connected() -> T:
            async with Client(
                self.server,
                mode=self.mode,
                elicitation_callback=None if self.person is None else self._answer,
            ) as agent:
                self.agent = agent
                return await act()

        return anyio.run(connected)

    async def _answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        assert self.person is not None
        return self.person

    async def call(self, tool: str, **arguments: object) -> CallToolResult:
        result = await self.agent.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        return result

    async def plan(self, max_cost_usd: float = 2.0) -> dict[str, Any]:
        result = await self.call("plan_job", kind="benchmark", request=REQUEST, max_cost_usd=max_cost_usd)
        assert not result.is_error, text_of(result)
        found: dict[str, Any] = json.loads(text_of(result))
        return found

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.script.requests if request.content]


def text_of(result: CallToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, TextContent))


def test_tools_say_which_of_them_only_read() -> None:
    session = Session(PLAN)

    async def act() -> dict[str, bool | None]:
        listed = await session.agent.list_tools()
        assert all(tool.description for tool in listed.tools)
        return {
            tool.name: tool.annotations.read_only_hint if tool.annotations else None for tool in listed.tools
        }

    found = session.run(act)

    assert {name for name, reads in found.items() if not reads} == {"run_job", "cancel_job", "stop_rental"}
    assert {"list_jobs", "get_report", "compare_benchmarks", "plan_job", "estimate_cost"} <= found.keys()


def test_reading_needs_neither_cap_nor_token() -> None:
    session = Session(document({"job_id": JOB_ID, "status": "running"}))

    result = session.run(lambda: session.call("get_job", job_id=JOB_ID))

    assert json.loads(text_of(result)) == {"job_id": JOB_ID, "status": "running"}
    assert [request.method for request in session.script.requests] == ["GET"]


def test_list_tells_whether_there_is_more() -> None:
    page = document({"jobs": [{"job_id": "a"}, {"job_id": "b"}], "next_cursor": "c"})
    session = Session(page)

    result = session.run(lambda: session.call("list_jobs", limit=1))

    assert json.loads(text_of(result)) == {"jobs": [{"job_id": "a"}], "has_more": True}


def test_job_is_made_as_it_was_planned_with_its_cap() -> None:
    session = Session(PLAN, ACCEPTED)

    async def act() -> CallToolResult:
        planned = await session.plan()
        return await session.call(
            "run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=2.0
        )

    result = session.run(act)

    assert json.loads(text_of(result))["job_id"] == JOB_ID
    assert session.bodies == [
        {**REQUEST, "max_cost_usd": 2.0, "dry_run": True},
        {**REQUEST, "max_cost_usd": 2.0},
    ]


def test_same_token_is_the_same_job() -> None:
    session = Session(PLAN, LOST, ACCEPTED)

    async def act() -> list[CallToolResult]:
        planned = await session.plan()
        confirmed = {"confirmation_token": planned["confirmation_token"], "max_cost_usd": 2.0}
        return [await session.call("run_job", **confirmed) for _ in range(3)]

    results = session.run(act)

    assert [result.is_error for result in results] == [True, False, False]
    assert "Call run_job again with the same token: it is one job." in text_of(results[0])
    keys = [request.headers["Idempotency-Key"] for request in session.script.requests[1:]]
    assert len(keys) == 3
    assert len(set(keys)) == 1


YES = ElicitResult(action="accept", content={"run_it": True})
NO = [
    (ElicitResult(action="accept", content={"run_it": False}), "does not want this job"),
    (ElicitResult(action="decline"), "does not want this job"),
    (ElicitResult(action="cancel"), "closed the question"),
    (ElicitResult(action="accept"), "no content"),
]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
class TestPerson:
    def run(self, session: Session, times: int = 1) -> list[CallToolResult]:
        async def act() -> list[CallToolResult]:
            planned = await session.plan()
            confirmed = {"confirmation_token": planned["confirmation_token"], "max_cost_usd": 2.0}
            return [await session.call("run_job", **confirmed) for _ in range(times)]

        return session.run(act)

    def test_is_asked_before_money_with_its_cap(self, mode: Literal["auto", "legacy"]) -> None:
        session = Session(PLAN, ACCEPTED, person=YES, mode=mode)

        (result,) = self.run(session)

        assert json.loads(text_of(result))["job_id"] == JOB_ID
        (question,) = session.asked
        assert question.splitlines() == [
            "Run this benchmark of m?",
            "It may cost up to $2.00; there it stops.",
            "No machine is rented.",
            "Server: http://gpu:11434",
            "Question: 2 + 2?",
        ]

    @pytest.mark.parametrize(("answer", "sentence"), NO)
    def test_who_does_not_agree_pays_nothing(
        self, answer: ElicitResult, sentence: str, mode: Literal["auto", "legacy"]
    ) -> None:
        session = Session(PLAN, ACCEPTED, person=answer, mode=mode)

        (result,) = self.run(session)

        assert result.is_error
        assert sentence in text_of(result)
        assert [body.get("dry_run") for body in session.bodies] == [True]

    def test_who_has_declined_is_not_asked_again(self, mode: Literal["auto", "legacy"]) -> None:
        session = Session(PLAN, ACCEPTED, person=ElicitResult(action="decline"), mode=mode)

        _, second = self.run(session, times=2)

        assert "no plan with this confirmation token" in text_of(second)
        assert len(session.asked) == 1

    def test_is_asked_once_where_the_answer_was_lost(self, mode: Literal["auto", "legacy"]) -> None:
        session = Session(PLAN, LOST, ACCEPTED, person=YES, mode=mode)

        lost, again = self.run(session, times=2)

        assert (lost.is_error, again.is_error, len(session.asked)) == (True, False, 1)

    def test_who_cannot_be_asked_is_left_to_the_agent(self, mode: Literal["auto", "legacy"]) -> None:
        session = Session(PLAN, ACCEPTED, mode=mode)

        (result,) = self.run(session)

        assert not result.is_error
        assert session.asked == []


DIES_AT_SUBMIT = """
import os, signal, sys
from tests.client.test_mcp import PLAN, Session

def dies(request):
    os.kill(os.getpid(), signal.SIGKILL)

session = Session(PLAN, dies)

async def act():
    planned = await session.plan()
    await session.call("run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=2.0)

session.run(act)
"""


def test_process_that_dies_between_agreement_and_answer_pays_once(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    died = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-c", DIES_AT_SUBMIT],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'clients' / 'python'}"},
        check=False,
    )
    (kept,) = (tmp_path / "rune" / "submissions").glob("*.json")
    key = json.loads(kept.read_text())["key"]
    session = Session(PLAN, ACCEPTED, PLAN, ACCEPTED)

    async def act() -> list[str]:
        results = []
        for _ in range(2):
            planned = await session.plan()
            token = planned["confirmation_token"]
            results.append(text_of(await session.call("run_job", confirmation_token=token, max_cost_usd=2.0)))
        return results

    resumed, another = session.run(act)

    keys = [request.headers.get("Idempotency-Key") for request in session.script.requests]
    assert died.returncode == -signal.SIGKILL
    assert keys[1] == f'"{key}"' != keys[3]
    assert ("it is one job" in resumed, "it is one job" in another) == (True, False)
    assert not kept.exists()


def test_nothing_is_posted_where_its_key_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rune").write_text("a file in the way")
    session = Session(PLAN, ACCEPTED)

    async def act() -> CallToolResult:
        planned = await session.plan()
        return await session.call(
            "run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=2.0
        )

    result = session.run(act)

    assert result.is_error
    assert "could be paid for twice" in text_of(result)
    assert len(session.bodies) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"confirmation_token": "made-up", "max_cost_usd": 2.0}, "no plan with this confirmation token"),
        ({"max_cost_usd": 2.0}, "confirmation_token"),
        ({"confirmation_token": "made-up"}, "max_cost_usd"),
    ],
)
def test_without_cap_or_token_nothing_is_posted(arguments: dict[str, Any], sentence: str) -> None:
    session = Session(ACCEPTED)

    result = session.run(lambda: session.call("run_job", **arguments))

    assert result.is_error
    assert sentence in text_of(result)
    assert session.script.requests == []


def test_another_cap_than_the_plans_is_refused() -> None:
    session = Session(PLAN)

    async def act() -> CallToolResult:
        planned = await session.plan()
        return await session.call(
            "run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=20
        )

    result = session.run(act)

    assert "The plan has a max_cost_usd of 2." in text_of(result)
    assert len(session.script.requests) == 1


def test_old_plan_is_refused() -> None:
    session = Session(PLAN)

    async def act() -> CallToolResult:
        planned = await session.plan()
        session.time.sleep(900)
        return await session.call(
            "run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=2.0
        )

    result = session.run(act)

    assert "older than 15 minutes" in text_of(result)
    assert len(session.script.requests) == 1


@pytest.mark.parametrize(
    ("request_body", "max_cost_usd", "sentence"),
    [
        (REQUEST, 0, "above 0"),
        (REQUEST, -1, "above 0"),
        ({**REQUEST, "max_cost_usd": 500}, 2.0, "another max_cost_usd"),
        ({**REQUEST, "dry_run": False}, 2.0, "dry_run is no part"),
    ],
)
def test_plan_without_a_cap_of_its_own_is_refused(
    request_body: dict[str, Any], max_cost_usd: float, sentence: str
) -> None:
    session = Session(PLAN)

    result = session.run(
        lambda: session.call("plan_job", kind="benchmark", request=request_body, max_cost_usd=max_cost_usd)
    )

    assert result.is_error
    assert sentence in text_of(result)
    assert session.script.requests == []


def test_session_spends_no_more_than_its_limit() -> None:
    session = Session(PLAN, PLAN, ACCEPTED, ACCEPTED, limit_usd=3)

    async def act() -> list[CallToolResult]:
        plans = [await session.plan(), await session.plan()]
        return [
            await session.call("run_job", confirmation_token=each["confirmation_token"], max_cost_usd=2.0)
            for each in plans
        ]

    first, second = session.run(act)

    assert not first.is_error
    assert "may spend 3 USD, of which 1.0 are left" in text_of(second)
    assert len(session.script.requests) == 3


def test_refused_job_gives_the_session_its_money_back() -> None:
    session = Session(
        PLAN, problem(402, "budget_exhausted", "Too little is left."), PLAN, ACCEPTED, limit_usd=3
    )

    async def act() -> list[CallToolResult]:
        results = []
        for _ in range(2):
            planned = await session.plan()
            token = planned["confirmation_token"]
            results.append(await session.call("run_job", confirmation_token=token, max_cost_usd=2.0))
        return results

    first, second = session.run(act)

    assert "Too little is left. (402 budget_exhausted, request r-1)" in text_of(first)
    assert not second.is_error


def test_lost_job_keeps_its_money_also_when_it_is_refused_later() -> None:
    session = Session(PLAN, LOST, problem(409, "stopped"), limit_usd=3)

    async def act() -> CallToolResult:
        planned = await session.plan()
        for _ in range(2):
            await session.call("run_job", confirmation_token=planned["confirmation_token"], max_cost_usd=2.0)
        return await session.call("plan_job", kind="benchmark", request=REQUEST, max_cost_usd=2.0)

    assert "of which 1.0 are left" in text_of(session.run(act))


def test_refusal_names_the_fields_and_not_the_token() -> None:
    wrong = [{"pointer": "/model", "detail": "is missing"}]
    session = Session(problem(422, "invalid_request", "`model` is missing.", errors=wrong))

    result = session.run(lambda: session.call("plan_job", kind="benchmark", request={}, max_cost_usd=1.0))

    assert result.is_error
    assert "/model: is missing" in text_of(result)
    assert TOKEN not in text_of(result)


def test_long_report_is_cut() -> None:
    session = Session(httpx.Response(200, text="x" * 70_000))

    result = session.run(lambda: session.call("get_report", job_id=JOB_ID))

    assert "Cut here, at 60000 of 70000 characters" in text_of(result)
    assert session.script.requests[0].url.params["format"] == "markdown"


@pytest.mark.slow
def test_server_speaks_over_standard_input_and_output() -> None:
    script = (
        "import sys; from rune_client import AsyncRuneClient; from rune_client.mcp import serve; "
        "serve(AsyncRuneClient(sys.argv[1], 'token'))"
    )
    root = Path(__file__).parents[2]

    async def ask(url: str) -> CallToolResult:
        command = StdioServerParameters(
            command=sys.executable,
            args=["-c", script, url],
            env={"PYTHONPATH": str(root / "clients" / "python"), "NO_PROXY": "*"},
        )
        async with Client(command) as agent:
            result = await agent.call_tool("get_job", {"job_id": JOB_ID})
            assert isinstance(result, CallToolResult)
            return result

    with an_unkind_server(hangs_up, answers({"job_id": JOB_ID, "status": "running"})) as server:
        result = anyio.run(ask, server.url)

    assert json.loads(text_of(result)) == {"job_id": JOB_ID, "status": "running"}
