"""What a pod's status says, as kubelet and scheduler write it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.forms import PodState, Terminated
from rune.kubernetes.recorded.times import read_offset, write_time

_START_SECONDS = 3
_NEVER_RAN = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod runs; without a node it runs nowhere.

    Attributes
    ----------
    is_alive
        Whether the node's kubelet reports.
    """

    now: datetime
    node: str | None
    host_ip: str
    pod_ip: str
    is_alive: bool = True


def merge_states(before: PodState, after: PodState) -> PodState:
    """Return a state with all that `after` sets; mappings by container are joined."""
    merged = {name: getattr(before, name) for name in before.model_fields_set & set(PodState.model_fields)}
    for name in after.model_fields_set & set(PodState.model_fields):
        value, old = getattr(after, name), merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return PodState.model_construct(**merged)


def write_status(pod: Document, state: PodState, place: Place) -> Document:
    """Return the status of a pod."""
    created = pod["metadata"]["creationTimestamp"]
    qos = quality_of(pod["spec"])
    if place.node is None:
        return _write_pending(state, created, qos)
    if state.phase == "Failed" and state.reason is not None:
        return _write_ended_early(state, created, qos, place)
    inits, blocked = _write_inits(pod, state, place)
    containers = [
        _write_container(each, pod, state, place, is_blocked=blocked is not None)
        for each in pod["spec"]["containers"]
    ]
    phase = state.phase or _tell_phase(pod, containers, is_blocked=blocked is not None)
    status: Document = {
        "phase": phase,
        "conditions": _write_conditions(containers, phase, created, blocked, place),
        "hostIP": place.host_ip,
        "hostIPs": [{"ip": place.host_ip}],
        "startTime": created,
    }
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = containers
    status["qosClass"] = qos
    if any(
        each.get("containerID") or dig(each, "state", "waiting", "reason") not in _NEVER_RAN
        for each in [*containers, *inits]
    ):
        status["podIP"] = place.pod_ip
        status["podIPs"] = [{"ip": place.pod_ip}]
    for member in ("reason", "message"):
        if getattr(state, member) is not None:
            status[member] = getattr(state, member)
    return status


def _write_pending(state: PodState, created: str, qos: str) -> Document:
    status: Document = {"phase": "Pending", "qosClass": qos}
    if state.unscheduled:
        condition = _condition("PodScheduled", "False", created, "Unschedulable", state.unscheduled)
        status["conditions"] = [condition]
    return status


def _write_ended_early(state: PodState, created: str, qos: str, place: Place) -> Document:
    ended = write_time(place.now - timedelta(minutes=1))
    conditions = [
        _condition("DisruptionTarget", "True", ended, "TerminationByKubelet", state.message or ""),
        _condition("PodReadyToStartContainers", "False", ended),
        _condition("Initialized", "True", created),
        _condition("Ready", "False", ended, "PodFailed"),
        _condition("ContainersReady", "False", ended, "PodFailed"),
        _condition("PodScheduled", "True", created),
    ]
    return {
        "phase": "Failed",
        "conditions": conditions,
        "message": state.message or "",
        "reason": state.reason,
        "hostIP": place.host_ip,
        "startTime": created,
        "qosClass": qos,
    }


def _write_inits(pod: Document, state: PodState, place: Place) -> tuple[list[Document], str | None]:
    """Return the statuses of init containers, and the first that has not ended well."""
    written: list[Document] = []
    blocked: str | None = None
    for container in pod["spec"].get("initContainers", []):
        name = container["name"]
        is_named = any(name in (getattr(state, each) or {}) for each in ("waiting", "running", "terminated"))
        if blocked is not None:
            status = _write_container(container, pod, state, place, is_blocked=True)
        elif is_named:
            status = _write_container(container, pod, state, place, is_blocked=False)
        else:
            finished = write_time(read_offset_of(pod) + timedelta(seconds=_START_SECONDS))
            status = _write_container(container, pod, state, place, is_blocked=False)
            ended = {
                "exitCode": 0,
                "reason": "Completed",
                "startedAt": finished,
                "finishedAt": finished,
                "containerID": status["containerID"],
            }
            status["state"] = {"terminated": ended}
        status["ready"] = dig(status, "state", "terminated", "exitCode") == 0
        status["started"] = False
        if blocked is None and not status["ready"]:
            blocked = name
        written.append(status)
    return written, blocked


