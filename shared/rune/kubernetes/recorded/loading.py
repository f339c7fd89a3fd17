"""Reading cases: a document becomes a case, or a list of what is wrong with it."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from rune.kubernetes.recorded.building import Builder
from rune.kubernetes.recorded.case import Case, Expected, ExpectedFinding, Trap
from rune.kubernetes.recorded.cluster import ApiServer
from rune.kubernetes.recorded.documents import strings_of
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.forms import CaseForm, LogForm
from rune.kubernetes.recorded.kinds import KINDS
from rune.kubernetes.recorded.problems import CaseProblem, InvalidCaseError
from rune.kubernetes.recorded.readers import ADMIN, may_read
from rune.kubernetes.recorded.staging import Draft, build, choose_numbers, fill_numbers, load_base
from rune.kubernetes.recorded.world import World

MAX_CASE_BYTES = 64 * 1024
"""Of a case's JSON, without blanks between its tokens."""
MAX_PROBLEMS = 20
SUITES = ("kubernetes-classics",)
"""Suites that RUNE has itself."""
_FOLDER = Path(__file__).parent / "suites"
_MAX_LOG_LINES = 2_000
_MAX_DEPTH = 30
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
MAX_CLUSTER_BYTES = 4 * 1024 * 1024
"""Of all objects together, as JSON."""


def parse_case(document: object) -> Case:
    """Return the case that a JSON document describes.

    Raises
    ------
    InvalidCaseError
        It cannot be played: a field is unknown or wrong, an object that it names is not there, a quote that it
        expects stands nowhere, a red herring cannot be seen.
    """
    if not isinstance(document, dict):
        raise InvalidCaseError([CaseProblem("", "a case is a JSON object")])
    if _depth_of(document) > _MAX_DEPTH:
        raise InvalidCaseError([CaseProblem("", f"a case is nested at most {_MAX_DEPTH} levels deep")])
    size = len(json.dumps(document, separators=(",", ":")).encode())
    if size > MAX_CASE_BYTES:
        raise InvalidCaseError(
            [CaseProblem("", f"a case has at most {MAX_CASE_BYTES} bytes, this one has {size}")]
        )
    try:
        CaseForm.model_validate(document)
        # With the longest numbers, so that no seed makes a text too long.
        fill_numbers(document, lambda _low, high: high)
        form = choose_numbers(document, 0)
    except ValidationError as error:
        raise InvalidCaseError(_explain(error, document)) from None
    problems = [*_check_form(form)]
    if not problems:
        draft = _try_build(form)
        # What cannot be built cannot be looked at.
        problems = [*draft.problems] or [*_check_visible(form, draft)]
    if problems:
        raise InvalidCaseError(problems[:MAX_PROBLEMS])
    return _case_of(form, document)


def _try_build(form: CaseForm) -> Draft:
    try:
        draft = build(form, 0)
        server = ApiServer(draft.world)
        for kind in KINDS:
            root = f"/apis/{kind.group}" if kind.group else "/api"
            server.answer(f"{root}/{kind.version}/{kind.plural}", {}, accept=_TABLE, reader=ADMIN)
    except (TypeError, LookupError, AttributeError, ValueError, ArithmeticError) as error:
        # A member of Kubernetes' own, under `spec` or `fields`, has a type that its kind never has.
        text = f"an object has a member of a wrong type ({type(error).__name__}: {error})"
        raise InvalidCaseError([CaseProblem("/changes", text[:300])]) from error
    return draft


def _depth_of(value: object, depth: int = 0) -> int:
    if depth > _MAX_DEPTH or not isinstance(value, dict | list):
        return depth
    members = value.values() if isinstance(value, dict) else value
    return max((_depth_of(each, depth + 1) for each in members), default=depth + 1)


def _explain(error: ValidationError, document: object) -> Iterator[CaseProblem]:
    for each in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]:
        is_unknown = each["type"] == "extra_forbidden"
        message = "there is no such field" if is_unknown else each["msg"].removeprefix("Value error, ")
        yield CaseProblem(_point(document, each["loc"], is_missing=each["type"] == "missing"), message)


