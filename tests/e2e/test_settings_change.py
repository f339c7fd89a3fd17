"""Changed settings hold in every function without a deployment; how soon, in a stack of its own."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from local.settings import StackSettings
from local.stack import Stack, running_stack
from local.tenants import VASTAI_KEY_PARAMETER, write_documents, write_secret
from tests.e2e.client import RuneClient, bearer
from tests.e2e.keyed_server import KeyedServer, keyed_server
from tests.e2e.market import Market
from tests.e2e.test_secrets import read_logs
from tests.e2e.waiting import wait_until

type RecordProperty = Callable[[str, object], None]

MAX_AGE_SECONDS = 30
PROMPTLY_SECONDS = 20
"""After a refusal: one delay before a step's second try, and processes that start."""

REFUSED = 404
"""How Vast.ai answers a wrong key."""

MODEL = "llama3.1:8b"
HEALTHY, BROKEN = "healthy", "broken"
TOKENS = {tenant: secrets.token_urlsafe(32) for tenant in (HEALTHY, BROKEN)}
OF_DOCUMENT = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def keyed() -> Iterator[KeyedServer]:
    with keyed_server() as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack whose tenants' documents the tests may spoil."""
    settings = StackSettings(
        port=0,
        api_tokens=",".join(f"{tenant}:{token}" for tenant, token in TOKENS.items()),
        state_path=tmp_path_factory.mktemp("settings") / "stack.json",
    )
    with running_stack(settings) as running:
        yield running


@pytest.fixture(scope="module")
def rune(stack: Stack) -> Iterator[RuneClient]:
    with RuneClient(stack.state.base_url, bearer(TOKENS[HEALTHY], HEALTHY)) as client:
        yield client


@pytest.fixture(scope="module")
def market(stack: Stack) -> Iterator[Market]:
    with Market(stack.state.simulators["vastai"]) as market:
        yield market


@pytest.fixture(scope="module")
def provider_key(stack: Stack) -> str:
    """Give the key that the simulated Vast.ai takes, read before a test takes it away."""
    found = stack.aws.client("ssm").get_parameter(Name=VASTAI_KEY_PARAMETER, WithDecryption=True)
    return str(found["Parameter"]["Value"])


def write(stack: Stack, keyed: KeyedServer, *tokens: str) -> float:
    """Write the healthy tenant's document, with the server's key as it is now; return when, in epoch seconds."""
    hashes = {
        f"t{number}": f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
        for number, token in enumerate(tokens)
    }
    credentials = {"lab": {"api_key": keyed.api_key, "url": keyed.url}}
    write_documents(stack.aws, {HEALTHY: {"tokens": hashes, "credentials": credentials}})
    return time.time()


def asked_of(keyed: KeyedServer) -> Mapping[str, object]:
    return {"backend_url": keyed.url, "backend_type": "openai", "backend_credential": "lab"}


def change_key(stack: Stack, keyed: KeyedServer) -> float:
    keyed.change_key()
    return write(stack, keyed)


def figures(record: RecordProperty, title: str, rows: Mapping[str, float | str]) -> None:
    lines = [
        f"  {name:<58} {value if isinstance(value, str) else f'{value:5.1f} s'}"
        for name, value in rows.items()
    ]
    record("figures", "\n".join([title, *lines]))


def statuses_of(market: Market, stack: Stack) -> list[object]:
    """Invoke the janitor; return the statuses of the listings that were asked for meanwhile."""
    count = len(market.requests("list"))
    stack.aws.client("lambda").invoke(FunctionName=stack.state.functions["janitor"], Payload=b"{}")
    return [each["status"] for each in market.requests("list")[count:]]


