"""Requests made up from the OpenAPI document, and what every answer must keep to."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.schemas import OpenApiSchema
from starlette.types import ASGIApp

from api.app import create_app
from api.openapi.answers import CODES_MEMBER, COMPONENT_HEADERS, RESPONSES
from api.services import Services

type Case = schemathesis.Case[Any]
type Bodies = Mapping[str, st.SearchStrategy[dict[str, Any]]]
type Operation = schemathesis.APIOperation[Any, Any, Any, Any]

# Named, because the others send requests of their own: without a token, which the limiter counts.
CHECK_NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
load_all_checks()
_CHECKS: list[Any] = CHECKS.get_by_names(list(CHECK_NAMES))
# Through a stack that other tests keep busy; Schemathesis would give up after ten.
_ANSWER_LIMIT_SECONDS = 60.0
_GENERATION = GenerationConfig(deterministic=True, with_security_parameters=False)


def _same_examples(count: int) -> settings:
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def read_document() -> dict[str, Any]:
    """Return the OpenAPI document; no service is needed for it."""
    nothing: Any = None
    services = Services(*[nothing for _ in fields(Services)])
    return create_app(services, with_docs=True).openapi()


DOCUMENT = read_document()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]

TOLD_HEADERS = {name.lower() for name in COMPONENT_HEADERS}
"""Headers that an answer has only where the document says so."""

BASELINE = "main"
"""Also the name of the suite."""

# Made up, it would be none or several, and refused.
ONE_DRIVER = {"vastai": True, "aws": False, "gcp": False, "azure": False, "local_hardware": False}


@dataclass
class Conformance:
    """Sends cases of one operation after the other, and counts.

    Attributes
    ----------
    headers
        What proves who calls; sent with every request, whatever was made up for them.
    bodies
        By path, bodies that are taken. The document alone gives few: it cannot say which fields go together.
    job_id, backend_url, rental_id, schedule_id
        A job, a model server, a rental and a schedule that exist; no rental where none can be made. Every other
        case that could name one names these: what is made up would find none.
    webhook_id, event_id
        A webhook and an event that it has got, made anew for each operation that names one.
    benchmark_ids
        Benchmarks with reports; none where none can be made.
    statuses
        How often each status came, by operation.
    seconds
        How long all that took.
    failures
        What broke a rule, the first example of each kind.
    """

    schema: OpenApiSchema
    headers: Mapping[str, str]
    job_id: str
    backend_url: str
    bodies: Bodies
    rental_id: str | None = None
    webhook_id: str = ""
    event_id: str = ""
    benchmark_ids: tuple[str, ...] = ()
    schedule_id: str | None = None
    base_url: str | None = None
    session: requests.Session | None = None
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    _turns: Iterator[int] = field(default_factory=itertools.count)

    def run(
        self, method: str, path: str, *, examples: int, taken: int, boundaries: int | None = None
    ) -> dict[str, str]:
        """Send what is made up for an operation; return what broke a rule, the first case of each kind.

        Parameters
        ----------
        examples
            Cases from Hypothesis: half of them valid by the document, half not.
        taken
            Cases with bodies that are taken, where there are such.
        boundaries
            Most cases from the document's limits, spread evenly over what there is; None sends all.
        """
        started = time.monotonic()
        if "{webhook_id}" in path:
            self.webhook_id, self.event_id = self._post_webhook()
        known = set(self.failures)
        operation = self.schema[path][method.upper()]
        every = list(
            self.schema.iter_coverage_cases(
                operation, generation_modes=list(GenerationMode), generation_config=_GENERATION
            )
        )
        step = 1 if boundaries is None else max(1, -(-len(every) // boundaries))
        for case in every[::step]:
            self.send(case)
        has_input = "parameters" in DOCUMENT["paths"][path][method] or operation.body
        # Where nothing can be sent, nothing can be sent wrongly.
        modes = list(GenerationMode) if has_input else [GenerationMode.POSITIVE]
        for mode in modes:
            self._send_made_up(operation, mode, max(1, examples // len(modes)))
        if path in self.bodies and operation.body:
            self._send_taken(operation, self.bodies[path], taken)
        self.seconds += time.monotonic() - started
        return {kind: text for kind, text in self.failures.items() if kind not in known}

    def put_baseline(self) -> None:
        """Make a benchmark the baseline that cases can name."""
        operation = self.schema["/v1/baselines/{name}"]["PUT"]
        case = operation.Case(
            path_parameters={"name": BASELINE},
            body={"job_id": self.benchmark_ids[0]},
            media_type="application/json",
        )
        response = case.call(base_url=self.base_url, session=self.session, headers=dict(self.headers))
        assert response.status_code == HTTPStatus.CREATED, response.text

    def put_suite(self, body: Mapping[str, Any]) -> None:
        """Store a suite that cases can name."""
        operation = self.schema["/v1/suites/{name}"]["PUT"]
        case = operation.Case(
            path_parameters={"name": BASELINE}, body=dict(body), media_type="application/json"
        )
        response = case.call(base_url=self.base_url, session=self.session, headers=dict(self.headers))
        assert response.status_code == HTTPStatus.CREATED, response.text

    def post_job(self) -> str:
        """Return the id of a new job, which cases can name."""
        operation = self.schema["/v1/jobs/benchmark"]["POST"]
        body: dict[str, Any] = {"question": "Why?", "model": "llama3.1:8b", "backend_url": self.backend_url}
        case = operation.Case(body=body, media_type="application/json")
        response = case.call(base_url=self.base_url, session=self.session, headers=dict(self.headers))
        assert response.status_code == HTTPStatus.ACCEPTED, response.text
        return str(response.json()["job_id"])

    def post_schedule(self) -> str:
        """Return the id of a new schedule that is never due by itself, which cases can name."""
        operation = self.schema["/v1/schedules"]["POST"]
        body: dict[str, Any] = {
            "name": uuid.uuid4().hex,
            "rate": "1 day",
            "paused": True,
            "kind": "benchmark",
            "request": {"question": "Why?", "model": "llama3.1:8b", "backend_url": self.backend_url},
        }
        case = operation.Case(body=body, media_type="application/json")
        response = case.call(base_url=self.base_url, session=self.session, headers=dict(self.headers))
        assert response.status_code == HTTPStatus.CREATED, response.text
        return str(response.json()["schedule_id"])

    def _post_webhook(self) -> tuple[str, str]:
        """Return the ids of a new webhook, in the place of all others, and of a test event that it gets."""
        for webhook in self._call("GET", "/v1/webhooks")["webhooks"]:
            self._call("DELETE", "/v1/webhooks/{webhook_id}", webhook["webhook_id"])
        webhook_id = self._call("POST", "/v1/webhooks", body={"url": self.backend_url})["webhook_id"]
        event_id = self._call("POST", "/v1/webhooks/{webhook_id}/test", webhook_id)["event_id"]
        return str(webhook_id), str(event_id)

    def _call(
        self, method: str, path: str, webhook_id: str | None = None, body: object = None
    ) -> dict[str, Any]:
        operation = self.schema[path][method]
        of_path = {} if webhook_id is None else {"webhook_id": webhook_id}
        given: dict[str, Any] = {} if body is None else {"body": body, "media_type": "application/json"}
        case = operation.Case(path_parameters=of_path, **given)
        response = case.call(base_url=self.base_url, session=self.session, headers=dict(self.headers))
        assert response.status_code < HTTPStatus.BAD_REQUEST, response.text
        answered: dict[str, Any] = response.json() if response.content else {}
        return answered

    def send(self, case: Case) -> None:
        """Send one case and judge the answer."""
        if next(self._turns) % 2:
            self._make_meaningful(case)
        self._send_as_it_is(case)

    @property
    def case_count(self) -> int:
        """How many cases were sent."""
        return sum(counted.total() for counted in self.statuses.values())

    @property
    def success_ratio(self) -> float:
        """Which share of them was carried out: answered with a status below 400."""
        succeeded = (
            number
            for counted in self.statuses.values()
            for status, number in counted.items()
            if status < HTTPStatus.BAD_REQUEST
        )
        return sum(succeeded) / self.case_count

    @property
    def always_refused(self) -> list[str]:
        """Operations of which no case was carried out."""
        return [label for label, counted in self.statuses.items() if min(counted) >= HTTPStatus.BAD_REQUEST]

    def table(self, where: str) -> list[str]:
        """Return how many cases there were and what was answered, for people."""
        rows = [
            f"  {label:<32} {counted.total():>5}   "
            + ", ".join(f"{status}: {number}" for status, number in sorted(counted.items()))
            for label, counted in sorted(self.statuses.items())
        ]
        head = f"Schemathesis {where}: {self.case_count} cases in {self.seconds:.0f} s"
        shares = f"{self.success_ratio:.0%} succeeded, {len(self.failures)} broke a rule"
        return [f"{head}, {shares}", *rows]

    def _send_made_up(self, operation: Operation, mode: GenerationMode, count: int) -> None:
        @_same_examples(count)
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case) -> None:
            self.send(case)

        send()

    def _send_taken(
        self, operation: Operation, bodies: st.SearchStrategy[dict[str, Any]], count: int
    ) -> None:
        @_same_examples(count)
        @given(body=bodies)
        def send(body: dict[str, Any]) -> None:
            known = {
                "job_id": self.job_id,
                "rental_id": self.rental_id,
                "schedule_id": self.schedule_id,
                "webhook_id": self.webhook_id,
                "name": BASELINE,
            }
            named = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
            case = operation.Case(path_parameters=named, body=body, media_type="application/json")
            self._send_as_it_is(case)

        send()

    def _send_as_it_is(self, case: Case) -> None:
        # A made-up credential would make two of them, which are then unequal; a made-up tenant has no token.
        for name in ("Authorization", "X-API-Key", "X-Tenant-ID"):
            case.headers.pop(name, None)
        sent: dict[str, Any] = {"base_url": self.base_url, "session": self.session}
        if self.session is not None:
            sent["timeout"] = _ANSWER_LIMIT_SECONDS
        response = case.call(headers=dict(self.headers), **sent)
        label = f"{case.operation.method.upper()} {case.operation.path}"
        self.statuses.setdefault(label, Counter())[response.status_code] += 1
        try:
            case.validate_response(response, _CHECKS, headers=dict(self.headers), transport_kwargs=sent)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{label}: {case.method} {response.status_code} {type(failure).__name__}"
                self.failures.setdefault(kind, str(group))
        for missing in self._check_told(case, response):
            self.failures.setdefault(f"{label}: {response.status_code} {missing}", case.as_curl_command())

    def _check_told(self, case: Case, response: Any) -> Iterator[str]:  # noqa: ANN401  # Schemathesis' own
        """Yield what of an answer the document does not tell: its header, or the code of its problem."""
        told = DOCUMENT["paths"][case.operation.path][case.operation.method.lower()]["responses"]
        answer = told.get(str(response.status_code))
        if answer is None or case.method != case.operation.method.upper():
            return  # judged above
        shared = answer.get("$ref", "").removeprefix(RESPONSES)
        answer = DOCUMENT["components"]["responses"].get(shared, answer)
        known = {name.lower() for name in answer.get("headers", {})}
        yield from (f"header {name}" for name in TOLD_HEADERS & {*response.headers} - known)
        if response.headers.get("content-type") == ["application/problem+json"]:
            code = response.json()["code"]
            if code not in answer[CODES_MEMBER]:
                yield f"code {code}"

    def _make_meaningful(self, case: Case) -> None:
        if "job_id" in (case.path_parameters or {}):
            case.path_parameters["job_id"] = self.job_id
        if self.rental_id and "rental_id" in (case.path_parameters or {}):
            case.path_parameters["rental_id"] = self.rental_id
        if self.schedule_id and "schedule_id" in (case.path_parameters or {}):
            case.path_parameters["schedule_id"] = self.schedule_id
        self._name_webhook(case)
        self._name_baseline(case)
        is_of_ended = case.operation.path.startswith("/v1/benchmarks") or case.operation.path.endswith(
            "/receipt"
        )
        if self.benchmark_ids and is_of_ended:
            self._name_benchmarks(case)
        if "job_id" in (case.query or {}):
            case.query["job_id"] = self.job_id
        if "backend_url" in (case.query or {}):
            case.query["backend_url"] = self.backend_url
        if isinstance(case.body, dict) and case.operation.path.startswith("/v1/jobs"):
            case.body["backend_url"] = self.backend_url
        if isinstance(case.body, dict) and case.operation.path == "/v1/estimates":
            case.body = {**case.body, **ONE_DRIVER}

    def _name_webhook(self, case: Case) -> None:
        for name, known in (("webhook_id", self.webhook_id), ("event_id", self.event_id)):
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = known
        if isinstance(case.body, dict) and case.operation.path.endswith("/redeliver"):
            case.body = {"event_id": self.event_id}

    def _name_benchmarks(self, case: Case) -> None:
        if "job_id" in (case.path_parameters or {}):
            case.path_parameters["job_id"] = self.benchmark_ids[0]
        if "jobs" in (case.query or {}):
            case.query["jobs"] = ",".join(self.benchmark_ids)
            for name in ("baseline", "fail_on", "format"):
                case.query.pop(name, None)

    def _name_baseline(self, case: Case) -> None:
        if "{name}" in case.operation.path:
            case.path_parameters["name"] = BASELINE
            for name in ("If-Match", "If-None-Match"):
                case.headers.pop(name, None)
            is_baseline = case.operation.path.startswith("/v1/baselines")
            if isinstance(case.body, dict) and self.benchmark_ids and is_baseline:
                case.body = {"job_id": self.benchmark_ids[0]}


def open_document(app: ASGIApp | None = None) -> OpenApiSchema:
    """Return the document as Schemathesis reads it; with an app, requests go to it in this process."""
    config = SchemathesisConfig()
    config.projects.default.generation = _GENERATION
    schema = schemathesis.openapi.from_dict(DOCUMENT, config=config)
    schema.app = app
    return schema
