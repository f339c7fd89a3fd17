"""Every route that needs a token holds a query to the members that it declares."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute
from starlette.types import Scope

from api.app import create_app
from api.openapi import OPEN_PATHS
from api.queries import StrictRoute
from api.services import Services
from rune.errors import InvalidRequestError
from rune.tenants.tokens import NO_AUTHENTICATION

_NOTHING: Any = None
_APP = create_app(Services(*[_NOTHING for _ in fields(Services)]), with_docs=True)
_DOCUMENT = _APP.openapi()
ROUTES = [
    route for route in _APP.router.routes if isinstance(route, APIRoute) and route.path not in OPEN_PATHS
]


def refusal(route: APIRoute, method: str, query: str) -> InvalidRequestError:
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": route.path.replace("{job_id}", "a"),
        "query_string": query.encode(),
        "headers": [],
        "token": NO_AUTHENTICATION,
    }
    with pytest.raises(InvalidRequestError) as caught:
        asyncio.run(route.handle(scope, cast("Any", None), cast("Any", None)))
    return caught.value


def test_every_route_refuses_what_it_does_not_declare() -> None:
    for route in ROUTES:
        for method in route.methods or ():
            error = refusal(route, method, "unheard_of=1")

            assert (error.specific_code, error.pointer) == ("query_member_unknown", "/unheard_of"), route.path


def test_every_route_knows_what_the_document_says_of_it() -> None:
    for route in ROUTES:
        assert isinstance(route, StrictRoute)
        for method in route.methods or ():
            documented = _DOCUMENT["paths"][route.path][method.lower()].get("parameters", [])
            named = {each["name"]: each["schema"] for each in documented if each["in"] == "query"}

            assert named.keys() == route.query_members.keys()
            assert {name for name, schema in named.items() if "array" in str(schema)} == {
                name for name, is_repeatable in route.query_members.items() if is_repeatable
            }


@pytest.mark.parametrize(
    ("path", "query", "sentence"),
    [
        (
            "/v1/jobs",
            "statsu=running",
            "There is no query member 'statsu'. Did you mean 'status'? There are: status, kind, name, metadata",
        ),
        ("/v1/jobs", "Status=running", "There is no query member 'Status'. Did you mean 'status'? There"),
        (
            "/v1/jobs",
            "zebra=1",
            "There is no query member 'zebra'. There are: status, kind, name, metadata, limit, cursor",
        ),
        ("/v1/jobs", "limit=1&limit=2", "The query member 'limit' is there 2 times."),
        (
            "/v1/benchmarks/compare",
            "jobs=a,b&failOn=x",
            "There is no query member 'failOn'. Did you mean 'fail_on'? There",
        ),
        ("/v1/rentals/{rental_id}", "a=1", "There is no query member 'a': this route has none."),
        ("/v1/usage", "link=1", "There is no query member 'link'. There are: days."),
        ("/v1/jobs/{job_id}/events", "link=1&link=2", "The query member 'link' is there 2 times."),
        ("/v1/jobs", "x" * 1000, f"There is no query member '{'x' * 60}'. There are"),
    ],
)
def test_query_is_refused_by_name_with_a_hint(path: str, query: str, sentence: str) -> None:
    route = next(each for each in ROUTES if each.path == path and "GET" in (each.methods or ()))

    assert refusal(route, "GET", query).sentence.startswith(sentence)
