import traceback

import pytest

from rune.contracts import BackendChoice, Expectation, Question
from rune.errors import InvalidRequestError
from rune.llm.bedrock_address import bedrock_region, bedrock_url
from rune.net.addresses import AddressPolicy
from rune.tenants.backends import NO_BACKENDS, TenantBackends, api_key_for, check_backend
from tests.tenant_builders import a_tenant

KEY = "sk-lab-0123456789abcdef"
NEAR_KEY = "sk-near-0123456789abcdef"
POLICY = AddressPolicy.parse("127.0.0.0/8, 10.1.0.0/16")
HOME = "eu-central-1"
LAB = "https://llm.example:8443"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
DOCUMENT = {
    "credentials": {
        "lab": {"api_key": KEY, "url": LAB},
        "near": {"api_key": NEAR_KEY, "url": "http://10.1.2.3:8000"},
    },
    "bedrock": {"regions": ["us-east-1", HOME], "models": ["anthropic.claude-*", "us.amazon.nova-?"]},
}


DEFAULT = a_tenant(DOCUMENT, policy=POLICY).backends
ACME = a_tenant({"credentials": {"own": {"api_key": KEY[::-1], "url": LAB}}}).backends
WITHOUT_BEDROCK = a_tenant(DOCUMENT, policy=POLICY, has_bedrock=False).backends


def openai(url: str | None = LAB, credential: str | None = "lab") -> BackendChoice:
    return BackendChoice(backend_url=url, backend_type="openai", backend_credential=credential)


def bedrock(url: str | None = None, credential: str | None = None) -> BackendChoice:
    return BackendChoice(backend_url=url, backend_type="bedrock", backend_credential=credential)


# ---------------------------------------------------------------- what a tenant may use


@pytest.mark.parametrize(
    ("choice", "url", "api_key"),
    [
        (openai(credential=None), LAB, None),
        (openai(), LAB, KEY),
        (openai(f"{LAB}/v1"), f"{LAB}/v1", KEY),
        (openai("HTTPS://LLM.example:8443/"), LAB, KEY),
        (openai("https://llm.example.:8443"), "https://llm.example.:8443", KEY),
        (
            openai(f"{LAB}/openai/deployments/d/?api-version=2024-10-21"),
            f"{LAB}/openai/deployments/d?api-version=2024-10-21",
            KEY,
        ),
        (openai("http://10.1.2.3:8000", "near"), "http://10.1.2.3:8000", NEAR_KEY),
        (bedrock(), bedrock_url(HOME), None),
        (bedrock("https://bedrock-runtime.us-east-1.amazonaws.com/"), bedrock_url("us-east-1"), None),
    ],
    ids=str,
)
def test_backend_that_the_tenant_may_use_has_one_spelling_and_its_key(
    choice: BackendChoice, url: str, api_key: str | None
) -> None:
    assert check_backend(DEFAULT, choice, POLICY, model=MODEL) == url
    assert api_key_for(DEFAULT, choice, model=MODEL) == api_key


WRONG_SERVERS = {
    "another host": "https://evil.example:8443",
    "a host below": "https://sub.llm.example:8443",
    "a longer host": "https://llm.example.evil.example:8443",
    "another port": "https://llm.example",
    "plain http": "http://llm.example:8443",
    "its number": "https://93.184.216.34:8443",
}


