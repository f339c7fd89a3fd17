"""The format of a case, field by field (docs/diagnosis-cases.md)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.alias_generators import to_camel

from rune.kubernetes.causes import Cause, ClusterStatus
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.times import DURATION_PATTERN, OFFSET_PATTERN

MAX_CHANGES = 100
MAX_EVENTS = 200
MAX_LOG_LINES = 1_000
MAX_LINE_CHARS = 2_000
MAX_REPLICAS = 20
MAX_NUMBER = 9_999_999
MAX_EVENT_MESSAGE_CHARS = 1_024
"""The API's own bound."""


def _check_entity(text: str) -> str:
    return str(Entity.parse(text))


type EntityName = Annotated[str, Field(max_length=300), AfterValidator(_check_entity)]
type Offset = Annotated[str, Field(pattern=OFFSET_PATTERN)]
type Duration = Annotated[str, Field(pattern=DURATION_PATTERN)]
type Name = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
type Line = Annotated[str, Field(max_length=MAX_LINE_CHARS)]
type Number = int | Annotated[str, Field(pattern=r"^\$\{[a-z_]{1,30}\}$")]
"""A number, or the name of one of the case's `numbers`."""


def _check_range(ends: tuple[int, int]) -> tuple[int, int]:
    if not all(0 <= each <= MAX_NUMBER for each in ends):
        raise ValueError(f"numbers are between 0 and {MAX_NUMBER}")
    if ends[0] > ends[1]:
        raise ValueError("the lowest number is above the highest")
    return ends


type Range = Annotated[tuple[int, int], AfterValidator(_check_range)]


class Form(BaseModel):
    """A part of a case; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ObjectForm(BaseModel):
    """A part of an object; names as in Kubernetes."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Terminated(ObjectForm):
    """How a container ended."""

    exit_code: int = 1
    reason: str = "Error"
    message: str | None = None
    signal: int | None = None
    started: Offset | None = None
    finished: Offset = "-1m"


class PodState(ObjectForm):
    """What is set of a pod beside its spec; by container where there is a mapping."""

    node: str | None = None
    waiting: dict[Name, tuple[str, str]] | None = None
    """Reason and message; in the message `{uid}` is the pod's."""
    running: dict[Name, Offset] | None = None
    terminated: dict[Name, Terminated] | None = None
    last_state: dict[Name, Terminated] | None = None
    restart_count: Number | dict[Name, Number] | None = None
    ready: bool | dict[Name, bool] | None = None
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] | None = None
    reason: str | None = None
    message: str | None = None
    unscheduled: str | None = None
    """The scheduler's message; empty where no scheduler has looked at the pod."""
    deleting: Offset | None = None
    """Since when it is being deleted."""
    usage: dict[Name, tuple[str, str]] | None = None
    """CPU and memory of each container, as metrics-server tells them."""


class Template(ObjectForm):
    """What a workload's pods are made of: the usual in short, all else in `spec`."""

    container: Name | None = None
    image: str | None = None
    port: int | None = None
    env: dict[str, str | dict[str, str]] | None = None
    """A text, or `{"configMap": name, "key": key}`, or `{"secret": name, "key": key}`."""
    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None
    readiness: str | None = None
    """Path of an HTTP probe."""
    liveness: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    spec: dict[str, Any] | None = None
    """Merged into the pods' spec at last."""


class Shape(PodState):
    """What is said of an object: what many have in short, all else in Kubernetes' own members."""

    age: Duration | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] | None = None
    hash: Annotated[str, Field(pattern=r"^[a-z0-9]{4,10}$")] | None = None
    """Of a Deployment's ReplicaSet, which ends its name."""
    revision: int | None = None
    template: Template | None = None
    pods: PodState | None = None
    """Set on every pod of a workload."""
    conditions: dict[str, tuple[str, str, str, Offset]] | None = None
    """By type: status, reason, message, since when."""
    not_ready: Offset | None = None
    """Of a node: since when its kubelet is silent."""
    metadata: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None
    status: dict[str, Any] | None = None
    data: dict[str, str] | None = None
    fields: dict[str, Any] | None = None
    """Other members at the top of the object."""


