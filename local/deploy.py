"""Build and deploy: the ordinary `sam deploy` of the ordinary template, with the emulator as its AWS."""

import os
import platform
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
    """Raised when build or deployment fails; the message ends with what the tool said."""


def machine_architecture() -> str:
    """Return the template's name for this machine's processor, which runs the functions here.

    Raises
    ------
    DeployError
        Lambda has no such processor.
    """
    try:
        return _ARCHITECTURES[platform.machine().lower()]
    except KeyError:
        raise DeployError(f"functions cannot run on a {platform.machine()} processor") from None


def build(log_path: Path) -> None:
    """Build layer and functions where their sources changed; Make knows, and is quick when nothing did.

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
    # Nothing of our environment but the way to programs and home: no AWS profile of the laptop may be meant.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    _run(
        [
            str(SAM),
            "deploy",
            "--config-env",
            "local",
            "--stack-name",
            STACK_NAME,
            "--parameter-overrides",
            *(f"{name}={value}" for name, value in parameters.items()),
        ],
        environment={**kept, **aws.environment(), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"},
        log_path=log_path,
    )
    _repeat_concurrency_as_number(aws)
    stacks = aws.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}


def _repeat_concurrency_as_number(aws: AwsSession) -> None:
    """Tell each event source mapping its concurrency again, as the number that it is.

    ministack 1.5.33 keeps a parameter's text ("5") there and its poller then fails to compare; AWS converts it.
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
