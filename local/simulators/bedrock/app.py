"""The routes of a simulated Bedrock: lists, and answers whole or in frames."""

from collections.abc import AsyncGenerator
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.bedrock.conversation import Answer, ConverseBody, Piece, answer, find_model
from local.simulators.bedrock.exchange import Call, Exchange, Handler
from local.simulators.bedrock.faults import Fault, FaultKind
from local.simulators.bedrock.frames import encode_event
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.scripts import fault_route
from local.simulators.timing import sleep_until

_FAULTS = TypeAdapter(list[Fault])

type Json = dict[str, Any]


async def list_foundation_models(state: SimulatedBedrock, call: Call) -> Json:
    """Answer `GET /foundation-models`, filtered as asked."""
    query = call.request.query_params
    return {
        "modelSummaries": [
            model.summary(state.settings.region)
            for model in state.settings.models
            if query.get("byProvider", model.provider) == model.provider
            and query.get("byOutputModality", model.outputs[0]) in model.outputs
        ]
    }


async def list_inference_profiles(state: SimulatedBedrock, call: Call) -> Json:
    """Answer `GET /inference-profiles`, a page at a time."""
    settings, query = state.settings, call.request.query_params
    at = int(query.get("nextToken", "0"))
    size = min(int(query.get("maxResults", settings.page_size)), settings.page_size)
    profiles = [model.profile_summary(settings.region) for model in settings.models if model.writes]
    more = {"nextToken": str(at + size)} if at + size < len(profiles) else {}
    return {"inferenceProfileSummaries": profiles[at : at + size], **more}


async def converse(state: SimulatedBedrock, call: Call) -> Json:
    """Answer in one piece, when all of it is there."""
    answered = _answer(state, call)
    async for _ in _paced(state, call, answered):
        pass
    return {
        "output": {"message": answered.message},
        "stopReason": answered.stop_reason,
        "usage": answered.usage,
        "metrics": {"latencyMs": _latency_ms(state, call)},
    }


async def converse_stream(state: SimulatedBedrock, call: Call) -> AsyncGenerator[bytes]:
    """Answer in frames, each at its due time."""
    return _frames(state, call, _answer(state, call))


def _answer(state: SimulatedBedrock, call: Call) -> Answer:
    model = find_model(state.settings, call.request.path_params["model"])
    return answer(state.settings, model, ConverseBody.read(call.raw))


async def _frames(state: SimulatedBedrock, call: Call, answered: Answer) -> AsyncGenerator[bytes]:
    yield encode_event("messageStart", {"role": "assistant"})
    block = 0
    stop_reason = answered.stop_reason
    async for piece in _paced(state, call, answered):
        if call.fault is not None and call.is_struck_by(FaultKind.STOPPED):
            stop_reason = call.fault.code
            break
        if piece.block != block:
            yield encode_event("contentBlockStop", {"contentBlockIndex": block})
            block = piece.block
        number: Json = {"contentBlockIndex": block}
        if piece.start:
            yield encode_event("contentBlockStart", {**number, "start": piece.start})
        else:
            call.record.chunk_count += 1
            yield encode_event("contentBlockDelta", {**number, "delta": piece.delta})
    if call.record.chunk_count:
        yield encode_event("contentBlockStop", {"contentBlockIndex": block})
    yield encode_event("messageStop", {"stopReason": stop_reason})
    metrics = {"latencyMs": _latency_ms(state, call)}
    yield encode_event("metadata", {"usage": answered.usage, "metrics": metrics})


async def _paced(state: SimulatedBedrock, call: Call, answered: Answer) -> AsyncGenerator[Piece]:
    settings, timeline = state.settings, state.timeline
    is_slow = call.fault is not None and call.fault.kind is FaultKind.SLOW
    factor = call.fault.slow_factor if call.fault and is_slow else 1.0
    due_seconds = call.started_seconds + (
        0 if settings.gaps_seconds else settings.first_token_seconds * factor
    )
    paced_count = 0
    for piece in answered.pieces:
        if settings.gaps_seconds and piece.token_count:
            due_seconds += settings.gaps_seconds[paced_count % len(settings.gaps_seconds)] * factor
        await sleep_until(timeline, due_seconds)
        yield piece
        if piece.token_count:
            paced_count += 1
            if not settings.gaps_seconds:
                due_seconds += piece.token_count / settings.output_tokens_per_second * factor


def _latency_ms(state: SimulatedBedrock, call: Call) -> int:
    return round((state.timeline.monotonic_seconds() - call.started_seconds) * 1000)


def create_app(state: SimulatedBedrock) -> Starlette:
    """Return the ASGI app that serves one simulated region; apps share nothing.

    Beside Bedrock's own paths: `/_sim/faults` (POST adds a JSON list of faults, GET lists, DELETE clears) and
    `/_sim/requests` (GET lists what was asked, narrowed by the query's `path` and `model`, DELETE forgets).
    """

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.requests.records.clear()
        query = request.query_params
        wanted = state.requests.select(path=query.get("path"), model=query.get("model"))
        return JSONResponse({"requests": [record.describe() for record in wanted]})

    routes: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/foundation-models", list_foundation_models),
        ("GET", "/inference-profiles", list_inference_profiles),
        ("POST", "/model/{model:path}/converse", converse),
        ("POST", "/model/{model:path}/converse-stream", converse_stream),
    )
    return Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[
            *(Route(path, Exchange(state, handler), methods=[method]) for method, path, handler in routes),
            fault_route(state.faults, _FAULTS),
            Route("/_sim/requests", requests, methods=["GET", "DELETE"]),
        ],
    )
