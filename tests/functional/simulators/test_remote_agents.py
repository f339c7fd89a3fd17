"""The agents `driver` and `a2a` against their simulated servers: both sides agree on the protocols."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from local.simulators import a2a, driver
from local.simulators.a2a import A2aFault, A2aFaultKind, A2aSettings, SimulatedA2a
from local.simulators.driver import DriverFault, DriverFaultKind, DriverSettings, SimulatedDriver
from local.simulators.faults import FaultKind
from rune.agents.protocol import Agent, AgentAnswer, AgentRequest, AgentTokens, GoOn, Turn
from rune.agents.registry import open_agent
from rune.agents.remote_tasks import DOUBLE_WARNING, MAX_FAILED_LOOKS, RemoteTask
from rune.errors import (
    BadResponseError,
    ModelServerError,
    RequestRejectedError,
    RuneError,
    ServerAccessError,
    ServerFailedError,
    ServerTimeoutError,
)
from rune.net.addresses import AddressPolicy
from tests.functional.simulators.hosting import Host, SkippingTimeline
from tests.tenant_builders import a_tenant

TOKEN = "t" * 32
REQUEST = AgentRequest(
    question="What is unhealthy?", model="m", timeout_seconds=5.0, job_id="j1", seconds_left=3600.0
)


class Work:
    """One job of an agent: its turns with the time between them, which the simulator skips."""

    def __init__(self, name: str, host: Host, timeline: SkippingTimeline, **settings: object) -> None:
        document = {"base_url": host.address, "token": TOKEN, **settings}
        self._name, self._settings = name, a_tenant({"agents": {name: document}}).agents
        self._timeline = timeline
        self.state_json: str | None = None
        self.request = REQUEST
        self.pauses: list[int] = []

    def check(self) -> None:
        self._with_agent(lambda agent: agent.check(self.request))

    def turn(self, *, try_number: int = 1) -> Turn:
        """Take a turn as a worker does, which knows the committed state alone."""
        request = replace(self.request, try_number=try_number)
        turn: Turn = self._with_agent(lambda agent: agent.take_turn(request, self.state_json, lambda _: None))
        if isinstance(turn, GoOn):
            self.state_json = turn.state_json
            self.pauses.append(turn.delay_seconds)
            self._timeline.skipped_seconds += turn.delay_seconds
            left = self.request.seconds_left - turn.delay_seconds
            self.request = replace(self.request, seconds_left=left)
        return turn

    def finish(self) -> AgentAnswer:
        """Take turns to the end."""
        for _ in range(60):
            turn = self.turn()
            if isinstance(turn, AgentAnswer):
                return turn
        raise AssertionError("no end")

    def end(self) -> None:
        """End the work elsewhere, with a worker for each call."""
        for _ in range(2):
            if self.state_json is not None:
                self.state_json = self._with_agent(self._end_once)

    def _end_once(self, agent: Agent) -> Coroutine[Any, Any, str | None]:
        return agent.end_elsewhere(self.request, self.state_json)

    def _with_agent(self, act: Callable[[Any], Any]) -> Any:  # noqa: ANN401  # what the act returns
        async def go() -> object:
            agent = open_agent(self._name, self._settings, AddressPolicy.parse("127.0.0.0/8"))
            try:
                return await act(agent)
            finally:
                await agent.aclose()

        return asyncio.run(go())


def with_driver(host: Host, **settings: Any) -> tuple[SimulatedDriver, Work]:  # noqa: ANN401  # the simulator's
    timeline = SkippingTimeline()
    state = SimulatedDriver(DriverSettings(token=TOKEN, **settings), timeline=timeline)
    host.app = driver.create_app(state)
    return state, Work("driver", host, timeline)


def with_a2a(host: Host, **settings: Any) -> tuple[SimulatedA2a, Work]:  # noqa: ANN401  # as above
    timeline = SkippingTimeline()
    state = SimulatedA2a(A2aSettings(token=TOKEN, **settings), timeline=timeline)
    host.app = a2a.create_app(state)
    return state, Work("a2a", host, timeline)


# The driver.


def test_driver_hands_the_question_over_once_and_keeps_what_the_result_tells(host: Host) -> None:
    state, work = with_driver(host, delay_seconds=10.0)

    work.check()
    answer = work.finish()

    assert answer == AgentAnswer(
        answer="Simulated answer by a driver with m: a question of 3 words.",
        metadata={
            "driver_agent_name": "simulated",
            "driver_steps": "2",
            "driver_cost_usd": "0.002",
            "agent": "driver",
            "token_count_source": "usage",
        },
        tokens=AgentTokens(1, 2, 3, 4, 13),
        phases_ms={"driver_look": 1200, "ask": 10_000},
        artifacts=({"type": "log", "name": "steps", "size": "12"},),
        result_type="report",
    )
    assert work.pauses == [2, 2, 3, 3]
    assert [action.key for action in state.actions.values()] == ["rune-j1"]


@pytest.mark.parametrize("heeds_keys", [True, False])
def test_lost_answer_to_a_submit_is_repeated_under_the_same_key_and_told(
    host: Host, *, heeds_keys: bool
) -> None:
    state, work = with_driver(host, heeds_keys=heeds_keys)
    state.faults.add(DriverFault(kind=DriverFaultKind.LOST_SUBMIT))

    answer = work.finish()

    assert answer.metadata["submit_warning"] == DOUBLE_WARNING
    assert len(state.actions) == (1 if heeds_keys else 2)
    assert {action.key for action in state.actions.values()} == {"rune-j1"}


@pytest.mark.parametrize(
    ("fault", "error_type", "sentence"),
    [
        (DriverFault(kind=FaultKind.REFUSED, times=3), ServerFailedError, "failed"),
        (DriverFault(kind=FaultKind.NOT_JSON), BadResponseError, "other than JSON"),
        (DriverFault(kind=DriverFaultKind.NO_JOB_ID), BadResponseError, "named no job_id"),
        (
            DriverFault(kind=DriverFaultKind.ACTION_FAILS, text="no cluster"),
            RequestRejectedError,
            "no cluster",
        ),
        (DriverFault(kind=DriverFaultKind.NO_ANSWER), BadResponseError, "without an answer"),
    ],
)
def test_driver_that_fails_is_the_named_error(
    host: Host, fault: DriverFault, error_type: type[RuneError], sentence: str
) -> None:
    state, work = with_driver(host)
    state.faults.add(fault)

    with pytest.raises(error_type, match=sentence):
        work.finish()


def test_driver_that_refuses_the_token_is_found_before_the_question(host: Host) -> None:
    state, _ = with_driver(host)
    work = Work("driver", host, SkippingTimeline(), token="w" * 32)

    with pytest.raises(ServerAccessError):
        work.check()
    assert state.actions == {}


def test_driver_that_forgets_its_job_fails_the_job(host: Host) -> None:
    state, work = with_driver(host)
    work.turn()
    state.actions.clear()

    with pytest.raises(RequestRejectedError, match="does not know its job"):
        work.turn()


def test_outage_of_a_driver_is_waited_for_and_its_wish_is_heeded(host: Host) -> None:
    state, work = with_driver(host)
    work.turn()
    state.faults.add(DriverFault(kind=FaultKind.REFUSED, path="/v1/jobs/drv-1", times=2))

    answer = work.finish()

    assert answer.answer
    assert work.pauses[:3] == [2, 5, 10]


def test_outage_that_does_not_end_fails_the_job(host: Host) -> None:
    state, work = with_driver(host)
    work.turn()
    state.faults.add(DriverFault(kind=FaultKind.REFUSED, path="/v1/jobs/drv-1", times=None))

    with pytest.raises(ServerFailedError):
        work.finish()
    assert len(work.pauses) == 1 + MAX_FAILED_LOOKS


def test_action_that_takes_too_long_is_the_named_error(host: Host) -> None:
    with_driver(host, delay_seconds=1000.0)
    work = Work("driver", host, SkippingTimeline(), action_timeout_seconds=10)

    with pytest.raises(ServerTimeoutError, match="within 10 seconds"):
        work.finish()


def test_driver_ends_its_job_when_it_is_asked_to(host: Host) -> None:
    state, work = with_driver(host, delay_seconds=1000.0)
    work.turn()

    work.end()

    assert [action.is_cancelled for action in state.actions.values()] == [True]


def test_driver_that_cannot_cancel_says_so(host: Host) -> None:
    _, work = with_driver(host, delay_seconds=1000.0, cancels=False)
    work.turn()

    with pytest.raises(RequestRejectedError):
        work.end()


def test_action_whose_name_was_lost_is_ended_by_its_key(host: Host) -> None:
    state, work = with_driver(host, delay_seconds=1000.0)
    state.faults.add(DriverFault(kind=DriverFaultKind.LOST_SUBMIT))
    turn = work.turn()
    assert isinstance(turn, GoOn)

    work.end()

    assert [action.is_cancelled for action in state.actions.values()] == [True]


def test_driver_that_is_silent_about_the_question_may_have_it(host: Host) -> None:
    state, work = with_driver(host, delay_seconds=1000.0)
    work.request = replace(work.request, timeout_seconds=0.1)
    state.faults.add(DriverFault(kind=FaultKind.HANG))

    turn = work.turn()

    assert isinstance(turn, GoOn)
    assert RemoteTask.from_json(turn.state_json).failed_looks == 1


# A2A.


def test_a2a_sends_the_question_and_reads_all_parts_of_the_answer(host: Host) -> None:
    state, work = with_a2a(host)

    work.check()
    answer = work.finish()

    assert answer == AgentAnswer(
        answer='Simulated answer to 3 words:\n{"unhealthy": []}',
        metadata={"agent": "a2a", "a2a_state": "completed", "token_count_source": "unreported"},
        tokens=AgentTokens(),
        phases_ms={"ask": 4000},
        artifacts=({"type": "artifact", "name": "answer", "description": "", "part_count": "2"},),
    )
    assert [task.message_id for task in state.tasks.values()] == ["rune-j1"]


def test_a2a_takes_a_message_that_comes_at_once(host: Host) -> None:
    _, work = with_a2a(host, answers_at_once=True)

    turn = work.turn()

    assert isinstance(turn, AgentAnswer)
    assert (turn.answer, turn.metadata["a2a_state"]) == ("Simulated answer: 3 words.", "message")


def test_a2a_ends_with_what_the_agent_asks_for(host: Host) -> None:
    _, work = with_a2a(host, ends_as="INPUT_REQUIRED")

    answer = work.finish()

    assert answer.answer == "Simulated end as input_required: which namespace?"
    assert answer.metadata["a2a_state"] == "input_required"


@pytest.mark.parametrize(
    ("ends_as", "error_type", "sentence"),
    [
        ("FAILED", RequestRejectedError, "ended as failed. It said: Simulated end"),
        ("REJECTED", RequestRejectedError, "ended as rejected"),
        ("CANCELED", RequestRejectedError, "ended as canceled"),
        ("AUTH_REQUIRED", ServerAccessError, "another credential"),
    ],
)
def test_a2a_task_that_ends_badly_is_the_named_error(
    host: Host, ends_as: str, error_type: type[RuneError], sentence: str
) -> None:
    _, work = with_a2a(host, ends_as=ends_as)

    with pytest.raises(error_type, match=sentence):
        work.finish()


@pytest.mark.parametrize(
    ("settings", "error_type", "sentence"),
    [
        ({"version": "0.3"}, BadResponseError, "no JSON-RPC of A2A 1.0. It speaks 0.3.0"),
        ({"rpc_url": "http://127.0.0.2:1/rpc"}, RequestRejectedError, "names another server"),
    ],
)
def test_a2a_card_that_cannot_be_used_is_refused_before_the_question(
    host: Host, settings: dict[str, Any], error_type: type[RuneError], sentence: str
) -> None:
    state, work = with_a2a(host, **settings)

    with pytest.raises(error_type, match=sentence):
        work.check()
    assert state.tasks == {}


@pytest.mark.parametrize(
    ("fault", "error_type", "sentence"),
    [
        (
            A2aFault(kind=A2aFaultKind.RPC_ERROR, rpc_code=-32601),
            RequestRejectedError,
            "does not speak A2A 1.0",
        ),
        (
            A2aFault(kind=A2aFaultKind.RPC_ERROR, rpc_code=-32009),
            RequestRejectedError,
            "does not speak A2A 1.0",
        ),
        (A2aFault(kind=A2aFaultKind.RPC_ERROR, text="boom"), ModelServerError, "boom"),
        (
            A2aFault(kind=A2aFaultKind.FORGETS, after_requests=1),
            RequestRejectedError,
            "does not know its task",
        ),
        (A2aFault(kind=FaultKind.NOT_JSON), BadResponseError, "other than JSON"),
        (A2aFault(kind=FaultKind.REFUSED, status=401), ServerAccessError, "token"),
    ],
)
def test_a2a_server_that_fails_is_the_named_error(
    host: Host, fault: A2aFault, error_type: type[RuneError], sentence: str
) -> None:
    state, work = with_a2a(host)
    state.faults.add(fault)

    with pytest.raises(error_type, match=sentence):
        work.finish()


def test_a2a_tells_of_a_question_that_two_tasks_may_answer(host: Host) -> None:
    state, work = with_a2a(host)
    state.faults.add(A2aFault(kind=A2aFaultKind.LOST_SUBMIT))

    answer = work.finish()

    assert answer.metadata["submit_warning"] == DOUBLE_WARNING
    assert [task.message_id for task in state.tasks.values()] == ["rune-j1", "rune-j1"]


def test_a2a_cancels_its_task_when_it_is_asked_to(host: Host) -> None:
    state, work = with_a2a(host, delay_seconds=1000.0)
    work.turn()

    work.end()

    assert [task.is_cancelled for task in state.tasks.values()] == [True]


def test_a2a_task_that_has_ended_needs_no_end(host: Host) -> None:
    _, work = with_a2a(host, delay_seconds=0.0)
    work.turn()

    with pytest.raises(RequestRejectedError, match="cannot be cancelled"):
        work.end()


def test_remote_task_is_read_back_and_that_of_another_kind_is_not_understood() -> None:
    task = RemoteTask("a", 12.5, 3, 1, may_be_double=True)

    assert RemoteTask.from_json(task.to_json()) == task
    for text in ("{", "[]", "{}", '{"id": 7}', '{"id": ""}'):
        with pytest.raises(RuneError, match="does not understand"):
            RemoteTask.from_json(text)


def test_token_that_a_server_repeats_is_shown_to_nobody(host: Host) -> None:
    state, work = with_driver(host)
    state.faults.add(DriverFault(kind=DriverFaultKind.ACTION_FAILS, text=f"wrong token {TOKEN}"))

    with pytest.raises(RequestRejectedError) as caught:
        work.finish()

    assert caught.value.sentence == "The driver failed. It said: wrong token ***"
