"""Asking the API through its handler, as API Gateway does, and what its answers look like."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from rune.aws.rental_store import DynamoRentalStore
from rune.aws.schedule_store import DynamoScheduleStore
from rune.contracts import BenchmarkReport
from rune.jobs.outcomes import Done
from rune.jobs.record import Job, StepName
from rune.jobs.store import Submission
from rune.jobs.transitions import make_transition
from rune.rentals.record import Rental
from rune.schedules.record import Schedule
from tests.benchmark_builders import a_report, a_result_json
from tests.builders import (
    JOB_ID,
    NOW,
    TOKEN,
    a_benchmark_request,
    a_claimed_job,
    a_job,
    after,
    an_event,
    an_http_event,
)
from tests.rental_builders import CONTRACT_ID, MODEL, RENTAL_ID, URL
from tests.schedule_builders import A_SCHEDULE

if TYPE_CHECKING:
    from tests.cloud import Cloud

POST = "/v1/jobs/benchmark"
JOB = f"/v1/jobs/{JOB_ID}"
BENCHMARK = f"/v1/benchmarks/{JOB_ID}"
RENTAL = f"/v1/rentals/{RENTAL_ID}"
OF_ACME = {"x-tenant-id": "acme"}
ACMES_TOKEN = TOKEN[::-1]
UNAUTHORIZED = "The token is not one of the tenant `default`, and no X-Tenant-ID names another."
NO_TOKEN = "No token was sent. Send Authorization: Bearer <token>, or X-API-Key: <token>."

NO_VASTAI = "This deployment has no account with Vast.ai; name a running model server in backend_url."

SERVER = {"backend_url": "http://127.0.0.1:11434"}
KEPT: dict[str, object] = {
    "question": "q",
    "model": "llama3.1:8b",
    "backend_url": "http://127.0.0.1:11434",
    "backend_type": "ollama",
    "backend_warmup": True,
    "backend_warmup_timeout": 300,
    "timeout_seconds": 600,
    "vastai": False,
    "vastai_stop_instance": True,
    "boot_timeout_seconds": 360,
    "keep_seconds": 3600,
    "attestation_required": False,
}
"""What is kept of the shortest benchmark."""

FLAT: dict[str, object] = {
    "vastai": False,
    "template_hash": "c166c11f035d3a97871a23bd32ca6aba",
    "min_dph": 2.3,
    "max_dph": 3.0,
    "reliability": 0.99,
    "question": "q",
    "model": "llama3.1:8b",
    "backend_warmup": True,
    "backend_warmup_timeout": 90,
    "vastai_stop_instance": True,
    **SERVER,
}
"""A benchmark as clients in the field send it."""


@dataclass(frozen=True)
class Response:
    """An answer; `document` is None where there is no body, and the text where it is no JSON."""

    status: int
    headers: dict[str, str]
    document: Any


@dataclass(frozen=True)
class Invocation:
    """What Lambda tells of an invocation."""

    aws_request_id: str = "invocation-1"


CONTEXT = Invocation()


def ask(api: ModuleType, event: dict[str, object]) -> Response:
    """Hand the API one request."""
    request_id = cast("dict[str, Any]", event["requestContext"])["requestId"]
    response = cast("dict[str, Any]", api.handle(event, CONTEXT))
    assert response.get("isBase64Encoded", False) is False
    headers: dict[str, str] = response["headers"]
    document: Any = response["body"] or None
    assert headers["x-request-id"] == request_id
    if document and "json" in headers["content-type"]:
        document = json.loads(document)
    if headers.get("content-type") == "application/problem+json" and document:
        assert document.pop("request_id") == request_id
    return Response(response["statusCode"], headers, document)


def get(api: ModuleType, path: str, headers: dict[str, str] | None = None, **options: Any) -> Response:  # noqa: ANN401  # of an_http_event
    """Ask with a valid token, unless the options say otherwise."""
    return ask(api, an_http_event("GET", path, None, headers, **options))


def post(
    api: ModuleType,
    body: object,
    headers: dict[str, str] | None = None,
    path: str = POST,
    **options: Any,  # noqa: ANN401  # of an_http_event
) -> Response:
    """Post a benchmark, or something else where a path is given."""
    return ask(api, an_http_event("POST", path, body, headers, **options))


def put(cloud: Cloud, *jobs: Job) -> None:
    """Store jobs as the API would, and forget the calls."""
    for job in jobs:
        cloud.store.submit(Submission(job, json.dumps(a_benchmark_request()), an_event()))
    cloud.calls.clear()


def put_result(cloud: Cloud, result_json: str, **overrides: object) -> None:
    """Store a benchmark that a worker ended with this result, and forget the calls."""
    job = a_claimed_job(step=StepName.MEASURE, **overrides)
    put(cloud, job)
    assert cloud.store.commit(job, make_transition(job, Done(result_json), NOW, 5))
    cloud.calls.clear()


def put_benchmark(
    cloud: Cloud,
    report: BenchmarkReport | None = None,
    record_keys: Sequence[str] = (),
    **overrides: object,
) -> None:
    """Store a benchmark that succeeded, with the builders' report where none is given."""
    put_result(cloud, a_result_json(report or a_report(), record_keys), **overrides)


