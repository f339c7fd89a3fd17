"""Every route of the OpenAPI document, with every credential that must not open it and ids that are not one's own.

A new route without a case fails `test_every_route_has_a_case`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from api.openapi import OPEN_PATHS
from api.scopes import needed_scopes
from rune.aws.auth_limiter import DynamoLimiter
from rune.aws.webhook_store import DynamoWebhookStore
from rune.rentals.record import Rental
from rune.services.links import PAGES, PATHS
from rune.storage.change import make_change
from rune.webhooks.lifecycle import POSTPONED, enqueue
from tests.builders import JOB_ID, NOW, TOKEN, FakeClock, a_job, a_waiting_job, an_ended_job, an_http_event
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    FLAT,
    NO_TOKEN,
    OF_ACME,
    SERVER,
    UNAUTHORIZED,
    a_problem,
    ask,
    assert_blocked,
    assert_problem,
    get,
    post,
    put,
    put_benchmark,
    put_rentals,
    put_schedule,
    the_rental_store,
    the_schedule_store,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm, a_hash
from tests.rental_builders import (
    ALIVE,
    RENTAL_ID,
    a_kept_rental,
    a_kept_rental_of,
    a_released_rental,
)
from tests.schedule_builders import A_SCHEDULE, SCHEDULE_ID, a_schedule
from tests.schedule_builders import KEY as SCHEDULE_KEY
from tests.webhook_builders import ENDPOINT_ID, a_delivery, an_endpoint

if TYPE_CHECKING:
    from tests.cloud import Cloud

A_QUESTION: dict[str, object] = {"question": "q", "model": "m", **SERVER}
DONE = {200, 201, 202, 204}
A_SERVER = "backend_url=http%3A%2F%2F127.0.0.1%3A1"
EVENT_ID = "evt_job_1_1"
OTHER_ID = "e" * 32
"""Another job of the same tenant, for routes that need two."""

A_CASE = {
    "id": "a",
    "base": "shop-3-nodes",
    "now": "2026-11-29T14:21:00Z",
    "ask": "What is unhealthy?",
    "expect": {"status": "healthy"},
}

CASES: dict[tuple[str, str], tuple[str, object]] = {
    ("GET", "/v1/jobs"): ("", None),
    ("GET", "/v1/jobs/{job_id}"): ("", None),
    ("DELETE", "/v1/jobs/{job_id}"): ("", None),
    ("GET", "/v1/jobs/{job_id}/events"): ("after=0", None),
    ("POST", "/v1/jobs/{job_id}/links"): ("", {"what": "events"}),
    ("POST", "/v1/jobs/benchmark"): ("", FLAT),
    ("POST", "/v1/jobs/agentic-agent"): ("", A_QUESTION),
    ("POST", "/v1/jobs/llm-instance"): ("", SERVER),
    ("POST", "/v1/jobs/ollama-instance"): ("", SERVER),
    ("POST", "/v1/estimates"): ("", {"vastai": True, "model": "llama3.1:8b"}),
    ("GET", "/v1/catalog/vastai-models"): ("", None),
    ("GET", "/v1/catalog/agents"): ("", None),
    ("GET", "/v1/llm/models"): (A_SERVER, None),
    ("GET", "/v1/ollama/models"): (A_SERVER, None),
    ("GET", "/v1/metrics/summary"): (f"job_id={JOB_ID}", None),
    ("GET", "/v1/usage"): ("days=7", None),
    ("GET", "/v1/finops/simulate"): ("gpu=rtx4090", None),
    ("POST", "/v1/finops/simulate"): ("", {"gpu": "rtx4090"}),
    ("GET", "/v1/rentals"): ("", None),
    ("GET", "/v1/rentals/{rental_id}"): ("", None),
    ("DELETE", "/v1/rentals/{rental_id}"): ("", None),
    ("POST", "/v1/rentals/{rental_id}/extend"): ("", {"keep_seconds": 60}),
    ("POST", "/v1/rentals/{rental_id}/key"): ("", {}),
    ("POST", "/v1/schedules"): ("", {**A_SCHEDULE, "name": "another"}),
    ("GET", "/v1/schedules"): ("", None),
    ("GET", "/v1/schedules/{schedule_id}"): ("", None),
    ("PATCH", "/v1/schedules/{schedule_id}"): ("", {"rate": "2 hours"}),
    ("DELETE", "/v1/schedules/{schedule_id}"): ("", None),
    ("POST", "/v1/schedules/{schedule_id}/pause"): ("", {}),
    ("POST", "/v1/schedules/{schedule_id}/resume"): ("", {}),
    ("POST", "/v1/schedules/{schedule_id}/run"): ("", {}),
    ("POST", "/v1/webhooks"): ("", {"url": "https://ci.example/"}),
    ("GET", "/v1/webhooks"): ("", None),
    ("GET", "/v1/webhooks/callback-secret"): ("", None),
    ("POST", "/v1/webhooks/callback-secret/rotate-secret"): ("", {}),
    ("GET", "/v1/webhooks/{webhook_id}"): ("", None),
    ("PATCH", "/v1/webhooks/{webhook_id}"): ("", {"description": "d"}),
    ("DELETE", "/v1/webhooks/{webhook_id}"): ("", None),
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"): ("", {}),
    ("POST", "/v1/webhooks/{webhook_id}/test"): ("", None),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): ("", None),
    ("GET", "/v1/webhooks/{webhook_id}/deliveries/{event_id}"): ("", None),
    ("POST", "/v1/webhooks/{webhook_id}/redeliver"): ("", {"event_id": EVENT_ID}),
    ("PUT", "/v1/baselines/{name}"): ("", {"job_id": JOB_ID}),
    ("GET", "/v1/baselines"): ("", None),
    ("GET", "/v1/baselines/{name}"): ("", None),
    ("DELETE", "/v1/baselines/{name}"): ("", None),
    ("PUT", "/v1/suites/{name}"): ("", {"cases": [A_CASE]}),
    ("GET", "/v1/suites"): ("", None),
    ("GET", "/v1/suites/{name}"): ("", None),
    ("DELETE", "/v1/suites/{name}"): ("", None),
    ("GET", "/v1/benchmarks"): ("", None),
    ("GET", "/v1/benchmarks/compare"): (f"jobs={JOB_ID},{OTHER_ID}", None),
    ("GET", "/v1/benchmarks/{job_id}"): ("format=vllm&run=0", None),
    ("GET", "/v1/benchmarks/{job_id}/records"): ("", None),
    ("GET", "/v1/jobs/{job_id}/artifacts"): ("", None),
    ("POST", "/v1/benchmarks/{job_id}/links"): ("", {}),
    ("GET", "/v1/jobs/{job_id}/receipt"): ("", None),
    ("GET", "/v1/stop"): ("", None),
    ("POST", "/v1/stop"): ("", None),
    ("DELETE", "/v1/stop"): ("", None),
}
"""A request that is in order, by method and path: its query and its body."""

A_NAME = "main"
"""Of a baseline or suite; their own tests show that another tenant's is not found."""

