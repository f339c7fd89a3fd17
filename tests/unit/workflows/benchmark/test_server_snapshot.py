import asyncio
from dataclasses import replace

import pytest

from rune.llm.protocol import ModelFacts, ServerFacts
from rune.workflows.benchmark.server_snapshot import (
    LONGEST_FACT_CHARS,
    ServerSnapshot,
    has_changed,
    take_snapshot,
)
from tests.fake_model_server import MODEL_FACTS, FakeModelServer


def test_what_a_server_says_of_itself_is_no_longer_than_a_name() -> None:
    server = FakeModelServer(
        server_facts=ServerFacts(name="ollama", version="0" * 10_000),
        model_facts=ModelFacts(digest="sha256:ab", family="f" * 10_000, size_bytes=7),
    )

    snapshot = asyncio.run(take_snapshot(server, "llama3.1:8b"))

    assert snapshot == ServerSnapshot(
        model=ModelFacts(digest="sha256:ab", family="f" * LONGEST_FACT_CHARS, size_bytes=7),
        server=ServerFacts(name="ollama", version="0" * LONGEST_FACT_CHARS),
        running=(),
    )


SAID = ServerSnapshot(model=MODEL_FACTS, running=("llama3.1:8b",))


@pytest.mark.parametrize(
    ("later", "is_changed"),
    [
        (SAID, False),
        (ServerSnapshot(), False),
        (ServerSnapshot(model=replace(MODEL_FACTS, digest="sha256:other"), running=SAID.running), True),
        (ServerSnapshot(model=MODEL_FACTS, running=("llama3.1:8b", "qwen3:14b")), True),
        (ServerSnapshot(model=MODEL_FACTS, running=None), False),
        (ServerSnapshot(model=MODEL_FACTS, running=()), False),
    ],
)
def test_server_has_changed_only_where_both_snapshots_say_so(
    later: ServerSnapshot, *, is_changed: bool
) -> None:
    assert has_changed("llama3.1:8b", SAID, later) is is_changed
    assert has_changed("llama3.1:8b", later, SAID) is is_changed
