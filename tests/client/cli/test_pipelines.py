"""The script of the pipelines, run as they run it: a limit kept, a limit broken, and a first baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from rune_client.cli.exits import ExitCode
from tests.client.cli.conftest import CLIENT, Rune
from tests.client.cli.fake_api import Answer, FakeApi, a_job, a_plan, problem

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "functions" / "api" / "examples"
JOB_ID = f"{1:032x}"


@pytest.fixture
def rune_on_path(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> Rune:
    """Put a `rune` on the PATH that runs the sources."""
    folder = rune.folder / "bin"
    folder.mkdir()
    script = folder / "rune"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="{CLIENT}" exec "{sys.executable}" -P -m rune_client.cli "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("RUNE_CLIENT_RETRIES", "0")
    return rune


def run_gate(rune: Rune, **variables: str) -> subprocess.CompletedProcess[str]:
    (rune.folder / "benchmark.yaml").write_text("model: m\nquestion: why?\nvastai: true\n")
    given = {
        "RUNE_REQUEST": "benchmark.yaml",
        "RUNE_BASELINE": "main",
        "RUNE_FAIL_ON": "ttft_ms.p95:1.10,completed_ratio:0.99",
        "RUNE_MAX_COST": "0.5",
        "RUNE_KEY": "run-7",
        "GITHUB_OUTPUT": str(rune.folder / "outputs"),
    }
    return subprocess.run(  # noqa: S603  # our own script
        [ROOT / "ci" / "benchmark-gate.sh"],
        cwd=rune.folder,
        env={**os.environ, **given, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def will_compare(api: FakeApi, gate: str) -> None:
    """Let the baseline be there, and the comparison end so."""
    api.plan = a_plan()
    comparison: dict[str, Any] = json.loads((EXAMPLES / "comparison.json").read_text())
    api.will_answer("GET", "/v1/baselines/main", Answer(200, {"name": "main", "job_id": "b"}))
    forms = ({**comparison, "gate": gate}, "# Comparison\n", "<testsuites/>")
    api.will_answer("GET", "/v1/benchmarks/compare", *(Answer(200, form) for form in forms))


@pytest.mark.parametrize(("gate", "code"), [("passed", ExitCode.SUCCEEDED), ("failed", ExitCode.FAILED)])
def test_pipeline_ends_as_its_gate_does(gate: str, code: ExitCode, api: FakeApi, rune_on_path: Rune) -> None:
    will_compare(api, gate)

    done = run_gate(rune_on_path)

    assert done.returncode == code, done.stderr
    assert f"gate: {gate}" in done.stdout
    assert (rune_on_path.folder / "rune-benchmark" / "comparison.md").read_text() == "# Comparison\n"
    assert (rune_on_path.folder / "rune-benchmark" / "junit.xml").read_text() == "<testsuites/>"
    assert (rune_on_path.folder / "outputs").read_text() == f"job_id={JOB_ID}\n"
    (submit,) = api.submits
    assert submit.body == {"model": "m", "question": "why?", "vastai": True, "max_cost_usd": 0.5}
    assert submit.headers["idempotency-key"].strip('"') == "run-7"


def test_first_benchmark_becomes_the_baseline(api: FakeApi, rune_on_path: Rune) -> None:
    api.will_answer("GET", "/v1/baselines/main", problem(404, "baseline_not_found"))
    api.will_answer("PUT", "/v1/baselines/main", Answer(201, {"name": "main", "job_id": JOB_ID}))
    api.will_answer("GET", f"/v1/benchmarks/{JOB_ID}", Answer(200, "# Report\n"))

    done = run_gate(rune_on_path)

    assert done.returncode == 0, done.stderr
    assert [sent.body for sent in api.sent if sent.method == "PUT"] == [{"job_id": JOB_ID}]


def test_failed_job_fails_the_pipeline_before_any_comparison(api: FakeApi, rune_on_path: Rune) -> None:
    api.life = [a_job("failed", error="No.", error_code="model_not_found")]

    done = run_gate(rune_on_path)

    assert done.returncode == ExitCode.FAILED
    assert '"error_code":"model_not_found"' in done.stdout
    assert [sent.path for sent in api.sent if "baselines" in sent.path or "compare" in sent.path] == []


def test_action_gives_the_script_all_that_it_reads() -> None:
    action = yaml.safe_load((ROOT / ".github" / "actions" / "benchmark" / "action.yml").read_text())
    script = (ROOT / "ci" / "benchmark-gate.sh").read_text()
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "run"]

    read = {name for name in step["env"] if name.startswith("RUNE_") and not name.startswith("RUNE_API_")}

    assert {name for name in read if f"${{{name}" not in script and f'"${name}"' not in script} == set()
    assert "${{" not in "".join(str(step.get("run")) for step in action["runs"]["steps"])


def test_gitlab_job_calls_the_same_script() -> None:
    job = yaml.safe_load((ROOT / "ci" / "gitlab-benchmark.yml").read_text())["rune-benchmark"]

    assert "ci/benchmark-gate.sh" in job["script"]
    assert job["variables"]["RUNE_OUT"] + "/junit.xml" == job["artifacts"]["reports"]["junit"]
