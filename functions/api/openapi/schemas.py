"""Shapes: named as the specification names them, results by kind, requests closed and answers open."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from pydantic.json_schema import models_json_schema

from api.openapi import OpenApi
from rune.contracts.document import Document
from rune.contracts.plans import JobPlan
from rune.contracts.problems import ProblemDocument
from rune.contracts.results import AgenticAgentResult, BenchmarkResult, LlmInstanceResult

PREFIX = "#/components/schemas/"

NAMES: Mapping[str, str] = {
    "BenchmarkRequest": "RunBenchmarkRequest",
    "AgenticAgentRequest": "RunAgenticAgentRequest",
    "LlmInstanceRequest": "RunLLMInstanceRequest",
}
"""The API specification's names of ours."""

RESULTS: Mapping[str, tuple[str, type[Document]]] = {
    "benchmark": ("BenchmarkJob", BenchmarkResult),
    "agentic-agent": ("AgenticAgentJob", AgenticAgentResult),
    "llm-instance": ("LLMInstanceJob", LlmInstanceResult),
}
"""By kind of job: the name of a record of this kind, and what its result is.

The record itself is one class whose result is any object, as validating a stored result would only cost time."""

ADDED: tuple[type[Document], ...] = (JobPlan, ProblemDocument, *(result for _, result in RESULTS.values()))
"""What no route names, as a cold start would pay for it."""

HEALTH: OpenApi = {
    "type": "object",
    "description": "The API answers.",
    "properties": {"status": {"type": "string", "const": "ok"}},
    "required": ["status"],
}

OUTPUT = "Output"
"""Ends the name of a shape in answers that requests have too."""


def complete(document: OpenApi) -> None:
    """Give the document all shapes, in their final form."""
    found = document["components"]["schemas"]
    modes: list[tuple[type[Document], Any]] = [(kind, "serialization") for kind in ADDED]
    _, more = models_json_schema(modes, ref_template=PREFIX + "{model}")
    for name, schema in more["$defs"].items():
        found.setdefault(name, schema)
    found["Health"] = HEALTH
    for operations in document["paths"].values():
        for operation in operations.values():
            _name_answer(operation)
    # FastAPI's own form of a 422, which is never sent.
    found.pop("HTTPValidationError", None)
    found.pop("ValidationError", None)
    _type_results(found)
    _rename(document, NAMES)
    _drop_titles(found)
    _open_answers(document)


def _name_answer(operation: OpenApi) -> None:
    """Name the shape of an answer for which a route has no class."""
    name, answer = operation["operationId"], operation["responses"].get("200", {})
    shape = "Health" if name.startswith("get_health") else "JobPlan" if name.startswith("submit_") else None
    if shape is not None:
        answer["content"] = {"application/json": {"schema": {"$ref": PREFIX + shape}}}


def references(node: object) -> Iterator[str]:
    """Yield the name of each shape to which a part of the document refers, as often as it does."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            yield reference.removeprefix(PREFIX)
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(inner)


def _type_results(found: OpenApi) -> None:
    """Make the record of a job one of three, told apart by `kind`, each with the result of its kind."""
    record = found["JobRecord"]
    mapping = {}
    for kind, (name, result) in RESULTS.items():
        typed = deepcopy(record)
        typed["description"] = f"Where a job of the kind `{kind}` stands."
        typed["properties"]["kind"] = {"type": "string", "const": kind}
        typed["properties"]["result"] = {
            "anyOf": [{"$ref": PREFIX + result.__name__}, {"type": "null"}],
            "description": "What it found; null before its end, and of a job that failed before it had any.",
        }
        found[name] = typed
        mapping[kind] = PREFIX + name
    found["JobRecord"] = {
        "description": record["description"],
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "kind", "mapping": mapping},
    }


def _rename(document: OpenApi, names: Mapping[str, str]) -> None:
    found = document["components"]["schemas"]
    for old, new in names.items():
        found[new] = found.pop(old)
    _refer(document, names)


def _refer(node: object, names: Mapping[str, str]) -> None:
    """Make each reference of a part of the document to one of the shapes one to its other name."""
    if isinstance(node, dict):
        name = str(node.get("$ref", "")).removeprefix(PREFIX)
        if name in names:
            node["$ref"] = PREFIX + names[name]
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _refer(inner, names)


def _drop_titles(found: OpenApi) -> None:
    """Drop titles, which repeat names: they are a tenth of the document."""

    def drop(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("title"), str):
                del node["title"]
            for inner in node.values():
                drop(inner)
        for inner in node if isinstance(node, list) else ():
            drop(inner)

    drop(found)


def _open_answers(document: OpenApi) -> None:
    """Say of requests alone that they hold nothing else: a client must not break where an answer has more.

    A shape that both have is there twice.
    """
    found = document["components"]["schemas"]
    operations = [each for path in document["paths"].values() for each in path.values()]
    sent = _reached(found, [each.get("requestBody") for each in operations])
    answered = _reached(found, [each["responses"] for each in operations]) | {
        "ProblemDocument",
        "ProblemField",
    }
    shared = {name: name + OUTPUT for name in sent & answered if _is_closed(found[name])}
    for name, new in shared.items():
        found[new] = deepcopy(found[name])
    of_answers = {shared.get(name, name) for name in answered - sent} | {*shared.values()}
    for name in of_answers:
        if _is_closed(found[name]):
            del found[name]["additionalProperties"]
        _refer(found[name], shared)
    for each in operations:
        _refer(each["responses"], shared)


def _is_closed(schema: OpenApi) -> bool:
    return schema.get("additionalProperties") is False


def _reached(found: OpenApi, roots: object) -> set[str]:
    reached: set[str] = set()
    waiting = [*references(roots)]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += references(found[name])
    return reached
