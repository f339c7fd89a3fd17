"""What simulators share about going wrong on purpose: the list of faults to come, and the route that sets it."""

from collections.abc import Callable, Iterable
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Scripted(Protocol):
    """What every fault says of itself, whatever it spoils."""

    @property
    def after_requests(self) -> int:
        """How many requests of its sort go well first."""
        ...

    @property
    def times(self) -> int | None:
        """How many requests it spoils before it is used up; None for all."""
        ...


class Script[F: Scripted]:
    """The faults still to come, first come first served."""

    def __init__(self, faults: Iterable[F] = ()) -> None:
        self._pending: list[tuple[F, list[int]]] = []
        self.add(faults)

    def add(self, faults: Iterable[F]) -> None:
        """Put faults at the end."""
        self._pending.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._pending.clear()

    def pending(self) -> tuple[F, ...]:
        """Return the faults that are not used up, in order."""
        return tuple(fault for fault, _ in self._pending)

    def take_where(self, concerns: Callable[[F], bool]) -> F | None:
        """Return the first fault that is due for a request which it concerns, and count the request."""
        for entry in self._pending:
            fault, seen = entry
            if not concerns(fault):
                continue
            seen[0] += 1
            if seen[0] <= fault.after_requests:
                continue
            if fault.times is not None and seen[0] >= fault.after_requests + fault.times:
                self._pending.remove(entry)
            return fault
        return None


def explain_refusal(error: ValidationError) -> Response:
    """Return the 422 of a control route whose body is wrong."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"error": details}, 422)


def fault_route[F: Scripted](script: Script[F], faults: TypeAdapter[list[F]]) -> Route:
    """Return `/_sim/faults`: POST adds a JSON list of faults, GET lists those to come, DELETE clears."""

    async def answer(request: Request) -> Response:
        if request.method == "POST":
            try:
                script.add(faults.validate_json(await request.body()))
            except ValidationError as error:
                return explain_refusal(error)
        if request.method == "DELETE":
            script.clear()
        return JSONResponse({"faults": faults.dump_python(list(script.pending()), mode="json")})

    return Route("/_sim/faults", answer, methods=["GET", "POST", "DELETE"])
