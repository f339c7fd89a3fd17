"""Control of the simulator itself, outside of Ollama's paths: `/_sim/faults` and `/_sim/requests`."""

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.simulators.ollama.faults import Fault
from local.simulators.ollama.state import SimulatedOllama
from local.simulators.scripts import fault_route

_FAULTS = TypeAdapter(list[Fault])


def control_routes(state: SimulatedOllama) -> list[BaseRoute]:
    """Return the control routes of one server.

    `/_sim/faults`: POST adds a JSON list of faults (the fields of `Fault`), GET lists those to come, DELETE clears.
    `/_sim/requests`: GET lists what was asked, narrowed by the query's `path` and `model`, DELETE forgets.
    """

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.requests.records.clear()
        wanted = state.requests.select(
            path=request.query_params.get("path"), model=request.query_params.get("model")
        )
        return JSONResponse({"requests": [record.describe() for record in wanted]})

    return [
        fault_route(state.faults, _FAULTS),
        Route("/_sim/requests", requests, methods=["GET", "DELETE"]),
    ]