NAMED = {
    "job_id": JOB_ID,
    "rental_id": RENTAL_ID,
    "schedule_id": SCHEDULE_ID,
    "webhook_id": ENDPOINT_ID,
    "event_id": EVENT_ID,
}

PATH = "/rune/credentials/tenants"
KEY = "/rune/credentials/signing-key"
REVOKED = "a-token-that-was-revoked-0123456789-abc"
VALID = {"default": (TOKEN,), "acme": (ACMES_TOKEN,)}


@pytest.fixture(scope="module")
def api(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API whose tokens can be revoked."""
    for tenant, tokens in VALID.items():
        write_tokens(tenant, *tokens)
    environment = {**shared_cloud.environment, "RUNE_API_TOKENS": "", "RUNE_TENANTS_PATH": PATH}
    Ssm.write(KEY, "k" * 32)
    environment["RUNE_SIGNING_KEY_PARAMETER"] = KEY
    with loaded("api.handler", environment) as handler:
        yield handler


@pytest.fixture(autouse=True)
def _fresh_settings(api: ModuleType, cloud: Cloud) -> None:
    """Read every tenant's settings at the time of this test: another test's clock may be minutes ahead."""
    for tenant in VALID:
        api.app.state.services.tenants.of(tenant)
    cloud.calls.clear()


def put_webhook(cloud: Cloud) -> None:
    """Store a webhook that has got one event, and forget the calls."""
    store, endpoint = DynamoWebhookStore(cloud.dynamodb, "rune-test"), an_endpoint()
    assert store.create(
        endpoint, make_change("create", NOW, requires=(), sets={}, adds={"endpoint_count": 1})
    )
    store.enqueue(endpoint, enqueue(endpoint, 1, NOW), [a_delivery(event_id=EVENT_ID)])
    cloud.calls.clear()


def write_tokens(tenant: str, *tokens: str) -> None:
    hashes = {f"t{number}": a_hash(token) for number, token in enumerate(tokens)}
    Ssm.write(f"{PATH}/{tenant}", {"tokens": hashes})


def a_request(
    route: tuple[str, str],
    headers: dict[str, str] | None = None,
    **options: Any,  # noqa: ANN401  # of an_http_event
) -> dict[str, object]:
    method, path = route
    query, body = CASES[route]
    return an_http_event(method, f"{path.format(**NAMED, name=A_NAME)}?{query}", body, headers, **options)


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if path not in OPEN_PATHS
    }


def takes_an_id(route: tuple[str, str]) -> bool:
    return takes_a_jobs_id(route) or any(f"{{{name}}}" in route[1] for name in NAMED)


def takes_a_jobs_id(route: tuple[str, str]) -> bool:
    return "{job_id}" in route[1] or "job_id=" in CASES[route][0] or takes_jobs_ids(route)


def takes_jobs_ids(route: tuple[str, str]) -> bool:
    return CASES[route][0].startswith("jobs=")


FILTERED = {("GET", "/v1/rentals")}
"""Their id chooses from the tenant's own list; `test_api_rentals.py` shows that another's chooses nothing."""

every_route = pytest.mark.parametrize("route", CASES, ids=" ".join)
with_a_jobs_id = [route for route in CASES if takes_a_jobs_id(route)]
every_route_with_a_jobs_id = pytest.mark.parametrize("route", with_a_jobs_id, ids=" ".join)
with_a_rentals_id = [route for route in CASES if "{rental_id}" in route[1]]
every_route_with_a_rentals_id = pytest.mark.parametrize("route", with_a_rentals_id, ids=" ".join)
with_a_schedules_id = [route for route in CASES if "{schedule_id}" in route[1]]
every_route_with_a_schedules_id = pytest.mark.parametrize("route", with_a_schedules_id, ids=" ".join)
with_a_webhooks_id = [route for route in CASES if "{webhook_id}" in route[1]]
every_route_with_a_webhooks_id = pytest.mark.parametrize("route", with_a_webhooks_id, ids=" ".join)


# ---------------------------------------------------------------- the table


def test_every_route_has_a_case(api: ModuleType) -> None:
    assert CASES.keys() == operations(api.app.openapi())


def test_every_route_of_the_app_is_in_the_document_or_open(api: ModuleType) -> None:
    api.app.openapi()  # adds the rare routes
    served = {(method, route.path) for route in api.app.routes for method in route.methods}

    open_routes = {("GET", path) for path in OPEN_PATHS}
    assert served == CASES.keys() | open_routes


def test_every_parameter_that_is_an_id_is_in_the_cases(api: ModuleType) -> None:
    named = {
        (method.upper(), path)
        for path, methods in api.app.openapi()["paths"].items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] in {"path", "query"} and parameter["name"].endswith("id")
    }

    assert named - FILTERED == {route for route in CASES if takes_an_id(route) and not takes_jobs_ids(route)}


def test_every_route_says_that_it_wants_a_token(api: ModuleType) -> None:
    document = api.app.openapi()

    for method, path in CASES:
        operation = document["paths"][path][method.lower()]
        link: list[dict[str, list[str]]] = (
            [{"link": []}] if method == "GET" and path in {*PATHS.values(), *PAGES.values()} else []
        )
        assert operation["security"] == [{"bearer": []}, {"api_key": []}, *link]
        assert "401" in operation["responses"]


@every_route
def test_route_answers_its_case_when_the_token_is_valid(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    if "benchmarks" in route[1] or "baselines" in route[1] or route[1].endswith("/receipt"):
        put_benchmark(cloud)
        put_benchmark(cloud, job_id=OTHER_ID)
    else:
        put(cloud, a_job())
    assert the_rental_store(cloud).open(a_kept_rental(is_guarded=True), key="of-this-machine")
    put_schedule(cloud, a_schedule())
    put_webhook(cloud)
    if "{name}" in route[1]:
        assert ask(api, a_request(("PUT", route[1]), address=address)).status == 201

    response = ask(api, a_request(route, address=address))

    # Nobody listens at the address of the server.
    assert response.status in ({502} if "models" in route[1] and "catalog" not in route[1] else DONE)


# ---------------------------------------------------------------- credentials


WRONG = "The token is not one of the tenant that X-Tenant-ID names."
TWO_TOKENS = "Authorization and X-API-Key hold different tokens. Send one of them, or the same in both."

CREDENTIALS: dict[str, tuple[dict[str, str], str]] = {
    "no token": ({"authorization": ""}, NO_TOKEN),
    "wrong token": ({"authorization": f"Bearer {TOKEN[:-1]}!"}, UNAUTHORIZED),
    "wrong key": ({"authorization": "", "x-api-key": f"{TOKEN[:-1]}!"}, UNAUTHORIZED),
    "another tenant's valid token": ({"authorization": f"Bearer {ACMES_TOKEN}"}, UNAUTHORIZED),
    "own token in another tenant's name": ({"authorization": f"Bearer {TOKEN}", **OF_ACME}, WRONG),
    "two valid tokens": ({"authorization": f"Bearer {TOKEN}", "x-api-key": ACMES_TOKEN}, TWO_TOKENS),
}


@every_route
@pytest.mark.parametrize("offered", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_route_is_closed(
    offered: tuple[dict[str, str], str],
    route: tuple[str, str],
    api: ModuleType,
    cloud: Cloud,
    address: str,
) -> None:
    put(cloud, a_job(), a_job(job_id="0" * 32, tenant="acme"))
    put_rentals(cloud, a_kept_rental(), a_kept_rental_of("0" * 32, tenant="acme"))
    headers, sentence = offered

    response = ask(api, a_request(route, headers, address=address))

    assert_problem(response, a_problem(401, "unauthorized", sentence))
    # Only a token that was compared in vain counts against the address.
    assert cloud.operations == (["PutItem"] if sentence in {WRONG, UNAUTHORIZED} else [])
    assert cloud.received("inference") == []


@every_route
def test_route_is_closed_to_a_revoked_token(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    put(cloud, a_job())
    write_tokens("default", TOKEN, REVOKED)
    clock.advance(30)
    before = get(api, "/v1/jobs", token=REVOKED, address=address)
    write_tokens("default", TOKEN)
    clock.advance(30)

    response = ask(api, a_request(route, token=REVOKED, address=address))

    assert before.status == 200
    assert_problem(response, a_problem(401, "unauthorized", UNAUTHORIZED))


@every_route
def test_route_is_closed_to_a_suspended_tenant(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    put(cloud, a_job())
    hashes = {"t": a_hash(TOKEN)}
    Ssm.write(f"{PATH}/default", {"tokens": hashes, "suspended": True})
    clock.advance(30)

    response = ask(api, a_request(route, address=address))

    write_tokens("default", TOKEN)
    assert_problem(response, a_problem(403, "tenant_suspended", "The operator has suspended this tenant."))
    assert cloud.store.read(JOB_ID) == a_job()
    assert cloud.rows() == [row for row in cloud.rows() if not row["pk"]["S"].startswith("LIMIT#")]


@every_route
def test_route_is_closed_to_a_blocked_address(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    put(cloud, a_job())
    put_rentals(cloud, a_kept_rental())
    other = DynamoLimiter(cloud.dynamodb, "rune-test", clock)
    assert [other.count_failure(address) for _ in range(10)] == [None] * 10

    assert_blocked(ask(api, a_request(route, address=address)), 60)
    assert cloud.store.read(JOB_ID) == a_job()
    assert the_rental_store(cloud).read(RENTAL_ID) == a_kept_rental()


# ---------------------------------------------------------------- scopes


def write_scopes(*scopes: str) -> None:
    entry = {"hash": a_hash(REVOKED), "scopes": [*scopes]}
    Ssm.write(f"{PATH}/default", {"tokens": {"ci": entry, "t": a_hash(TOKEN)}})


def lacking(api: ModuleType, address: str, *scopes: str) -> dict[tuple[str, str], str]:
    """Return the calls that a token with these scopes may not do, and the scope that each lacks by its answer."""
    write_scopes(*scopes)
    refused = {}
    for route in CASES:
        response = ask(api, a_request(route, token=REVOKED, address=address))
        if response.status == 403:
            needed = response.document["detail"].split("'")[1]
            has = f"has {', '.join(scopes)}" if scopes else "has none"
            sentence = f"This needs the scope '{needed}', and your token 'ci' {has}."
            assert_problem(response, a_problem(403, "insufficient_scope", sentence))
            assert response.headers["www-authenticate"].endswith(
                f'error="insufficient_scope", scope="{needed}"'
            )
            refused[route] = needed
    write_tokens("default", TOKEN)
    return refused


@pytest.mark.parametrize("scopes", [(), ("read",), ("submit",), ("manage",), ("read", "manage")], ids=str)
def test_route_is_closed_to_a_token_without_its_scope(
    scopes: tuple[str, ...], api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    clock.advance(30)

    found = lacking(api, address, *scopes)

    assert found == {
        route: needed_scopes(*route)[0].value
        for route in CASES
        if needed_scopes(*route)[0].value not in scopes
    }
    assert cloud.rows() == [] if not scopes else True


def test_token_that_may_read_plans_jobs_and_makes_none(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    write_scopes("read")
    clock.advance(30)
    planned = post(api, {**FLAT, "dry_run": True}, token=REVOKED, address=address)
    made = post(api, FLAT, token=REVOKED, address=address)
    write_tokens("default", TOKEN)

    assert planned.status == 200
    sentence = "This needs the scope 'submit', and your token 'ci' has read."
    assert_problem(made, a_problem(403, "insufficient_scope", sentence))
    assert cloud.rows() == []


# ---------------------------------------------------------------- ids


@every_route_with_a_jobs_id
@pytest.mark.parametrize(
    "job", [a_job(), a_waiting_job(), an_ended_job()], ids=["queued", "running", "ended"]
)
def test_another_tenants_id_is_not_found(
    job: Any,  # noqa: ANN401  # a Job
    route: tuple[str, str],
    api: ModuleType,
    cloud: Cloud,
    address: str,
) -> None:
    put(cloud, job)
    theirs = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))
    cloud.empty()

    nobodys = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))

    assert_problem(theirs, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))
    assert theirs == nobodys


@every_route_with_a_rentals_id
@pytest.mark.parametrize("make", [*ALIVE.values(), a_released_rental], ids=[*ALIVE, "released"])
def test_another_tenants_rental_is_not_found(
    make: Callable[[], Rental], route: tuple[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    put_rentals(cloud, make())
    theirs = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))
    assert the_rental_store(cloud).read(RENTAL_ID) == make()
    cloud.empty()

    nobodys = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))

    assert_problem(theirs, a_problem(404, "rental_not_found", f"There is no rental '{RENTAL_ID}'."))
    assert theirs == nobodys


@every_route_with_a_schedules_id
def test_another_tenants_schedule_is_not_found(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    put_schedule(cloud, a_schedule())
    theirs = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))
    assert the_schedule_store(cloud).read(SCHEDULE_KEY) == a_schedule()
    cloud.empty()

    nobodys = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))

    assert_problem(theirs, a_problem(404, "schedule_not_found", f"There is no schedule '{SCHEDULE_ID}'."))
    assert theirs == nobodys


@every_route_with_a_webhooks_id
def test_another_tenants_webhook_is_not_found(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    put_webhook(cloud)
    theirs = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))
    assert DynamoWebhookStore(cloud.dynamodb, "rune-test").read("default", ENDPOINT_ID) == an_endpoint(
        last_position=1, due_at=NOW + POSTPONED, version=2
    )
    cloud.empty()

    nobodys = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))

    assert_problem(theirs, a_problem(404, "webhook_not_found", f"There is no webhook '{ENDPOINT_ID}'."))
    assert theirs == nobodys


@every_route
def test_answer_to_one_tenant_holds_nothing_of_another(
    route: tuple[str, str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    put(cloud, an_ended_job(job_id=JOB_ID), an_ended_job(job_id="f" * 32))
    put_rentals(cloud, a_kept_rental(), a_kept_rental_of("f" * 32))
    put_schedule(cloud, a_schedule(schedule_id="f" * 32, name="f" * 32))

    response = ask(api, a_request(route, OF_ACME, token=ACMES_TOKEN, address=address))

    assert "f" * 32 not in str(response.document)
    # What the caller named may be said again.
    if not takes_an_id(route) and JOB_ID not in str(CASES[route][1]):
        assert JOB_ID not in str(response.document)
