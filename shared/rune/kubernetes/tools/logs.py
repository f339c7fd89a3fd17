"""`get_logs`: the end of what containers wrote, repeated lines folded."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from rune.kubernetes.kinds import POD, WORKLOADS
from rune.kubernetes.selectors import to_query
from rune.kubernetes.tools.call import Call
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.objects import find_object, place_of
from rune.kubernetes.tools.pods import Container, by_trouble, containers_of, name_of
from rune.kubernetes.tools.reader import ClusterReader, UnknownNameError
from rune.kubernetes.tools.results import Block, Keep, Text
from rune.kubernetes.tools.specs import MAX_LOG_LINES
from rune.llm.fields import as_object

_DEFAULT_LINES = 100
_MAX_PODS = 3
_MAX_READS = 6
_FEWER_LINES = 20
_REPEATS = 3
"""A pattern that occurs oftener is folded."""

# Not a number that may be the status of an answer: 200 and 500 are different lines.
_CHANGING = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{12,}\b|(?!\b[1-5][0-9]{2}\b)(?<![0-9])[0-9]+"
)
# Colours and other commands for a terminal.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


async def get_logs(call: Call) -> Text:
    """Return the state and the last lines of each container that was asked for.

    Raises
    ------
    ToolError
        There is no such pod or workload, or nothing was read.
    """
    arguments, reader = call.arguments, call.reader
    namespace, name = place_of(arguments.required("name"), arguments.text("namespace"))
    namespace = namespace or ""
    reader.scopes(namespace)
    pods, of_all = await _find_pods(reader, name, namespace)
    wanted = arguments.text("container")
    chosen = [(pod, container) for pod in pods for container in _choose(pod, wanted, is_alone=len(pods) == 1)]
    if wanted and not chosen:
        known = tuple(each.name for pod in pods for each in containers_of(pod))
        raise UnknownNameError("container", wanted, tuple(dict.fromkeys(known)))
    blocks: list[Block] = []
    reads = 0
    for pod, container in chosen:
        blocks.append(Block([f"== pod {name_of(pod)}, {container.line(call.now)}"]))
        for is_previous in _runs(container, arguments.flags.get("previous")):
            reads += 1
            if reads <= _MAX_READS:
                blocks.append(await _read_run(call, namespace, name_of(pod), container.name, is_previous))
    given = arguments.scope()
    notes = [f"{of_all} pods; the {len(pods)} in most trouble are shown."] if of_all > len(pods) else []
    if reads > _MAX_READS:
        notes.append("Not every container was read: name one.")
    return Text(
        {"kind": "logs", **given, "namespace": namespace, "name": name},
        blocks,
        narrow_by=[key for key in ("container", "contains", "lines", "previous") if key not in given],
        notes=notes,
    )


async def _find_pods(
    reader: ClusterReader, name: str, namespace: str
) -> tuple[list[Mapping[str, object]], int]:
    """Return a pod, or up to three of a workload's, and how many it has: models hand over either name."""
    try:
        return [await reader.get_object(POD.path(namespace, name))], 1
    except ToolError as error:
        if error.code != "not_found":
            raise
    for kind in WORKLOADS:
        try:
            workload = await reader.get_object(kind.path(namespace, name))
        except ToolError:
            continue
        selector = as_object(as_object(workload.get("spec")).get("selector"))
        if not (query := to_query(selector)):
            continue
        found = await reader.list_objects(POD, namespace, label_selector=query, page=50, max_pages=2)
        if not found.items:
            raise ToolError(
                "not_found", f"{kind.name} {name} has no pod now; see its events and its rollout."
            )
        return by_trouble(found.items)[:_MAX_PODS], len(found.items)
    await find_object(reader, POD, name, namespace)  # raises, with the nearest names
    raise ToolError("not_found", f"There is no pod {name!r}.")


def _choose(pod: Mapping[str, object], wanted: str | None, *, is_alone: bool) -> list[Container]:
    """Return the containers to read: the named one, or those in trouble, or the ordinary ones."""
    every = list(containers_of(pod))
    if wanted:
        return [each for each in every if each.name == wanted]
    ill = [each for each in every if not each.is_well]
    ordinary = [each for each in every if not each.is_init]
    restarted = [each for each in ordinary if each.restart_count and each not in ill]
    # While an init container works, the ordinary ones have no log.
    first_ill_init = [each for each in ill if each.is_init][:1]
    chosen = first_ill_init or [*ill, *restarted]
    return chosen or (ordinary if is_alone else ordinary[:1])


def _runs(container: Container, previous: bool | None) -> Sequence[bool]:  # noqa: FBT001  # three values
    if previous is not None:
        return (previous,)
    return (True, False) if container.restart_count else (False,)


async def _read_run(call: Call, namespace: str, pod: str, container: str, is_previous: bool) -> Block:  # noqa: FBT001
    count = call.arguments.number("lines", _DEFAULT_LINES)
    contains = call.arguments.text("contains")
    query = {"container": container, "tailLines": str(MAX_LOG_LINES if contains else count)}
    query |= {"previous": "true"} if is_previous else {}
    run = "previous run" if is_previous else "current run"
    try:
        answer = await call.reader.get_log(namespace, pod, query)
        if answer.is_cut:
            # What is cut off are the newest lines.
            answer = await call.reader.get_log(namespace, pod, query | {"tailLines": str(_FEWER_LINES)})
    except ToolError as error:
        return Block([f"not read: {error.sentence}"], f"-- {run}:")
    text = _ESCAPES.sub("", answer.body.decode("utf-8", "replace"))
    lines = [line for line in text.splitlines() if line.strip()]
    read = len(lines)
    if contains:
        lines = [line for line in lines if contains.lower() in line.lower()]
    folded = fold(lines)
    told = f"{len(lines)} of {read} lines" if contains else f"{read} lines"
    end = " (cut at its end)" if answer.is_cut else ""
    return Block(folded or ["(empty)"], f"-- {run}, last {told}{end}:", Keep.TAIL)


def fold(lines: Sequence[str]) -> list[str]:
    """Return lines without the middle of what repeats: the first and the last of it stay, with its number.

    Lines that differ in numbers alone are the same.
    """
    patterns = [_CHANGING.sub("#", line) for line in lines]
    counts = Counter(patterns)
    seen: Counter[str] = Counter()
    folded: list[str] = []
    for line, pattern in zip(lines, patterns, strict=True):
        seen[pattern] += 1
        count = counts[pattern]
        if count <= _REPEATS or seen[pattern] == 1:
            folded.append(line)
        elif seen[pattern] == count:
            folded.append(f"{line}  [{count} such lines, {count - 2} between folded]")
    return folded
