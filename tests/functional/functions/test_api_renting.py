"""Jobs for which a machine is to be rented, at the door of a deployment that has an account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from rune.jobs.record import Kind, StepName
from rune.storage.change import make_change
from tests.builders import NOW, a_job
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    KEPT,
    NO_VASTAI,
    OF_ACME,
    POST,
    SERVER,
    a_posted_job,
    a_refusal,
    a_wrong_field,
    assert_problem,
    get,
    post,
    put_rentals,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm
from tests.rental_builders import OTHER_JOB_ID, a_kept_rental_of

if TYPE_CHECKING:
    from tests.cloud import Cloud

INSTANCE = "/v1/jobs/llm-instance"
ALIAS = "/v1/jobs/ollama-instance"
QUESTION: dict[str, object] = {"question": "q", "model": "llama3.1:8b"}
BENCHMARK: dict[str, object] = {**QUESTION, "vastai": True}
NESTED: dict[str, object] = {**QUESTION, "provisioning": {"vastai": {"max_dph": 1.0}}}
UNKNOWN = "a-name-without-a-size"
PATH = "/rune/renting/tenants"
CAN_RENT = {"RUNE_CAN_RENT": "true", "RUNE_TENANTS_PATH": PATH}
LIMITS = {"default": 7200, "acme": 86_400}
FORMS = {
    "benchmark, flat": (POST, BENCHMARK, Kind.BENCHMARK),
    "benchmark, nested": (POST, NESTED, Kind.BENCHMARK),
    "instance": (INSTANCE, {"vastai": True, "model": "llama3.1:8b"}, Kind.LLM_INSTANCE),
    "instance of no model": (INSTANCE, {"vastai": True}, Kind.LLM_INSTANCE),
    "instance by its old name": (ALIAS, {"vastai": True}, Kind.LLM_INSTANCE),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


@pytest.fixture(scope="module")
def renting(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API that may rent: `default` for two hours after a job, acme for a day."""
    for tenant, seconds in LIMITS.items():
        Ssm.write(f"{PATH}/{tenant}", {"keep_limit_seconds": seconds})
    Ssm.write(f"{PATH}/default", {"keep_limit_seconds": LIMITS["default"], "templates": ["c166c11f"]})
    with loaded("api.handler", {**shared_cloud.environment, **CAN_RENT}) as handler:
        yield handler


@pytest.fixture(autouse=True)
def _fresh_settings(renting: ModuleType, cloud: Cloud) -> None:
    """Read every tenant's settings at the time of this test: another test's clock may be minutes ahead."""
    for tenant in LIMITS:
        renting.app.state.services.tenants.of(tenant)
    cloud.calls.clear()


@pytest.fixture(scope="module")
def without_account(shared_cloud: Cloud) -> Iterator[ModuleType]:
    """An API as `api` has it, said aloud: what another handler was loaded with stays in the environment."""
    without = {"RUNE_CAN_RENT": "false", "RUNE_TENANTS_PATH": ""}
    with loaded("api.handler", {**shared_cloud.environment, **without}) as handler:
        yield handler