def read_offset_of(pod: Document) -> datetime:
    """Return when a pod was made."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def _write_container(
    container: Document, pod: Document, state: PodState, place: Place, *, is_blocked: bool
) -> Document:
    name = container["name"]
    last = _write_last(name, pod, state, place)
    current = (
        {"waiting": {"reason": "PodInitializing"}} if is_blocked else _write_current(name, pod, state, place)
    )
    is_running = "running" in current
    has_run = is_running or "terminated" in current or bool(last)
    ready = state.ready if not isinstance(state.ready, Mapping) else state.ready.get(name)
    identity = _container_id(pod, name, 0)
    status: Document = {
        "name": name,
        "state": current,
        "lastState": last,
        "ready": is_running if ready is None else bool(ready) and is_running,
        "restartCount": restarts_of(state, name),
        "image": container["image"],
        "imageID": _image_id(container["image"]) if has_run else "",
        "started": is_running,
    }
    if has_run:
        status["containerID"] = dig(last, "terminated", "containerID") if "waiting" in current else identity
    if "terminated" in current:
        current["terminated"]["containerID"] = identity
    return status


def restarts_of(state: PodState, name: str) -> int:
    """Return how often a container was started again."""
    count = state.restart_count
    found = count.get(name, 0) if isinstance(count, Mapping) else count or 0
    return int(found)


def _write_current(name: str, pod: Document, state: PodState, place: Place) -> Document:
    if state.waiting and name in state.waiting:
        reason, message = state.waiting[name]
        text = message.replace("{uid}", pod["metadata"]["uid"])
        return {"waiting": {"reason": reason, **({"message": text} if text else {})}}
    if state.terminated and name in state.terminated:
        return {"terminated": _write_terminated(state.terminated[name], pod, place)}
    started = read_offset_of(pod) + timedelta(seconds=_START_SECONDS)
    if state.running and name in state.running:
        started = read_offset(state.running[name], place.now)
    elif state.last_state and name in state.last_state:
        started = read_offset(state.last_state[name].finished, place.now) + timedelta(seconds=1)
    return {"running": {"startedAt": write_time(started)}}


def _write_last(name: str, pod: Document, state: PodState, place: Place) -> Document:
    if not state.last_state or name not in state.last_state:
        return {}
    ended = _write_terminated(state.last_state[name], pod, place)
    ended["containerID"] = _container_id(pod, name, 1)
    return {"terminated": ended}


def _write_terminated(form: Terminated, pod: Document, place: Place) -> Document:
    finished = read_offset(form.finished, place.now)
    started = (
        read_offset(form.started, place.now)
        if form.started
        else max(finished - timedelta(seconds=4), read_offset_of(pod))
    )
    ended: Document = {
        "exitCode": form.exit_code,
        "reason": form.reason,
        "startedAt": write_time(started),
        "finishedAt": write_time(finished),
    }
    if form.signal is not None:
        ended["signal"] = form.signal
    if form.message is not None:
        ended["message"] = form.message
    return ended


def _tell_phase(pod: Document, containers: list[Document], *, is_blocked: bool) -> str:
    states = [each["state"] for each in containers]
    never_ran = ["waiting" in each["state"] and not each["lastState"] for each in containers]
    if is_blocked or any(never_ran):
        return "Pending"
    ends = [each["terminated"]["exitCode"] for each in states if "terminated" in each]
    if len(ends) == len(states) and pod["spec"]["restartPolicy"] != "Always":
        if not any(ends):
            return "Succeeded"
        return "Failed" if pod["spec"]["restartPolicy"] == "Never" else "Running"
    return "Running"


def _write_conditions(
    containers: list[Document], phase: str, created: str, blocked: str | None, place: Place
) -> list[Document]:
    unready = [each["name"] for each in containers if not each["ready"]]
    changed = write_time(place.now - timedelta(minutes=1)) if unready else created
    if unready and phase == "Pending":
        changed = created
    initialized = _condition("Initialized", "True", created)
    if blocked is not None:
        initialized = _condition(
            "Initialized",
            "False",
            created,
            "ContainersNotInitialized",
            f"containers with incomplete status: [{blocked}]",
        )
    ready: tuple[str, ...] = ("True", changed)
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        ready = ("False", changed, "ContainersNotReady", text)
        if phase == "Succeeded":
            ready = ("False", changed, "PodCompleted")
    is_sandbox_up = (
        phase == "Running" or any(each.get("containerID") for each in containers) or blocked is not None
    )
    conditions = [
        _condition(
            "PodReadyToStartContainers", "True" if is_sandbox_up or phase == "Pending" else "False", created
        ),
        initialized,
        _condition("Ready", *ready),
        _condition("ContainersReady", *ready),
        _condition("PodScheduled", "True", created),
    ]
    if not place.is_alive:
        conditions[2] = _condition("Ready", "False", write_time(place.now - timedelta(minutes=1)))
    return conditions


def _condition(kind: str, status: str, since: str, reason: str = "", message: str = "") -> Document:
    condition: Document = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def quality_of(spec: Document) -> str:
    """Return the quality of service class that requests and limits make."""
    resources = [each.get("resources") or {} for each in spec["containers"]]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    if all(_is_guaranteed(each) for each in resources):
        return "Guaranteed"
    return "Burstable"


def _is_guaranteed(resources: Mapping[str, Any]) -> bool:
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    return {"cpu", "memory"} <= set(limits) and all(
        requests[name] == limits[name] for name in ("cpu", "memory")
    )


def _container_id(pod: Document, name: str, generation: int) -> str:
    text = f"{pod['metadata']['uid']}/{name}/{generation}"
    return "containerd://" + hashlib.sha256(text.encode()).hexdigest()


def _image_id(image: str) -> str:
    repository = image.rsplit(":", 1)[0] if ":" in image.rsplit("/", 1)[-1] else image
    return f"{repository}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"
