import asyncio

from rune.llm.protocol import ModelFacts, ServerFacts
from rune.workflows.benchmark.server_snapshot import LONGEST_FACT_CHARS, describe
from tests.fake_model_server import FakeModelServer


def test_what_a_server_says_of_itself_is_no_longer_than_a_name() -> None:
    server = FakeModelServer(
        server_facts=ServerFacts(name="ollama", version="0" * 10_000),
        model_facts=ModelFacts(digest="sha256:ab", family="f" * 10_000, size_bytes=7),
    )

    model, said, _ = asyncio.run(describe(server, "llama3.1:8b"))

    assert said == ServerFacts(name="ollama", version="0" * LONGEST_FACT_CHARS)
    assert model == ModelFacts(digest="sha256:ab", family="f" * LONGEST_FACT_CHARS, size_bytes=7)