def kept(cloud: Cloud, job_id: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(cloud.store.read_request(a_job(job_id=job_id)))
    return document


# ---------------------------------------------------------------- accepted


@every_form
def test_job_is_stored_as_one_that_rents_in_five_calls(
    form: tuple[str, dict[str, object], Kind], renting: ModuleType, cloud: Cloud
) -> None:
    path, body, kind = form

    response = post(renting, body, path=path)

    job_id = response.document["job_id"]
    assert (response.status, response.document) == (202, {"job_id": job_id, "status": "accepted"})
    assert cloud.operations == ["BatchGetItem", "Query", "TransactWriteItems", "SendMessage", "SendMessage"]
    assert cloud.store.read(job_id) == a_posted_job(
        job_id=job_id,
        kind=kind,
        step=StepName.RENT,
        rents=True,
        cap_micro_usd=10_000_000,
        reserved_micro_usd=10_000_000,
    )
    assert [json.loads(message) for message in cloud.received("money")] == [{"job_id": job_id, "seq": 1}]


def test_request_to_rent_is_kept_with_its_defaults_and_no_server(renting: ModuleType, cloud: Cloud) -> None:
    response = post(renting, {**BENCHMARK, "kubeconfig": "/home/x/.kube/config"})

    document = {name: value for name, value in KEPT.items() if name != "backend_url"}
    terms = {"vastai": True, "min_dph": 0.0, "max_dph": 3.0, "reliability": 0.99}
    assert kept(cloud, response.document["job_id"]) == {**document, **terms}


@pytest.mark.parametrize(
    ("body", "micro_usd"),
    [({}, 10_000_000), ({"max_cost_usd": 0.25}, 250_000), ({"max_cost_usd": 10}, 10_000_000)],
)
def test_job_that_rents_may_cost_what_its_request_or_the_deployment_says(
    body: dict[str, object], micro_usd: int, renting: ModuleType, cloud: Cloud
) -> None:
    job_id = post(renting, BENCHMARK | body).document["job_id"]

    job = cloud.store.read(job_id)
    assert job is not None
    assert job.cap_micro_usd == micro_usd
    assert get(renting, f"/v1/jobs/{job_id}").document["max_cost_usd"] == micro_usd / 1_000_000


def test_job_that_borrowed_a_kept_machine_leads_to_it_after_its_end(
    renting: ModuleType, cloud: Cloud
) -> None:
    job_id = post(renting, BENCHMARK).document["job_id"]
    put_rentals(cloud, a_kept_rental_of(OTHER_JOB_ID))
    borrowed = make_change("borrow", NOW, requires=(), sets={"rental_id": f"{OTHER_JOB_ID}-1"})
    cloud.store.update(job_id, borrowed)

    url = get(renting, f"/v1/jobs/{job_id}").document["rentals_url"]

    assert [each["rental_id"] for each in get(renting, url).document["rentals"]] == [f"{OTHER_JOB_ID}-1"]


def test_job_may_not_cost_more_than_the_deployment_allows(renting: ModuleType) -> None:
    refused = post(renting, BENCHMARK | {"max_cost_usd": 10.01})

    sentence = "max_cost_usd may be at most 10 here."
    assert_problem(refused, a_refusal("cost_cap_too_high", "/max_cost_usd", sentence))


def test_job_that_rents_tells_what_it_has_cost_so_far(renting: ModuleType, cloud: Cloud) -> None:
    job_id = post(renting, BENCHMARK).document["job_id"]

    record = get(renting, f"/v1/jobs/{job_id}").document

    assert (record["cost_usd"], record["rental_id"], record["progress"]["step"]) == (0.0, None, "rent")


def test_job_on_a_server_that_runs_rents_nothing(renting: ModuleType, cloud: Cloud) -> None:
    job_id = post(renting, {**QUESTION, **SERVER}).document["job_id"]

    assert cloud.store.read(job_id) == a_posted_job(job_id=job_id)
    assert get(renting, f"/v1/jobs/{job_id}").document["cost_usd"] is None


def test_key_stands_for_the_same_machine_however_it_is_asked_for(renting: ModuleType, cloud: Cloud) -> None:
    key = {"idempotency-key": "one-machine"}
    first = post(renting, BENCHMARK, key)

    again = post(renting, {**BENCHMARK, "keep_seconds": 3600, "min_dph": None}, key)

    assert again.document == first.document
    assert again.headers["idempotency-replayed"] == "true"


# ---------------------------------------------------------------- how long machines are kept


@pytest.mark.parametrize(
    ("tenant", "token", "seconds"),
    [({}, None, 7200), (OF_ACME, ACMES_TOKEN, 86_400)],
    ids=["default", "acme"],
)
def test_tenant_keeps_machines_up_to_its_own_limit(
    tenant: dict[str, str], token: str | None, seconds: int, renting: ModuleType, cloud: Cloud
) -> None:
    options = {"token": token} if token else {}

    taken = post(renting, {**BENCHMARK, "keep_seconds": seconds}, tenant, **options)
    refused = post(renting, {**BENCHMARK, "keep_seconds": seconds + 1}, tenant, **options)

    assert kept(cloud, taken.document["job_id"])["keep_seconds"] == seconds
    sentence = f"Your tenant keeps machines for at most {seconds} seconds."
    assert_problem(refused, a_refusal("keep_seconds_too_long", "/keep_seconds", sentence))


# ---------------------------------------------------------------- which templates it may name


def test_template_that_the_tenants_document_does_not_allow_is_left_out_with_a_warning(
    renting: ModuleType, cloud: Cloud
) -> None:
    named = {"template_hash": "c166c11f"}

    of_acme = post(renting, {**BENCHMARK, **named}, OF_ACME, token=ACMES_TOKEN).document["job_id"]
    own = post(renting, {**BENCHMARK, **named}).document["job_id"]

    assert kept(cloud, of_acme).get("template_hash") is None
    assert kept(cloud, own)["template_hash"] == "c166c11f"
    shown = get(renting, f"/v1/jobs/{of_acme}", OF_ACME, token=ACMES_TOKEN).document
    assert shown["warnings"] == ["template_not_allowed"]
    assert get(renting, f"/v1/jobs/{own}").document["warnings"] == []


# ---------------------------------------------------------------- refused


BOTH = "Name a running model server in backend_url, or rent one, but not both."
NO_SIZE = f"RUNE does not know how large '{UNKNOWN}' is: say how much GPU memory it needs in min_vram_mb."
REFUSED: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "another kind of server": (
        {"backend_type": "openai"},
        a_refusal("rental_backend_type", "/backend_type", "A rented machine runs Ollama."),
    ),
    "model of no known size": (
        {"model": UNKNOWN},
        a_refusal("model_size_unknown", "/min_vram_mb", NO_SIZE),
    ),
    "kept for a shorter time than machines are": (
        {"keep_seconds": 59},
        a_wrong_field("/keep_seconds", "Input should be greater than or equal to 60; you sent 59."),
    ),
    "kept too long for anybody": (
        {"keep_seconds": 604_801},
        a_wrong_field("/keep_seconds", "Input should be less than or equal to 604800; you sent 604801."),
    ),
}


