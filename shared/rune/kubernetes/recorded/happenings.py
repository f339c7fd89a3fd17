"""Events and logs of a cluster: those that a case tells, and those that any cluster has."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from rune.kubernetes.recorded.building import Builder
from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.forms import EventForm, LogForm, LogLines
from rune.kubernetes.recorded.problems import CaseProblem
from rune.kubernetes.recorded.times import read_duration, read_offset, read_time, write_micro_time, write_time
from rune.kubernetes.recorded.world import EVENT_TTL, LogKey, LogLine

_SCHEDULER = "default-scheduler"
_CLUSTER_SCOPED_NAMESPACE = "default"
_PREVIOUS = "previous"


def write_event(builder: Builder, form: EventForm, number: int) -> Document:
    """Return an event of core/v1; the scheduler's in the newer style, with eventTime and series."""
    entity = Entity.parse(form.on)
    document = builder.objects.get(entity) or {
        "metadata": {"uid": builder.uid_of(entity)},
        "apiVersion": "v1",
    }
    last = read_offset(form.last, builder.now)
    first = read_offset(form.first, builder.now) if form.first else last
    uid = document["metadata"]["uid"]
    involved: Document = {
        "kind": entity.kind,
        "apiVersion": document["apiVersion"],
        "name": entity.name,
        "uid": uid,
    }
    if entity.namespace:
        involved["namespace"] = entity.namespace
    if entity.kind == "Node":
        # The kubelet does not know its node's uid.
        involved["uid"] = entity.name
    if form.container:
        member = "initContainers" if _is_init(document, form.container) else "containers"
        involved["fieldPath"] = f"spec.{member}{{{form.container}}}"
    if "resourceVersion" not in involved and entity.kind != "Node":
        involved["resourceVersion"] = "180944"
    token = hashlib.md5(f"{number}/{entity}/{form.reason}".encode(), usedforsecurity=False).hexdigest()[:16]
    namespace = entity.namespace or _CLUSTER_SCOPED_NAMESPACE
    host = dig(document, "spec", "nodeName") or (entity.name if entity.kind == "Node" else "")
    message = form.message.replace("{uid}", uid).replace("{node}", host)
    message = message.replace("{ip}", dig(document, "status", "podIP") or "10.42.0.9")
    event: Document = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{entity.name}.{token}",
            "namespace": namespace,
            "uid": builder.uid_of(Entity("Event", namespace, f"{entity.name}.{token}")),
            "resourceVersion": str(240_000 + number),
            "creationTimestamp": write_time(first),
        },
        "involvedObject": involved,
        "reason": form.reason,
        "message": message,
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "type": form.type,
        "eventTime": None,
        "reportingComponent": form.from_,
        "reportingInstance": "",
    }
    count = int(form.count)
    if form.from_ == _SCHEDULER:
        event["eventTime"] = write_micro_time(first)
        event["action"] = "Scheduling"
        event["reportingInstance"] = f"{_SCHEDULER}-control-a"
        if count > 1:
            event["series"] = {"count": count, "lastObservedTime": write_micro_time(last)}
        return event
    event["source"] = {"component": form.from_}
    if form.from_ == "kubelet" and host:
        event["source"]["host"] = event["reportingInstance"] = host
    event.update(firstTimestamp=write_time(first), lastTimestamp=write_time(last), count=count)
    return event


def _is_init(document: Document, container: str) -> bool:
    return any(each["name"] == container for each in dig(document, "spec", "initContainers") or [])


def last_seen(event: Document) -> datetime:
    """Return when an event of core/v1 happened last."""
    stamp = event["lastTimestamp"] or dig(event, "series", "lastObservedTime") or event["eventTime"]
    return read_time(stamp or event["metadata"]["creationTimestamp"])


