"""One server for many tests, with a new simulator for each."""

from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from local.simulators.timing import RealTimeline


@dataclass
class Host:
    """An ASGI app that forwards to the simulator of the running test."""

    app: ASGIApp
    address: str = ""

    @classmethod
    def empty(cls) -> "Host":
        return cls(Starlette())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class SkippingTimeline(RealTimeline):
    """Real time plus what a test has skipped."""

    def __init__(self) -> None:
        self.skipped_seconds = 0.0

    def monotonic_seconds(self) -> float:
        return super().monotonic_seconds() + self.skipped_seconds
