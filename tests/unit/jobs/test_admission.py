import json

import pytest

from rune.contracts import BenchmarkRequest
from rune.errors import InvalidRequestError
from rune.jobs.admission import admit_benchmark
from rune.net.addresses import AddressPolicy
from tests.builders import a_benchmark_request

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


def admitted(**overrides: object) -> dict[str, object]:
    request = BenchmarkRequest.model_validate(a_benchmark_request(**overrides))
    kept: dict[str, object] = json.loads(admit_benchmark(request, LOOPBACK))
    return kept


def test_admit_keeps_the_request_with_its_defaults() -> None:
    assert admitted() == {
        "question": "What is unhealthy in this Kubernetes cluster?",
        "model": "llama3.1:8b",
        "backend_url": "http://127.0.0.1:11434",
        "backend_type": "ollama",
        "backend_warmup": True,
        "backend_warmup_timeout": 300,
        "timeout_seconds": 600,
        "vastai": False,
        "vastai_stop_instance": True,
        "attestation_required": False,
    }


def test_admit_forgets_the_callers_kubeconfig() -> None:
    assert admitted(kubeconfig="/home/x/.kube/config") == admitted()


@pytest.mark.parametrize("provisioning", [None, {}, {"vastai": None}])
def test_admitted_request_can_be_read_again(provisioning: object) -> None:
    kept = admitted(provisioning=provisioning, min_dph=2.3, max_dph=3.0)

    again = BenchmarkRequest.model_validate_json(json.dumps(kept))

    assert (again.min_dph, again.max_dph, again.wants_rental) == (2.3, 3.0, False)


REFUSALS = [
    ({"vastai": True}, "/vastai", "vastai_not_available"),
    ({"vastai": True, "backend_url": None}, "/vastai", "vastai_not_available"),
    ({"provisioning": {"vastai": {}}}, "/provisioning/vastai", "vastai_not_available"),
    ({"attestation_required": True}, "/attestation_required", "attestation_not_available"),
    ({"backend_url": None}, "/backend_url", "backend_url_missing"),
    ({"backend_url": "http://10.0.0.1:11434"}, "/backend_url", "address_refused"),
    ({"backend_url": "http://169.254.169.254/latest"}, "/backend_url", "address_refused"),
    ({"backend_url": "http://[::1]:11434"}, "/backend_url", "address_refused"),
    ({"backend_url": "ftp://127.0.0.1"}, "/backend_url", "address_refused"),
    ({"backend_url": "llama"}, "/backend_url", "address_refused"),
]


@pytest.mark.parametrize(("overrides", "pointer", "code"), REFUSALS)
def test_admit_refuses_when_the_job_could_only_fail(
    overrides: dict[str, object], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        admitted(**overrides)

    assert (caught.value.pointer, caught.value.specific_code) == (pointer, code)
    assert caught.value.sentence


def test_admit_refuses_loopback_when_the_operator_does_not_allow_it() -> None:
    request = BenchmarkRequest.model_validate(a_benchmark_request())

    with pytest.raises(InvalidRequestError) as caught:
        admit_benchmark(request, AddressPolicy())

    assert caught.value.specific_code == "address_refused"
