"""The real servers, each started once for all tests that ask it."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.real.llama_server import API_KEY, MODEL, SERVER_FOLDER, LlamaServer, processors, serve, write_model

PROCESSORS = sorted(os.sched_getaffinity(0))

TOOL_CALL_TOKEN = 366
"""Begins a tool call; see `tiny_gguf.list_tokens`."""
END_TOKEN = 2


if "RUNE_LLAMA_SERVER" not in os.environ:
    raise pytest.UsageError("These tests need a server that is built first: make test-real")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where models and logs of servers go."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session")
def tiny_model(folder: Path) -> Path:
    """Return a model that takes less than a millisecond a token, and says halves of characters too."""
    return write_model(folder / "tiny.gguf")


@pytest.fixture(scope="session")
def llama(folder: Path, tiny_model: Path) -> Iterator[LlamaServer]:
    """Return a server with one model, whose context is 2048 tokens a slot."""
    with serve(folder / "llama.log", "-m", tiny_model, "--alias", MODEL, "-c", "8192") as server:
        yield server


@pytest.fixture(scope="session")
def calling_llama(folder: Path, tiny_model: Path) -> Iterator[LlamaServer]:
    """Return a server whose model has Qwen's template, and that would rather call a tool or end than say a word."""
    options: list[str | Path] = ["-m", tiny_model, "--alias", MODEL, "-c", "8192"]
    options += ["--chat-template-file", SERVER_FOLDER / "Qwen-Qwen2.5-7B-Instruct.jinja"]
    options += ["--logit-bias", f"{TOOL_CALL_TOKEN}+50", "--logit-bias", f"{END_TOKEN}+80"]
    with serve(folder / "calling.log", *options) as server:
        yield server


@pytest.fixture(scope="session")
def locked_llama(folder: Path, tiny_model: Path) -> Iterator[LlamaServer]:
    """Return a server that wants `API_KEY`."""
    options: list[str | Path] = ["-m", tiny_model, "--alias", MODEL, "-c", "8192", "--api-key", API_KEY]
    with serve(folder / "locked.log", *options) as server:
        yield server


@pytest.fixture(scope="session")
def router(folder: Path, tiny_model: Path) -> Iterator[LlamaServer]:
    """Return a server that loads and unloads the two models of a folder; none is loaded at first."""
    models = folder / "models"
    models.mkdir()
    for name in ("fox", "cloud"):
        os.link(tiny_model, models / f"{name}.gguf")
    with serve(folder / "router.log", "--models-dir", models, "-c", "8192") as server:
        yield server


@pytest.fixture(scope="module")
def slow_llama(folder: Path) -> Iterator[LlamaServer]:
    """Return a server that takes some milliseconds a token, beside which a client's own are few; it has 8 slots.

    It has a processor to itself, where there are two: who asks keeps to the others.
    """
    model = write_model(folder / "slow.gguf", width=640, layers=10, plain=True)
    own, *others = PROCESSORS
    with ExitStack() as stack:
        with processors({own}):
            server = stack.enter_context(_serve_slowly(folder / "slow.log", model))
        stack.enter_context(processors(set(others)))
        yield server


@pytest.fixture(scope="module")
def slower_llama(folder: Path) -> Iterator[LlamaServer]:
    """Return a server of which the model has a fifth more layers, so that all takes it a fifth longer."""
    model = write_model(folder / "slower.gguf", width=640, layers=12, plain=True)
    with ExitStack() as stack:
        with processors(set(PROCESSORS[:1])):
            server = stack.enter_context(_serve_slowly(folder / "slower.log", model))
        yield server


def _serve_slowly(log: Path, model: Path) -> AbstractContextManager[LlamaServer]:
    return serve(log, "-m", model, "--alias", MODEL, "-c", "8192", slot_count=8)
