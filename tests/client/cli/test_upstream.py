"""RUNE's first command line, argument by argument: what it sends, and where this one does what is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from rune_client.cli.exits import ExitCode
from rune_client.cli.outline import Node
from rune_client.cli.outlining import make_outline
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
    "rental": ("run-benchmark --vastai --yes", "benchmark", rented()),
    "global options before": (
        "--backend http --debug --insecure --api-tenant acme run-benchmark",
        "benchmark",
        BENCHMARK,
    ),
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


class Option(NamedTuple):
    """An option of that command line: how it is typed, its variable, and what it changes in a body.

    `terms` are of a rental, which is asked for then. `key` is the header `Idempotency-Key`.
    """

    words: str
    variable: tuple[str, str] | None = None
    body: Mapping[str, object] = {}
    terms: Mapping[str, object] = {}
    key: str | None = None


DEBUG = Option("--debug", ("RUNE_DEBUG", "1"))
KEY = Option("--idempotency-key k-1", ("RUNE_IDEMPOTENCY_KEY", "k-1"), key="k-1")
OF_SERVER = (
    Option("--backend-url host:11434", ("RUNE_BACKEND_URL", "host:11434"), {"backend_url": "host:11434"}),
)
OF_QUESTION = (
    Option("--question why?", ("RUNE_QUESTION", "why?"), {"question": "why?"}),
    Option("-q why?", None, {"question": "why?"}),
    Option("--model qwen3:14b", ("RUNE_MODEL", "qwen3:14b"), {"model": "qwen3:14b"}),
    Option("-m ollama/qwen3:14b", None, {"model": "ollama/qwen3:14b"}),
    Option("--backend-warmup", ("RUNE_BACKEND_WARMUP", "true")),
    Option("--no-backend-warmup", ("RUNE_BACKEND_WARMUP", "0"), {"backend_warmup": False}),
    Option(
        "--backend-warmup-timeout 15", ("RUNE_BACKEND_WARMUP_TIMEOUT", "15"), {"backend_warmup_timeout": 15}
    ),
    Option("--kubeconfig /home/x/.kube/config", ("RUNE_KUBECONFIG", "/home/x/.kube/config")),
)
OF_RENTAL = (
    Option("--vastai-template t", ("RUNE_VASTAI_TEMPLATE", "t"), terms={"template_hash": "t"}),
    Option("--vastai-max-dph 1.5", ("RUNE_VASTAI_MAX_DPH", "1.5"), terms={"max_dph": 1.5}),
    Option("--vastai-min-dph 0.2", ("RUNE_VASTAI_MIN_DPH", "0.2"), terms={"min_dph": 0.2}),
    Option("--vastai-reliability 0.9", ("RUNE_VASTAI_RELIABILITY", "0.9"), terms={"reliability": 0.9}),
)
STOPPED = (
    Option("--vastai-stop-instance", ("RUNE_VASTAI_STOP_INSTANCE", "1"), terms={"stop_instance": True}),
    Option("--no-vastai-stop-instance", ("RUNE_VASTAI_STOP_INSTANCE", "0"), terms={"stop_instance": False}),
)
YES = (Option("--yes", ("RUNE_YES", "1")), Option("-y"))
RENTS = Option("--vastai", ("RUNE_VASTAI", "1"), terms={"max_dph": 3.0})
INSTANCE: dict[str, Any] = {"provisioning": None, **SERVER}

OPTIONS: dict[str, tuple[str, dict[str, Any], tuple[Option, ...]]] = {
    "run-benchmark": (
        "benchmark",
        BENCHMARK,
        (*OF_SERVER, *OF_QUESTION, *OF_RENTAL, *STOPPED, *YES, RENTS, KEY, DEBUG),
    ),
    "run-agentic-agent": ("agentic-agent", AGENT, (*OF_SERVER, *OF_QUESTION, KEY, DEBUG)),
    "run-llm-instance": ("llm-instance", INSTANCE, (*OF_SERVER, *OF_RENTAL, *YES, RENTS, KEY, DEBUG)),
}
"""Every option that each command of that command line has, and the kind and body without any."""

EACH = [
    pytest.param(
        (command, option, variable), id=f"{command} {'='.join(variable) if variable else option.words}"
    )
    for command, (_, _, options) in OPTIONS.items()
    for option in options
    for variable in dict.fromkeys((None, option.variable))
]


def body_with(command: str, option: Option) -> dict[str, Any]:
    """Return the body that an option makes of the one without."""
    body = {**OPTIONS[command][1], **option.body}
    if option.terms:
        stop = command == "run-benchmark"
        body["provisioning"] = {"vastai": {**TERMS, "stop_instance": stop, **option.terms}}
    return body


@pytest.fixture
def given(
    request: pytest.FixtureRequest,
    rune: Rune,  # removes all variables first
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[str, Option, list[str]]:
    """A command, one of its options, and the words to type, without the option where its variable is set."""
    command, option, variable = request.param
    if variable is not None:
        monkeypatch.setenv(*variable)
    rents = ["--yes", *(["--vastai"] if option is not RENTS else [])] if option.terms else []
    return command, option, [command, *rents, *([] if variable else option.words.split())]


@pytest.mark.parametrize("given", EACH, indirect=True)
def test_each_option_sends_what_it_sends_there(
    given: tuple[str, Option, list[str]], api: FakeApi, rune: Rune
) -> None:
    command, option, words = given

    rune(*words)

    (submit,) = api.submits
    assert (submit.path, submit.body) == (f"/v1/jobs/{OPTIONS[command][0]}", body_with(command, option))
    key = submit.headers["idempotency-key"].strip('"')
    assert (key == option.key) == (option.key is not None)


@pytest.fixture(scope="module")
def outline() -> Node:
    return make_outline()


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_of_a_command_is_there_and_tried(command: str, outline: Node) -> None:
    ours = {name for option in outline["commands"][command]["options"] for name in option["names"]}
    globals_ = {name for option in outline["options"] for name in option["names"]}
    tried = {option.words.split()[0] for option in OPTIONS[command][2]}

    assert tried - {"--debug"} <= ours
    # An option of ours that is not tried is one that command line does not have.
    assert ours - tried <= {"--help", "-h"} | ({"--yes", "-y"} if command == "run-agentic-agent" else set())
    assert {"--profile", "--backend", "--api-base-url", "--api-token", "--api-tenant"} < globals_
    assert {"--debug", "--insecure"} < globals_


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