def test_machine_without_a_price_is_refused_beside_a_server(renting: ModuleType) -> None:
    response = post(renting, {**BENCHMARK, **SERVER})

    assert_problem(response, a_refusal("backend_url_and_vastai", "/backend_url", BOTH))


@every_form
@pytest.mark.parametrize(("more", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_job_that_could_not_rent_is_refused_at_the_door(
    more: dict[str, object],
    problem: dict[str, object],
    form: tuple[str, dict[str, object], Kind],
    renting: ModuleType,
    cloud: Cloud,
) -> None:
    path, body, _ = form

    assert_problem(post(renting, {**body, **more}, path=path), problem)
    assert cloud.calls == []


@every_form
def test_job_is_refused_where_there_is_no_account(
    form: tuple[str, dict[str, object], Kind], without_account: ModuleType, cloud: Cloud
) -> None:
    path, body, _ = form

    pointer = "/vastai" if "vastai" in body else "/provisioning/vastai"
    assert_problem(
        post(without_account, body, path=path), a_refusal("vastai_not_available", pointer, NO_VASTAI)
    )
    assert cloud.calls == []


DRY = {"dry_run": True}


@every_form
def test_dry_run_answers_with_the_plan_and_makes_no_job(
    form: tuple[str, dict[str, object], Kind], renting: ModuleType, cloud: Cloud
) -> None:
    path, body, kind = form
    response = post(renting, {**body, **DRY, "max_cost_usd": 2.0}, path=path)

    plan = response.document
    assert response.status == 200
    assert (plan["dry_run"], plan["kind"], plan["rents"], plan["would_wait"]) == (
        True,
        kind.value,
        True,
        False,
    )
    assert (plan["max_cost_usd"], plan["max_runtime_seconds"]) == (2.0, 3600)
    # No search has seen the market, so this is what the job may cost.
    assert plan["estimate"]["basis"] == "limits"
    assert 0 < plan["estimate"]["high_usd"] <= 2.0
    assert [each["reserved_usd"] for each in plan["budgets_after"]] == [2.0, 2.0]
    assert cloud.dynamodb.scan(TableName="rune-test")["Items"] == []


@pytest.mark.parametrize(
    "members",
    [{"max_dph": 0.0}, {"max_cost_usd": 9_999.0}, {"keep_seconds": 7201}, {"model": UNKNOWN}],
    ids=["price", "cap", "keep", "model"],
)
def test_dry_run_is_refused_as_the_job_would_be(
    members: dict[str, object], renting: ModuleType, cloud: Cloud
) -> None:
    planned = post(renting, {**BENCHMARK, **members, **DRY})
    posted = post(renting, {**BENCHMARK, **members})

    assert planned.status == posted.status == 422
    assert planned.document["code"] == posted.document["code"]


def test_dry_run_of_a_job_that_rents_nothing_has_no_estimate(renting: ModuleType, cloud: Cloud) -> None:
    response = post(renting, {**QUESTION, **SERVER, **DRY, "keep_seconds": 600})

    assert response.status == 200
    assert (response.document["rents"], response.document["estimate"]) == (False, None)
    assert response.document["max_cost_usd"] is None
    assert response.document["warnings"] == ["keep_seconds_ignored"]


def test_job_that_is_no_dry_run_is_stored_without_the_word(renting: ModuleType, cloud: Cloud) -> None:
    posted = post(renting, {**BENCHMARK, "dry_run": False}, headers={"Idempotency-Key": "k"})
    again = post(renting, BENCHMARK, headers={"Idempotency-Key": "k"})

    assert (posted.status, again.document["job_id"]) == (202, posted.document["job_id"])
