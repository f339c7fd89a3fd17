"""Deploying another version of the functions over a stack that works, as an update on AWS does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.settings import ROOT
from local.stack import Stack
from tests.e2e.waiting import wait_until

BUILT = {
    "api": "ApiFunction",
    "worker-money": "MoneyWorkerFunction",
    "worker-inference": "InferenceWorkerFunction",
    "worker-load": "LoadWorkerFunction",
    "janitor": "JanitorFunction",
    "notifier": "NotifierFunction",
    "trigger": "TriggerFunction",
    "invoke": "InvokeFunction",
}
"""The folder of each function's code in the build artifact."""

LOOKS = 3

FOLDER = Path(__file__).parent

WORKERS = ("worker-money", "worker-inference")

THIS_VERSION = ("short_invocations",)
NEXT_VERSION = ("next_version", "short_invocations")
"""Modules of this folder that are put into the functions' code as it was built, and imported first."""


def deploy_first(stack: Stack) -> None:
    """Deploy this version's workers before any has begun, two a lane: each more is a cold start more."""
    functions = stack.aws.client("lambda")
    _put_code(stack, WORKERS, THIS_VERSION)
    for mapping in _mappings(stack):
        functions.update_event_source_mapping(UUID=mapping, ScalingConfig={"MaximumConcurrency": 2})


def deploy(stack: Stack, modules: Sequence[str]) -> None:
    """Exchange the code of all functions while jobs are in flight."""
    with _no_turn_under_way(stack):
        _put_code(stack, tuple(stack.state.functions), modules)


def _put_code(stack: Stack, names: Sequence[str], modules: Sequence[str]) -> None:
    functions = stack.aws.client("lambda")
    for name in names:
        functions.update_function_code(
            FunctionName=stack.state.functions[name], ZipFile=_code_of(name, modules)
        )
    for name in names:
        functions.get_waiter("function_updated_v2").wait(
            FunctionName=stack.state.functions[name], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def _mappings(stack: Stack) -> list[str]:
    found = stack.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    return [mapping["UUID"] for mapping in found]


@contextmanager
def _no_turn_under_way(stack: Stack) -> Iterator[None]:
    """Let turns end, and begin none while the block runs.

    On AWS an invocation goes on with the code it began with; ministack 1.5.33 kills it.
    """
    functions, queues = stack.aws.client("lambda"), stack.aws.client("sqs")
    mappings = _mappings(stack)
    for mapping in mappings:
        functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    urls = (stack.state.money_queue_url, stack.state.inference_queue_url)
    name = "ApproximateNumberOfMessagesNotVisible"

    looks: list[bool] = []

    def is_quiet() -> bool:
        found = [queues.get_queue_attributes(QueueUrl=url, AttributeNames=[name]) for url in urls]
        looks.append(not any(int(each["Attributes"][name]) for each in found))
        # More than one, because a poll may have begun before.
        return len(looks) >= LOOKS and all(looks[-LOOKS:])

    wait_until(is_quiet, "no turn is under way", limit_seconds=90.0, poll_seconds=0.2)
    try:
        yield
    finally:
        for mapping in mappings:
            functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def _code_of(name: str, modules: Sequence[str]) -> bytes:
    """Return a function's code as a zip, with these modules in it."""
    folder = ROOT / ".aws-sam" / "build" / BUILT[name]
    (package,) = (each for each in folder.iterdir() if each.is_dir())
    files = {each.relative_to(folder).as_posix(): each.read_bytes() for each in package.rglob("*.*")}
    # The package's compiled form would be taken for its source, which is another one now.
    files = {path: code for path, code in files.items() if "__pycache__/__init__." not in path}
    files[f"{package.name}/__init__.py"] += "".join(f"import {module}\n" for module in modules).encode()
    files |= {f"{module}.py": (FOLDER / f"{module}.py").read_bytes() for module in modules}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for path, code in files.items():
            written.writestr(path, code)
    return archive.getvalue()
