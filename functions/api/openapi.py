"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import ProblemDocument

API_VERSION = "1.0.0"

OPEN_PATHS = ("/healthz", "/openapi.json", "/docs")
"""Paths that need no token."""

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]

type OpenApi = dict[str, Any]

TENANT_HEADER: OpenApi = {
    "name": "X-Tenant-ID",
    "in": "header",
    "required": False,
    "description": "The tenant whose token this is.",
    "schema": {"type": "string", "default": "default", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
}


def install(app: FastAPI) -> None:
    """Make `app.openapi()` return the whole document, made at the first call."""

    def document() -> OpenApi:
        if app.openapi_schema is None:
            app.openapi_schema = make_document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI's documentation shows


def make_document(app: FastAPI) -> OpenApi:
    """Return the OpenAPI 3.1 document with problems, security and the tenant's header."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = problem
    # FastAPI documents its own form of a 422, which problems.py never sends.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        if path not in OPEN_PATHS:
            for operation in operations.values():
                _secure(operation)
    return document


def _secure(operation: OpenApi) -> None:
    operation["security"] = SECURITY
    # A new list: what a route gave for its documentation may be shared with other routes.
    operation["parameters"] = [*operation.get("parameters", []), TENANT_HEADER]