def the_rental_store(cloud: Cloud) -> DynamoRentalStore:
    """Return the rental store that the API writes to."""
    return DynamoRentalStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])


def put_rentals(cloud: Cloud, *rentals: Rental) -> None:
    """Write rentals down as a worker would, and forget the calls."""
    for rental in rentals:
        assert the_rental_store(cloud).open(rental)
    cloud.calls.clear()


def the_schedule_store(cloud: Cloud) -> DynamoScheduleStore:
    """Return the store of schedules that the API writes to."""
    return DynamoScheduleStore(cloud.dynamodb, cloud.environment["RUNE_TABLE"])


def put_schedule(cloud: Cloud, schedule: Schedule, request: Mapping[str, object] | None = None) -> None:
    """Store a schedule as the API would, and forget the calls."""
    request_json = json.dumps(A_SCHEDULE["request"] if request is None else request)
    assert the_schedule_store(cloud).create(schedule, request_json, 100) == schedule
    cloud.calls.clear()


def a_problem(status: int, code: str, sentence: str, *errors: tuple[str, str]) -> dict[str, object]:
    """Return a problem document whole; `errors` are the wrong fields."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": sentence,
        "error": sentence,
    }
    if errors:
        problem["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in errors]
    return problem


def a_wrong_field(pointer: str, detail: str) -> dict[str, object]:
    """Return the problem of one field that is not of its type or within its bounds."""
    return a_problem(422, "invalid_request", f"{pointer or 'The body'}: {detail}", (pointer, detail))


def a_refusal(code: str, pointer: str, sentence: str) -> dict[str, object]:
    """Return the problem of one field that RUNE understands and does not do."""
    return a_problem(422, code, sentence, (pointer, sentence))


def a_block(seconds: int) -> dict[str, object]:
    """Return the problem of a caller whose address is blocked."""
    return {
        **a_problem(
            401,
            "rate_limit_exceeded",
            "Ten failed authentications came from your address within 60 seconds. "
            f"It is blocked for {seconds} seconds more, for valid tokens too.",
        ),
        "error": "rate limit exceeded",
        "retry_after_seconds": seconds,
    }


def assert_problem(response: Response, problem: dict[str, object]) -> None:
    """Compare whole documents."""
    assert (response.status, response.document) == (problem["status"], problem)
    assert response.headers["content-type"] == "application/problem+json"


def assert_blocked(response: Response, seconds: int) -> None:
    """Compare with what a blocked caller gets."""
    assert_problem(response, a_block(seconds))
    assert response.headers["retry-after"] == str(seconds)
    assert response.headers["www-authenticate"] == 'Bearer realm="rune"'


def a_posted_job(**overrides: object) -> Job:
    """Return a job that was posted at `NOW` and began at once, in the first slot."""
    return a_job(**{"deadline_at": after(86_400), "slot": 0, **overrides})


def a_record(**overrides: object) -> dict[str, object]:
    """Return what callers see of the builders' queued job."""
    return {
        "job_id": JOB_ID,
        "kind": "benchmark",
        "status": "queued",
        "message": "Waiting for a worker.",
        "queue_position": None,
        "queue_wait_seconds": None,
        "progress": {"step": "check", "try": 1},
        "created_at": "2026-11-23T12:00:00Z",
        "updated_at": "2026-11-23T12:00:00Z",
        "started_at": None,
        "finished_at": None,
        "result": None,
        "cost_usd": None,
        "max_cost_usd": None,
        "rental_id": None,
        "rentals_url": None,
        "error": None,
        "error_code": None,
        "error_stage": None,
        "error_retryable": None,
        "warnings": [],
        "display": None,
        "name": None,
        "metadata": None,
        "request": a_benchmark_request(),
        "request_cut": False,
        "submitted_by": None,
        "cancelled_by": None,
        **overrides,
    }


def a_rental_record(**overrides: object) -> dict[str, object]:
    """Return what callers see of the builders' kept rental, half an hour after it was ordered."""
    return {
        "rental_id": RENTAL_ID,
        "state": "kept",
        "job_id": JOB_ID,
        "used_by_job_id": None,
        "contract_id": CONTRACT_ID,
        "gpu_name": "RTX 4090",
        "gpu_count": 1,
        "vram_mb": 24564,
        "place": "Sweden, SE",
        "model": MODEL,
        "backend_url": URL,
        "price_usd_per_hour": 0.372,
        # 30 min of disk at 0.012/h, 29 min of GPU at 0.36/h, 4.9 GB of model and 2 GB of image at 0.003/GB.
        "cost_usd": 0.2007,
        "rented_at": "2026-11-23T12:00:00Z",
        "kept_until": "2026-11-23T13:00:00Z",
        "ceiling_at": "2026-11-23T17:00:00Z",
        "is_open_to_the_world": True,
        "destroys_itself": False,
        "billed_usd": None,
        "released_at": None,
        "end_reason": None,
        **overrides,
    }
