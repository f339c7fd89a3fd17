"""The OpenAPI document: what FastAPI derives from the routes, with problems, security and examples added."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rune.contracts.problems import ProblemDocument

API_VERSION = "1.0.0"

HEALTH_PATHS = ("/healthz", "/v1/healthz")

OPEN_PATHS = (*HEALTH_PATHS, "/openapi.json", "/docs")
"""Paths that need no token."""

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]

type OpenApi = dict[str, Any]

EXAMPLES = {
    ("/v1/jobs/{job_id}/events", "application/json"): {"history": "events.json"},
    ("/v1/jobs/{job_id}/events", "text/event-stream"): {"stream": "events.txt"},
    ("/v1/benchmarks/compare", "application/json"): {"comparison": "comparison.json"},
    ("/v1/benchmarks/compare", "text/markdown"): {"comparison": "comparison.md"},
    ("/v1/benchmarks/{job_id}", "application/json"): {
        "rune": "report.json",
        "vllm": "vllm.json",
        "aiperf": "aiperf.json",
    },
    ("/v1/benchmarks/{job_id}/records", "application/json"): {"links": "records.json"},
    ("/v1/jobs/{job_id}/links", "application/json"): {"link": "link.json"},
    ("/v1/benchmarks/{job_id}/links", "application/json"): {"pages": "page_link.json"},
    ("/v1/schedules", "application/json"): {"two": "schedules.json"},
    ("/v1/schedules/{schedule_id}", "application/json"): {"nightly": "schedule.json"},
    ("/v1/webhooks/{webhook_id}", "application/json"): {"webhook": "webhook.json"},
    ("/v1/webhooks/{webhook_id}/deliveries", "application/json"): {"deliveries": "deliveries.json"},
}
"""Examples of answers by path and media type: names in the document, and files in `examples/`."""

POSTED = {"/v1/webhooks": ("webhook_request.json", "201", "webhook_created.json")}
"""By path: an example of what is posted, the status of the answer, and an example of it."""

_FOLDER = Path(__file__).with_name("examples")

TENANT_HEADER: OpenApi = {
    "name": "X-Tenant-ID",
    "in": "header",
    "required": False,
    "description": "The tenant whose token this is.",
    "schema": {"type": "string", "default": "default", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
}


def install(app: FastAPI, add_rare_routes: Callable[[], None]) -> None:
    """Make `app.openapi()` return the whole document, made at the first call.

    Parameters
    ----------
    add_rare_routes
        Adds the routes that the app does not have yet.
    """

    def document() -> OpenApi:
        if app.openapi_schema is None:
            add_rare_routes()
            app.openapi_schema = make_document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI's documentation shows


def make_document(app: FastAPI) -> OpenApi:
    """Return the OpenAPI 3.1 document with problems, security and the tenant's header."""
    from rune.services.links import PAGES, PATHS  # noqa: PLC0415  # as few requests have a link
    from rune.tenants.links import PARAMETER  # noqa: PLC0415

    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = problem
    # FastAPI's own form of a 422, which problems.py never sends.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "link": {
            "type": "apiKey",
            "in": "query",
            "name": PARAMETER,
            "description": "Of POST /v1/jobs/{job_id}/links, and for the path that it was made for alone; or of "
            "POST /v1/benchmarks/{job_id}/links, and for the page that it was made for alone.",
        },
    }
    for path, operations in document["paths"].items():
        if path not in OPEN_PATHS:
            for operation in operations.values():
                _secure(operation)
    for path in {*PATHS.values(), *PAGES.values()}:
        document["paths"][path]["get"]["security"] = [*SECURITY, {"link": []}]
    for (path, media_type), names in EXAMPLES.items():
        operations = document["paths"][path]
        operation = operations.get("get") or operations["post"]
        content = operation["responses"]["200"]["content"][media_type]
        content["examples"] = {name: {"value": read_example(file)} for name, file in names.items()}
    for path, (sent, status, answered) in POSTED.items():
        operation = document["paths"][path]["post"]
        of_request, of_answer = operation["requestBody"], operation["responses"][status]
        of_request["content"]["application/json"]["example"] = read_example(sent)
        of_answer["content"]["application/json"]["example"] = read_example(answered)
    return document


def read_example(file: str) -> Any:  # noqa: ANN401  # any JSON, or text
    """Return an example; read when the document is made, since no other request needs it."""
    text = (_FOLDER / file).read_text()
    return json.loads(text) if file.endswith(".json") else text


def _secure(operation: OpenApi) -> None:
    operation["security"] = SECURITY
    # A new list, since routes may share the one that they gave.
    operation["parameters"] = [*operation.get("parameters", []), TENANT_HEADER]
