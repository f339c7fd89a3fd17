import pytest

from local.demo import WORKLOAD, DemoSettings, describe_request
from rune.contracts import BenchmarkRequest


@pytest.mark.parametrize(
    ("given", "workload"), [({}, None), ({"WORKLOAD": ""}, None), ({"WORKLOAD": "1"}, WORKLOAD)]
)
def test_request_is_one_question_or_a_workload(given: dict[str, str], workload: object) -> None:
    request = describe_request(DemoSettings.from_environment(given))

    assert request.get("workload") == workload
    assert BenchmarkRequest.model_validate(request).wants_rental
