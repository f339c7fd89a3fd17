"""The Action and GitLab's job, run from their own files: a limit kept or broken, a first baseline, a refusal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from rune_client.cli.exits import ExitCode
from tests.client.cli.conftest import CLIENT, Rune
from tests.client.cli.fake_api import TOKEN, Answer, FakeApi, a_job, a_plan, problem
from tests.client.cli.workflows import Action, Ended, run_gitlab_job
from tests.webhook_receiver import running_receiver

ROOT = Path(__file__).parents[3]
ACTION = ROOT / ".github" / "actions" / "benchmark"
EXAMPLES = ROOT / "functions" / "api" / "examples"
JOB_ID = f"{1:032x}"
JOBS = "/v1/jobs/benchmark"
NEEDED = ROOT / ".local" / "venvs" / "client" / "lib" / "python3.13" / "site-packages"

_RUNE = f'#!/bin/sh\nPYTHONPATH="{CLIENT}" exec "{sys.executable}" -P -m rune_client.cli "$@"\n'
_PIP = '#!/bin/sh\nfor last; do :; done\ntest -f "$last/pyproject.toml"\n'
"""Its last argument is what is installed."""
_SHIMS = {
    # An environment that has `rune` from the sources, as making one and installing into it takes seconds.
    "python3": f"""#!/bin/bash
[ "$1 $2" = "-m venv" ] || exec "{sys.executable}" "$@"
mkdir -p "$3/bin"
cp "$(dirname "$0")/of-venv/"* "$3/bin/"
""",
    "of-venv/rune": _RUNE,
    "of-venv/python": _PIP,
    "pip": '#!/bin/sh\necho "$@" >>"$CALLS"\ncp "$(dirname "$0")/of-venv/rune" "$(dirname "$0")/rune"\n',
    "gh": '#!/bin/sh\necho "$GH_REPO $GH_TOKEN $@" >>"$CALLS"\n',
}


class Runner:
    """A machine of a pipeline: a folder, a PATH, and a request in the repository that was checked out."""

    def __init__(self, folder: Path, api: FakeApi) -> None:
        self.folder, self.calls = folder, folder / "calls"
        self._base_url = api.base_url
        (folder / "benchmark.yaml").write_text("model: m\nquestion: why?\nvastai: true\n")
        for name, text in _SHIMS.items():
            path = folder / "shims" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self.calls.touch()

    def environment(self, **variables: str) -> dict[str, str]:
        """What is set before anything of ours is."""
        own = {
            "PATH": f"{self.folder / 'shims'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "CALLS": str(self.calls),
            "RUNE_CLIENT_RETRIES": "0",
        }
        return {**own, **variables}

    def run_action(self, environment: dict[str, str] | None = None, **inputs: str) -> Ended:
        """Run the Action on a pull request."""
        values = {
            "runner.temp": str(self.folder / "temp"),
            "github.run_id": "7",
            "github.run_attempt": "1",
            "github.job": "bench",
            "github.event_name": "pull_request",
            "github.event.pull_request.number": "12",
            "github.token": "github-token",
            "github.repository": "team/models",
        }
        given = {
            "base-url": self._base_url,
            "token": TOKEN,
            "request": "benchmark.yaml",
            "max-cost": "0.5",
            "fail-on": "ttft_ms.p95:1.10,completed_ratio:0.99",
            **{name.replace("_", "-"): text for name, text in inputs.items()},
        }
        return Action(ACTION, values).run(
            self.folder, inputs=given, environment=environment or self.environment()
        )

    def run_gitlab(self, **variables: str) -> Ended:
        """Run GitLab's job, in a copy of the project as its comment says."""
        (self.folder / "ci").mkdir()
        script = self.folder / "ci" / "benchmark-gate.sh"
        script.write_bytes((ROOT / "ci" / "benchmark-gate.sh").read_bytes())
        script.chmod(0o755)
        of_gitlab = {"RUNE_API_BASE_URL": self._base_url, "RUNE_API_TOKEN": TOKEN, "CI_JOB_ID": "42"}
        environment = self.environment(**of_gitlab, **variables)
        return run_gitlab_job(ROOT / "ci" / "gitlab-benchmark.yml", self.folder, environment)


