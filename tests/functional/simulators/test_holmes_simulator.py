from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.simulators.faults import FaultKind
from local.simulators.holmes import (
    HolmesFault,
    HolmesFaultKind,
    HolmesSettings,
    SimulatedHolmes,
    create_app,
)
from local.simulators.holmes.__main__ import parse_settings
from local.simulators.request_log import Outcome
from tests.functional.simulators.hosting import Host
from tests.functional.simulators.ollama_harness import wait_until

FAST = HolmesSettings(delay_seconds=0.0)
KEY = "k" * 32

type Simulate = Callable[[HolmesSettings], SimulatedHolmes]


@pytest.fixture
def simulate(host: Host) -> Simulate:
    def start(settings: HolmesSettings) -> SimulatedHolmes:
        state = SimulatedHolmes(settings)
        host.app = create_app(state)
        return state

    return start


@pytest.fixture
def holmes(simulate: Simulate) -> SimulatedHolmes:
    return simulate(FAST)


def ask(http: httpx.Client, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
    return http.post("/api/chat", json={"ask": "What is unhealthy?", **fields}, headers=headers)


def test_chat_answers_with_an_analysis_its_tools_and_its_tokens(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    answer: dict[str, Any] = ask(http, model="accurate-model").json()

    assert answer["analysis"] == (
        "Simulated analysis by accurate-model: a question of 3 words, 2 tools used, nothing unhealthy found."
    )
    assert [call["tool_name"] for call in answer["tool_calls"]] == ["kubectl_describe", "kubectl_logs"]
    assert [turn["role"] for turn in answer["conversation_history"]] == [
        *("system", "user", "tool", "tool", "assistant")
    ]
    assert answer["metadata"]["usage"] == {"prompt_tokens": 36, "completion_tokens": 15, "total_tokens": 51}
    assert len(answer["follow_up_actions"]) == 2


def test_chat_is_answered_by_the_first_model_when_the_name_is_unknown(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    assert "by fast-model:" in ask(http, model="llama3.1:8b").json()["analysis"]


def test_chat_goes_on_with_a_history_that_begins_with_a_system_message(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    history = ask(http).json()["conversation_history"]

    answer = ask(http, conversation_history=history).json()

    assert (len(answer["conversation_history"]), answer["follow_up_actions"]) == (9, [])


@pytest.mark.parametrize(
    ("body", "kind", "place"),
    [
        (b'{"model": "fast-model"}', "missing", ["body", "ask"]),
        (b'{"ask": 7}', "string_type", ["body", "ask"]),
        (b'{"ask": "a", "conversation_history": [{"role": "user"}]}', "value_error", ["body"]),
        (b'{"ask"', "json_invalid", ["body"]),
    ],
)
def test_chat_is_refused_in_the_words_of_fastapi_when_the_body_is_wrong(
    holmes: SimulatedHolmes, http: httpx.Client, body: bytes, kind: str, place: list[str]
) -> None:
    response = http.post("/api/chat", content=body)

    assert response.status_code == 422
    assert [(item["type"], item["loc"]) for item in response.json()["detail"]] == [(kind, place)]


@pytest.mark.parametrize(
    ("as_text", "expected"),
    [(True, '["fast-model", "accurate-model"]'), (False, ["fast-model", "accurate-model"])],
)
def test_models_are_listed_as_text_or_as_a_list(
    simulate: Simulate, http: httpx.Client, *, as_text: bool, expected: object
) -> None:
    simulate(HolmesSettings(models_as_text=as_text))

    assert http.get("/api/model").json() == {"model_name": expected}


@pytest.mark.parametrize(
    ("headers", "status", "credential"),
    [
        ({}, 401, "none"),
        ({"X-API-Key": KEY}, 200, "x-api-key"),
        ({"Authorization": f"Bearer {KEY}"}, 200, "bearer"),
        ({"Authorization": f"bearer {KEY}"}, 200, "bearer"),
        ({"Authorization": f"Basic {KEY}"}, 401, "none"),
        ({"X-API-Key": "wrong", "Authorization": f"Bearer {KEY}"}, 401, "x-api-key"),
    ],
)
def test_key_is_wanted_in_either_header_when_one_is_set(
    simulate: Simulate, http: httpx.Client, headers: dict[str, str], status: int, credential: str
) -> None:
    state = simulate(HolmesSettings(delay_seconds=0.0, api_key=KEY))

    response = ask(http, headers)

    assert response.status_code == status
    assert state.requests.records[-1].credential == credential
    assert http.get("/api/model", headers=headers).status_code == status
    assert http.get("/healthz").json() == {"status": "healthy"}
    assert http.get("/readyz").json()["status"] == "ready"
    assert KEY not in repr(state.settings) + http.get("/_sim/requests").text


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [("/api/tags", 404, "Not Found"), ("/api/chat", 405, "Method Not Allowed")],
)
def test_unknown_paths_are_refused_in_the_words_of_fastapi(
    holmes: SimulatedHolmes, http: httpx.Client, path: str, status: int, detail: str
) -> None:
    response = http.get(path)

    assert (response.status_code, response.json()) == (status, {"detail": detail})


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (HolmesFault(kind=FaultKind.REFUSED, status=429, text="slow down"), 429, '{"detail":"slow down"}'),
        (HolmesFault(kind=FaultKind.REFUSED), 500, '{"detail":"simulated failure"}'),
        (HolmesFault(kind=FaultKind.NOT_JSON), 200, "<html><body><h1>It works!</h1></body></html>"),
        (HolmesFault(kind=HolmesFaultKind.NO_ANALYSIS), 200, "{}"),
        (HolmesFault(kind=HolmesFaultKind.HUGE, size_bytes=3), 200, '{"analysis":"xxx"}'),
    ],
)
def test_fault_spoils_one_request_and_then_is_used_up(
    holmes: SimulatedHolmes, http: httpx.Client, fault: HolmesFault, status: int, text: str
) -> None:
    holmes.faults.add(fault)

    response = ask(http)

    assert (response.status_code, response.text) == (status, text)
    assert holmes.requests.records[-1].fault is fault.kind
    assert "analysis" in ask(http).json()


def test_fault_strikes_its_own_path_after_the_requests_let_through(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    holmes.faults.add(HolmesFault(kind=FaultKind.REFUSED, path="/api/model", after_requests=1, times=2))

    statuses = [http.get("/api/model").status_code for _ in range(4)]

    assert (statuses, ask(http).status_code) == ([200, 500, 500, 200], 200)


def test_connection_breaks_in_the_middle_when_disconnected(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    holmes.faults.add(HolmesFault(kind=FaultKind.DISCONNECTED))

    with pytest.raises(httpx.RemoteProtocolError):
        ask(http)

    assert holmes.requests.records[-1].outcome is Outcome.DISCONNECTED


def test_investigation_stops_when_its_client_leaves(simulate: Simulate, http: httpx.Client) -> None:
    state = simulate(HolmesSettings(delay_seconds=60.0))

    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/chat", json={"ask": "a"}, timeout=httpx.Timeout(5, read=0.1))

    wait_until(lambda: state.requests.records[-1].outcome is Outcome.CANCELLED)


def test_hanging_request_is_silent_until_its_client_leaves(
    holmes: SimulatedHolmes, http: httpx.Client
) -> None:
    holmes.faults.add(HolmesFault(kind=FaultKind.HANG))

    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/chat", json={"ask": "a"}, timeout=httpx.Timeout(5, read=0.1))

    wait_until(lambda: holmes.requests.records[-1].outcome is Outcome.CANCELLED)


def test_faults_are_set_listed_and_cleared_over_http(holmes: SimulatedHolmes, http: httpx.Client) -> None:
    added = http.post("/_sim/faults", json=[{"kind": "refused", "status": 503}])

    assert [(fault["kind"], fault["status"]) for fault in added.json()["faults"]] == [("refused", 503)]
    assert http.get("/_sim/faults").json() == added.json()
    assert http.delete("/_sim/faults").json() == {"faults": []}
    assert http.post("/_sim/faults", json=[{"kind": "earthquake"}]).status_code == 422


def test_requests_are_listed_with_how_they_ended(holmes: SimulatedHolmes, http: httpx.Client) -> None:
    ask(http, model="fast-model")
    http.post("/api/chat", content=b"[]")
    http.get("/api/model")

    listed = http.get("/_sim/requests", params={"path": "/api/chat"}).json()["requests"]

    assert [(one["number"], one["model"], one["status"], one["outcome"]) for one in listed] == [
        (1, "fast-model", 200, "completed"),
        (2, None, 422, "refused"),
    ]
    assert http.delete("/_sim/requests").json() == {"requests": []}


def test_tokens_are_left_out_when_the_server_does_not_report_them(
    simulate: Simulate, http: httpx.Client
) -> None:
    simulate(HolmesSettings(delay_seconds=0.0, reports_tokens=False))

    assert ask(http).json()["metadata"] == {}


def test_command_line_sets_models_key_and_delay() -> None:
    arguments = ["--port", "0", "--model", "a", "--model", "b", "--api-key", KEY, "--delay-seconds", "2"]

    assert parse_settings(arguments) == (
        HolmesSettings(models=("a", "b"), api_key=KEY, delay_seconds=2.0),
        0,
    )
    assert parse_settings([]) == (HolmesSettings(), 5050)
