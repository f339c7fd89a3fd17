"""The routes of a simulated Bedrock: lists, and answers whole or in frames."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Route

from local.simulators.bedrock.catalog import Json
from local.simulators.bedrock.conversation import Answer, AnswerEvent, ConverseBody, answer, find_model
from local.simulators.bedrock.faults import BedrockFault, BedrockFaultKind
from local.simulators.bedrock.frames import MEDIA_TYPE, corrupt, encode_event
from local.simulators.bedrock.route import BedrockCall, BedrockRoute, Handler
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.control import fault_route, request_route
from local.simulators.route import Stream, Whole
from local.simulators.timing import sleep_until

_CONTENT = "contentBlockDelta"


@dataclass(frozen=True, slots=True)
class _Frame:
    """One event of a streamed answer."""

    name: str
    members: Json
    is_corrupt: bool = False

    def encode(self) -> bytes:
        encoded = encode_event(self.name, self.members)
        return corrupt(encoded) if self.is_corrupt else encoded


async def list_foundation_models(state: SimulatedBedrock, call: BedrockCall) -> Whole:
    """Answer `GET /foundation-models`, filtered as asked."""
    query = call.request.query_params
    return _whole(
        {
            "modelSummaries": [
                model.summary(state.settings.region)
                for model in state.settings.models
                if query.get("byProvider", model.provider) == model.provider
                and query.get("byOutputModality", model.outputs[0]) in model.outputs
            ]
        }
    )


async def list_inference_profiles(state: SimulatedBedrock, call: BedrockCall) -> Whole:
    """Answer `GET /inference-profiles`, a page at a time."""
    settings, query = state.settings, call.request.query_params
    at = int(query.get("nextToken", "0"))
    size = min(int(query.get("maxResults", settings.page_size)), settings.page_size)
    profiles = [model.profile_summary(settings.region) for model in settings.models if model.writes]
    more = {"nextToken": str(at + size)} if at + size < len(profiles) else {}
    return _whole({"inferenceProfileSummaries": profiles[at : at + size], **more})


async def converse(state: SimulatedBedrock, call: BedrockCall) -> Whole:
    """Answer with one JSON object."""
    answered = _answer(state, call)
    async for _ in _paced(state, call, answered):
        pass
    return _whole(
        {
            "output": {"message": answered.message},
            "stopReason": answered.stop_reason,
            "usage": answered.usage,
            "metrics": {"latencyMs": _latency_ms(state, call)},
        }
    )


async def converse_stream(state: SimulatedBedrock, call: BedrockCall) -> Stream[_Frame]:
    """Answer in frames, each at its due time."""
    frames = _frames(state, call, _answer(state, call))
    return Stream(frames, _Frame.encode, MEDIA_TYPE, has_content=lambda frame: frame.name == _CONTENT)


def _whole(members: Json) -> Whole:
    return Whole(json.dumps(members).encode())


def _answer(state: SimulatedBedrock, call: BedrockCall) -> Answer:
    model = find_model(state.settings, call.request.path_params["model"])
    return answer(state.settings, model, ConverseBody.read(call.raw))


async def _frames(state: SimulatedBedrock, call: BedrockCall, answered: Answer) -> AsyncGenerator[_Frame]:
    yield _Frame("messageStart", {"role": "assistant"})
    fault = call.fault
    block = content_count = 0
    stop_reason = answered.stop_reason
    async for event in _paced(state, call, answered):
        if fault is not None and content_count == fault.after_chunks:
            if fault.kind is BedrockFaultKind.STOPPED:
                stop_reason = fault.code
                break
            if fault.kind is BedrockFaultKind.CORRUPT:
                yield _Frame("contentBlockStop", {"contentBlockIndex": block}, is_corrupt=True)
                return
        if event.block != block:
            yield _Frame("contentBlockStop", {"contentBlockIndex": block})
            block = event.block
        number: Json = {"contentBlockIndex": block}
        if event.start:
            yield _Frame("contentBlockStart", {**number, "start": event.start})
        else:
            content_count += 1
            yield _Frame(_CONTENT, {**number, "delta": event.delta})
    if content_count:
        yield _Frame("contentBlockStop", {"contentBlockIndex": block})
    yield _Frame("messageStop", {"stopReason": stop_reason})
    metrics = {"latencyMs": _latency_ms(state, call)}
    yield _Frame("metadata", {"usage": answered.usage, "metrics": metrics})


async def _paced(state: SimulatedBedrock, call: BedrockCall, answered: Answer) -> AsyncGenerator[AnswerEvent]:
    settings, timeline = state.settings, state.timeline
    factor = call.slow_factor
    due_seconds = call.started_seconds + (
        0 if settings.gaps_seconds else settings.first_token_seconds * factor
    )
    paced_count = 0
    for event in answered.events:
        if settings.gaps_seconds and event.token_count:
            due_seconds += settings.gaps_seconds[paced_count % len(settings.gaps_seconds)] * factor
        await sleep_until(timeline, due_seconds)
        yield event
        if event.token_count:
            paced_count += 1
            if not settings.gaps_seconds:
                due_seconds += event.token_count / settings.output_tokens_per_second * factor


def _latency_ms(state: SimulatedBedrock, call: BedrockCall) -> int:
    return round((state.timeline.monotonic_seconds() - call.started_seconds) * 1000)


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/foundation-models", list_foundation_models),
    ("GET", "/inference-profiles", list_inference_profiles),
    ("POST", "/model/{model:path}/converse", converse),
    ("POST", "/model/{model:path}/converse-stream", converse_stream),
)


def create_app(state: SimulatedBedrock) -> Starlette:
    """Return the ASGI app that serves one simulated region; apps share nothing."""
    routes = (
        Route(path, BedrockRoute(state, handler), methods=[method]) for method, path, handler in _ROUTES
    )
    return Starlette(
        # uvicorn's log is silent, so a defect of the simulator shows its traceback in the answer.
        debug=True,
        routes=[*routes, fault_route(state.faults, BedrockFault), request_route(state.requests)],
    )
