"""The API as an ASGI app; the services that it calls are given to it."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

from fastapi import FastAPI
from pydantic.warnings import UnsupportedFieldAttributeWarning
from starlette.types import Receive, Scope, Send

from api import openapi, problems, response_headers
from api.auth import Authentication
from api.body_limit import BodyLimit
from api.openapi.serving import install as install_document
from api.rates import TenantRateLimit
from api.request_lines import RequestLines
from api.routes import health, jobs, submissions
from api.services import Services


def create_app(services: Services, *, with_docs: bool, cors_origins: Sequence[str] = ()) -> FastAPI:
    """Return the API.

    Parameters
    ----------
    with_docs
        Whether `/openapi.json` and `/docs` are served.
    cors_origins
        Origins whose scripts may call the API from a browser.
    """
    app = FastAPI(
        title="RUNE",
        version=openapi.API_VERSION,
        description="Reliability Use-case Numeric Evaluator: LLM jobs that answer with numbers.",
        # A redirect would be built from the Host header, which the caller chooses.
        redirect_slashes=False,
        # FastAPI's own pages load scripts from the internet; api/routes/docs.py serves ours.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    # FastAPI silences it while it builds a validator; those of documents are built when first used.
    warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)
    app.state.services = services
    problems.install(app)
    app.add_middleware(BodyLimit)
    open_paths = openapi.OPEN_PATHS if with_docs else openapi.HEALTH_PATHS
    app.add_middleware(TenantRateLimit, rates=services.rates)
    app.add_middleware(Authentication, services=services, open_paths=frozenset(open_paths))
    app.add_middleware(RequestLines)
    if cors_origins:
        _let_browsers_call(app, cors_origins)
    # Routes are tried in order: the most frequent ones, polling and submitting, come first. In one flat list, since
    # an included router would be matched as one more level for every request.
    for common in (jobs, submissions, health):
        app.router.routes.extend(common.router.routes)
    install_document(app, _add_rare_routes_when_needed(app, with_docs=with_docs))
    return app


def _let_browsers_call(app: FastAPI, origins: Sequence[str]) -> None:
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415  # few deployments need it

    # Never with credentials: a token is a header that the script itself sets, and cookies there are none.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=response_headers.CORS_METHODS,
        allow_headers=response_headers.CORS_TAKEN,
        expose_headers=response_headers.CORS_EXPOSED,
        max_age=response_headers.CORS_MAX_AGE_SECONDS,
    )


def _add_rare_routes_when_needed(app: FastAPI, *, with_docs: bool) -> Callable[[], None]:
    """Add the routes that few requests take once a request matches no other, or the returned function is called.

    Their modules and documents, and what FastAPI makes of each route, would be a tenth of every cold start.
    """
    answer_not_found = app.router.default

    @cache
    def add() -> None:
        from api.routes import (  # noqa: PLC0415
            artifacts,
            baselines,
            benchmarks,
            docs,
            estimates,
            finops,
            links,
            metrics,
            models,
            page_links,
            receipts,
            rentals,
            schedules,
            stop,
            suites,
            usage,
            webhooks,
        )

        for rare in (
            estimates,
            finops,
            models,
            metrics,
            rentals,
            receipts,
            artifacts,
            benchmarks,
            baselines,
            suites,
            links,
            page_links,
            schedules,
            usage,
            webhooks,
            # Last: a client that calls each route in turn would stop itself.
            stop,
        ):
            app.router.routes.extend(rare.router.routes)
        if with_docs:
            app.router.routes.extend(docs.router.routes)

    async def add_and_route_again(scope: Scope, receive: Receive, send: Send) -> None:
        app.router.default = answer_not_found
        add()
        await app.router(scope, receive, send)

    app.router.default = add_and_route_again
    return add
