import pytest

from local.demo import WORKLOAD, DemoSettings, describe_request
from local.tenants import CLUSTER
from rune.contracts import AgenticAgentRequest, BenchmarkRequest


@pytest.mark.parametrize(
    ("given", "workload"), [({}, None), ({"WORKLOAD": ""}, None), ({"WORKLOAD": "1"}, WORKLOAD)]
)
def test_request_is_one_question_or_a_workload(given: dict[str, str], workload: object) -> None:
    request = describe_request(DemoSettings.from_environment(given), {})

    assert request.get("workload") == workload
    assert BenchmarkRequest.model_validate(request).wants_rental


@pytest.mark.parametrize(("agent", "cluster"), [("kubernetes", CLUSTER), ("ask", None)])
def test_question_to_an_agent_goes_to_the_simulated_model(agent: str, cluster: str | None) -> None:
    settings = DemoSettings.from_environment({"AGENT": agent})

    request = AgenticAgentRequest.model_validate(describe_request(settings, {"ollama": "http://127.0.0.1:7"}))

    assert settings.kind == "agentic-agent"
    assert (request.agent, request.cluster, request.backend_url) == (agent, cluster, "http://127.0.0.1:7")