@pytest.mark.parametrize("url", WRONG_SERVERS.values(), ids=WRONG_SERVERS.keys())
def test_key_never_goes_to_another_server(url: str) -> None:
    with pytest.raises(InvalidRequestError) as at_the_door:
        check_backend(DEFAULT, openai(url), POLICY)
    with pytest.raises(InvalidRequestError) as at_work:
        api_key_for(DEFAULT, openai(url))

    for error in (at_the_door.value, at_work.value):
        refusal = (error.specific_code, error.pointer)
        assert refusal == ("credential_wrong_server", "/backend_credential")
        assert KEY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("backends", "choice", "model", "code", "pointer"),
    [
        (DEFAULT, openai(credential="own"), None, "credential_unknown", "/backend_credential"),
        (ACME, openai(), None, "credential_unknown", "/backend_credential"),
        (NO_BACKENDS, openai(), None, "credential_unknown", "/backend_credential"),
        (NO_BACKENDS, bedrock(), None, "bedrock_not_allowed", "/backend_type"),
        (ACME, bedrock(), None, "bedrock_not_allowed", "/backend_type"),
        (WITHOUT_BEDROCK, bedrock(), None, "bedrock_not_allowed", "/backend_type"),
        (DEFAULT, bedrock(credential="lab"), None, "credential_wrong_server", "/backend_credential"),
        (DEFAULT, bedrock(bedrock_url("us-west-2")), None, "bedrock_region_not_allowed", "/backend_url"),
        (DEFAULT, bedrock(LAB), None, "bedrock_url_invalid", "/backend_url"),
        (DEFAULT, bedrock(), "meta.llama3", "bedrock_model_not_allowed", "/model"),
        (DEFAULT, bedrock(), f"us.{MODEL}", "bedrock_model_not_allowed", "/model"),
        (DEFAULT, bedrock(), "us.amazon.nova-x", "bedrock_model_not_allowed", "/model"),
        (DEFAULT, openai(None), None, "backend_url_missing", "/backend_url"),
    ],
)
def test_backend_is_refused_by_name(
    backends: TenantBackends, choice: BackendChoice, model: str | None, code: str, pointer: str
) -> None:
    with pytest.raises(InvalidRequestError) as at_the_door:
        check_backend(backends, choice, POLICY, model=model)
    with pytest.raises(InvalidRequestError) as at_work:
        api_key_for(backends, choice, model=model)

    for error in (at_the_door.value, at_work.value):
        assert (error.specific_code, error.pointer) == (code, pointer)


def test_address_is_judged_at_the_door() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_backend(DEFAULT, openai("http://192.168.0.1", None), POLICY)

    assert (caught.value.specific_code, caught.value.pointer) == ("address_refused", "/backend_url")


@pytest.mark.parametrize(
    "choice",
    [
        BackendChoice(backend_url=f"{LAB}/?api-version=2024-10-21", backend_type="ollama"),
        openai(f"{LAB}/?api-key=0123456789"),
        openai(f"{LAB}/?api-version=2024-10-21&api-key=0123456789"),
        openai(f"{LAB}/?api-version="),
    ],
    ids=str,
)
def test_address_has_no_query_but_the_version_of_an_openai_compatible_api(choice: BackendChoice) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_backend(DEFAULT, choice, POLICY)

    assert caught.value.specific_code == "address_refused"


def test_refusal_points_into_the_document_that_was_judged() -> None:
    judge = Expectation.model_validate(
        {"judge": {"model": "m", "rubric": "r", "backend_type": "bedrock"}}
    ).judge
    assert judge

    with pytest.raises(InvalidRequestError) as caught:
        check_backend(NO_BACKENDS, judge, POLICY, model=judge.model, pointer="/expected/judge")

    assert caught.value.pointer == "/expected/judge/backend_type"


def test_question_is_a_choice() -> None:
    question = Question(question="q", model=MODEL, backend_type="bedrock")

    assert check_backend(DEFAULT, question, POLICY, model=question.model) == bedrock_url(HOME)


@pytest.mark.parametrize(
    "url",
    [
        "http://bedrock-runtime.us-east-1.amazonaws.com",
        "https://bedrock-runtime.us-east-1.amazonaws.com:444",
        "https://bedrock-runtime.us-east-1.amazonaws.com/model",
        "https://bedrock-runtime.us-east-1.amazonaws.com.evil.example",
        "https://bedrock-runtime.evil.example.amazonaws.com",
        "https://bedrock.us-east-1.amazonaws.com",
        "https://user@bedrock-runtime.us-east-1.amazonaws.com",
        "",
    ],
)
def test_region_is_read_from_bedrocks_own_address_alone(url: str) -> None:
    assert bedrock_region(url) is None
    assert bedrock_region(bedrock_url("us-gov-west-1")) == "us-gov-west-1"
