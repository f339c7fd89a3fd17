"""The whole document, put together."""

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.openapi import OPEN_PATHS, OpenApi, answers, examples, schemas, texts
from api.response_headers import SECRETIVE

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}]

TENANT_HEADER: OpenApi = {
    "name": "X-Tenant-ID",
    "in": "header",
    "required": False,
    "description": "The tenant whose token this is.",
    "schema": {"type": "string", "default": "default", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
}


def make_document(app: FastAPI) -> OpenApi:
    """Return the OpenAPI 3.1 document of an app with all its routes."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            # FastAPI's own would hold path and method, and change with them.
            route.operation_id = route.name
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.description,
        description=texts.DESCRIPTION,
        routes=app.routes,
        tags=texts.TAGS,
        servers=texts.SERVERS,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    schemas.complete(document)
    _secure(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            texts.complete_parameters(path, operation)
            is_secretive = (method.upper(), path) in SECRETIVE
            answers.complete(operation, is_open=path in OPEN_PATHS, is_secretive=is_secretive)
    answers.add_components(document)
    examples.add(document)
    return document


def _secure(document: OpenApi) -> None:
    """Add how callers show who they are."""
    from rune.services.links import PAGES, PATHS  # noqa: PLC0415  # as few requests have a link
    from rune.tenants.links import PARAMETER  # noqa: PLC0415

    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": texts.BEARER},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": texts.API_KEY},
        "link": {"type": "apiKey", "in": "query", "name": PARAMETER, "description": texts.LINK},
    }
    linked = {*PATHS.values(), *PAGES.values()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in OPEN_PATHS:
                operation["security"] = []
                continue
            is_linked = path in linked and method == "get"
            operation["security"] = [*SECURITY, {"link": []}] if is_linked else SECURITY
            # A new list, since routes may share the one that they gave.
            operation["parameters"] = [*operation.get("parameters", []), TENANT_HEADER]
