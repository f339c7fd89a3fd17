"""That what is printed from the types of events is what they are, and that programs can rely on it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among our tools

from rune.contracts.events import WebhookBody
from rune.contracts.orders import JobRequested
from rune.contracts.requests import MOST_METADATA
from rune.events.catalog import CATALOG, REQUESTED
from rune.events.envelopes import bus_detail_json, webhook_body_json
from rune.events.record import PublicEvent, Subject
from tests.event_docs import EXAMPLES, FOLDER, PAGE, detail_of, document_of, files, read_example, schemas

SPECIFICATION = Path(__file__).parents[2] / "asyncapi" / "3.1.0.json.gz"
"""AsyncAPI's own JSON Schema: `schemas/3.1.0-without-$id.json` of the npm package @asyncapi/specs 6.11.1
(Apache-2.0), compressed. No Python package has it."""

LARGEST_EVENT_BYTES = 20_000
LONGEST_TEXT = 600
"""Longer in bytes than any text of an event: names of 128 characters, sentences of 360 bytes, paths."""
LONGEST_OWN_TEXT = 128
"""Characters of a value of a job's metadata."""

SECRETIVE = re.compile(r"token|secret|password|authorization|api_key|credential|address|answer|prompt")


printed = cache(files)


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def assert_valid(name: str, document: object) -> None:
    """Assert that a document is as a printed schema says, formats included."""
    validator = jsonschema_rs.Draft202012Validator(read(name), validate_formats=True)
    assert [error.message for error in validator.iter_errors(document)] == []


def an_event(example: dict[str, Any]) -> PublicEvent:
    """Return the event of which an example is the body."""
    body = WebhookBody.model_validate_json(json.dumps(example))
    return PublicEvent(
        body.type,
        body.metadata.tenant,
        Subject.parse(body.metadata.subject),
        body.metadata.sequence,
        body.timestamp,
        body.data,
    )


@pytest.mark.parametrize("file", printed(), ids=lambda file: file.name)
def test_printed_file_is_as_the_types_are(file: Path) -> None:
    assert file.read_text() == printed()[file]


def test_folder_holds_nothing_of_a_type_that_is_no_more() -> None:
    assert {path for path in FOLDER.iterdir() if path.is_file()} == printed().keys() - {PAGE}
    assert {path.stem for path in EXAMPLES.iterdir()} == {*CATALOG, REQUESTED}


@pytest.mark.parametrize("name", CATALOG)
def test_example_is_an_event_of_its_type(name: str) -> None:
    example = read_example(name)
    event = an_event(example)

    assert event.event_type == name
    assert event.subject.kind is CATALOG[name].subject
    assert json.loads(webhook_body_json(event)) == example
    assert json.loads(bus_detail_json(event)) == detail_of(example)
    data = document_of(CATALOG[name]).model_validate_json(json.dumps(example["data"]))
    assert data.model_dump(mode="json") == example["data"]


@pytest.mark.parametrize("name", CATALOG)
def test_example_is_valid_by_the_printed_schemas(name: str) -> None:
    example = read_example(name)

    assert_valid(f"{name}.json", example["data"])
    assert_valid("webhook-body.json", example)
    assert_valid("bus-detail.json", detail_of(example))


@pytest.mark.parametrize("name", CATALOG)
def test_schema_needs_every_member_and_allows_more(name: str) -> None:
    data = read_example(name)["data"]

    assert_valid(f"{name}.json", {**data, "added_later": 1})
    for member in data:
        fewer = {each: value for each, value in data.items() if each != member}
        with pytest.raises(AssertionError, match=f"{member}.* is a required property"):
            assert_valid(f"{name}.json", fewer)


def test_requested_job_is_read_as_its_schema_says() -> None:
    example = read_example(REQUESTED)
    without_key = {"data": example["data"], "metadata": {"sender": "ci"}}

    assert_valid(f"{REQUESTED}.json", example)
    assert_valid(f"{REQUESTED}.json", without_key)
    assert JobRequested.model_validate(example).metadata.idempotency_key == "release-2026-11-30"
    assert JobRequested.model_validate(without_key).metadata.idempotency_key is None


def full(schema: dict[str, Any]) -> object:
    """Return a document in which every text is the longest, and every list has ten."""
    for option in schema.get("anyOf", ()):
        if option != {"type": "null"}:
            return full(option)
    match schema["type"]:
        case "object" if "properties" not in schema:
            # The caller's own metadata, the only member of any names.
            return {
                f"{number:040}": "\N{GRINNING FACE}" * LONGEST_OWN_TEXT for number in range(MOST_METADATA)
            }
        case "object":
            return {name: full(member) for name, member in schema["properties"].items()}
        case "array":
            return [full(schema["items"])] * 10
        case "string":
            return schema.get("const", "x" * LONGEST_TEXT)
        case other:
            return {"integer": 10**15, "number": 123456.123456, "boolean": False}[other]


@pytest.mark.parametrize("name", CATALOG)
def test_largest_event_is_below_20_kb(name: str) -> None:
    envelope = read_example(name) | {"data": full(read(f"{name}.json"))}

    assert 0 < len(json.dumps(envelope, ensure_ascii=False).encode()) < LARGEST_EVENT_BYTES


@pytest.mark.parametrize("name", CATALOG)
def test_event_has_no_member_for_a_secret(name: str) -> None:
    data = read_example(name)["data"]

    assert [member for member in data if SECRETIVE.search(member)] == []
    # An address that is told is a path of our own API: others may hold credentials, or open a server.
    urls = [value for member, value in data.items() if member.endswith("url") and value is not None]
    assert [url for url in urls if not url.startswith("/v1/")] == []


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text())
    return document


def test_asyncapi_document_is_valid_by_its_specification() -> None:
    specification = json.loads(gzip.decompress(SPECIFICATION.read_bytes()))
    validator = jsonschema_rs.Draft7Validator(specification)

    assert [error.message for error in validator.iter_errors(asyncapi())] == []
    assert not validator.is_valid({**asyncapi(), "channels": {"bus": {"messages": []}}})


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (node["$ref"],) if "$ref" in node else ()
        for inner in node.values():
            yield from references(inner)
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_asyncapi_document_names_only_what_there_is() -> None:
    document = asyncapi()

    for reference in set(references(document)):
        if reference.startswith("#/"):
            found: Any = document
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]
        else:
            assert (FOLDER / reference).is_file()


def test_asyncapi_document_has_each_type_on_its_ways() -> None:
    channels = asyncapi()["channels"]

    assert channels["bus"]["messages"].keys() == CATALOG.keys() - {"rune.ping"} | {REQUESTED}
    assert channels["webhooks"]["messages"].keys() == CATALOG.keys()


def test_schemas_are_valid_json_schemas() -> None:
    assert [name for name, schema in schemas().items() if not jsonschema_rs.meta.is_valid(schema)] == []


def test_patterns_of_the_page_name_types_that_there_are() -> None:
    lists = re.findall(r'"detail-type": (\[[^]]*\])', PAGE.read_text())

    named = {name for found in lists for name in json.loads(found)}
    assert len(lists) == 2
    assert named <= CATALOG.keys()
