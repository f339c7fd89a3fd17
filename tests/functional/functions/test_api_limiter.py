"""The limiter as callers meet it; `tests/functional/tenants` is about the limiter itself."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.aws.auth_limiter import DynamoLimiter, key
from rune.tenants.limiter import subject_of
from tests.builders import TOKEN, FakeClock, a_job, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    JOB,
    OF_ACME,
    POST,
    RENTAL,
    SERVER,
    UNAUTHORIZED,
    Response,
    a_problem,
    ask,
    assert_blocked,
    assert_problem,
    get,
    put,
    put_rentals,
)
from tests.rental_builders import a_kept_rental

if TYPE_CHECKING:
    from tests.cloud import Cloud

WRONG = "a-token-that-nobody-has-0123456789abcdef"


def guess(api: ModuleType, address: str, times: int, headers: dict[str, str] | None = None) -> list[Response]:
    return [get(api, JOB, headers, token=WRONG, address=address) for _ in range(times)]


def codes(responses: list[Response]) -> list[str]:
    return [response.document["code"] for response in responses]


def block_elsewhere(cloud: Cloud, clock: FakeClock, address: str) -> None:
    """Let ten fail in another environment, so that this one's memory knows nothing."""
    other = DynamoLimiter(cloud.dynamodb, "rune-test", clock)
    assert [other.count_failure(subject_of(address)) for _ in range(10)] == [None] * 10
    cloud.calls.clear()


# ---------------------------------------------------------------- the block


def test_eleventh_wrong_token_is_told_to_wait(api: ModuleType, cloud: Cloud, address: str) -> None:
    responses = guess(api, address, 11)

    for response in responses[:10]:
        assert_problem(response, a_problem(401, "unauthorized", UNAUTHORIZED))
        assert "retry-after" not in response.headers
    assert_blocked(responses[10], 60)


