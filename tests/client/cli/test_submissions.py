"""One job, whatever kills the program, loses an answer, or repeats a command."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from rune_client.cli.exits import ExitCode
from rune_client.cli.submissions import RESUMED_WITHIN_SECONDS, Submission
from tests.client.cli.conftest import Rune
from tests.client.cli.fake_api import CUT, SUCCEEDED, FakeApi, a_job, a_plan, problem

RUN = ("bench", "run", "-m", "m", "-q", "why?", "--backend-url", "http://s:11434")
RENT = ("bench", "run", "-m", "m", "-q", "why?", "--vastai", "--yes")
JOBS = "/v1/jobs/benchmark"


def keys_of(api: FakeApi) -> list[str]:
    return [sent.headers["idempotency-key"].strip('"') for sent in api.submits]


def left_in(rune: Rune) -> list[Path]:
    return list((rune.folder / "state" / "rune" / "submissions").glob("*"))


def test_killed_after_the_submit_and_called_again_is_one_job(api: FakeApi, rune: Rune) -> None:
    api.life = [a_job("running")]
    with rune.start(*RUN) as process:
        assert api.is_submitted.wait(30)
        process.send_signal(signal.SIGKILL)
    api.life = [SUCCEEDED]

    ended = rune(*RUN)

    assert (process.returncode, ended.code) == (-signal.SIGKILL, 0)
    assert len(api.jobs) == 1
    assert "by this same command" in ended.err or "may have been sent" in ended.err
    assert left_in(rune) == []


def test_lost_answer_and_called_again_is_one_job(api: FakeApi, rune: Rune) -> None:
    api.plan = a_plan()
    api.loses_submits = 2
    first = rune(*RENT)
    sent_before = keys_of(api)
    second = rune(*RENT)

    assert (first.code, second.code) == (ExitCode.TRY_AGAIN, 0)
    assert len(api.jobs) == 1
    assert len(sent_before) == 2
    assert len(set(keys_of(api))) == 1
    # The first call may have reserved the money, so the second one asks for no plan and sends the same cap.
    assert [each.body for each in api.submits] == [api.submits[0].body] * 3
    assert api.submits[0].body is not None
    assert api.submits[0].body["max_cost_usd"] == 0.5


def test_command_after_a_success_is_another_job(api: FakeApi, rune: Rune) -> None:
    codes = [rune(*RUN).code, rune(*RUN).code]

    assert codes == [0, 0]
    assert len(api.jobs) == 2


def test_command_after_a_refusal_is_another_request(api: FakeApi, rune: Rune) -> None:
    api.refuses_submits = [problem(422, "invalid_request")]

    codes = [rune(*RUN).code, rune(*RUN).code]

    assert codes == [ExitCode.REFUSED, 0]
    assert len(set(keys_of(api))) == 2


def test_wrong_token_after_a_lost_answer_keeps_the_key(api: FakeApi, rune: Rune) -> None:
    api.loses_submits = 2
    rune(*RUN)
    api.refuses_submits = [problem(401, "unauthorized")]

    refused = rune(*RUN)
    last = rune(*RUN)

    assert (refused.code, last.code) == (ExitCode.NOT_AUTHORIZED, 0)
    assert len(api.jobs) == 1


def test_another_question_and_new_are_other_jobs(api: FakeApi, rune: Rune) -> None:
    api.life = [a_job("running")]
    rune(*RUN, "--wait", "0")
    for words in ((*RUN, "--new"), (*RUN[:5], "how?", *RUN[6:]), RUN):
        rune(*words, "--wait", "0")

    # The last call resumes the newest of its own.
    assert len(api.jobs) == 3


def test_detached_job_is_not_resumed(api: FakeApi, rune: Rune) -> None:
    ended = [rune(*RUN, "--detach"), rune(*RUN, "--detach")]

    assert [each.out.strip() for each in ended] == [f"{1:032x}", f"{2:032x}"]


def test_own_key_keeps_nothing_here(api: FakeApi, rune: Rune) -> None:
    codes = [rune(*RUN, "--idempotency-key", "nightly").code for _ in range(2)]

    assert codes == [0, 0]
    assert keys_of(api) == ["nightly", "nightly"]
    assert left_in(rune) == []


def test_nothing_is_sent_where_the_key_cannot_be_kept(api: FakeApi, rune: Rune) -> None:
    (rune.folder / "state").write_text("no folder")

    ended = rune(*RENT)

    assert ended.code == ExitCode.REFUSED
    assert api.submits == []
    assert "could pay twice" in ended.err


def test_file_tells_neither_question_nor_token(api: FakeApi, rune: Rune) -> None:
    api.life = [a_job("running")]
    rune(*RUN, "--wait", "0")

    (path,) = left_in(rune)

    assert path.stat().st_mode & 0o077 == 0
    assert "why?" not in path.read_text()
    assert "t0ken" not in path.read_text()


def test_server_without_plans_is_asked_to_cancel(api: FakeApi, rune: Rune) -> None:
    api.plan = {"job_id": "j9", "status": "accepted"}

    ended = rune(*RENT)

    assert ended.code == ExitCode.REFUSED
    assert ("DELETE", "/v1/jobs/j9") in [(sent.method, sent.path) for sent in api.sent]


class TestSubmission:
    def test_running_call_is_not_resumed(self, tmp_path: Path) -> None:
        first = Submission.begin(tmp_path, "f")

        second = Submission.begin(tmp_path, "f")

        assert first.key != second.key
        assert (first.is_resumed, second.is_resumed) == (False, False)

    def test_left_call_is_resumed_with_all_that_was_noted(self, tmp_path: Path) -> None:
        first = Submission.begin(tmp_path, "f")
        first.about_to_send({"max_cost_usd": 0.5}, spends=True)
        first.accepted("j1")
        first.leave()

        second = Submission.begin(tmp_path, "f")

        assert (second.key, second.job_id, second.added) == (first.key, "j1", {"max_cost_usd": 0.5})
        assert second.is_resumed

    @pytest.mark.parametrize("age", [RESUMED_WITHIN_SECONDS + 1, -60.0])
    def test_old_and_future_calls_are_not_resumed(
        self, age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - age)
        first = Submission.begin(tmp_path, "f")
        first.leave()
        monkeypatch.setattr(time, "time", lambda: now)

        assert Submission.begin(tmp_path, "f").key != first.key

    def test_torn_file_is_no_call(self, tmp_path: Path) -> None:
        (tmp_path / "f-torn.json").write_bytes(b'{"key": "k')

        assert Submission.begin(tmp_path, "f").is_resumed is False

    def test_file_of_weeks_ago_is_removed(self, tmp_path: Path) -> None:
        old = tmp_path / "g-old.json"
        old.write_text("{}")
        os.utime(old, (0, 0))

        Submission.begin(tmp_path, "f")

        assert not old.exists()


def test_cut_plan_leaves_nothing_to_resume(api: FakeApi, rune: Rune) -> None:
    api.will_answer("POST", JOBS, CUT, CUT)

    ended = rune(*RENT)

    assert ended.code == ExitCode.TRY_AGAIN
    assert left_in(rune) == []