def test_what_is_taken_away_is_gone_within_30_seconds(
    stack: Stack,
    rune: RuneClient,
    keyed: KeyedServer,
    market: Market,
    *,
    provider_key: str,
    record_property: RecordProperty,
) -> None:
    write(stack, keyed, OF_DOCUMENT)
    with (
        RuneClient(stack.state.base_url, bearer(OF_DOCUMENT, HEALTHY)) as revoked,
        RuneClient(stack.state.base_url, bearer(TOKENS[BROKEN], BROKEN)) as broken,
    ):
        looks: dict[str, Callable[[], bool]] = {
            "api: a revoked token is refused": lambda: revoked.http.get("/v1/jobs").status_code == 401,
            "api: a tenant with a broken document is refused": (
                lambda: broken.http.get("/v1/jobs").status_code == 403
            ),
            "janitor: a key of the provider that was taken away is not used": (
                lambda: REFUSED in statuses_of(market, stack)
            ),
        }
        wait_until(lambda: revoked.http.get("/v1/jobs").is_success, "the token opens", limit_seconds=40)
        assert broken.http.get("/v1/jobs").status_code == 200
        wait_until(lambda: 200 in statuses_of(market, stack), "the key is taken", limit_seconds=40)

        written_at = write(stack, keyed)
        write_secret(stack.aws, f"{stack.state.tenants_path}/{BROKEN}", '{"tokens": {')
        write_secret(stack.aws, VASTAI_KEY_PARAMETER, secrets.token_urlsafe(24))
        seconds: dict[str, float | str] = {}
        while looks and time.time() - written_at < MAX_AGE_SECONDS + 10:
            for name in [name for name, look in looks.items() if look()]:
                del looks[name]
                seconds[name] = time.time() - written_at
            time.sleep(0.5)
        answer = broken.http.get("/v1/jobs").json()
    write_secret(stack.aws, VASTAI_KEY_PARAMETER, provider_key)

    statuses = [rune.http.get(path).status_code for path in ("/healthz", "/v1/jobs", "/v1/rentals")]
    lines = read_logs(stack)[stack.state.log_groups["api"]].splitlines()
    told = [json.loads(line) for line in lines if "settings.not_understood" in line]
    figures(record_property, "Taken away", {**seconds, "its healthy neighbour's answers": str(statuses)})
    assert not looks
    assert (answer["code"], statuses) == ("tenant_suspended", [200, 200, 200])
    assert {(line["tenant"], line["place"], line["SettingsNotUnderstood"]) for line in told} == {
        (BROKEN, "document", 1)
    }
    assert max(second for second in seconds.values() if isinstance(second, float)) <= MAX_AGE_SECONDS + 5


def test_changed_credential_holds_at_once_in_every_function(
    stack: Stack, rune: RuneClient, keyed: KeyedServer, record_property: RecordProperty
) -> None:
    def list_models() -> int:
        return rune.http.get("/v1/llm/models", params=asked_of(keyed)).status_code  # type: ignore[arg-type]

    write(stack, keyed)
    wait_until(lambda: list_models() == 200, "the API has the key", limit_seconds=40)
    body = {"question": "Why?", "model": MODEL, **asked_of(keyed)}
    warmed = rune.wait_for_end(rune.post_benchmark(body))
    assert (warmed.status, warmed.error) == ("succeeded", None)
    refused_count = len(keyed.read_refused())

    changed_at = change_key(stack, keyed)
    job_id = rune.post_benchmark(body)
    status = list_models()
    of_api = time.time() - changed_at
    job = rune.wait_for_end(job_id)

    assert (status, job.status, job.error) == (200, "succeeded", None)
    done_at = {event.event: event.recorded_at for event in rune.get_events(job_id) if event.status == "ok"}
    rows: dict[str, float | str] = {
        "api: until /v1/llm/models answers with the new key": of_api,
        "worker-inference: until the server's models are read": done_at["backend.list_models"] - changed_at,
        "worker-inference: until the model is loaded": done_at["backend.warmup"] - changed_at,
        "refused requests on the way": str(len(keyed.read_refused()) - refused_count),
    }
    figures(record_property, "Changed key of a model server", rows)
    assert len(keyed.read_refused()) > refused_count
    assert max(value for value in rows.values() if isinstance(value, float)) <= 2 * PROMPTLY_SECONDS


def test_new_provider_key_holds_at_once_in_worker_and_janitor(
    stack: Stack, rune: RuneClient, market: Market, provider_key: str, record_property: RecordProperty
) -> None:
    write_secret(stack.aws, VASTAI_KEY_PARAMETER, secrets.token_urlsafe(24))
    rented = {"question": "Why?", "model": MODEL, "vastai": True}
    failed = rune.wait_for_end(rune.post_benchmark(rented))
    wait_until(lambda: REFUSED in statuses_of(market, stack), "the key is refused", limit_seconds=40)

    write_secret(stack.aws, VASTAI_KEY_PARAMETER, provider_key)
    written_at = time.time()
    job_id = rune.post_benchmark(rented)
    wait_until(lambda: 200 in statuses_of(market, stack), "the new key is taken", limit_seconds=40)
    of_janitor = time.time() - written_at
    wait_until(lambda: market.contracts_of(job_id), "a machine is rented", limit_seconds=40)
    of_worker = time.time() - written_at

    rows: dict[str, float | str] = {
        "janitor: until it lists with the new key": of_janitor,
        "worker-money: until it has rented with the new key": of_worker,
    }
    figures(record_property, "New key of the provider", rows)
    assert (failed.status, failed.error_code) == ("failed", "provider_key")
    assert max(of_janitor, of_worker) <= PROMPTLY_SECONDS


def test_no_secret_is_in_any_log(stack: Stack, keyed: KeyedServer) -> None:
    secrets_known = [*TOKENS.values(), OF_DOCUMENT, keyed.api_key]

    logs = read_logs(stack)

    assert logs[stack.state.log_groups["worker-inference"]]
    assert not [name for name, text in logs.items() for secret in secrets_known if secret in text]
