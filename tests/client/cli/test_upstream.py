"""RUNE's first command line, argument by argument: what it sends, and where this one does what is safe."""

from __future__ import annotations

from typing import Any

import pytest

from rune_client.cli.exits import ExitCode
from tests.client.cli.conftest import Rune
from tests.client.cli.fake_api import Answer, FakeApi, a_job, a_plan

TEMPLATE = "c166c11f035d3a97871a23bd32ca6aba"
QUESTION = "What is unhealthy in this Kubernetes cluster?"
SERVER: dict[str, Any] = {"backend_url": None, "backend_type": "ollama"}
ASKED: dict[str, Any] = {
    **SERVER,
    "question": QUESTION,
    "model": "llama3.1:8b",
    "backend_warmup": True,
    "backend_warmup_timeout": 90,
}
BENCHMARK: dict[str, Any] = {**ASKED, "provisioning": None, "attestation_required": False}
TERMS: dict[str, Any] = {
    "template_hash": TEMPLATE,
    "max_dph": 3.0,
    "reliability": 0.99,
    "stop_instance": True,
}
AGENT: dict[str, Any] = {**ASKED, "agent": "holmes"}


def rented(**changes: object) -> dict[str, Any]:
    return {**BENCHMARK, "provisioning": {"vastai": {**TERMS, **changes}}}


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "defaults": ("run-benchmark", "benchmark", BENCHMARK),
    "model": ("run-benchmark -m qwen3:14b", "benchmark", {**BENCHMARK, "model": "qwen3:14b"}),
    "question": ("run-benchmark --question why?", "benchmark", {**BENCHMARK, "question": "why?"}),
    "server": (
        "run-benchmark --backend-url host:11434",
        "benchmark",
        {**BENCHMARK, "backend_url": "host:11434"},
    ),
    "warm-up": (
        "run-benchmark --no-backend-warmup --backend-warmup-timeout 15",
        "benchmark",
        {**BENCHMARK, "backend_warmup": False, "backend_warmup_timeout": 15},
    ),
    "kubeconfig": ("run-benchmark --kubeconfig /home/x/.kube/config", "benchmark", BENCHMARK),
    "rental": ("run-benchmark --vastai --yes", "benchmark", rented()),
    "rental's terms": (
        (
            "run-benchmark --vastai -y --vastai-template t --vastai-max-dph 1.5 --vastai-min-dph 0.2"
            " --vastai-reliability 0.9 --no-vastai-stop-instance"
        ),
        "benchmark",
        rented(template_hash="t", max_dph=1.5, min_dph=0.2, reliability=0.9, stop_instance=False),
    ),
    "global options before": (
        "--backend http --debug --insecure --api-tenant acme run-benchmark",
        "benchmark",
        BENCHMARK,
    ),
    "debug after": ("run-benchmark --debug", "benchmark", BENCHMARK),
    "agent": ("run-agentic-agent -q why?", "agentic-agent", {**AGENT, "question": "why?"}),
    "instance": (
        "run-llm-instance --backend-url http://s:11434",
        "llm-instance",
        {"provisioning": None, **SERVER, "backend_url": "http://s:11434"},
    ),
    "rented instance": (
        "run-llm-instance --vastai --yes",
        "llm-instance",
        {"provisioning": {"vastai": {**TERMS, "stop_instance": False}}, **SERVER},
    ),
    "execute": ("execute benchmark", "benchmark", BENCHMARK),
    "execute's old name": ("execute ollama-instance", "llm-instance", {"provisioning": None, **SERVER}),
}


@pytest.mark.parametrize("name", CASES)
def test_command_line_sends_its_body(name: str, api: FakeApi, rune: Rune) -> None:
    words, kind, body = CASES[name]

    rune(*words.split())

    assert [(sent.path, sent.body) for sent in api.submits] == [(f"/v1/jobs/{kind}", body)]