@pytest.fixture
def runner(api: FakeApi, rune: Rune) -> Runner:
    api.plan = a_plan()
    return Runner(rune.folder, api)


def will_compare(api: FakeApi, gate: str) -> None:
    """Let the baseline be there, and the comparison end so."""
    comparison: dict[str, Any] = json.loads((EXAMPLES / "comparison.json").read_text())
    api.will_answer("GET", "/v1/baselines/main", Answer(200, {"name": "main", "job_id": "b"}))
    forms = ({**comparison, "gate": gate}, "# Comparison\n", "<testsuites/>")
    api.will_answer("GET", "/v1/benchmarks/compare", *(Answer(200, form) for form in forms))


@pytest.mark.parametrize(("gate", "code"), [("passed", ExitCode.SUCCEEDED), ("failed", ExitCode.FAILED)])
def test_action_ends_as_its_gate_does(gate: str, code: ExitCode, api: FakeApi, runner: Runner) -> None:
    will_compare(api, gate)

    ended = runner.run_action(comment="true")

    assert ended.code == code, ended.text
    assert f"gate: {gate}" in ended.text
    assert ended.outputs == {"job-id": JOB_ID}
    page = runner.folder / "temp" / "rune-benchmark" / "comparison.md"
    assert ended.summary == page.read_text() == "# Comparison\n"
    assert (page.parent / "junit.xml").read_text() == "<testsuites/>"
    assert runner.calls.read_text() == f"team/models github-token pr comment 12 --body-file {page}\n"
    (submit,) = api.submits
    assert submit.body == {"model": "m", "question": "why?", "vastai": True, "max_cost_usd": 0.5}
    assert submit.headers["idempotency-key"].strip('"') == "github-7-1-bench-main"
    assert submit.headers["x-tenant-id"] == "default"
    assert TOKEN not in ended.text


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(422, "invalid_request"), ExitCode.REFUSED),
        (problem(401, "unauthorized"), ExitCode.NOT_AUTHORIZED),
        (problem(402, "budget_exhausted"), ExitCode.NO_MONEY),
    ],
)
def test_refused_benchmark_is_the_actions_exit_code(
    answer: Answer, code: ExitCode, api: FakeApi, runner: Runner
) -> None:
    api.refuses_submits = [answer]

    ended = runner.run_action(comment="true")

    assert ended.code == code, ended.text
    assert f'"exit_code":{int(code)}' in ended.text
    assert (ended.outputs, ended.summary, runner.calls.read_text()) == ({"job-id": ""}, "", "")


def test_first_benchmark_becomes_the_baseline(api: FakeApi, runner: Runner) -> None:
    api.will_answer("GET", "/v1/baselines/main", problem(404, "baseline_not_found"))
    api.will_answer("PUT", "/v1/baselines/main", Answer(201, {"name": "main", "job_id": JOB_ID}))
    api.will_answer("GET", f"/v1/benchmarks/{JOB_ID}", Answer(200, "# Report\n"))

    ended = runner.run_action()

    assert ended.code == 0, ended.text
    assert [sent.body for sent in api.sent if sent.method == "PUT"] == [{"job_id": JOB_ID}]
    # Nothing is posted unless that is asked for.
    assert (ended.summary, runner.calls.read_text()) == ("# Report\n", "")


def test_repeated_step_of_the_first_benchmark_passes(api: FakeApi, runner: Runner) -> None:
    api.will_answer("GET", "/v1/baselines/main", Answer(200, {"name": "main", "job_id": JOB_ID}))
    api.will_answer("GET", f"/v1/benchmarks/{JOB_ID}", Answer(200, "# Report\n"))

    ended = runner.run_action()

    assert ended.code == 0, ended.text
    assert [sent.path for sent in api.sent if "compare" in sent.path or sent.method == "PUT"] == []
    assert ended.summary == "# Report\n"


