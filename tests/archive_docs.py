"""What is printed from the archive's line: `PYTHONPATH=shared:functions:. python -m tests.archive_docs`.

The JSON Schema, and the list of columns in docs/archive.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rune.contracts.archive import ArchivedJob
from rune.jobs.record import Kind, Status, StepName
from rune.services.archive import archived_job
from tests.builders import REQUEST, after, an_ended_job
from tests.template import load_template

DOCS = Path(__file__).parents[1] / "docs"
SCHEMA, PAGE = DOCS / "archive.schema.json", DOCS / "archive.md"
BEGIN = "<!-- printed by tests/archive_docs.py from rune.contracts.archive and template.yaml -->"
END = "<!-- end -->"

EXAMPLE = archived_job(
    an_ended_job(
        Status.SUCCEEDED,
        kind=Kind.BENCHMARK,
        step=StepName.RELEASE,
        started_at=after(1.2),
        finished_at=after(19.5),
        rents=True,
        rental_id="6f1f0c2f5d7e4b0e9d3a41c05f6a7b8c-1",
        cost_micro_usd=38_900,
        phases_ms={"boot": 6648, "pull": 5197, "load": 1503, "measure": 3098},
        warnings=("template_not_allowed",),
    ),
    json.dumps({**REQUEST, "backend_type": "ollama"}),
    json.dumps({"answer": "A readiness probe that fails …"}),
)
"""A line as it may be."""


def schema_text() -> str:
    """Return the JSON Schema of a line."""
    schema: dict[str, Any] = ArchivedJob.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    example = json.loads(EXAMPLE.model_dump_json())
    return json.dumps({**head, **schema, "examples": [example]}, indent=1, ensure_ascii=False) + "\n"


def columns_text() -> str:
    """Return the list of columns as Markdown."""
    table = load_template()["Resources"]["ArchivedJobsTable"]["Properties"]["TableInput"]
    types = {each["Name"]: each["Type"] for each in table["StorageDescriptor"]["Columns"]}
    members = ArchivedJob.model_json_schema(mode="serialization")["properties"]
    rows = [
        f"| `{name}` | {types.get(name, 'partition, string')} | {_words(member)} |"
        for name, member in members.items()
    ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])


def _words(member: dict[str, Any]) -> str:
    return " ".join(str(member.get("description", "")).split())


def page_text(page: str) -> str:
    """Return the page with the list of columns printed anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, rest = rest.partition(END)
    return f"{before}{BEGIN}\n\n{columns_text()}\n\n{END}{rest}"


def write() -> None:
    """Write both files."""
    SCHEMA.write_text(schema_text())
    PAGE.write_text(page_text(PAGE.read_text()))


if __name__ == "__main__":
    write()
