"""A composite action and a GitLab job, run from their own files as GitHub and GitLab run them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has no types

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Ended:
    """How a run ended: its exit code, what its steps wrote, and the files that they left."""

    code: int = 0
    text: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


class Action:
    """A composite action.

    Parameters
    ----------
    path
        The folder with its `action.yml`.
    values
        What expressions stand for, such as `github.run_id`. An expression that is not there is an error, as is an
        input that the action does not have.
    """

    def __init__(self, path: Path, values: Mapping[str, str]) -> None:
        self.path = path
        self.document: dict[str, Any] = yaml.safe_load((path / "action.yml").read_text())
        self._values = {"github.action_path": str(path), **values}

    def run(self, folder: Path, *, inputs: Mapping[str, str], environment: Mapping[str, str]) -> Ended:
        """Run every step that is to run, in a folder of the caller's."""
        values = {**self._values, **self._inputs(inputs)}
        files = {name: folder / f".{name.lower()}" for name in ("GITHUB_OUTPUT", "GITHUB_PATH")}
        summary = folder / ".github_step_summary"
        summary.touch()
        ended = Ended()
        path = environment["PATH"]
        for step in self.document["runs"]["steps"]:
            if not _is_to_run(step.get("if", ""), values, has_failed=bool(ended.code)):
                continue
            for file in files.values():
                file.write_text("")
            own = {name: _expanded(str(text), values) for name, text in step.get("env", {}).items()}
            given = {**environment, "PATH": path, "GITHUB_STEP_SUMMARY": str(summary), **own}
            done = _bash(
                _expanded(step["run"], values),
                folder,
                {
                    **given,
                    **{name: str(file) for name, file in files.items()},
                    "RUNNER_TEMP": values["runner.temp"],
                },
            )
            ended.code = ended.code or done.returncode
            ended.text += done.stdout + done.stderr
            path = ":".join([*reversed(files["GITHUB_PATH"].read_text().splitlines()), path])
            for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                name, _, value = line.partition("=")
                values[f"steps.{step.get('id')}.outputs.{name}"] = value
        ended.summary = summary.read_text()
        ended.outputs = {
            name: _expanded(each["value"], {**dict.fromkeys(_names_in(each["value"]), ""), **values})
            for name, each in self.document["outputs"].items()
        }
        return ended

    def _inputs(self, given: Mapping[str, str]) -> dict[str, str]:
        known: dict[str, Any] = self.document["inputs"]
        assert given.keys() <= known.keys()
        missing = [name for name, each in known.items() if each.get("required") and name not in given]
        assert missing == []
        return {
            f"inputs.{name}": given.get(name, str(each.get("default", ""))) for name, each in known.items()
        }


def run_gitlab_job(path: Path, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run the one job of a file: its script in one shell, and then its `after_script` in another one."""
    (job,) = yaml.safe_load(path.read_text()).values()
    variables: dict[str, str] = {}
    for name, text in job["variables"].items():
        # GitLab itself puts other variables in.
        variables[name] = re.sub(r"\$(\w+)", lambda found: environment[found[1]], str(text))
    given = {**environment, **variables}
    done = _bash("\n".join(job["script"]), folder, given)
    after = _bash("\n".join(job["after_script"]), folder, given)
    assert after.returncode == 0, after.stderr
    return Ended(done.returncode, done.stdout + done.stderr + after.stdout)


def _bash(script: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as GitHub does, and GitLab: it ends at the first command that fails."""
    file = folder / ".step.sh"
    file.write_text(script)
    return subprocess.run(  # noqa: S603  # our own file
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", file],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _names_in(text: str) -> list[str]:
    return _EXPRESSION.findall(text)


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: values[found[1]], text)


def _is_to_run(condition: str, values: Mapping[str, str], *, has_failed: bool) -> bool:
    """Return whether a step runs.

    A condition is made of `always()` and of names that equal a text, with `&&`. Without `always()` success is one.
    """
    parts = [part.strip() for part in condition.split("&&") if part.strip()]
    if "always()" not in parts and has_failed:
        return False
    compared = [part.split("==") for part in parts if part != "always()"]
    return all(values[name.strip()] == wanted.strip().strip("'") for name, wanted in compared)
