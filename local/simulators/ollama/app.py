"""The routes of a simulated Ollama server."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.simulators.control import fault_route, request_route
from local.simulators.ollama import inference, library, openai
from local.simulators.ollama.faults import OllamaFault
from local.simulators.ollama.route import Handler, NativeRoute
from local.simulators.ollama.state import SimulatedOllama

_NATIVE_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/version", library.version),
    ("GET", "/api/tags", library.tags),
    ("GET", "/api/ps", library.ps),
    ("POST", "/api/show", library.show),
    ("POST", "/api/pull", library.pull),
    ("POST", "/api/generate", inference.generate),
    ("POST", "/api/chat", inference.chat),
)
_OPENAI_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/models", openai.list_models),
    ("GET", "/v1/models/{model:path}", openai.retrieve_model),
    ("POST", "/v1/chat/completions", openai.complete_chat),
)


async def _say_running(_request: Request) -> Response:
    return PlainTextResponse("Ollama is running")


async def _say_not_found(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("404 page not found", 404)


async def _say_wrong_method(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("405 method not allowed", 405)


def create_app(state: SimulatedOllama) -> Starlette:
    """Return the ASGI app that serves one simulated server; apps share nothing."""
    native = (
        Route(path, NativeRoute(state, handler), methods=[method]) for method, path, handler in _NATIVE_ROUTES
    )
    openai_style = (
        Route(path, openai.OpenAiRoute(state, handler), methods=[method])
        for method, path, handler in _OPENAI_ROUTES
    )
    return Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[
            Route("/", _say_running),
            *native,
            *openai_style,
            fault_route(state.faults, OllamaFault),
            request_route(state.requests),
        ],
        exception_handlers={404: _say_not_found, 405: _say_wrong_method},
    )