def test_unreadable_baseline_is_the_exit_code_of_its_refusal(api: FakeApi, runner: Runner) -> None:
    api.will_answer("GET", "/v1/baselines/main", problem(403, "insufficient_scope"))

    ended = runner.run_action()

    assert ended.code == ExitCode.NOT_AUTHORIZED, ended.text
    assert "insufficient_scope" in ended.text


def test_failed_job_fails_the_pipeline_before_any_comparison(api: FakeApi, runner: Runner) -> None:
    api.life = [a_job("failed", error="No.", error_code="model_not_found")]

    ended = runner.run_gitlab()

    assert ended.code == ExitCode.FAILED
    assert '"error_code":"model_not_found"' in ended.text
    assert [sent.path for sent in api.sent if "baselines" in sent.path or "compare" in sent.path] == []


@pytest.mark.parametrize(("gate", "code"), [("passed", ExitCode.SUCCEEDED), ("failed", ExitCode.FAILED)])
def test_gitlab_job_ends_as_its_gate_does_and_posts_the_comparison(
    gate: str, code: ExitCode, api: FakeApi, runner: Runner
) -> None:
    will_compare(api, gate)

    with running_receiver() as gitlab:
        ended = runner.run_gitlab(
            CI_MERGE_REQUEST_IID="3",
            CI_PROJECT_ID="9",
            CI_API_V4_URL=f"{gitlab.url}/api/v4",
            GITLAB_NOTE_TOKEN="note-token",
        )

    assert ended.code == code, ended.text
    (note,) = gitlab.posts
    assert note.url == "/api/v4/projects/9/merge_requests/3/notes"
    assert note.headers["private-token"] == "note-token"
    assert parse_qs(note.body.decode()) == {"body": ["# Comparison\n"]}
    assert runner.calls.read_text() == "install --quiet rune-client\n"
    job = yaml.safe_load((ROOT / "ci" / "gitlab-benchmark.yml").read_text())["rune-benchmark"]
    assert (runner.folder / job["artifacts"]["reports"]["junit"]).read_text() == "<testsuites/>"
    (submit,) = api.submits
    assert submit.headers["idempotency-key"].strip('"') == "gitlab-42"


@pytest.mark.slow
def test_action_installs_the_client_as_it_says(api: FakeApi, runner: Runner) -> None:
    """No index is asked: what the client needs and is built with comes from `.local/venvs/client`."""
    will_compare(api, "passed")
    real = runner.folder / "real"
    real.mkdir()
    (real / "python3").symlink_to(Path(sys.base_prefix) / "bin" / Path(os.path.realpath(sys.executable)).name)
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONPATH": str(NEEDED),
    }

    ended = runner.run_action(runner.environment(**offline, PATH=f"{real}:/usr/bin:/bin"))

    assert ended.code == 0, ended.text
    assert (runner.folder / "temp" / "rune" / "bin" / "rune").exists()
    assert "gate: passed" in ended.text


def test_text_of_a_caller_is_no_part_of_a_script() -> None:
    steps = Action(ACTION, {}).document["runs"]["steps"]

    assert steps
    assert "${{" not in "".join(str(step.get("run")) for step in steps)


def test_action_gives_the_script_all_that_it_reads() -> None:
    script = (ROOT / "ci" / "benchmark-gate.sh").read_text()
    (step,) = [step for step in Action(ACTION, {}).document["runs"]["steps"] if step.get("id") == "run"]

    read = {name for name in step["env"] if name.startswith("RUNE_") and not name.startswith("RUNE_API_")}

    assert {name for name in read if f"${{{name}" not in script and f'"${name}"' not in script} == set()
