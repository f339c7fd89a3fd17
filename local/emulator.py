"""The AWS emulator: one process on loopback, with IAM enforced; its state is deleted with the stack."""

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx

from local.guard import GuardedProcess, start_guarded
from local.ports import IPV4_LOOPBACK
from local.settings import ROOT

PYTHON = ROOT / ".local" / "venvs" / "emulator" / "bin" / "python"
REGION = "us-east-1"
# With AUTH=true these credentials are the emulator's administrator.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_START_LIMIT_SECONDS = 60.0


class EmulatorError(Exception):
    """Raised when the emulator does not start; its log has the reason."""


@dataclass(frozen=True)
class Emulator:
    """The running emulator.

    Parameters
    ----------
    url
        AWS endpoint.
    process
        Its guarded process.
    """

    url: str
    process: GuardedProcess

    def session(self) -> "AwsSession":
        """Return the administrator's clients."""
        return AwsSession(self.url)


@dataclass(frozen=True)
class AwsSession:
    """Clients of the emulator for tools and tests, independent of the machine's AWS settings.

    Parameters
    ----------
    url
        AWS endpoint.
    """

    url: str

    def client(self, service: str):  # type: ignore[no-untyped-def] # noqa: ANN201 - its type depends on the name
        """Return a boto3 client of one service."""
        return boto3.client(
            service,  # type: ignore[call-overload] # the stubs know literal names only
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that point command line tools at the emulator."""
        return {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "localhost,127.0.0.1",
        }


def start_emulator(port: int, run_folder: Path, *, path_variable: str) -> Emulator:
    """Start the emulator, and return it once it answers.

    Parameters
    ----------
    run_folder
        Empty folder for its state, its log and the code of running functions.
    path_variable
        PATH of the emulator and of the functions' processes. They get no other variable of the environment, so that
        no function depends on one.

    Raises
    ------
    EmulatorError
        It ended, or did not answer in 60 s.
    """
    url = f"http://{IPV4_LOOPBACK}:{port}"
    process = start_guarded(
        "emulator",
        [str(PYTHON), "-m", "ministack"],
        environment=_environment(port, run_folder, path_variable),
        folder=run_folder,
        log_path=run_folder / "emulator.log",
    )
    emulator = Emulator(url, process)
    try:
        _wait_until_ready(emulator)
    except BaseException:
        process.stop()
        raise
    return emulator


def _environment(port: int, run_folder: Path, path_variable: str) -> Mapping[str, str]:
    temporary = run_folder / "tmp"
    temporary.mkdir()
    return {
        **CREDENTIALS,
        "PATH": path_variable,
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "AUTH": "true",
        "BIND_HOST": IPV4_LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "AWS_DEFAULT_REGION": REGION,
        "STATE_DIR": str(run_folder / "state"),
        "S3_DATA_DIR": str(run_folder / "s3"),
    }


def _wait_until_ready(emulator: Emulator) -> None:
    deadline = time.monotonic() + _START_LIMIT_SECONDS
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < deadline:
            if not emulator.process.is_running():
                break
            try:
                if client.get(f"{emulator.url}/_ministack/health").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    raise EmulatorError(f"the emulator did not come up: see {emulator.process.log_path}")


def find_function_pids(emulator_pid: int, function_name: str) -> list[int]:
    """Return the processes of a function, also idle ones; tests kill them to simulate a crash.

    Parameters
    ----------
    emulator_pid
        Of the emulator that runs the function: functions of two stacks have the same names.
    """
    # The emulator unpacks each environment of a function into a folder of this name.
    pattern = f"ministack-lambda-{re.escape(function_name)}-"
    found = subprocess.run(
        ["pgrep", "-P", str(emulator_pid), "-f", pattern], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]
