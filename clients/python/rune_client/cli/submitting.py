"""A job from the command line: plan, question, submit, follow, result. Each paying command goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rune_client import ApiError, BudgetError, NotFoundError, RuneClient
from rune_client.cli.amounts import duration
from rune_client.cli.connection import Connection
from rune_client.cli.exits import ExitCode
from rune_client.cli.outcomes import DetachedError, UsageRefusedError, code_of_error, code_of_job
from rune_client.cli.output import Output
from rune_client.cli.plans import confirm, plan_table, spends
from rune_client.cli.reports import ended
from rune_client.cli.submissions import Submission, default_folder, fingerprint_of
from rune_client.cli.watching import Watch

type Record = Mapping[str, Any]

FINAL = frozenset({ExitCode.REFUSED, ExitCode.NO_MONEY})
"""Refusals of a submit after which no job is under its key, so nothing is left to resume."""


@dataclass(frozen=True)
class Manner:
    """How a job is sent and waited for.

    Attributes
    ----------
    is_yes
        It may spend without a question.
    is_plan
        Show what would follow, and send nothing.
    is_new
        A submit that an earlier call of the same command left behind is not resumed.
    is_detached
        Do not wait.
    wait_seconds
        How long to wait for the job's end; None waits as long as it takes.
    idempotency_key
        The caller's own. Then nothing is kept on this machine: the key itself makes the same command the same job.
    """

    is_yes: bool = False
    is_plan: bool = False
    is_new: bool = False
    is_detached: bool = False
    wait_seconds: float | None = None
    idempotency_key: str | None = None


class Submitter:
    """Sends one job and waits for it."""

    def __init__(self, connection: Connection, output: Output) -> None:
        self._connection, self._output = connection, output

    @property
    def _client(self) -> RuneClient:
        return self._connection.client

    def run(self, kind: str, body: Record, manner: Manner) -> ExitCode:
        """Do all of it, and return the exit code.

        Raises
        ------
        UsageRefusedError, DeclinedError
            Nothing was sent that could spend.
        RuneError, KeyboardInterrupt
            The job may live on. The same command resumes it.
        """
        if manner.is_plan:
            plan = self._plan(kind, body)
            if not spends(plan):
                self._show(plan, kind, body)
            self._output.result(ExitCode.SUCCEEDED, plan)
            return ExitCode.SUCCEEDED
        if manner.idempotency_key is not None:
            return self._with_given_key(kind, body, manner, manner.idempotency_key)
        submission = self._begin(kind, body, manner)
        try:
            return self._with_submission(kind, body, manner, submission)
        finally:
            submission.leave()

    def _plan(self, kind: str, body: Record) -> Record:
        plan = self._client.submit(kind, body, dry_run=True)
        if plan.get("dry_run") is not True:
            self._undo(plan)
        self._output.document("plan", plan)
        if spends(plan):
            self._show(plan, kind, body)
        return plan

    def _show(self, plan: Record, kind: str, body: Record) -> None:
        """Show a plan on stderr: what a person is asked about is seen also where stdout goes into a file."""
        model = body.get("model")
        self._output.say(plan_table(plan, title=f"Plan: {kind}" + (f" of {model}" if model else "")))

    def _undo(self, answer: Record) -> None:
        """Cancel the job of a server that does not know plans and took the question for a job."""
        if answer.get("job_id"):
            self._client.cancel(str(answer["job_id"]))
            raise UsageRefusedError(
                f"This server knows no plans, and made job {answer['job_id']}. It was asked to cancel it."
            )
        raise UsageRefusedError("This server knows no plans, so nobody can say what the job would cost.")

    def _begin(self, kind: str, body: Record, manner: Manner) -> Submission:
        fingerprint = fingerprint_of(
            base_url=self._connection.base_url, tenant=self._connection.tenant, kind=kind, body=body
        )
        try:
            return Submission.begin(default_folder(), fingerprint, is_new=manner.is_new)
        except OSError as error:
            raise UsageRefusedError(
                f"The key of this submit cannot be kept ({error}), so a second call could pay twice. "
                "Set XDG_STATE_HOME to a folder that can be written, or give --idempotency-key."
            ) from error

    def _with_submission(self, kind: str, body: Record, manner: Manner, submission: Submission) -> ExitCode:
        if submission.job_id is not None and self._is_known(submission.job_id):
            self._output.note(
                f"job {submission.job_id} was submitted {duration(submission.age_seconds)} ago by this same "
                "command, which did not see its end. It is followed; --new starts another."
            )
            return self._finish(submission.job_id, manner, submission)
        if submission.job_id is not None:
            submission.forget()
            submission = self._begin(kind, body, manner)
        try:
            if submission.may_have_been_sent:
                self._agree_again(manner, submission)
            else:
                self._agree(kind, body, manner, submission)
        except BaseException:
            # Nothing of this key has left this machine.
            if not submission.may_have_been_sent:
                submission.forget()
            raise
        return self._send(kind, body, manner, submission)

    def _send(self, kind: str, body: Record, manner: Manner, submission: Submission) -> ExitCode:
        try:
            accepted = self._client.submit(kind, {**body, **submission.added}, idempotency_key=submission.key)
        except ApiError as error:
            # Refused for good, so nothing was stored. After anything else the job may exist, also where the token
            # of an earlier call was another one.
            if code_of_error(error) in FINAL:
                submission.forget()
            raise
        submission.accepted(str(accepted["job_id"]))
        return self._accepted(accepted, manner, submission)

    def _agree(self, kind: str, body: Record, manner: Manner, submission: Submission) -> None:
        """Show the plan, ask, and note what will be sent: beside the command's own body the cap that was shown."""
        plan = self._plan(kind, body)
        confirm(self._output, plan, is_yes=manner.is_yes)
        is_capped = spends(plan) and plan.get("max_cost_usd") is not None and "max_cost_usd" not in body
        submission.about_to_send(
            {"max_cost_usd": plan["max_cost_usd"]} if is_capped else {}, spends=spends(plan)
        )

    def _agree_again(self, manner: Manner, submission: Submission) -> None:
        """Ask once more about what an earlier call may have sent. No plan: its own money is reserved by now."""
        self._output.note(
            f"this same command was begun {duration(submission.age_seconds)} ago and may have been sent. It is "
            "sent under the same key, so there is one job at most; --new starts another."
        )
        cap = submission.added.get("max_cost_usd")
        plan = {"rents": submission.spends, "max_cost_usd": cap}
        confirm(self._output, plan, is_yes=manner.is_yes)

    def _is_known(self, job_id: str) -> bool:
        try:
            self._client.job(job_id)
        except NotFoundError:
            return False
        return True

    def _with_given_key(self, kind: str, body: Record, manner: Manner, key: str) -> ExitCode:
        try:
            plan = self._plan(kind, body)
            confirm(self._output, plan, is_yes=manner.is_yes)
        except BudgetError:
            # The money may be reserved by the very job that is under this key; the submit itself says so.
            if not manner.is_yes:
                raise
        accepted = self._client.submit(kind, body, idempotency_key=key)
        return self._accepted(accepted, manner, None)

    def _accepted(self, accepted: Record, manner: Manner, submission: Submission | None) -> ExitCode:
        job_id = str(accepted["job_id"])
        self._output.document("accepted", accepted)
        self._output.say(f"job {job_id}")
        for warning in accepted.get("warnings") or ():
            self._output.note(str(warning))
        return self._finish(job_id, manner, submission)

    def _finish(self, job_id: str, manner: Manner, submission: Submission | None) -> ExitCode:
        if manner.is_detached:
            if submission is not None:
                submission.forget()
            self._output.show(job_id)
            self._output.result(ExitCode.SUCCEEDED, {"job_id": job_id})
            return ExitCode.SUCCEEDED
        code = follow_to_end(self._client, self._output, job_id, wait_seconds=manner.wait_seconds)
        if submission is not None:
            submission.forget()
        return code


def follow_to_end(client: RuneClient, output: Output, job_id: str, *, wait_seconds: float | None) -> ExitCode:
    """Follow a job, show how it ended, and return its exit code.

    Raises
    ------
    DetachedError
        The job was left to itself, or Ctrl-C came twice. Told with the job's id; it goes on.
    WaitTimedOutError, ApiError, NetworkError
        It goes on.
    """
    try:
        job = Watch(client, output, job_id, wait_seconds=wait_seconds).run()
    except KeyboardInterrupt as error:
        output.say(
            f"Detached: job {job_id} goes on. `rune jobs follow {job_id}` follows it, "
            f"`rune jobs cancel {job_id}` ends it."
        )
        raise DetachedError(job_id) from error
    code = code_of_job(job)
    output.show(*ended(job))
    if job.get("display"):
        output.say(str(job["display"]))
    output.result(code, job)
    return code
