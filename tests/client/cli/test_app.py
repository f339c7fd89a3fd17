"""The command line as a whole: words in any order, help of every command, completion, settings, raw calls."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path

import pytest

from rune_client.cli import app, outlining
from rune_client.cli import outline as outline_module
from rune_client.cli.commands import ENTRIES
from rune_client.cli.exits import ExitCode
from rune_client.cli.outline import read_outline
from rune_client.cli.quick import show_help
from rune_client.cli.words import COMPLETE_VARIABLE, command_of, executed, hoisted
from tests.client.cli.conftest import CLIENT, Rune
from tests.client.cli.fake_api import Answer, FakeApi, a_job, a_plan, problem


@pytest.fixture(scope="module")
def outline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the outline is kept."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        read_outline()
    return folder


WORDS = [
    ("bench show b1 --json", "--json bench show b1"),
    ("jobs list --profile p --limit 3", "--profile p jobs list --limit 3"),
    ("jobs list --api-base-url=http://x", "--api-base-url=http://x jobs list"),
    ("api /v1 -- --json", "api /v1 -- --json"),
    ("bench run -q=--json", "bench run -q=--json"),
    ("jobs list --profile", "--profile jobs list"),
]


@pytest.mark.parametrize(("typed", "read"), WORDS)
def test_global_options_may_stand_anywhere(typed: str, read: str) -> None:
    assert hoisted(typed.split()) == read.split()


@pytest.mark.parametrize(
    ("words", "command"),
    [("--profile p jobs list", "jobs"), ("--json", None), ("", None), ("--json api", "api")],
)
def test_command_is_the_first_word_that_is_no_option(words: str, command: str | None) -> None:
    assert command_of(words.split()) == command


def test_execute_is_read_as_the_command_of_its_workflow() -> None:
    assert executed(["--json", "execute", "benchmark", "--yes"]) == ["--json", "run-benchmark", "--yes"]
    assert executed(["execute", "other"]) == ["execute", "other"]
    assert executed(["execute"]) == ["execute"]


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_every_command_has_help(name: str, rune: Rune) -> None:
    ended = rune(name, "--help")

    assert ended.code == 0
    assert f"Usage: rune {name}" in ended.out


QUICK = {
    "help": (["--help"], {}),
    "help of a command": (["bench", "run", "--help"], {}),
    "no words": ([], {}),
    "a group": (["jobs"], {}),
    "version": (["--version"], {}),
    "completion script": (["completion", "bash"], {}),
    "completion": (
        [],
        {COMPLETE_VARIABLE: "bash_complete", "COMP_WORDS": "rune jobs can", "COMP_CWORD": "2"},
    ),
}


@pytest.mark.parametrize("name", QUICK)
def test_help_and_completion_load_neither_typer_nor_rich_nor_the_client(
    name: str, outline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, variables = QUICK[name]
    monkeypatch.setenv("XDG_CACHE_HOME", str(outline))
    call = f"from rune_client.cli.entry import run; run({words!r})"
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-P", "-c", f"import sys; {call}; print(sorted(sys.modules), file=sys.stderr)"],
        env={**os.environ, "PYTHONPATH": str(CLIENT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = ("typer", "rich", "httpx", "yaml", "pydantic", "asyncio", "rune_client.cli.app")
    assert "rune_client.cli.entry" in done.stderr
    assert [module for module in loaded if f"'{module}'" in done.stderr] == []


class TestOutline:
    def test_is_made_again_when_a_module_has_changed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        made = count(1)
        monkeypatch.setattr(outlining, "make_outline", lambda: {"n": next(made)})
        state = ["1"]
        monkeypatch.setattr(outline_module, "_state_of_modules", lambda: state)

        first, again = read_outline(), read_outline()
        state = ["2"]

        assert (first, again, read_outline()) == ({"n": 1}, {"n": 1}, {"n": 2})

    @pytest.mark.parametrize("content", ["", "[]", '{"outline": 1}', '{"state": null}'])
    def test_is_made_again_where_the_kept_one_cannot_be_read(
        self, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(outlining, "make_outline", lambda: {"is": "made"})
        path = outline_module.kept_path(os.environ)
        path.parent.mkdir(parents=True)
        path.write_text(content)

        assert read_outline() == {"is": "made"}

    def test_is_not_kept_where_nothing_can_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "rune").write_text("a file in the way")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(outlining, "make_outline", lambda: {"is": "made"})

        assert read_outline() == {"is": "made"}

    def test_page_says_what_the_command_itself_would(self) -> None:
        """The pages differ in nothing but where lines are broken."""
        ours, typers = StringIO(), StringIO()
        with redirect_stdout(ours):
            show_help(["bench", "run", "--help"])
        with redirect_stdout(typers):
            app.run(["bench", "run", "--help"])

        assert ours.getvalue().split() == typers.getvalue().split()


def test_usage_error_is_a_document_too(rune: Rune) -> None:
    ended = rune("jobs", "list", "--limit", "none", "--json")

    assert ended.code == ExitCode.REFUSED
    assert ended.documents[-1]["error"]["code"] == "usage"


def test_token_in_a_project_file_is_refused(api: FakeApi, rune: Rune) -> None:
    (rune.folder / "rune.yaml").write_text("defaults:\n  api_token: t0ken\n")

    ended = rune("jobs", "list", "--json")

    assert ended.code == ExitCode.REFUSED
    assert api.sent == []
    assert "rune login" in ended.documents[-1]["error"]["message"]


def test_debug_shows_bodies_and_no_token(api: FakeApi, rune: Rune) -> None:
    api.will_answer("GET", "/v1/jobs", Answer(200, {"jobs": [], "next_cursor": None}))

    ended = rune("jobs", "list", "--debug")

    assert "> GET /v1/jobs" in ended.err
    assert '"next_cursor"' in ended.err
    assert "t0ken" not in ended.err


def test_list_has_a_row_for_each_job(api: FakeApi, rune: Rune) -> None:
    rows = [
        {"job_id": name, **a_job("succeeded"), "model": "m", "created_at": "2026-11-30T12:00:00Z"}
        for name in "ab"
    ]
    api.will_answer("GET", "/v1/jobs", Answer(200, {"jobs": rows, "next_cursor": None}))

    ended = rune("jobs", "list")

    assert [line.split()[:3] for line in ended.out.splitlines()[1:]] == [
        ["a", "succeeded", "benchmark"],
        ["b", "succeeded", "benchmark"],
    ]


def test_empty_list_says_so_and_is_empty_for_programs(api: FakeApi, rune: Rune) -> None:
    api.will_answer("GET", "/v1/jobs", *[Answer(200, {"jobs": [], "next_cursor": None})] * 2)

    assert rune("jobs", "list").out == "none\n"
    assert rune("jobs", "list", "--json").documents[-1]["data"] == {"jobs": []}


def test_agents_are_those_of_the_catalog(api: FakeApi, rune: Rune) -> None:
    agent = {"name": "ask", "description": "No tools.", "is_available": True, "hint": None}
    other = {"name": "holmes", "description": "A server.", "is_available": False, "hint": "Name its server."}
    api.will_answer("GET", "/v1/catalog/agents", Answer(200, {"agents": [agent, other]}))

    ended = rune("agent", "list")

    assert [line.split(None, 2) for line in ended.out.splitlines()[1:]] == [
        ["ask", "yes", "No tools."],
        ["holmes", "no", "Name its server."],
    ]


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("agent", "run", "--cluster", "shop", "--max-turns", "5"), {"cluster": "shop", "max_turns": 5}),
        (
            ("bench", "run", "--suite", "kubernetes-classics", "--case", "case-01", "--runs", "2"),
            {"suite": "kubernetes-classics", "cases": ["case-01"], "runs": 2},
        ),
    ],
)
def test_investigations_are_asked_for_by_options(
    words: tuple[str, ...], sent: dict[str, object], api: FakeApi, rune: Rune
) -> None:
    rune(*words, "-m", "m", "--backend-url", "http://s:11434")

    (submit,) = api.submits
    assert submit.body is not None
    assert submit.body.items() >= sent.items()


class TestApi:
    def test_answer_is_printed_as_it_is(self, api: FakeApi, rune: Rune) -> None:
        api.will_answer("GET", "/v1/usage", Answer(200, '{"a":  1}'))

        assert rune("api", "/v1/usage").out == '{"a":  1}\n'

    def test_refusal_is_printed_and_is_the_exit_code(self, api: FakeApi, rune: Rune) -> None:
        api.will_answer("GET", "/v1/usage", problem(403, "insufficient_scope"))

        ended = rune("api", "/v1/usage")

        assert ended.code == ExitCode.NOT_AUTHORIZED
        assert json.loads(ended.out)["code"] == "insufficient_scope"

    def test_paying_request_is_not_sent_where_nobody_can_be_asked(self, api: FakeApi, rune: Rune) -> None:
        ended = rune("api", "/v1/jobs/benchmark", "-F", "vastai=true", "-F", "model=m")

        assert ended.code == ExitCode.REFUSED
        assert api.sent == []

    def test_plan_is_sent(self, api: FakeApi, rune: Rune) -> None:
        api.plan = a_plan()

        ended = rune("api", "/v1/jobs/benchmark", "-F", "model=m", "-F", "dry_run=true")

        assert ended.code == 0
        assert api.sent[0].body == {"model": "m", "dry_run": True}


def test_login_keeps_a_token_that_only_its_user_can_read(
    api: FakeApi, rune: Rune, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.will_answer("GET", "/v1/jobs", *[Answer(200, {"jobs": [], "next_cursor": None})] * 2)
    monkeypatch.setattr(sys, "stdin", StringIO("another-token\n"))

    kept = rune("login", "--with-token", "--name", "here")
    monkeypatch.delenv("RUNE_API_TOKEN")
    used = rune("jobs", "list")

    assert (kept.code, used.code) == (0, 0)
    assert [sent.headers["authorization"] for sent in api.sent] == ["Bearer another-token"] * 2
    path = rune.folder / "config" / "rune" / "tokens" / "here"
    assert path.stat().st_mode & 0o077 == 0
    assert "another-token" not in (rune.folder / "config" / "rune" / "config.toml").read_text()


AT_WORK = {"running_job_count": 1, "waiting_job_count": 0, "machines": []}
AT_REST = {**AT_WORK, "running_job_count": 0}


@pytest.mark.parametrize(
    ("left", "stopped_by", "line"),
    [
        (AT_REST, None, "stopped by    nobody"),
        (AT_WORK, None, "running jobs  1"),
        (
            AT_WORK,
            "tenant",
            "done          not yet: `rune stop-all --status` says when",
        ),
        (AT_REST, "tenant", "done          yes"),
    ],
)
def test_status_of_a_stop_is_what_is_left(
    left: dict[str, object], stopped_by: str | None, line: str, api: FakeApi, rune: Rune
) -> None:
    done = stopped_by is not None and left is AT_REST
    state = {**left, "stopped_by": stopped_by, "since": None, "done": done, "usd_per_hour": 0.0}
    api.will_answer("GET", "/v1/stop", Answer(200, state))

    ended = rune("stop-all", "--status")

    assert ended.code == (ExitCode.NOT_FINISHED if left is AT_WORK else ExitCode.SUCCEEDED)
    assert line in ended.out.splitlines()
    assert ("done" in ended.out) == (stopped_by is not None)


@pytest.mark.parametrize(("width", "is_shown"), [(60, True), (40, False)])
def test_agents_are_described_where_the_lines_are_long_enough(
    width: int, is_shown: bool, api: FakeApi, rune: Rune, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = " ".join(["described"] * 30)
    agent = {"name": "a2a", "is_available": True, "hint": None, "description": described}
    api.will_answer(
        "GET", "/v1/catalog/agents", Answer(200, {"agents": [{**agent, "name": "kubernetes"}, agent]})
    )
    monkeypatch.setenv("COLUMNS", str(width))

    out = rune("agent", "list").out

    assert max(map(len, out.splitlines())) <= width
    assert out.count("described") == (60 if is_shown else 0)


def test_documentation_names_every_command() -> None:
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()

    assert [entry.name for entry in ENTRIES if not re.search(f"`(rune )?{entry.name}[ `]", page)] == []
