"""Logs of containers: which run a request means, and which part of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.statuses import RefusedError, bad_request, server_failed
from rune.kubernetes.recorded.times import read_time
from rune.kubernetes.recorded.world import LogKey, LogLine, World

_PULL_TEXTS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


_LONGEST_SECONDS = 10 * 366 * 86_400
"""No log is older; the API takes any number of 64 bits."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What is asked of a log."""

    container: str
    is_previous: bool
    tail_lines: int | None
    limit_bytes: int | None
    since: datetime | None
    with_times: bool


def read_query(query: Mapping[str, str], now: datetime) -> LogQuery:
    """Return what the parameters of a log request mean.

    Raises
    ------
    RefusedError
        400: one of them cannot be read.
    """
    since_seconds, since_time = _read_count(query, "sinceSeconds"), query.get("sinceTime")
    if since_seconds is not None and since_time:
        raise _refuse("at most one of `sinceTime` or `sinceSeconds` may be specified", "sinceSeconds")
    since = None if since_seconds is None else now - timedelta(seconds=min(since_seconds, _LONGEST_SECONDS))
    if since_time:
        try:
            since = read_time(since_time)
        except ValueError:
            raise bad_request(
                f'parsing time "{since_time}" as "2006-01-02T15:04:05Z07:00": cannot parse'
            ) from None
        if since.tzinfo is None:
            raise bad_request(
                f'parsing time "{since_time}" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'
            )
    return LogQuery(
        container=query.get("container", ""),
        is_previous=_read_flag(query, "previous"),
        tail_lines=_read_count(query, "tailLines", least=0),
        limit_bytes=_read_count(query, "limitBytes"),
        since=since,
        with_times=_read_flag(query, "timestamps"),
    )


def _read_flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "false").lower() not in {"false", "0"}


def _read_count(query: Mapping[str, str], name: str, *, least: int = 1) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        count = int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if count < least:
        raise _refuse(f"must be greater than {'or equal to 0' if least == 0 else '0'}", name, count)
    return count


def _refuse(text: str, name: str, value: object = "") -> RefusedError:
    return RefusedError(
        422,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'PodLogOptions "" is invalid: {name}: Invalid value: {value}: {text}',
            "reason": "Invalid",
            "code": 422,
        },
    )


def read_log(world: World, entity: Entity, pod: Document, query: LogQuery) -> bytes:
    """Return what the kubelet sends of a container's log.

    Raises
    ------
    RefusedError
        400: there is no such run of a container. 500: the node does not answer.
    """
    container = _choose(pod, query.container)
    node = dig(pod, "spec", "nodeName")
    if node is None:
        return b""
    _check_node(world, entity, container, node)
    is_previous = _find_run(pod, container, is_previous=query.is_previous)
    lines = _lines_of(world, LogKey(entity, container, is_previous))
    return _cut(lines, query)


def _lines_of(world: World, key: LogKey) -> tuple[LogLine, ...]:
    return world.logs.get(key, ())


def _choose(pod: Document, wanted: str) -> str:
    names = [each["name"] for each in pod["spec"]["containers"]]
    inits = [each["name"] for each in pod["spec"].get("initContainers", [])]
    name = pod["metadata"]["name"]
    if wanted:
        if wanted not in {*names, *inits}:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(names) == 1:
        return str(names[0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if inits:
        text += f" or one of the init containers: [{' '.join(inits)}]"
    raise bad_request(text)


def _check_node(world: World, entity: Entity, container: str, node: str) -> None:
    document = world.objects.get(Entity("Node", "", node), {})
    ready = next(
        (each for each in dig(document, "status", "conditions") or [] if each["type"] == "Ready"), None
    )
    if ready is not None and ready["status"] != "True":
        address = document["status"]["addresses"][0]["address"]
        path = f"containerLogs/{entity.namespace}/{entity.name}/{container}"
        raise server_failed(f'Get "https://{address}:10250/{path}": dial tcp {address}:10250: i/o timeout')


def _find_run(pod: Document, container: str, *, is_previous: bool) -> bool:
    """Return whether the run that is meant is the one before, as the kubelet decides it."""
    members = ("containerStatuses", "initContainerStatuses")
    statuses = [each for member in members for each in dig(pod, "status", member) or []]
    status = next((each for each in statuses if each["name"] == container), None)
    named = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    if status is None:
        raise bad_request(f"{named} is not available")
    has_last = bool(dig(status, "lastState", "terminated", "containerID"))
    if is_previous and not has_last:
        raise bad_request(f"previous terminated {named} not found")
    if is_previous:
        return True
    waiting = dig(status, "state", "waiting")
    if waiting is None or has_last:
        return waiting is not None
    reason = waiting.get("reason", "")
    raise bad_request(f"{named} is waiting to start: {_PULL_TEXTS.get(reason, reason)}")


def _cut(lines: tuple[LogLine, ...], query: LogQuery) -> bytes:
    chosen = [each for each in lines if query.since is None or each.at >= query.since]
    if query.tail_lines is not None:
        chosen = chosen[len(chosen) - min(query.tail_lines, len(chosen)) :]
    texts = [
        f"{each.at.isoformat().replace('+00:00', 'Z')} {each.text}" if query.with_times else each.text
        for each in chosen
    ]
    content = "".join(f"{text}\n" for text in texts).encode()
    # The end goes, not the beginning: the kubelet stops writing at the limit.
    return content if query.limit_bytes is None else content[: query.limit_bytes]