def usual_events(builder: Builder) -> Iterator[EventForm]:
    """Return what scheduler, kubelet and controllers tell of pods that were made within the last hour."""
    for entity, pod in builder.objects.items():
        created = read_time(pod["metadata"]["creationTimestamp"])
        age = builder.now - created
        if entity.kind != "Pod" or age >= EVENT_TTL:
            continue
        at = f"-{int(age.total_seconds())}s"
        references = pod["metadata"].get("ownerReferences")
        if references:
            owner = f"{references[0]['kind']}/{entity.namespace}/{references[0]['name']}"
            source = {"ReplicaSet": "replicaset-controller", "Job": "job-controller"}.get(
                references[0]["kind"], "statefulset-controller"
            )
            yield _event(owner, "SuccessfulCreate", source, f"Created pod: {entity.name}", at=at)
        node = dig(pod, "spec", "nodeName")
        if node is None:
            continue
        text = f"Successfully assigned {entity.namespace}/{entity.name} to {node}"
        yield _event(str(entity), "Scheduled", _SCHEDULER, text, at=at)
        statuses = [
            *(dig(pod, "status", "initContainerStatuses") or []),
            *(dig(pod, "status", "containerStatuses") or []),
        ]
        for status in statuses:
            if status.get("containerID"):
                yield from _start_events(str(entity), status, at)


def _start_events(entity: str, status: Document, at: str) -> Iterator[EventForm]:
    name = status["name"]
    pulled = f'Container image "{status["image"]}" already present on machine'
    for reason, text in (
        ("Pulled", pulled),
        ("Created", f"Created container: {name}"),
        ("Started", f"Started container {name}"),
    ):
        yield _event(entity, reason, "kubelet", text, at=at, container=name)


def _event(
    on: str, reason: str, source: str, message: str, *, at: str, container: str | None = None
) -> EventForm:
    members = {
        "on": on,
        "reason": reason,
        "from": source,
        "message": message,
        "last": at,
        "container": container,
    }
    return EventForm.model_validate(members)


def living_events(events: Iterable[Document], now: datetime) -> tuple[Document, ...]:
    """Return the events whose time to live is not over, oldest first."""
    kept = [each for each in events if now - last_seen(each) < EVENT_TTL]
    return tuple(sorted(kept, key=last_seen))


def find_runs(builder: Builder, key: str, pointer: str) -> tuple[LogKey, ...]:
    """Return the runs of containers that a key of `logs` names; a workload's are those of all its pods."""
    name, _, rest = key.partition("/previous")
    parts = name.rsplit("/", 1)
    try:
        entity = Entity.parse(parts[0])
    except ValueError as error:
        builder.problems.append(CaseProblem(pointer, str(error)))
        return ()
    if entity not in builder.objects:
        builder.problems.append(CaseProblem(pointer, f"there is no {entity}"))
        return ()
    pods = [entity] if entity.kind == "Pod" else [*builder.pods_of(entity)]
    container = parts[1]
    runs = tuple(
        LogKey(each, container, is_previous=bool(_PREVIOUS in key.rsplit("/", 1)[-1] and not rest))
        for each in pods
    )
    if not runs or any(container not in _containers_of(builder.objects[each.pod]) for each in runs):
        builder.problems.append(CaseProblem(pointer, f"no pod of {entity} has a container {container!r}"))
        return ()
    return runs


def _containers_of(pod: Document) -> set[str]:
    return {
        each["name"] for member in ("containers", "initContainers") for each in pod["spec"].get(member, [])
    }


def write_log(builder: Builder, key: LogKey, form: LogLines) -> tuple[LogLine, ...]:
    """Return the lines of one run, oldest first."""
    end = _end_of(builder.objects[key.pod], key, builder.now)
    if isinstance(form, LogForm):
        every = read_duration(form.every)
        texts = [form.lines[index % len(form.lines)] for index in range(form.count)]
        return tuple(_line(end - every * (len(texts) - 1 - index), text) for index, text in enumerate(texts))
    lines: list[LogLine] = []
    for index, each in enumerate(form):
        if isinstance(each, str):
            at = end - timedelta(milliseconds=700) * (len(form) - 1 - index)
            lines.append(_line(at, each))
        else:
            lines.append(_line(read_offset(each[0], builder.now), each[1]))
    return tuple(lines)


def _line(at: datetime, text: str) -> LogLine:
    filled = text.replace("{ts}", write_time(at)).replace("{t}", at.strftime("%H:%M:%S"))
    return LogLine(at, filled)


def _end_of(pod: Document, key: LogKey, now: datetime) -> datetime:
    statuses = [
        *(dig(pod, "status", "containerStatuses") or []),
        *(dig(pod, "status", "initContainerStatuses") or []),
    ]
    status: Document = next((each for each in statuses if each["name"] == key.container), {})
    member = "lastState" if key.is_previous or "waiting" in (status.get("state") or {}) else "state"
    finished = dig(status, member, "terminated", "finishedAt")
    return read_time(finished) if finished else now - timedelta(seconds=2)
