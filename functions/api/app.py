"""The API as an ASGI app, with everything it talks to handed in."""

from fastapi import FastAPI

from api import problems
from api.limits import BodyLimit
from api.routes import health, jobs
from rune.jobs.desk import Desk
from rune.net.addresses import AddressPolicy
from rune.tenants.tokens import TokenBook


def create_app(
    *, desk: Desk, tokens: TokenBook, auth_disabled: bool, address_policy: AddressPolicy
) -> FastAPI:
    """Return the API."""
    app = FastAPI(
        title="RUNE",
        description="Reliability Use-case Numeric Evaluator: LLM jobs that answer with numbers.",
        # A redirect would be built from the Host header, which the caller chooses.
        redirect_slashes=False,
        # The readable docs load scripts from the internet; the document itself comes with its own switch.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.desk = desk
    app.state.tokens = tokens
    app.state.auth_disabled = auth_disabled
    app.state.address_policy = address_policy
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.include_router(health.router)
    app.include_router(jobs.router)
    return app