def test_ten_failures_are_ten_writes_and_a_blocked_caller_costs_none(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    cloud.calls.clear()

    guess(api, address, 100)

    assert cloud.operations == ["PutItem"] * 10


FAILURES: dict[str, dict[str, str]] = {
    "another tenant's token": {"authorization": f"Bearer {ACMES_TOKEN}"},
    "another tenant": {"authorization": f"Bearer {TOKEN}", **OF_ACME},
    "a short token": {"authorization": "Bearer short"},
}


@pytest.mark.parametrize("headers", FAILURES.values(), ids=FAILURES.keys())
def test_every_token_that_was_compared_in_vain_counts(
    headers: dict[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    assert codes(guess(api, address, 11, headers)) == ["unauthorized"] * 10 + ["rate_limit_exceeded"]


PROBES: dict[str, tuple[str, str, dict[str, str]]] = {
    "a browser's icon": ("GET", "/favicon.ico", {"authorization": ""}),
    "a load balancer": ("GET", "/", {"authorization": ""}),
    "a probe with a slash": ("GET", "/healthz/", {"authorization": ""}),
    "a browser's page": ("GET", JOB, {"authorization": ""}),
    "a preflight": ("OPTIONS", JOB, {"authorization": ""}),
    "another scheme": ("GET", JOB, {"authorization": "Basic dXNlcjpwYXNzd29yZA=="}),
    "two tokens": ("GET", JOB, {"authorization": f"Bearer {TOKEN}", "x-api-key": ACMES_TOKEN}),
    "no tenant": ("GET", JOB, {"authorization": f"Bearer {TOKEN}", "x-tenant-id": "../default"}),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES.keys())
def test_request_of_which_no_token_was_compared_costs_nothing_and_locks_nobody_out(
    probe: tuple[str, str, dict[str, str]], api: ModuleType, cloud: Cloud, address: str
) -> None:
    put(cloud, a_job())
    method, path, headers = probe

    refused = [
        ask(api, an_http_event(method, path, None, headers, address=address)).status for _ in range(12)
    ]

    assert refused == [204 if method == "OPTIONS" else 401] * 12
    assert cloud.operations == []
    assert get(api, JOB, address=address).status == 200


def test_failures_count_together_whatever_they_were_about(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    paths = [JOB, "/v1/jobs", "/nothing", "/v1/metrics/summary", "/v1/catalog/vastai-models"] * 2
    tenants = ["default", "acme", "nobody", "default", "x"] * 2

    responses = [
        get(api, path, {"x-tenant-id": tenant}, token=WRONG, address=address)
        for path, tenant in zip(paths, tenants, strict=True)
    ]

    assert codes(responses) == ["unauthorized"] * 10
    assert_blocked(get(api, JOB, token=WRONG, address=address), 60)


def test_requests_with_a_valid_token_do_not_count_nor_wipe_out_failures(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    put(cloud, a_job())

    for _ in range(9):
        guess(api, address, 1)
        assert get(api, JOB, address=address).status == 200

    assert codes(guess(api, address, 2)) == ["unauthorized", "rate_limit_exceeded"]


def test_open_paths_neither_count_nor_are_blocked(api: ModuleType, cloud: Cloud, address: str) -> None:
    guess(api, address, 11)

    paths = ["/healthz", "/v1/healthz", "/openapi.json", "/docs"]
    assert [get(api, path, token=WRONG, address=address).status for path in paths] == [200] * 4


# ---------------------------------------------------------------- a valid token from a blocked address


ROUTES: dict[str, tuple[str, str, object, list[str]]] = {
    "job": ("GET", JOB, None, ["BatchGetItem"]),
    "benchmark": ("POST", POST, FLAT, ["Query", "TransactWriteItems"]),
    "agentic-agent": (
        "POST",
        "/v1/jobs/agentic-agent",
        {"question": "q", "model": "m", **SERVER},
        ["Query", "TransactWriteItems"],
    ),
    "llm-instance": ("POST", "/v1/jobs/llm-instance", SERVER, ["Query", "TransactWriteItems"]),
    "ollama-instance": ("POST", "/v1/jobs/ollama-instance", SERVER, ["Query", "TransactWriteItems"]),
    "list": ("GET", "/v1/jobs", None, ["GetItem"]),
    "events": ("GET", f"{JOB}/events", None, ["GetItem"]),
    "link": ("POST", f"{JOB}/links", {"what": "job"}, ["BatchGetItem"]),
    "cancel": ("DELETE", JOB, None, ["GetItem"]),
    "estimate": ("POST", "/v1/estimates", {"vastai": True, "model": "llama3.1:8b"}, ["GetItem"]),
    "catalog": ("GET", "/v1/catalog/vastai-models", None, ["GetItem"]),
    "models": ("GET", "/v1/llm/models?backend_url=http://127.0.0.1:1", None, ["GetItem"]),
    "ollama models": ("GET", "/v1/ollama/models?backend_url=http://127.0.0.1:1", None, ["GetItem"]),
    "simulation": ("GET", "/v1/finops/simulate", None, ["GetItem"]),
    "usage": ("GET", "/v1/usage", None, ["GetItem"]),
    "metrics": ("GET", "/v1/metrics/summary", None, ["GetItem"]),
    "rentals": ("GET", "/v1/rentals", None, ["GetItem"]),
    "rental": ("GET", RENTAL, None, ["GetItem"]),
    "end of a rental": ("DELETE", RENTAL, None, ["GetItem"]),
    "extension": ("POST", f"{RENTAL}/extend", {"keep_seconds": 60}, ["GetItem"]),
    "key of a rental": ("POST", f"{RENTAL}/key", None, ["GetItem"]),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_valid_token_is_blocked_and_stores_nothing(
    route: tuple[str, str, object, list[str]],
    api: ModuleType,
    cloud: Cloud,
    clock: FakeClock,
    address: str,
) -> None:
    method, path, body, operations = route
    put(cloud, a_job())
    put_rentals(cloud, a_kept_rental())
    block_elsewhere(cloud, clock, address)
    before = cloud.rows()
    cloud.calls.clear()

    response = ask(api, an_http_event(method, path, body, address=address))
    asked = cloud.operations

    assert_blocked(response, 60)
    assert asked == operations
    assert cloud.rows() == before
    assert cloud.received("inference") == []


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_valid_token_is_blocked_without_a_call_while_memory_knows(
    route: tuple[str, str, object, list[str]], api: ModuleType, cloud: Cloud, address: str
) -> None:
    method, path, body, _ = route
    guess(api, address, 10)
    cloud.calls.clear()

    assert_blocked(ask(api, an_http_event(method, path, body, address=address)), 60)
    assert cloud.calls == []


@pytest.mark.parametrize("path", ["/nothing", "/v1", f"{JOB}/x"])
def test_valid_token_is_blocked_from_paths_that_are_not_there(
    path: str, api: ModuleType, cloud: Cloud, address: str
) -> None:
    guess(api, address, 10)

    assert_blocked(get(api, path, address=address), 60)


def test_block_of_a_replay_is_not_mistaken_for_a_key(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    again = an_http_event("POST", POST, FLAT, {"idempotency-key": "k"}, address=address)
    assert ask(api, again).status == 202
    block_elsewhere(cloud, clock, address)

    assert_blocked(ask(api, again), 60)


# ---------------------------------------------------------------- whom it concerns


def test_other_addresses_go_on_working(api: ModuleType, cloud: Cloud, address: str) -> None:
    put(cloud, a_job())
    guess(api, address, 11)

    assert get(api, JOB, address="203.0.113.1").status == 200
    assert codes(guess(api, "203.0.113.2", 1)) == ["unauthorized"]


def test_nobody_locks_out_a_tenant_from_elsewhere(api: ModuleType, cloud: Cloud, address: str) -> None:
    put(cloud, a_job())
    own = "203.0.113.3"

    guess(api, address, 11, {"x-tenant-id": "default", "x-forwarded-for": own, "x-real-ip": own})

    assert get(api, JOB, address=own).status == 200
    assert get(api, "/v1/jobs", OF_ACME, token=ACMES_TOKEN, address=own).status == 200


def test_address_that_the_caller_claims_is_ignored(api: ModuleType, cloud: Cloud, address: str) -> None:
    claims = [
        {name: f"192.0.2.{number}"}
        for number, name in enumerate(["x-forwarded-for", "x-real-ip", "forwarded", "client-ip"] * 3)
    ]

    responses = [response for claim in claims for response in guess(api, address, 1, claim)]

    assert codes(responses) == ["unauthorized"] * 10 + ["rate_limit_exceeded"] * 2


def test_addresses_of_one_ipv6_network_count_together(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job())
    spread = [guess(api, f"2001:db8:7:1:{host:x}::1", 1)[0] for host in range(11)]

    assert codes(spread) == ["unauthorized"] * 10 + ["rate_limit_exceeded"]
    assert_blocked(get(api, JOB, address="2001:db8:7:1:ffff:ffff:ffff:ffff"), 60)
    assert get(api, JOB, address="2001:db8:7:2::1").status == 200


def test_ipv4_address_is_the_same_inside_ipv6(api: ModuleType, cloud: Cloud, address: str) -> None:
    guess(api, f"::ffff:{address}", 10)

    assert_blocked(get(api, JOB, address=address), 60)
    assert codes(guess(api, "::ffff:203.0.113.99", 1)) == ["unauthorized"]


# ---------------------------------------------------------------- time


def test_block_ends_when_the_first_failure_is_a_minute_old(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    put(cloud, a_job())
    guess(api, address, 1)
    clock.advance(40)
    guess(api, address, 9)

    assert_blocked(get(api, JOB, address=address), 20)
    clock.advance(19.5)
    assert_blocked(get(api, JOB, address=address), 1)
    clock.advance(0.5)
    assert get(api, JOB, address=address).status == 200
    assert codes(guess(api, address, 2)) == ["unauthorized", "rate_limit_exceeded"]


def test_window_rolls(api: ModuleType, cloud: Cloud, clock: FakeClock, address: str) -> None:
    """Nobody who fails every six seconds is blocked; who fails a little faster is."""
    for _ in range(30):
        assert codes(guess(api, address, 1)) == ["unauthorized"]
        clock.advance(6)
    responses = []
    for _ in range(12):
        responses += guess(api, address, 1)
        clock.advance(5.4)

    assert "rate_limit_exceeded" in codes(responses)


def test_asking_while_blocked_does_not_prolong_the_block(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    guess(api, address, 10)
    for _ in range(59):
        clock.advance(1)
        guess(api, address, 1)
    clock.advance(1)

    assert codes(guess(api, address, 1)) == ["unauthorized"]


def test_block_holds_while_the_row_says_so_and_ends_with_it(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    put(cloud, a_job())
    block_elsewhere(cloud, clock, address)
    now_ms = int(clock.now().timestamp() * 1000)

    def shift(blocked_until_ms: int) -> None:
        cloud.dynamodb.update_item(
            TableName="rune-test",
            Key=key(address),
            UpdateExpression="SET blocked_until = :until",
            ExpressionAttributeValues={":until": {"N": str(blocked_until_ms)}},
        )

    shift(now_ms)
    assert get(api, JOB, address=address).status == 200
    shift(now_ms + 1)
    assert_blocked(get(api, JOB, address=address), 1)


# ---------------------------------------------------------------- contention and outage


def test_valid_requests_pass_when_the_limiters_row_cannot_be_read(
    api: ModuleType, cloud: Cloud, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = api.app.state.services.limiter
    monkeypatch.setattr(limiter, "_table", "no-such-table")

    assert get(api, "/v1/jobs", address=address).status == 200
    assert codes(guess(api, address, 11)) == ["unauthorized"] * 10 + ["rate_limit_exceeded"]


def test_wrong_tokens_at_once_are_answered_exactly_ten_times(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    from tests.cloud import one_at_a_time  # noqa: PLC0415  # loads moto
    from tests.functional.functions.burst import ask_at_once  # noqa: PLC0415  # loads moto

    with one_at_a_time("put_item"):
        responses = ask_at_once(
            api, [an_http_event("GET", JOB, token=WRONG, address=address) for _ in range(100)]
        )

    assert sorted(codes(responses)) == ["rate_limit_exceeded"] * 90 + ["unauthorized"] * 10


def test_limits_problem_says_the_same_in_words_and_numbers(
    api: ModuleType, cloud: Cloud, address: str
) -> None:
    response = guess(api, address, 11)[10]

    assert response.document["error"] == "rate limit exceeded"
    assert f"{response.document['retry_after_seconds']} seconds more" in response.document["detail"]
    assert str(response.document["retry_after_seconds"]) == response.headers["retry-after"]
