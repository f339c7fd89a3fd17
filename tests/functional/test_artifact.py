"""What `make build` made, as it would go to AWS."""

import base64
import gzip
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from local.deploy import machine_architecture
from local.settings import ROOT
from tests.spending import LARGE

BUILD = ROOT / ".aws-sam" / "build"
LAYERS = {"arm64": "LayerArm64", "x86_64": "LayerX8664"}
# ELF header, e_machine: EM_AARCH64 and EM_X86_64 (System V ABI, "Machine").
ELF_MACHINES = {"arm64": 183, "x86_64": 62}
FUNCTIONS = {
    "ApiFunction": "api.handler",
    "MoneyWorkerFunction": "worker.handler",
    "InferenceWorkerFunction": "worker.handler",
    "LoadWorkerFunction": "worker.handler",
    "JanitorFunction": "janitor.handler",
    "NotifierFunction": "notifier.handler",
    "TriggerFunction": "trigger.handler",
    "InvokeFunction": "trigger.invoke_handler",
}
ARTIFACTS = [*LAYERS.values(), *FUNCTIONS]
# PEP 552: the second word of a .pyc. Bit 0: checked by hash, not by time; bit 1: check the source at import.
UNCHECKED_HASH = 1
# boto3 and what it needs are the runtime's own.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
ENVIRONMENT = {
    "RUNE_STAGE": "local",
    "RUNE_TABLE": "table",
    "RUNE_BUCKET": "bucket",
    "RUNE_MONEY_QUEUE_URL": "http://127.0.0.1/0/money",
    "RUNE_INFERENCE_QUEUE_URL": "http://127.0.0.1/0/inference",
    "RUNE_NOTICE_QUEUE_URL": "http://127.0.0.1/0/notice",
    "RUNE_DEAD_LETTER_QUEUE_URL": "http://127.0.0.1/0/dead",
    "RUNE_LANE": "money",
    "RUNE_ALLOWED_NETWORKS": "",
    "RUNE_API_TOKENS": f"default:sha256:{'ab' * 32}",
    "RUNE_API_AUTH_DISABLED": "false",
    "RUNE_RETENTION_DAYS": "30",
    "RUNE_QUEUE_TIMEOUT_SECONDS": "86400",
    "RUNE_MAX_RUNTIME_SECONDS": "3600",
    "RUNE_MAX_COST_USD": "10",
    "RUNE_SPENDING_LIMITS": LARGE,
    "RUNE_RUNNING_JOBS": "5",
    "RUNE_TENANT_POLLS_PER_SECOND": "10000",
    "RUNE_TENANT_SUBMITS_PER_SECOND": "10000",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}
LIST_IMPORTS = """
import importlib, sys
importlib.import_module(sys.argv[1])
for name, module in sorted(sys.modules.items()):
    print(name, getattr(module, "__file__", None) or "")
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BUILD.exists(), reason="nothing is built: make build"),
]


def sources(artifact: str) -> list[Path]:
    return sorted((BUILD / artifact).rglob("*.py"))


def elf_machine(path: Path) -> int:
    """Return for which processor a library is; a name need not tell (`abi3`)."""
    header = path.read_bytes()[:20]
    assert header.startswith(b"\x7fELF"), path
    return int.from_bytes(header[18:20], "little")


def imported(function: str) -> dict[str, str]:
    """Modules and their files after importing a handler from its artifact, its layer and the runtime's boto3."""
    paths = [BUILD / function, BUILD / LAYERS[machine_architecture()] / "python"]
    site_packages = Path(sysconfig.get_paths()["purelib"])
    finished = subprocess.run(  # noqa: S603 - our own command
        # -S -E: what this environment has installed must not stand in for what the layer lacks.
        [sys.executable, "-S", "-c", LIST_IMPORTS, FUNCTIONS[function]],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(map(str, [*paths, runtime_folder(site_packages)]))},
        cwd=BUILD / function,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return dict(line.split(" ", 1) for line in finished.stdout.splitlines())


def runtime_folder(site_packages: Path) -> Path:
    """A folder with links to the runtime's packages alone."""
    folder = ROOT / ".local" / "runtime-packages"
    folder.mkdir(parents=True, exist_ok=True)
    for name in RUNTIME_PACKAGES:
        for suffix in ("", ".py"):
            source, link = site_packages / f"{name}{suffix}", folder / f"{name}{suffix}"
            if source.exists() and not link.exists():
                link.symlink_to(source)
    return folder


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_every_module_has_bytecode_that_is_never_compiled_again(artifact: str) -> None:
    wrong = []
    for source in sources(artifact):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little") if compiled.exists() else None
        if flags != UNCHECKED_HASH:
            wrong.append((source, flags))
    assert sources(artifact)
    assert wrong == []


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_artifact_holds_nothing_of_the_machine_that_built_it(artifact: str) -> None:
    here = str(ROOT).encode()
    found = [path for path in (BUILD / artifact).rglob("*") if path.is_file() and here in path.read_bytes()]
    assert found == []


@pytest.mark.parametrize("architecture", LAYERS)
def test_layer_is_compiled_for_its_processor_alone(architecture: str) -> None:
    libraries = {path.name: elf_machine(path) for path in (BUILD / LAYERS[architecture]).rglob("*.so*")}
    assert libraries
    assert libraries == dict.fromkeys(libraries, ELF_MACHINES[architecture])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_holds_its_own_package_alone(function: str) -> None:
    package = FUNCTIONS[function].split(".")[0]
    assert [path.name for path in (BUILD / function).iterdir()] == [package]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_imports_from_its_artifact_layer_and_runtime_alone(function: str) -> None:
    modules = imported(function)
    assert Path(modules["rune"]).is_relative_to(BUILD)
    assert Path(modules[FUNCTIONS[function]]).is_relative_to(BUILD / function)


@pytest.mark.parametrize("function", sorted(FUNCTIONS.keys() - {"ApiFunction"}))
def test_only_the_api_imports_the_web_framework(function: str) -> None:
    assert imported(function).keys() & {"fastapi", "starlette", "mangum"} == set()


def test_no_cold_start_loads_the_first_version_of_pydantic() -> None:
    """FastAPI does at the first field, wherever it is there."""
    assert "fastapi._compat.shared" in (modules := imported("ApiFunction"))
    assert "pydantic.v1" not in modules


def test_api_has_the_page_of_its_documentation() -> None:
    folder = BUILD / "ApiFunction" / "api" / "docs_page"

    packed = (folder / "scalar.js.gz").read_bytes()
    assert b"@scalar/api-reference" in gzip.decompress(packed)
    # Lambda's answers have 6 MB at most (Lambda quotas), and these are in base64.
    assert len(base64.b64encode(packed)) < 4_000_000
    assert (folder / "NOTICE.txt").exists()
