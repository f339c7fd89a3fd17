"""The settings, faults and tasks of one simulated A2A server."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

from local.simulators.faults import FaultKind, ServerFault
from local.simulators.request_log import ServerRequest
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline

RPC_PATH = "/rpc"
CARD_PATH = "/.well-known/agent-card.json"

type EndState = Literal["COMPLETED", "FAILED", "CANCELED", "REJECTED", "INPUT_REQUIRED", "AUTH_REQUIRED"]


class A2aFaultKind(StrEnum):
    """Faults that only this server has."""

    LOST_SUBMIT = "lost_submit"
    """The task is made, and the connection breaks before the answer."""
    FORGETS = "forgets"
    """The server does not know the task any more."""
    RPC_ERROR = "rpc_error"
    """An error of JSON-RPC with `rpc_code` under 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class A2aFault(ServerFault):
    """One fault; `rpc_code` belongs to `rpc_error`."""

    usual_paths: ClassVar[tuple[str, ...]] = (RPC_PATH,)

    kind: FaultKind | A2aFaultKind
    rpc_code: int = -32603


@dataclass(frozen=True, slots=True, kw_only=True)
class A2aSettings:
    """Settings of one server.

    Attributes
    ----------
    version
        That it speaks: `0.3` has another card and other methods.
    delay_seconds
        Duration of a task.
    ends_as
        The state in which tasks end.
    answers_at_once
        Whether a question is answered with a message and no task.
    rpc_url
        In the card; None for its own.
    """

    token: str | None = field(default=None, repr=False)
    version: Literal["1.0", "0.3"] = "1.0"
    delay_seconds: float = 3.0
    ends_as: EndState = "COMPLETED"
    answers_at_once: bool = False
    rpc_url: str | None = None
    faults: tuple[A2aFault, ...] = ()


@dataclass(slots=True)
class Task:
    """One task, with the time of its end on the monotonic clock."""

    id: str
    message_id: str
    question: str
    ends_seconds: float
    is_cancelled: bool = False


class SimulatedA2a(SimulatedServer[A2aFault, ServerRequest]):
    """One server: its settings, faults to come, requests seen, tasks made."""

    def __init__(self, settings: A2aSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or A2aSettings()
        super().__init__(self.settings.faults, ServerRequest, timeline)
        self.tasks: dict[str, Task] = {}

    def make_task(self, message_id: str, question: str) -> Task:
        """Return a new task; as in the real servers, nothing is done about a message that was sent before."""
        task_id = f"task-{len(self.tasks) + 1}"
        ends_seconds = self.timeline.monotonic_seconds() + self.settings.delay_seconds
        self.tasks[task_id] = Task(task_id, message_id, question, ends_seconds)
        return self.tasks[task_id]
