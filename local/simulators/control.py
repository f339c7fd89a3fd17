"""The control routes that all simulators have, outside of the simulated service's paths."""

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Fault, FaultQueue
from local.simulators.request_log import RequestLog, RequestRecord


def explain_refusal(error: ValidationError) -> Response:
    """Return the 422 of a control route whose body is wrong."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"error": details}, 422)


def fault_route[F: Fault](faults: FaultQueue[F], fault_type: type[F]) -> Route:
    """Return `/_sim/faults`: POST adds a JSON list of faults, GET lists those to come, DELETE removes them."""
    adapter = TypeAdapter(list[fault_type])  # type: ignore[valid-type]  # a type that is a value

    async def answer(request: Request) -> Response:
        if request.method == "POST":
            try:
                faults.add(*adapter.validate_json(await request.body()))
            except ValidationError as error:
                return explain_refusal(error)
        if request.method == "DELETE":
            faults.clear()
        return JSONResponse({"faults": adapter.dump_python(list(faults.pending()), mode="json")})

    return Route("/_sim/faults", answer, methods=["GET", "POST", "DELETE"])


def request_route[R: RequestRecord](log: RequestLog[R]) -> Route:
    """Return `/_sim/requests`: GET lists the log, narrowed by the query; DELETE forgets it.

    The query may name what the records' `filters` list; anything else is answered with 422.
    """

    async def answer(request: Request) -> Response:
        if request.method == "DELETE":
            log.records.clear()
        query = dict(request.query_params)
        if unknown := query.keys() - set(log.record_type.filters):
            return JSONResponse({"error": f"unknown filters: {', '.join(sorted(unknown))}"}, 422)
        return JSONResponse({"requests": [record.describe() for record in log.select(**query)]})

    return Route("/_sim/requests", answer, methods=["GET", "DELETE"])
