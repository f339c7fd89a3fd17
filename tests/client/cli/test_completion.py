"""Completion as shells do it: in bash always, in zsh and fish where they are installed (docs/testing.md)."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rune_client.cli.exits import ExitCode
from rune_client.cli.words import COMPLETE_VARIABLE, Shell
from tests.client.cli.conftest import CLIENT, Rune

INTERACTIVE = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
TYPED = [
    # What is typed before the Tab, and what the shell then runs.
    ("rune sched", "schedule"),
    ("rune jobs can", "jobs cancel"),
    ("rune bench run --max-cos", "bench run --max-cost"),
    ("rune jobs list --profile acme --insec", "jobs list --profile acme --insecure"),
    ("rune --profile ac", "--profile acme"),
    ("rune bench run --file requ", "bench run --file request.yaml"),
    ("rune completion fi", "completion fish"),
]
LONGEST_SECONDS = 60.0


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")


@pytest.fixture
def folder(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a profile, a request, and a `rune` that says what it was called with."""
    program = rune.folder / "bin" / "rune"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nif [ -z "${COMPLETE_VARIABLE}" ] && [ -z "$SCRIPT_IS_WANTED" ]; then\n'
        f'echo "ran: $*."; exit\nfi\n'
        f'PYTHONPATH={CLIENT} exec {shlex.quote(sys.executable)} -P -m rune_client.cli "$@"\n'
    )
    program.chmod(0o755)
    kept = rune.folder / "config" / "rune" / "config.toml"
    kept.parent.mkdir(parents=True)
    kept.write_text('[profiles.acme]\napi_base_url = "https://rune.example.org"\n')
    (rune.folder / "request.yaml").write_text("model: m\n")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(rune.folder / "cache"))
    monkeypatch.setenv("HOME", str(rune.folder))
    return rune.folder


class Terminal:
    """A shell with a person at it."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._own, theirs = pty.openpty()
        self._shell = subprocess.Popen(  # noqa: S603  # a shell of this machine
            command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def until(self, wanted: str) -> str:
        """Return what is seen up to a text, and take it away."""
        ends_at = time.monotonic() + LONGEST_SECONDS
        while wanted not in self._seen:
            assert time.monotonic() < ends_at, self._seen
            if select.select([self._own], [], [], 1.0)[0]:
                self._seen += os.read(self._own, 65536).decode(errors="replace")
        found, _, self._seen = self._seen.partition(wanted)
        return found

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._own)


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_tab_completes_in_an_interactive_shell(shell: str, folder: Path) -> None:
    needs(shell)
    terminal = Terminal(INTERACTIVE[shell], folder)
    try:
        # The quotes keep the shell's echo of the line from being taken for its answer.
        prepare = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
        terminal.type(
            f"PS1='> '; {prepare}source <(SCRIPT_IS_WANTED=1 rune completion {shell}); echo is'-'ready\n"
        )
        terminal.until("is-ready")
        run = []
        for typed, _ in TYPED:
            terminal.type(f"{typed}\t\n")
            terminal.until("ran: ")
            run.append(terminal.until(".\r\n"))
    finally:
        terminal.close()

    assert [each.strip() for each in run] == [wanted for _, wanted in TYPED]


def test_fish_completes(folder: Path) -> None:
    needs("fish")
    asked = "; ".join(f"complete -C {shlex.quote(typed)}" for typed, _ in TYPED if "--file" not in typed)

    done = subprocess.run(  # noqa: S603  # a shell of this machine
        ["fish", "--no-config", "-c", f"SCRIPT_IS_WANTED=1 rune completion fish | source; {asked}"],  # noqa: S607  # as above
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=LONGEST_SECONDS,
    )

    offered = [line.split("\t")[0].strip() for line in done.stdout.splitlines()]
    assert offered == [wanted.split()[-1] for typed, wanted in TYPED if "--file" not in typed]


@pytest.mark.parametrize("shell", Shell)
def test_completion_script_is_one_of_its_shell(shell: str, rune: Rune) -> None:
    ended = rune("completion", shell)

    assert ended.code == 0
    assert COMPLETE_VARIABLE in ended.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=ended.out, text=True, check=True)  # noqa: S603  # the shell itself


def test_completion_of_another_shell_is_refused(rune: Rune) -> None:
    ended = rune("completion", "tcsh")

    assert ended.code == ExitCode.REFUSED
    assert all(shell in ended.err for shell in Shell)
