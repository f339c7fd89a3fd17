"""A case made ready to be read: its numbers chosen, its cluster built, its names changed."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from rune.kubernetes.recorded.building import Builder
from rune.kubernetes.recorded.case import Case, Expected, Trap
from rune.kubernetes.recorded.documents import Document, dig, map_strings
from rune.kubernetes.recorded.endpoints import add_endpoints
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.forms import Base, CaseForm, Content, EventForm
from rune.kubernetes.recorded.happenings import find_runs, living_events, usual_events, write_event, write_log
from rune.kubernetes.recorded.problems import CaseProblem
from rune.kubernetes.recorded.settling import finish, settle
from rune.kubernetes.recorded.world import LogKey, LogLine, World

_FOLDER = Path(__file__).parent / "bases"
MAX_LOG_CHARS = 2_000_000
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""The alphabet of generated names."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A case as one investigation meets it.

    Attributes
    ----------
    expected, red_herrings
        With the names of this cluster.
    """

    ask: str
    expected: Expected
    red_herrings: tuple[Trap, ...]
    world: World

    @property
    def owners(self) -> Mapping[str, str]:
        """Return, by object, the one that its controlling ownerReference names."""
        owners = {entity: self.world.controller_of(entity) for entity in self.world.objects}
        return {str(entity): str(owner) for entity, owner in owners.items() if owner is not None}


@dataclass(frozen=True, slots=True)
class Draft:
    """A cluster before its names are changed, with what was found wrong."""

    builder: Builder
    world: World
    problems: tuple[CaseProblem, ...]


@cache
def load_base(name: str) -> Base | None:
    """Return a base, or None where there is none of that name."""
    path = _FOLDER / f"{name}.json"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or not path.is_file():
        return None
    return Base.model_validate_json(path.read_bytes())


@cache
def _load_part(name: str) -> Content:
    return TypeAdapter(Content).validate_json((_FOLDER / "parts" / f"{name}.json").read_bytes())


def stage(case: Case, seed: int = 0, *, now: datetime | None = None) -> Stage:
    """Return a case as it looks for a seed: 0 keeps the names of the base, others change names and numbers.

    The same case and seed give the same, to the last byte.

    Parameters
    ----------
    now
        The instant to play it at, instead of the case's own.
    """
    document = case.document if now is None else {**case.document, "now": now.isoformat()}
    form = choose_numbers(document, seed)
    draft = build(form, seed)
    rename = _rename_all(draft.builder, _base_of(form), seed)
    world = _rename_world(draft.world, rename)
    expected = replace(
        case.expected,
        findings=tuple(
            replace(each, entities=tuple(map(rename, each.entities))) for each in case.expected.findings
        ),
        quotes=tuple(map(rename, form.expect.quotes)),
    )
    traps = tuple(replace(each, entity=rename(each.entity)) for each in case.red_herrings)
    return Stage(rename(form.ask), expected, traps, world)


def _base_of(form: CaseForm) -> Base:
    base = load_base(form.base)
    if base is None:
        raise LookupError(form.base)
    return base


def choose_numbers(document: Mapping[str, object], seed: int) -> CaseForm:
    """Return the form of a case with the numbers of a seed put in."""
    chance = random.Random(f"{document.get('id')}/{seed}")  # noqa: S311  # repeatable, no secret
    return fill_numbers(document, chance.randint)


def fill_numbers(document: Mapping[str, object], choose: Callable[[int, int], int]) -> CaseForm:
    """Return the form of a case with numbers put in.

    Parameters
    ----------
    choose
        Returns one of the numbers between the lowest and the highest.
    """
    numbers: Mapping[str, tuple[int, int]] = document.get("numbers") or {}  # type: ignore[assignment]  # checked
    chosen = {name: choose(low, high) for name, (low, high) in sorted(numbers.items())}

    def fill(text: str) -> object:
        for name, number in chosen.items():
            if text == f"${{{name}}}":
                return number
            text = text.replace(f"${{{name}}}", str(number))
        return text

    return CaseForm.model_validate(map_strings(dict(document), fill) if chosen else document)


