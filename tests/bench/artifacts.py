"""What `make build` made, and how to start a fresh interpreter on it as Lambda would."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

from local.deploy import machine_architecture
from local.settings import ROOT
from tests.spending import LARGE

BUILD = ROOT / ".aws-sam" / "build"
_LAYERS = {"arm64": "LayerArm64", "x86_64": "LayerX8664"}
_RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
FUNCTIONS = {"api": "ApiFunction", "worker": "InferenceWorkerFunction", "janitor": "JanitorFunction"}
"""Folder in the build by package; both lanes run the same worker."""

ENVIRONMENT: Mapping[str, str] = {
    "RUNE_STAGE": "local",
    "RUNE_LANE": "inference",
    "RUNE_TABLE": "table",
    "RUNE_BUCKET": "bucket",
    "RUNE_MONEY_QUEUE_URL": "http://127.0.0.1/0/money",
    "RUNE_INFERENCE_QUEUE_URL": "http://127.0.0.1/0/inference",
    "RUNE_NOTICE_QUEUE_URL": "http://127.0.0.1/0/notice",
    "RUNE_DEAD_LETTER_QUEUE_URL": "http://127.0.0.1/0/dead",
    "RUNE_ALLOWED_NETWORKS": "127.0.0.0/8",
    "RUNE_API_TOKENS": "default:local-token-that-opens-nothing-but-tests",
    "RUNE_RETENTION_DAYS": "30",
    "RUNE_QUEUE_TIMEOUT_SECONDS": "86400",
    "RUNE_MAX_RUNTIME_SECONDS": "3600",
    "RUNE_MAX_COST_USD": "10",
    "RUNE_SPENDING_LIMITS": LARGE,
    "RUNE_RUNNING_JOBS": "5",
    "RUNE_TENANT_POLLS_PER_SECOND": "10000",
    "RUNE_TENANT_SUBMITS_PER_SECOND": "10000",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
"""What a function is told, whatever it is; the token is that of `events/*.json`."""


class NotBuiltError(Exception):
    """Raised when there is nothing to measure; `make build` helps."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A function with its layer.

    Attributes
    ----------
    module
        The handler's module, such as `api.handler`.
    paths
        What Lambda puts on the path: the function's folder, the layer's, the runtime's own packages.
    """

    module: str
    paths: tuple[Path, ...]


def find_artifact(package: str, runtime: Path, build: Path = BUILD) -> Artifact:
    """Return a function as it was built.

    Parameters
    ----------
    runtime
        A folder of packages that Lambda brings itself; see `link_runtime`.
    build
        What `sam build` made, here or in another working copy.

    Raises
    ------
    NotBuiltError
        It was not built.
    """
    function = build / FUNCTIONS[package]
    layer = build / _LAYERS[machine_architecture()] / "python"
    if not (function.exists() and layer.exists()):
        raise NotBuiltError(f"{function} or {layer} is missing: make build")
    return Artifact(f"{package}.handler", (function, layer, runtime))


def link_runtime(folder: Path) -> Path:
    """Fill a folder with links to the packages of the Lambda runtime, from this environment; return it."""
    folder.mkdir(parents=True)
    for name in _RUNTIME_PACKAGES:
        (folder / name).symlink_to(Path(sysconfig.get_paths()["purelib"]) / name)
    return folder


def copy_without_bytecode(artifact: Artifact, folder: Path) -> Artifact:
    """Return a copy of function and layer with their sources alone; the runtime keeps its bytecode."""
    *own, runtime = artifact.paths
    copies = [folder / path.parent.name / path.name for path in own]
    for source, copy in zip(own, copies, strict=True):
        shutil.copytree(source, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Artifact(artifact.module, (*copies, runtime))


def compile_package(package: Path, folder: Path) -> Path:
    """Copy a package into a folder, with bytecode as the build ships it; return the folder."""
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    return folder


def run_fresh(arguments: Sequence[str], paths: Sequence[Path] = (), given: str = "") -> str:
    """Run an interpreter that has nothing but these paths, and return what it printed.

    Bytecode is never written, as on Lambda, whose disk is read-only.

    Parameters
    ----------
    arguments
        A program as the interpreter takes it: `-c` with code, or a file, and what it is told.
    given
        Its standard input.
    """
    finished = subprocess.run(  # noqa: S603 - our own command
        # -S: what this environment has installed must not stand in for what the artifact lacks. -P: nor must the
        # folder of the program.
        [sys.executable, "-S", "-P", "-B", *arguments],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        cwd=BUILD if BUILD.exists() else ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout
