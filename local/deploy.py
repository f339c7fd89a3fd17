"""Build and deploy: `sam deploy` of the template, with the emulator as AWS."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.emulator import AwsSession
from local.settings import ROOT

STACK_NAME = "rune-local"
SAM = ROOT / ".local" / "venvs" / "sam" / "bin" / "sam"
_LOG_TAIL_LINES = 25
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class DeployError(Exception):
    """Raised when build or deployment fails; the message ends with the tool's output."""


def machine_architecture() -> str:
    """Return the template's name of this machine's architecture.

    Raises
    ------
    DeployError
        Lambda does not have it.
    """
    try:
        return _ARCHITECTURES[platform.machine().lower()]
    except KeyError:
        raise DeployError(f"functions cannot run on a {platform.machine()} processor") from None


def build(log_path: Path) -> None:
    """Build layer and functions whose sources changed.

    Raises
    ------
    DeployError
        The build failed.
    """
    _run(["make", "--no-print-directory", "build"], environment=os.environ, log_path=log_path)


def deploy(aws: AwsSession, parameters: Mapping[str, str], log_path: Path) -> dict[str, str]:
    """Deploy, and return the outputs of the deployed stack, by name.

    Parameters
    ----------
    parameters
        Values of the template's parameters.

    Raises
    ------
    DeployError
        The deployment failed.
    """
    # Only these variables are passed on, so that no AWS profile of the machine is used.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    overrides_path = log_path.with_suffix(".parameters.yaml")
    write_overrides(overrides_path, parameters)
    _run(
        [
            str(SAM),
            "deploy",
            "--config-env",
            "local",
            "--stack-name",
            STACK_NAME,
            "--parameter-overrides",
            f"file://{overrides_path}",
        ],
        environment={**kept, **aws.environment(), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"},
        log_path=log_path,
    )
    _repeat_concurrency_as_number(aws)
    stacks = aws.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}


def write_overrides(path: Path, parameters: Mapping[str, str]) -> None:
    """Write the template's parameters to a file that `sam deploy` reads unchanged.

    On the command line SAM splits a value at spaces and quotes, and every user of the machine can read it.
    """
    path.touch(mode=0o600)
    # Twice: SAM unquotes the values of a file, and then those of all parameters, among them the file's.
    path.write_text(json.dumps({name: _quote(_quote(value)) for name, value in parameters.items()}))


def _quote(value: str) -> str:
    r"""Return what SAM (samcli.cli.types) unquotes to the value: outer quotes off, `\ `, `\"` and `\'` resolved."""
    return '"' + re.sub(r"([ \"'])", r"\\\1", value) + '"'


def _repeat_concurrency_as_number(aws: AwsSession) -> None:
    """Set the concurrency of each event source mapping again, as a number.

    ministack 1.5.33 keeps the parameter's text ("5"), which its poller cannot compare; AWS converts it.
    """
    functions = aws.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        limit = int(mapping["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": limit}
        )


def _run(command: Sequence[str], *, environment: Mapping[str, str], log_path: Path) -> None:
    with log_path.open("ab") as log:
        finished = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        tail = log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        raise DeployError("\n".join([f"`{Path(command[0]).name} {command[1]}` failed:", *tail]))
