"""An unkind API, and `rune` called in this process and in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rune_client.cli.entry import run
from tests.client.cli.fake_api import TOKEN, FakeApi, fake_api

CLIENT = Path(__file__).parents[3] / "clients" / "python"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What `--json` wrote."""
        return [json.loads(line) for line in self.out.splitlines()]


class Rune:
    """The command line, with settings and state of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *words: str) -> Ended:
        """Call it in this process."""
        self._capsys.readouterr()
        code = run(words)
        out, err = self._capsys.readouterr()
        return Ended(code, out, err)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start it in a process of its own, on pipes, as a terminal would: an ignored Ctrl-C is inherited."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-P", "-m", "rune_client.cli", *words],
                env={**os.environ, "PYTHONPATH": str(CLIENT), **variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def called(self, *words: str, **variables: str) -> Ended:
        """Call it in a process of its own."""
        with self.start(*words, **variables) as process:
            out, err = process.communicate(timeout=60)
            return Ended(process.returncode, out, err)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        yield api


@pytest.fixture
def rune(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Rune:
    for name in [name for name in os.environ if name.startswith("RUNE_")]:
        monkeypatch.delenv(name)
    variables = {
        "RUNE_API_BASE_URL": api.base_url,
        "RUNE_API_TOKEN": TOKEN,
        "RUNE_CLIENT_RETRIES": "1",
        "RUNE_CLIENT_PATIENCE_SECONDS": "0",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Rune(tmp_path, capsys)
