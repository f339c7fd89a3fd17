"""What is printed from the types of events: `PYTHONPATH=shared:functions:. python -m tests.event_docs`.

A JSON Schema for each type, an AsyncAPI document of all, and the list in docs/events.md. An example is written by
hand, as the body that a webhook gets: `docs/events/examples/<type>.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, override

import yaml  # type: ignore[import-untyped]  # no stubs among our tools
from pydantic.json_schema import GenerateJsonSchema

from rune.contracts import Document
from rune.contracts import events as documents
from rune.contracts.events import BusDetail, EventDocument, WebhookBody
from rune.contracts.orders import JobRequested
from rune.events.catalog import CATALOG, REQUESTED, EventType

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "events"
EXAMPLES = FOLDER / "examples"
PAGE = ROOT / "docs" / "events.md"
BEGIN = "<!-- printed by tests/event_docs.py from rune.events.catalog -->"
END = "<!-- end -->"

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BUS_DETAIL, WEBHOOK_BODY = "bus-detail.json", "webhook-body.json"
REQUESTED_SENTENCE = "A neighbour asks for a job: the event that RUNE takes from the bus."


class _Plain(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes from the names of members."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def document_of(event_type: EventType) -> type[EventDocument]:
    """Return the class of the type's data."""
    found: type[EventDocument] = getattr(documents, event_type.document)
    return found


def read_example(name: str) -> dict[str, Any]:
    """Return the example of a type, the body of a webhook."""
    example: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return example


def detail_of(example: dict[str, Any]) -> dict[str, Any]:
    """Return the same event as the bus has it."""
    return {"metadata": example["metadata"], "data": example["data"]}


