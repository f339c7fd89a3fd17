"""The table of exit codes, each by a process of its own against an API that fails as the world does."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rune_client.cli.exits import MEANINGS, ExitCode
from rune_client.cli.output import Output
from rune_client.cli.watching import Watch
from tests.client.cli.conftest import Rune
from tests.client.cli.fake_api import CUT, FREE, Answer, FakeApi, a_job, a_plan, a_result, problem

RUN = ("bench", "run", "-m", "m", "-q", "why?", "--backend-url", "http://s:11434")
RENT = ("bench", "run", "-m", "m", "-q", "why?", "--vastai")
JOBS = "/v1/jobs/benchmark"


@dataclass(frozen=True)
class Case:
    """A command, what the API does, and how the command ends."""

    code: ExitCode
    words: tuple[str, ...] = RUN
    life: tuple[dict[str, Any], ...] = ()
    plan: dict[str, Any] | None = None
    answers: tuple[tuple[str, str, tuple[Answer, ...]], ...] = ()

    def set_up(self, api: FakeApi) -> None:
        api.life = list(self.life) or api.life
        api.plan = self.plan or FREE
        for method, path, answers in self.answers:
            api.will_answer(method, path, *answers)


FAILED = a_job("failed", error="The server does not have the model.", error_code="model_not_found")
BY_PROCESS = {
    "succeeded": Case(ExitCode.SUCCEEDED),
    "job failed": Case(ExitCode.FAILED, life=(a_job("running"), FAILED)),
    "unknown option": Case(ExitCode.REFUSED, words=("bench", "run", "--no-such-option")),
    "nobody to ask": Case(ExitCode.REFUSED, words=RENT, plan=a_plan()),
    "job cancelled": Case(ExitCode.CANCELLED, life=(a_job("cancelled"),)),
    "401": Case(ExitCode.NOT_AUTHORIZED, answers=(("POST", JOBS, (problem(401, "unauthorized"),)),)),
    "connection cut": Case(ExitCode.TRY_AGAIN, answers=(("POST", JOBS, (CUT, CUT)),)),
    "402": Case(ExitCode.NO_MONEY, answers=(("POST", JOBS, (problem(402, "budget_exhausted"),)),)),
    "never ends": Case(ExitCode.WAIT_TIMED_OUT, words=(*RUN, "--wait", "0.2"), life=(a_job("running"),)),
    "no report yet": Case(
        ExitCode.NOT_FINISHED,
        words=("bench", "show", "b1"),
        answers=(("GET", "/v1/benchmarks/b1", (problem(409, "job_not_finished"),)),),
    ),
}

IN_PROCESS = {
    "422": Case(ExitCode.REFUSED, answers=(("POST", JOBS, (problem(422, "invalid_request"),)),)),
    "404": Case(
        ExitCode.REFUSED,
        words=("jobs", "show", "j1"),
        answers=(("GET", "/v1/jobs/j1", (problem(404, "job_not_found"),)),),
    ),
    "403": Case(ExitCode.NOT_AUTHORIZED, answers=(("POST", JOBS, (problem(403, "insufficient_scope"),)),)),
    "429": Case(
        ExitCode.TRY_AGAIN,
        answers=(("POST", JOBS, (problem(429, "too_many_submits", Retry_After="0"),) * 2),),
    ),
    "503": Case(
        ExitCode.TRY_AGAIN,
        answers=(("POST", JOBS, (problem(503, "store_unavailable", Retry_After="0"),) * 2),),
    ),
    "a proxy's page": Case(
        ExitCode.TRY_AGAIN, answers=(("POST", JOBS, (Answer(200, "<html>busy</html>"),) * 2),)
    ),
    "cap reached": Case(
        ExitCode.NO_MONEY, life=(a_job("failed", error="No.", error_code="cost_cap_reached"),)
    ),
    "cut short by the cap": Case(
        ExitCode.NO_MONEY, life=(a_job("succeeded", result=a_result(ended_by="cost_cap")),)
    ),
    "show of a failed job": Case(ExitCode.SUCCEEDED, words=("jobs", "show", "j1"), life=(FAILED,)),
    "its status": Case(ExitCode.FAILED, words=("jobs", "show", "j1", "--exit-status"), life=(FAILED,)),
    "status of a running job": Case(
        ExitCode.NOT_FINISHED, words=("jobs", "show", "j1", "--exit-status"), life=(a_job("running"),)
    ),
    "no report of a failed job": Case(
        ExitCode.FAILED,
        words=("bench", "show", "b1"),
        life=(FAILED,),
        answers=(("GET", "/v1/benchmarks/b1", (problem(409, "no_report"),)),),
    ),
    "no number": Case(ExitCode.REFUSED, words=(*RENT, "--yes", "--max-cost", "nan"), plan=a_plan()),
    "local mode": Case(ExitCode.REFUSED, words=("--backend", "local", *RUN)),
    "no such file": Case(ExitCode.REFUSED, words=("bench", "run", "-f", "missing.yaml")),
    "outage while it is followed": Case(
        ExitCode.TRY_AGAIN, answers=(("GET", f"/v1/jobs/{1:032x}", (problem(503, "store_unavailable"),) * 9),)
    ),
}


@pytest.mark.parametrize("name", BY_PROCESS)
def test_process_exits_as_the_table_says(name: str, api: FakeApi, rune: Rune) -> None:
    case = BY_PROCESS[name]
    case.set_up(api)

    ended = rune.called(*case.words, "--json")

    assert ended.code == case.code, ended.err
    assert ended.documents[-1]["type"] == "result"
    assert ended.documents[-1]["exit_code"] == case.code
    assert (case.code is ExitCode.SUCCEEDED) == ("error" not in ended.documents[-1] and ended.code == 0)


@pytest.mark.parametrize("name", IN_PROCESS)
def test_command_returns_what_the_table_says(name: str, api: FakeApi, rune: Rune) -> None:
    case = IN_PROCESS[name]
    case.set_up(api)

    ended = rune(*case.words, "--json")

    assert ended.code == case.code, ended.err
    assert ended.documents[-1]["exit_code"] == case.code


def test_interrupt_on_a_pipe_detaches_and_names_the_job(api: FakeApi, rune: Rune) -> None:
    api.life = [a_job("running")]
    with rune.start(*RUN, "--json") as process:
        assert api.is_submitted.wait(30)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert process.returncode == ExitCode.INTERRUPTED
    *_, accepted, last = [each for each in map(json.loads, out.splitlines()) if each["type"] != "job"]
    assert accepted["data"]["job_id"] == f"{1:032x}"
    assert (last["type"], last["exit_code"]) == ("result", ExitCode.INTERRUPTED)
    assert last["error"] == {"message": "interrupted", "job_id": f"{1:032x}"}
    assert f"Detached: job {1:032x} goes on." in err
    assert [each for each in api.sent if each.method == "DELETE"] == []


def test_refused_fields_are_named_by_their_options(api: FakeApi, rune: Rune) -> None:
    errors = [
        {"pointer": pointer, "detail": "It is so."}
        for pointer in ("/max_cost_usd", "/question", "/workload/repetitions", "/no_option")
    ]
    refused = {"status": 422, "code": "invalid_request", "detail": "It is so.", "errors": errors}
    api.will_answer("POST", JOBS, Answer(422, refused))

    ended = rune(*RUN)

    assert [line for line in ended.err.splitlines() if "is set by" in line] == [
        "max_cost_usd is set by --max-cost.",
        "question is set by --question/-q.",
        "repetitions is set by --repetitions.",
    ]


def test_wrong_base_url_says_where_it_came_from(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNE_API_BASE_URL", "ftp://h")

    ended = rune("jobs", "list")

    assert ended.code == ExitCode.REFUSED
    assert "It came from RUNE_API_BASE_URL." in ended.err
    assert "It came from --api-base-url." in rune("jobs", "list", "--api-base-url", "ftp://h").err


def test_interrupted_question_leaves_its_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def readline(self) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())

    with pytest.raises(KeyboardInterrupt):
        Output().ask("Go on?")

    assert capsys.readouterr().err == "Go on? \n"


def test_second_interrupt_names_the_job(api: FakeApi, rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_twice(watch: Watch) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "run", interrupted_twice)

    ended = rune("jobs", "follow", "j7")

    assert ended.code == ExitCode.INTERRUPTED
    assert "job j7 goes on. `rune jobs follow j7` follows it" in ended.err


def test_each_code_but_an_interrupts_is_shown_by_a_process() -> None:
    assert {case.code for case in BY_PROCESS.values()} == set(ExitCode) - {ExitCode.INTERRUPTED}


def test_documentation_has_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()

    assert [code for code, meaning in MEANINGS.items() if f"| {int(code)} | {meaning}" not in page] == []
    assert set(MEANINGS) == set(ExitCode)
