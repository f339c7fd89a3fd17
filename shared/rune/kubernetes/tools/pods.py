"""What a pod's object tells of its containers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rune.kubernetes.masking import shorten
from rune.kubernetes.quantities import read_time, show_age
from rune.llm.fields import as_list, as_object, read_count, read_text

_MAX_MESSAGE_CHARS = 300


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod, with the state that the kubelet tells; empty where it tells none yet."""

    name: str
    is_init: bool
    spec: Mapping[str, object]
    status: Mapping[str, object]

    @property
    def restart_count(self) -> int:
        """Return how often it was started anew."""
        return read_count(self.status, "restartCount") or 0

    @property
    def is_well(self) -> bool:
        """Return whether it is ready, or an init container that has done its work."""
        if self.is_init:
            ended = as_object(as_object(self.status.get("state")).get("terminated"))
            return ended.get("exitCode") == 0 or self.status.get("ready") is True
        return self.status.get("ready") is True

    def line(self, now: datetime) -> str:
        """Return its state, the last one too, in one line."""
        role = "init container" if self.is_init else "container"
        told = [f"{role} {self.name}: {_state(as_object(self.status.get('state')), now) or 'no state yet'}"]
        told.append("ready" if self.status.get("ready") is True else "not ready")
        if self.restart_count:
            told.append(f"{self.restart_count} restarts")
        if last := _state(as_object(self.status.get("lastState")), now):
            told.append(f"before: {last}")
        return ", ".join(told)


def containers_of(pod: Mapping[str, object]) -> Iterator[Container]:
    """Give the containers of a pod, init containers first."""
    spec, status = as_object(pod.get("spec")), as_object(pod.get("status"))
    for is_init, key, states in (
        (True, "initContainers", "initContainerStatuses"),
        (False, "containers", "containerStatuses"),
    ):
        told = {read_text(each, "name"): each for each in map(as_object, as_list(status.get(states)))}
        for each in map(as_object, as_list(spec.get(key))):
            name = read_text(each, "name")
            yield Container(name, is_init, each, told.get(name, {}))


def is_ready(pod: Mapping[str, object]) -> bool:
    """Return whether a pod's condition `Ready` holds."""
    return condition(pod, "Ready").get("status") == "True"


def condition(holder: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a condition of an object; empty where it has none of this type."""
    conditions = as_list(as_object(holder.get("status")).get("conditions"))
    return next((as_object(each) for each in conditions if as_object(each).get("type") == name), {})


def labels_of(holder: Mapping[str, object]) -> Mapping[str, object]:
    """Return an object's labels."""
    return as_object(as_object(holder.get("metadata")).get("labels"))


def name_of(holder: Mapping[str, object]) -> str:
    """Return an object's name."""
    return read_text(as_object(holder.get("metadata")), "name")


def by_trouble(pods: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Return pods, those in trouble first, and of equals the one with more restarts."""

    def rank(pod: Mapping[str, object]) -> tuple[bool, int, str]:
        restarts = sum(container.restart_count for container in containers_of(pod))
        return is_ready(pod), -restarts, name_of(pod)

    return sorted(pods, key=rank)


def _state(state: Mapping[str, object], now: datetime) -> str:
    for name, value in state.items():
        told = as_object(value)
        reason, message = read_text(told, "reason"), shorten(read_text(told, "message"), _MAX_MESSAGE_CHARS)
        words = [name, reason]
        if (code := told.get("exitCode")) is not None:
            words.append(f"exit {code}")
        instant = read_time(told.get("finishedAt") or told.get("startedAt"))
        words.append(f"{show_age(instant, now)} ago" if instant else "")
        words.append(f'"{message}"' if message else "")
        return " ".join(word for word in words if word)
    return ""