def schema_of(document: type[Document], title: str, sentence: str, example: object) -> dict[str, Any]:
    """Return the JSON Schema of a document, with an example."""
    # A sender may leave out what has a default; RUNE leaves out nothing.
    mode: Literal["validation", "serialization"] = (
        "validation" if document is JobRequested else "serialization"
    )
    schema = document.model_json_schema(mode=mode, schema_generator=_Plain)
    head = {"$schema": DIALECT, "title": title, "description": sentence}
    return {**head, **schema, **head, "examples": [example]}


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas by the names of their files."""
    found = {
        f"{name}.json": schema_of(
            document_of(event_type), name, event_type.sentence, read_example(name)["data"]
        )
        for name, event_type in CATALOG.items()
    }
    found[f"{REQUESTED}.json"] = schema_of(
        JobRequested, REQUESTED, REQUESTED_SENTENCE, read_example(REQUESTED)
    )
    body = read_example("rune.job.succeeded")
    found[BUS_DETAIL] = schema_of(
        BusDetail, "detail", "The `detail` of each event on the bus.", detail_of(body)
    )
    found[WEBHOOK_BODY] = schema_of(WebhookBody, "body", "What is posted to a webhook.", body)
    return found


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    on_bus = [name for name, event_type in CATALOG.items() if event_type.is_on_bus]
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "RUNE's events",
            "version": documents.SCHEMA_VERSION,
            "description": "What RUNE tells others of, and what it takes from them (docs/events.md).",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "bus": {
                "address": "{eventBusName}",
                "title": "The EventBridge bus",
                "description": "Payloads are the `detail`. `source` is `rune` for what RUNE publishes, and "
                "`detail-type` is the name of the message.",
                "parameters": {"eventBusName": {"description": "The stack's output `EventBusName`."}},
                "messages": {
                    **{name: _ref(f"#/components/messages/bus.{name}") for name in on_bus},
                    REQUESTED: _ref(f"#/components/messages/{REQUESTED}"),
                },
            },
            "webhooks": {
                "address": None,
                "title": "The webhooks of a tenant",
                "description": "Posted to the addresses that a tenant named, by the rules of Standard Webhooks.",
                "messages": {name: _ref(f"#/components/messages/webhook.{name}") for name in CATALOG},
            },
        },
        "operations": {
            "publishOnBus": _operation("send", "bus", on_bus, "RUNE publishes its events on the bus."),
            "takeFromBus": _operation(
                "receive", "bus", [REQUESTED], "RUNE makes a job of what a neighbour asks for."
            ),
            "postToWebhooks": _operation("send", "webhooks", [*CATALOG], "RUNE posts events to webhooks."),
        },
        "components": {
            "messages": {
                **{f"bus.{name}": _bus_message(CATALOG[name]) for name in on_bus},
                **{f"webhook.{name}": _webhook_message(each) for name, each in CATALOG.items()},
                REQUESTED: {
                    "name": REQUESTED,
                    "title": REQUESTED,
                    "summary": REQUESTED_SENTENCE,
                    "payload": _ref(f"./{REQUESTED}.json"),
                    "examples": [{"payload": read_example(REQUESTED)}],
                },
            },
            "schemas": {"webhookHeaders": _WEBHOOK_HEADERS},
        },
    }


_WEBHOOK_HEADERS = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {
            "type": "string",
            "description": "`metadata.event_id`: the same in each attempt.",
        },
        "webhook-timestamp": {"type": "string", "description": "Of this attempt, in Unix seconds."},
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and the signature in base64; during a rotation two, with a space between.",
        },
    },
}


def _operation(action: str, channel: str, names: list[str], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _ref(f"#/channels/{channel}"),
        "summary": summary,
        "messages": [_ref(f"#/channels/{channel}/messages/{name}") for name in names],
    }


def _bus_message(event_type: EventType) -> dict[str, Any]:
    return {
        **_message(event_type, BUS_DETAIL),
        "examples": [{"payload": detail_of(read_example(event_type.name))}],
    }


def _webhook_message(event_type: EventType) -> dict[str, Any]:
    return {
        **_message(event_type, WEBHOOK_BODY),
        "headers": _ref("#/components/schemas/webhookHeaders"),
        "examples": [{"payload": read_example(event_type.name)}],
    }


def _message(event_type: EventType, envelope: str) -> dict[str, Any]:
    return {
        "name": event_type.name,
        "title": event_type.name,
        "summary": event_type.sentence,
        "payload": {
            "allOf": [
                _ref(f"./{envelope}"),
                {"type": "object", "properties": {"data": _ref(f"./{event_type.name}.json")}},
            ]
        },
    }


def _ref(target: str) -> dict[str, Any]:
    return {"$ref": target}


def describe() -> str:
    """Return the list of types for docs/events.md, each with its example's data."""
    rows = [
        f"| [`{name}`](events/{name}.json) | `{each.subject}` | {each.sentence} |"
        for name, each in CATALOG.items()
    ]
    table = "\n".join(["| type | about | what happened |", "|---|---|---|", *rows])
    examples = "\n\n".join(
        f"`{name}`:\n\n```json\n{json.dumps(read_example(name)['data'], indent=1, ensure_ascii=False)}\n```"
        for name in CATALOG
    )
    return f"{table}\n\n{examples}"


def insert(page: str) -> str:
    """Return the page with the list of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{describe()}\n{END}{after}"


def files() -> dict[Path, str]:
    """Return all that is printed, by file."""
    printed = {
        FOLDER / name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    head = "# Printed by tests/event_docs.py from rune.events.catalog.\n"
    printed[FOLDER / "asyncapi.yaml"] = head + yaml.dump(
        asyncapi(), Dumper=_WithoutAnchors, sort_keys=False, allow_unicode=True, width=110
    )
    printed[PAGE] = insert(PAGE.read_text())
    return printed


class _WithoutAnchors(yaml.SafeDumper):  # type: ignore[misc]  # untyped base
    """Writes what comes twice twice: anchors are hard to read."""

    def ignore_aliases(self, data: object) -> bool:
        return True


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text)