class Add(Shape):
    """A new object."""

    add: EntityName
    like: EntityName | None = None
    """The object that it is copied from."""
    owner: EntityName | None = None


class Patch(ObjectForm):
    """An object that is there, changed."""

    patch: EntityName
    with_: Annotated[Shape, Field(alias="with")]


class Remove(ObjectForm):
    """An object that is there, taken away, with what it owns."""

    remove: EntityName


def _tell_change(value: object) -> str:
    """Return the branch of a change; no member has such a name, so that errors point at the document."""
    is_document = isinstance(value, dict)
    verbs = (verb for verb in ("patch", "remove") if (verb in value if is_document else hasattr(value, verb)))  # type: ignore[operator]  # a document
    return f"<{next(verbs, 'add')}>"


type Change = Annotated[
    Annotated[Add, Tag("<add>")] | Annotated[Patch, Tag("<patch>")] | Annotated[Remove, Tag("<remove>")],
    Discriminator(_tell_change),
]


class EventForm(Form):
    """An event. In its message `{uid}`, `{ip}` and `{node}` are the object's."""

    on: EntityName
    type: Literal["Normal", "Warning"] = "Normal"
    reason: Annotated[str, Field(max_length=128)]
    from_: Annotated[str, Field(alias="from", max_length=128)]
    message: Annotated[str, Field(max_length=MAX_EVENT_MESSAGE_CHARS)]
    count: Number = 1
    first: Offset | None = None
    last: Offset
    container: Name | None = None


class LogForm(Form):
    """Lines that repeat."""

    lines: Annotated[list[Line], Field(min_length=1, max_length=MAX_LOG_LINES)]
    every: Duration = "20s"
    count: Annotated[int, Field(ge=1, le=MAX_LOG_LINES)] = 60


type LogLines = LogForm | Annotated[list[Line | tuple[Offset, Line]], Field(max_length=MAX_LOG_LINES)]
"""Oldest first. In a line `{t}` is its time of day and `{ts}` its time in RFC 3339."""


class FindingForm(Form):
    """A finding that is expected."""

    cause: Cause
    entities: Annotated[tuple[EntityName, ...], Field(min_length=1, max_length=10)]
    accept: tuple[Cause, ...] = ()
    """Causes that are right as well."""


class Expectation(Form):
    """What a right report says."""

    status: ClusterStatus
    findings: Annotated[tuple[FindingForm, ...], Field(max_length=10)] = ()
    quotes: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    """What good evidence quotes; each occurs in what can be read."""

    @model_validator(mode="after")
    def _check_findings(self) -> Self:
        if bool(self.findings) != (self.status is ClusterStatus.UNHEALTHY):
            raise ValueError("findings are expected where the status is unhealthy, and nowhere else")
        return self


class RedHerring(Form):
    """What looks like a cause and is none."""

    cause: Cause
    entity: EntityName
    why: Annotated[str, Field(max_length=300)]


class Content(Form):
    """What stands in a cluster."""

    changes: Annotated[tuple[Change, ...], Field(max_length=MAX_CHANGES)] = ()
    events: Annotated[tuple[EventForm, ...], Field(max_length=MAX_EVENTS)] = ()
    logs: dict[str, LogLines] = {}
    """By `Kind/namespace/name/container`, with `/previous` behind it for the container before."""


class CaseForm(Content):
    """A case."""

    id: Annotated[str, Field(max_length=60, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    base: Annotated[str, Field(max_length=60)]
    now: datetime
    difficulty: Annotated[int, Field(ge=1, le=5)] = 2
    ask: Annotated[str, Field(min_length=1, max_length=1_000)]
    numbers: Annotated[dict[str, Range], Field(max_length=20)] = {}
    """Lowest and highest of numbers that the seed chooses; texts name them as `${name}`."""
    metrics: Literal["up", "down", "absent"] = "up"
    rbac_denied: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    """Resources that the reader may not read beside those of its ClusterRole: `events`, `pods/log`."""
    expect: Expectation
    red_herrings: Annotated[tuple[RedHerring, ...], Field(max_length=10)] = ()
    max_calls: Annotated[int, Field(ge=1, le=60)] = 12


class Base(Form):
    """A cluster that cases change."""

    parts: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    """Names that the seed changes: the base's own first, then those it may become."""
