"""Examples of what is sent and answered. They are files, read when the document is made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.openapi import OpenApi

_FOLDER = Path(__file__).parents[1] / "examples"

REQUESTS = "requests.json"
"""By operation: bodies, each with a sentence that says what it asks for."""

SAME_REQUESTS: Mapping[str, str] = {
    "submit_ollama_instance": "submit_llm_instance",
    "rotate_callback_secret": "rotate_webhook_secret",
}
"""Operations that take what another one takes."""

ANSWERS: Mapping[tuple[str, str, str], Mapping[str, str]] = {
    ("get_job_events", "200", "application/json"): {"history": "events.json"},
    ("get_job_events", "200", "text/event-stream"): {"stream": "events.txt"},
    ("compare_benchmarks", "200", "application/json"): {"comparison": "comparison.json"},
    ("compare_benchmarks", "200", "text/markdown"): {"comparison": "comparison.md"},
    ("get_benchmark_report", "200", "application/json"): {
        "rune": "report.json",
        "vllm": "vllm.json",
        "aiperf": "aiperf.json",
    },
    ("get_benchmark_records", "200", "application/json"): {"links": "records.json"},
    ("create_job_link", "200", "application/json"): {"link": "link.json"},
    ("create_benchmark_link", "200", "application/json"): {"pages": "page_link.json"},
    ("list_schedules", "200", "application/json"): {"two": "schedules.json"},
    ("get_schedule", "200", "application/json"): {"nightly": "schedule.json"},
    ("create_webhook", "201", "application/json"): {"created": "webhook_created.json"},
    ("get_webhook", "200", "application/json"): {"webhook": "webhook.json"},
    ("list_webhook_deliveries", "200", "application/json"): {"deliveries": "deliveries.json"},
}
"""By operation, status and media type: names in the document, and files."""


def add(document: OpenApi) -> None:
    """Add all examples to the document."""
    operations = {each["operationId"]: each for path in document["paths"].values() for each in path.values()}
    requests = read_example(REQUESTS)
    for name, same in {**{each: each for each in requests}, **SAME_REQUESTS}.items():
        operations[name]["requestBody"]["content"]["application/json"]["examples"] = requests[same]
    for (name, status, media_type), files in ANSWERS.items():
        content = operations[name]["responses"][status]["content"][media_type]
        content["examples"] = {shown: {"value": read_example(file)} for shown, file in files.items()}


def read_example(file: str) -> Any:  # noqa: ANN401  # any JSON, or text
    """Return an example."""
    text = (_FOLDER / file).read_text()
    return json.loads(text) if file.endswith(".json") else text
