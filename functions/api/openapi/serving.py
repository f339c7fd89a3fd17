"""The document in the app, made when somebody asks for it."""

from collections.abc import Callable

from fastapi import FastAPI

from api.openapi import OpenApi


def install(app: FastAPI, add_rare_routes: Callable[[], None]) -> None:
    """Make `app.openapi()` return the whole document, made at the first call.

    Parameters
    ----------
    add_rare_routes
        Adds the routes that the app does not have yet.
    """

    def document() -> OpenApi:
        if app.openapi_schema is None:
            from api.openapi.document import make_document  # noqa: PLC0415  # every cold start would pay for it

            add_rare_routes()
            app.openapi_schema = make_document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI's documentation shows