def test_variables_stand_for_options(api: FakeApi, rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "RUNE_MODEL": "qwen3:14b",
        "RUNE_QUESTION": "why?",
        "RUNE_BACKEND_URL": "http://s:11434",
        "RUNE_BACKEND_TYPE": "openai",
        "RUNE_BACKEND_WARMUP": "0",
        "RUNE_TENANT": "pods",
        "RUNE_REGION": "eu",
        "RUNE_VASTAI": "1",
        "RUNE_VASTAI_MAX_DPH": "0.7",
        "RUNE_VASTAI_MIN_DPH": "0.1",
        "RUNE_VASTAI_STOP_INSTANCE": "0",
        "RUNE_YES": "1",
        "RUNE_IDEMPOTENCY_KEY": "pod-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RUNE_API_TENANT", raising=False)

    rune("execute", "benchmark")

    (sent,) = api.submits
    assert sent.body == {
        **rented(max_dph=0.7, min_dph=0.1, stop_instance=False),
        "model": "qwen3:14b",
        "question": "why?",
        "backend_url": "http://s:11434",
        "backend_type": "openai",
        "backend_warmup": False,
    }
    assert sent.headers["x-tenant-id"] == "pods"
    assert sent.headers["idempotency-key"].strip('"') == "pod-1"


def test_project_file_stands_for_variables(api: FakeApi, rune: Rune) -> None:
    (rune.folder / "rune.yaml").write_text(
        f"defaults:\n  model: qwen3:14b\n  backend_warmup: false\n  api_base_url: {api.base_url}\n"
        "profiles:\n  quick:\n    question: why?\n"
    )

    rune("--profile", "quick", "run-benchmark")

    assert [sent.body for sent in api.submits] == [
        {**BENCHMARK, "model": "qwen3:14b", "backend_warmup": False, "question": "why?"}
    ]


def test_rental_is_not_sent_where_nobody_can_be_asked(api: FakeApi, rune: Rune) -> None:
    api.plan = a_plan()

    ended = rune("run-benchmark", "--vastai")

    assert ended.code == ExitCode.REFUSED
    assert api.submits == []
    assert "cheaper machines count too" in ended.err


@pytest.mark.parametrize(
    "words",
    [
        "run-benchmark --backend-warmup-timeout 0",
        "execute no-such-workflow",
        "ollama-list-models",
        "serve",
        "--backend local jobs list",
    ],
)
def test_wrong_usage_is_refused(words: str, api: FakeApi, rune: Rune) -> None:
    assert rune(*words.split()).code == ExitCode.REFUSED
    assert api.sent == []


def test_model_lists_are_asked_for(api: FakeApi, rune: Rune) -> None:
    models = {"backend_url": "u", "backend_type": "ollama", "models": ["a", "b"], "running_models": ["b"]}
    api.will_answer("GET", "/v1/llm/models", Answer(200, models))
    row = {"name": "llama3.1:8b", "vram_mb": 8192, "required_disk_gb": 42}
    api.will_answer("GET", "/v1/catalog/vastai-models", Answer(200, {"models": [row]}))

    ended = [rune("ollama-list-models", "--backend-url", "http://s:11434"), rune("vastai-list-models")]

    assert [each.code for each in ended] == [0, 0]
    assert [sent.path for sent in api.sent] == [
        "/v1/llm/models?backend_url=http%3A%2F%2Fs%3A11434",
        "/v1/catalog/vastai-models",
    ]
    assert ended[0].out.splitlines() == ["model  in memory", "a", "b      yes"]


def test_token_on_the_command_line_is_sent_and_warned_of(api: FakeApi, rune: Rune) -> None:
    api.life = [a_job("succeeded", result={"mode": "existing", "backend_url": "u"})]

    ended = rune("--api-token", "an-argument", "run-llm-instance")

    assert {sent.headers["authorization"] for sent in api.sent} == {"Bearer an-argument"}
    assert "seen by others" in ended.err