def _point(document: object, steps: tuple[int | str, ...], *, is_missing: bool) -> str:
    """Return the pointer to a place; pydantic's path also has the branches of unions, which no document has."""
    pointer = ""
    node: object = document
    for index, step in enumerate(steps):
        is_member = isinstance(node, dict) and step in node
        if is_member or (isinstance(node, list) and isinstance(step, int) and step < len(node)):
            node = node[step]  # type: ignore[index]  # looked at just now
        elif not (is_missing and index == len(steps) - 1):
            continue
        pointer += f"/{str(step).replace('~', '~0').replace('/', '~1')}"
    return pointer


def _check_form(form: CaseForm) -> Iterator[CaseProblem]:
    if load_base(form.base) is None:
        yield CaseProblem("/base", f"there is no base {form.base!r}")
    if form.now.tzinfo is None:
        yield CaseProblem("/now", "the time has no offset from UTC; end it with Z")
    if not _FIRST_YEAR <= form.now.year <= _LAST_YEAR:
        yield CaseProblem("/now", f"the year is between {_FIRST_YEAR} and {_LAST_YEAR}")
    if (
        sum(each.count if isinstance(each, LogForm) else len(each) for each in form.logs.values())
        > _MAX_LOG_LINES
    ):
        yield CaseProblem("/logs", f"a case has at most {_MAX_LOG_LINES} lines of logs")


def _check_visible(form: CaseForm, draft: Draft) -> Iterator[CaseProblem]:
    world, builder = draft.world, draft.builder
    if _is_too_large(world):
        yield CaseProblem("/changes", f"all objects together have more than {MAX_CLUSTER_BYTES} bytes")
        return
    for index, finding in enumerate(form.expect.findings):
        if not any(Entity.parse(each) in world.objects for each in finding.entities):
            yield CaseProblem(f"/expect/findings/{index}/entities", "none of these objects is in the cluster")
    readable = [_fold_text(text) for text in _readable_texts(world)]
    for index, quote in enumerate(form.expect.quotes):
        if not any(_fold_text(quote) in text for text in readable):
            yield CaseProblem(f"/expect/quotes/{index}", f"{quote!r} stands in nothing that can be read")
    for index, trap in enumerate(form.red_herrings):
        if not _is_seen(Entity.parse(trap.entity), world, builder):
            yield CaseProblem(
                f"/red_herrings/{index}/entity",
                f"nothing that the case changes, and no event or log of it, shows {trap.entity}",
            )


def _is_too_large(world: World) -> bool:
    size = 0
    for document in world.objects.values():
        size += len(json.dumps(document))
        if size > MAX_CLUSTER_BYTES:
            return True
    return False


def _fold_text(text: str) -> str:
    return " ".join(text.lower().split())


def _readable_texts(world: World) -> Iterator[str]:
    for entity, document in world.objects.items():
        if may_read(world, entity.kind):
            yield from strings_of(document)
    if may_read(world, "Event"):
        yield from (text for event in world.events for text in strings_of(event))
    if may_read(world, "Pod", "log"):
        yield from (line.text for lines in world.logs.values() for line in lines)


def _is_seen(entity: Entity, world: World, builder: Builder) -> bool:
    """Return whether the case shows an object, or one that it owns."""
    if entity not in world.objects or not may_read(world, entity.kind):
        return False
    return any(world.owner_of(each) == world.owner_of(entity) or each == entity for each in builder.touched)


def _case_of(form: CaseForm, document: Mapping[str, object]) -> Case:
    return Case(
        id=form.id,
        difficulty=form.difficulty,
        ask=form.ask,
        expected=Expected(
            form.expect.status,
            tuple(ExpectedFinding(each.cause, each.entities, each.accept) for each in form.expect.findings),
            form.expect.quotes,
        ),
        red_herrings=tuple(Trap(each.cause, each.entity, each.why) for each in form.red_herrings),
        max_calls=form.max_calls,
        document=document,
    )


@cache
def load_suite(name: str) -> tuple[Case, ...]:
    """Return the cases of one of RUNE's own suites, in their order.

    Raises
    ------
    LookupError
        There is no suite of that name.
    """
    if name not in SUITES:
        raise LookupError(name)
    documents = json.loads((_FOLDER / f"{name}.json").read_bytes())
    # Checked by a test, once, and not at each use: building 30 clusters takes a second.
    return tuple(_case_of(choose_numbers(each, 0), each) for each in documents)