def build(form: CaseForm, seed: int) -> Draft:
    """Return the cluster of a case, with the base's names.

    Raises
    ------
    LookupError
        There is no such base.
    """
    builder = Builder(form.now, seed)
    parts = [_load_part(name) for name in _base_of(form).parts]
    for part in parts:
        for change in part.changes:
            builder.apply(change, "")
    builder.touched.clear()
    for index, change in enumerate(form.changes):
        builder.apply(change, f"/changes/{index}")
    settle(builder)
    add_endpoints(builder)
    finish(builder)
    events = _write_events(builder, parts, form)
    logs: dict[LogKey, tuple[LogLine, ...]] = {}
    for content, is_case in (*((part, False) for part in parts), (form, True)):
        _write_logs(builder, content, logs, is_case=is_case)
    usage = {entity: state.usage for entity, state in builder.states.items() if state.usage}
    world = World(
        now=form.now,
        objects=builder.objects,
        events=living_events(events, form.now),
        logs=logs,
        usage=usage,
        metrics=form.metrics,
        denied=frozenset(form.rbac_denied),
    )
    return Draft(builder, world, tuple(builder.problems))


def _write_events(builder: Builder, parts: Iterable[Content], form: CaseForm) -> list[Document]:
    forms: list[EventForm] = [*usual_events(builder)]
    for part in parts:
        forms.extend(each for each in part.events if Entity.parse(each.on) in builder.objects)
    for index, each in enumerate(form.events):
        entity = Entity.parse(each.on)
        if entity not in builder.objects and entity not in builder.removed:
            builder.problems.append(CaseProblem(f"/events/{index}/on", f"there is no {entity}"))
        builder.touched.add(entity)
        forms.append(each)
    return [write_event(builder, each, number) for number, each in enumerate(forms)]


def _write_logs(
    builder: Builder, content: Content, logs: dict[LogKey, tuple[LogLine, ...]], *, is_case: bool
) -> None:
    written_chars = 0
    for key, form in content.logs.items():
        pointer = "/logs/" + key.replace("~", "~0").replace("/", "~1")
        found = len(builder.problems)
        for run in find_runs(builder, key, pointer):
            logs[run] = write_log(builder, run, form)
            written_chars += sum(len(line.text) for line in logs[run])
            if written_chars > MAX_LOG_CHARS:
                builder.problems.append(
                    CaseProblem("/logs", f"all logs have at most {MAX_LOG_CHARS} characters")
                )
                return
            if is_case:
                builder.touched.add(run.pod)
        if not is_case:
            # A workload of the base that the case takes away, or leaves without pods.
            del builder.problems[found:]


def _rename_all(builder: Builder, base: Base, seed: int) -> Callable[[str], str]:
    """Return what gives a text the names of a seed."""
    if seed == 0:
        return _keep
    chance = random.Random(f"names/{seed}")  # noqa: S311  # repeatable, no secret
    taken = " ".join(f"{entity.namespace} {entity.name}" for entity in builder.objects)
    names = {}
    for first, *others in base.names:
        # A name that a case gives to an object of its own is no other object's.
        free = [each for each in others if not _whole(each).search(taken)]
        names[first] = chance.choice((first, *free))
    for entity, document in builder.objects.items():
        if entity.kind == "ReplicaSet":
            token = dig(document, "metadata", "labels", "pod-template-hash") or ""
            names[token] = "".join(chance.choices(_SAFE, k=10))
    names.pop("", None)
    rename = _renamer(names)
    pods = {}
    for entity, document in builder.objects.items():
        stem, _, end = entity.name.rpartition("-")
        # Pods of a StatefulSet are numbered, and those without an owner are named by people or after their node.
        if entity.kind == "Pod" and not end.isdigit() and document["metadata"].get("ownerReferences"):
            pods[entity.name] = f"{rename(stem)}-{''.join(chance.choices(_SAFE, k=5))}"
    return _renamer({**names, **pods})


def _keep(text: str) -> str:
    return text


def _whole(*names: str) -> re.Pattern[str]:
    """Return a pattern of names that stand by themselves; of two that begin alike, the first counts."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, names))})(?![A-Za-z0-9])")


def _renamer(names: Mapping[str, str]) -> Callable[[str], str]:
    pattern = _whole(*sorted(names, key=len, reverse=True))
    return lambda text: pattern.sub(lambda found: names[found[0]], text)


def _rename_world(world: World, rename: Callable[[str], str]) -> World:
    if rename is _keep:
        return world
    known = {
        entity: Entity(entity.kind, rename(entity.namespace), rename(entity.name)) for entity in world.objects
    }
    return replace(
        world,
        objects={known[entity]: map_strings(each, rename) for entity, each in world.objects.items()},
        events=tuple(map_strings(each, rename) for each in world.events),
        logs={
            LogKey(known[key.pod], key.container, key.is_previous): tuple(
                LogLine(each.at, rename(each.text)) for each in lines
            )
            for key, lines in world.logs.items()
        },
        usage={known[entity]: each for entity, each in world.usage.items()},
    )
