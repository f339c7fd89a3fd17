"""The API as an ASGI app, with everything it talks to handed in."""

from fastapi import FastAPI

from api import openapi, problems
from api.auth import Authentication
from api.body_limit import BodyLimit
from api.routes import benchmarks, docs, estimates, health, jobs, metrics, models, rentals, submissions
from api.services import Services


def create_app(services: Services, *, with_docs: bool) -> FastAPI:
    """Return the API.

    Parameters
    ----------
    with_docs
        Whether `/openapi.json` and `/docs` are served.
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
    app.state.services = services
    problems.install(app)
    app.add_middleware(BodyLimit)
    open_paths = openapi.OPEN_PATHS if with_docs else openapi.OPEN_PATHS[:1]
    app.add_middleware(Authentication, services=services, open_paths=frozenset(open_paths))
    # Routes are tried in order, and pollers and submitters are the callers. One flat list: a router that is
    # included is matched as one more level, for every request.
    for routes in (jobs, submissions, health, estimates, models, metrics, rentals, benchmarks):
        app.router.routes.extend(routes.router.routes)
    if with_docs:
        app.router.routes.extend(docs.router.routes)
    openapi.install(app)
    return app
