"""Rare routes are there with the first request that no other route matches."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException

from api.app import create_app
from api.services import Services

NOTHING: Any = None


def an_app(*, with_docs: bool = False) -> FastAPI:
    """Return an app without services, which only answers who needs none."""
    given = {each.name: NOTHING for each in fields(Services)}
    return create_app(Services(**given), with_docs=with_docs)


def get(app: FastAPI, path: str) -> int:
    """Return the status of an answer."""

    async def ask() -> int:
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://api.example") as client:
            return (await client.get(path)).status_code

    return asyncio.run(ask())


def paths(app: FastAPI) -> set[str]:
    return {route.path for route in app.router.routes}  # type: ignore[attr-defined]  # all are plain routes


def test_common_request_adds_no_route() -> None:
    app = an_app()
    before = paths(app)

    assert get(app, "/healthz") == 200
    assert paths(app) == before


def test_request_to_a_rare_route_is_answered_first_and_later() -> None:
    app = an_app(with_docs=True)

    assert [get(app, path) for path in ("/docs", "/openapi.json", "/healthz", "/docs")] == [200] * 4


def test_routes_are_added_once() -> None:
    app = an_app(with_docs=True)
    app.openapi()
    whole = list(app.router.routes)

    with pytest.raises(HTTPException, match="404"):
        asyncio.run(
            app.router({"type": "http", "path": "/nowhere", "method": "GET", "app": app}, NOTHING, NOTHING)
        )
    assert app.router.routes == whole


def test_document_has_the_rare_routes() -> None:
    app = an_app()

    assert {"/v1/rentals", "/v1/benchmarks/compare"} & paths(app) == set()
    assert {"/v1/rentals", "/v1/benchmarks/compare"} <= app.openapi()["paths"].keys()
