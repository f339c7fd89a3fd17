"""The settings, faults and jobs of one simulated driver server."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from local.simulators.faults import FaultKind, ServerFault
from local.simulators.request_log import ServerRequest
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline

ACTIONS_PATH = "/v1/actions/ask"


class DriverFaultKind(StrEnum):
    """Faults that only this server has."""

    LOST_SUBMIT = "lost_submit"
    """The action is taken, and the connection breaks before the answer."""
    NO_JOB_ID = "no_job_id"
    """202 without a `job_id`."""
    ACTION_FAILS = "action_fails"
    """The action ends in error, with `text`."""
    NO_ANSWER = "no_answer"
    """It succeeds with an empty result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFault(ServerFault):
    """One fault."""

    usual_paths: ClassVar[tuple[str, ...]] = (ACTIONS_PATH,)

    kind: FaultKind | DriverFaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """Settings of one server.

    Attributes
    ----------
    token
        What callers must send, in both headers; with None none is needed.
    delay_seconds
        Duration of an action.
    heeds_keys
        Whether `Idempotency-Key` is looked at, as not every driver does.
    cancels
        Whether a job can be deleted; False answers 405.
    """

    token: str | None = field(default=None, repr=False)
    delay_seconds: float = 3.0
    heeds_keys: bool = True
    cancels: bool = True
    faults: tuple[DriverFault, ...] = ()


@dataclass(slots=True)
class Action:
    """One action that was taken, with the time of its end on the monotonic clock."""

    job_id: str
    key: str
    question: str
    model: str
    ends_seconds: float
    fault: DriverFault | None = None
    is_cancelled: bool = False


class SimulatedDriver(SimulatedServer[DriverFault, ServerRequest]):
    """One server: its settings, faults to come, requests seen, actions taken."""

    def __init__(self, settings: DriverSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or DriverSettings()
        super().__init__(self.settings.faults, ServerRequest, timeline)
        self.actions: dict[str, Action] = {}

    def take(self, key: str, question: str, model: str, fault: DriverFault | None) -> Action:
        """Return the action that is under way under the key, or a new one."""
        if key and self.settings.heeds_keys:
            for action in self.actions.values():
                if action.key == key:
                    return action
        job_id = f"drv-{len(self.actions) + 1}"
        ends_seconds = self.timeline.monotonic_seconds() + self.settings.delay_seconds
        self.actions[job_id] = Action(job_id, key, question, model, ends_seconds, fault)
        return self.actions[job_id]
