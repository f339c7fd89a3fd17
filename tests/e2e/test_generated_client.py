"""What a generator makes of the OpenAPI document is a client that runs a job, with types that hold."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from local.settings import ROOT
from local.stack import Stack
from tests.e2e.client import RuneClient
from tests.e2e.environment import TENANT
from tests.e2e.model_server import ModelServer

TOOLS = ROOT / ".local" / "venvs" / "openapi" / "bin"
SCRIPT = Path(__file__).with_name("generated_client.py")
CONFIGURATION = (
    "package_name_override: rune_generated\nproject_name_override: rune-generated\npost_hooks: []\n"
)


def generate(document: str, folder: Path) -> Path:
    """Return where the client is that openapi-python-client makes of a document; it may warn of nothing."""
    assert TOOLS.exists(), "The generator is missing: sync requirements/openapi.txt into .local/venvs/openapi"
    (folder / "openapi.json").write_text(document)
    (folder / "configuration.yml").write_text(CONFIGURATION)
    made = folder / "client"
    command = [
        str(TOOLS / "openapi-python-client"),
        *("generate", "--fail-on-warning", "--path", str(folder / "openapi.json")),
        *("--config", str(folder / "configuration.yml"), "--output-path", str(made)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def test_generated_client_runs_a_job(
    stack: Stack, rune: RuneClient, quick: ModelServer, tokens: dict[str, str], tmp_path: Path
) -> None:
    client = generate(rune.http.get("/openapi.json").text, tmp_path)

    arguments = [stack.state.base_url, tokens[TENANT], TENANT, quick.url]
    done = subprocess.run(  # noqa: S603  # ours
        [str(TOOLS / "python"), str(SCRIPT), *arguments],
        env={**os.environ, "PYTHONPATH": str(client), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    understood = json.loads(done.stdout)
    assert understood.pop("output_tokens") > 0
    assert understood == {
        "accepted": "JobAccepted",
        "job": "BenchmarkJob",
        "status": "succeeded",
        "result": "BenchmarkResult",
        "missing": ["ProblemDocument", "job_not_found"],
    }
