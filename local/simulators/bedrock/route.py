"""Routes of the simulated Bedrock: signatures, errors, and events in frames."""

import json
from collections.abc import Awaitable, Callable
from typing import override

from starlette.requests import Request

from local.simulators.bedrock.faults import BedrockError, BedrockFault
from local.simulators.bedrock.frames import encode_exception
from local.simulators.bedrock.state import SimulatedBedrock
from local.simulators.errors import ServiceError
from local.simulators.request_log import ServerRequest
from local.simulators.route import Call, Reply, SimulatedRoute, Whole

type BedrockCall = Call[BedrockFault]
type Handler = Callable[[SimulatedBedrock, BedrockCall], Awaitable[Reply]]


class BedrockRoute(SimulatedRoute[BedrockFault, ServerRequest]):
    """A route of either service."""

    def __init__(self, state: SimulatedBedrock, handler: Handler) -> None:
        super().__init__(state)
        self._state = state
        self._handler = handler

    @override
    async def reply(self, call: BedrockCall) -> Reply:
        return await self._handler(self._state, call)

    @override
    def fill_record(self, record: ServerRequest, request: Request, raw: bytes) -> None:
        record.model = request.path_params.get("model")

    @override
    def check_access(self, request: Request) -> None:
        """Refuse what no client of AWS sends; the signature itself is not computed."""
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise BedrockError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if "/bedrock/aws4_request" not in authorization:
            raise BedrockError(
                403, "InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'."
            )

    @override
    def write_error(self, error: ServiceError) -> Whole:
        body = json.dumps({"message": error.text}).encode()
        return Whole(body, status=error.status, headers={"x-amzn-errortype": _code(error)})

    @override
    def write_error_chunk(self, error: ServiceError) -> bytes:
        return encode_exception(_code(error), error.text)


def _code(error: ServiceError) -> str:
    return error.code if isinstance(error, BedrockError) else "InternalServerException"
