"""README's first requests work as they stand, in a shell, against a running stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from local.settings import ROOT
from local.stack import Stack
from tests.e2e.client import RuneClient

_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)", re.MULTILINE)


def commands_of(page: str) -> list[str]:
    """Return every command that a page's consoles show, in order."""
    return [command for block in _CONSOLE.findall(page) for command in _COMMAND.findall(block)]


def run(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - what README tells people to run
        ["/bin/bash", "-euc", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_first_requests_work_as_they_stand(
    stack: Stack, rune: RuneClient, state_path: Path, tmp_path: Path
) -> None:
    start, env, bench, _, post, get = commands_of((ROOT / "README.md").read_text())[:6]
    environment = {**os.environ, "STACK_FILE": str(state_path), "XDG_STATE_HOME": str(tmp_path)}
    # What `make local` writes to .venv/bin/rune.
    environment["PYTHONPATH"] = str(ROOT / "clients" / "python")
    shown = run(
        f"{env}\n{bench.replace('.venv/bin/rune', f'{sys.executable} -P -m rune_client.cli')}", environment
    )

    job_id = json.loads(run(f"{env}\n{post}", environment))["job_id"]
    rune.wait_for_end(job_id)
    job = json.loads(run(f"{env}\n{re.sub(r'[0-9a-f]{32}', job_id, get)}", environment))

    assert start == "make local"
    assert "tokens/s" in shown
    assert (job["status"], job["kind"]) == ("succeeded", "benchmark")
    assert job["result"]["answer"]
