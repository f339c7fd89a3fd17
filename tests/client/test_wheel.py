"""The wheel, installed into an empty environment with nothing of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from rune_client.version import __version__

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "clients" / "python"
VENVS = ROOT / ".local" / "venvs"
UV = VENVS / "uv" / "bin" / "uv"
PROJECT = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, folder: Path) -> str:
    """Return what a command writes; it has neither this repository's path nor its variables."""
    done = subprocess.run(  # noqa: S603  # ours
        [str(each) for each in command],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make client` builds it."""
    assert (VENVS / "client").exists(), "Sync requirements/client.txt into .local/venvs/client (make setup)"
    folder = tmp_path_factory.mktemp("wheel")
    run(
        VENVS / "client" / "bin" / "python",
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        folder,
        folder=SOURCE,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with what it needs, which is all that `.local/venvs/client` has."""
    folder = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", folder=folder)
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, folder=folder)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    needed = run(VENVS / "client" / "bin" / "python", "-c", ask, folder=folder)
    installed = Path(run(python, "-c", ask, folder=folder).strip())
    (installed / "needed.pth").write_text(needed)
    return folder / "venv"


def imports_of(path: Path) -> set[str]:
    """Return the packages that a module imports when it is loaded or later, by their first name."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) if node.module}
    return {name.split(".")[0] for name in names}


def test_what_is_imported_is_declared() -> None:
    # httpx brings anyio, and mcp its types and pydantic.
    of_package = {"pyyaml": "yaml", "httpx": "httpx anyio", "mcp": "mcp mcp_types pydantic"}
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    declared = [re.split(r"[<>=\[]", each)[0] for each in [*PROJECT["dependencies"], *extras]]
    allowed = {name for each in declared for name in of_package.get(each, each).split()}

    imported = set().union(*(imports_of(path) for path in (SOURCE / "rune_client").rglob("*.py")))

    assert "httpx" in imported
    assert imported - allowed - sys.stdlib_module_names == {"rune_client"}


def test_environment_that_builds_has_what_is_declared_and_no_more() -> None:
    wanted = (ROOT / "requirements" / "client.in").read_text().splitlines()
    declared = [re.split(r"[<>=]", each)[0] for each in PROJECT["dependencies"]]

    assert sorted(line for line in wanted if not line.startswith("#")) == sorted(["hatchling", *declared])


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        entries = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()

    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "rune_client").rglob("*")
        if path.is_file() and path.suffix in {".py", ".typed"}
    } | {"rune_client/cli/outline.json"}
    assert "License-Expression: Apache-2.0" in about
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "rune = rune_client.cli:main" in entries


@pytest.mark.slow
def test_installed_library_knows_nothing_of_the_repository(environment: Path, tmp_path: Path) -> None:
    script = (
        "import sys, rune_client\n"
        "client = rune_client.RuneClient('http://127.0.0.1:9', 'token', retries=0)\n"
        "try:\n"
        "    client.health()\n"
        "except rune_client.NetworkError as error:\n"
        "    print(type(error).__name__, error.may_have_arrived)\n"
        # httpx loads rich by itself, for its own command line, where click is installed.
        "print([name for name in ('rune', 'api', 'typer', 'yaml') if name in sys.modules])\n"
        "print(rune_client.__file__)\n"
    )

    found = run(environment / "bin" / "python", "-c", script, folder=tmp_path).splitlines()

    assert found[:2] == ["NetworkError False", "[]"]
    assert Path(found[2]).is_relative_to(environment)


@pytest.mark.slow
def test_installed_command_line_shows_its_help(environment: Path, tmp_path: Path) -> None:
    rune = environment / "bin" / "rune"

    assert run(rune, "--version", folder=tmp_path) == f"rune {__version__}\n"
    shown = run(rune, "--help", folder=tmp_path)
    assert all(word in shown for word in ("bench", "jobs", "rentals", "stop-all", "Exit codes"))
    # The wheel has what help is made of, so nothing is made and kept.
    assert not (tmp_path / ".cache").exists()
    assert "--max-cost" in run(rune, "bench", "run", "--help", folder=tmp_path)
