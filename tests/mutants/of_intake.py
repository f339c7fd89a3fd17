"""Mutants of what other services send."""

from tests.mutants.mutant import SERVICES, TEST_SERVICES, Mutant

INTAKE = SERVICES + "intake/"
ENVELOPES = INTAKE + "envelopes.py"
DESK = INTAKE + "desk.py"
DROPS = INTAKE + "drops.py"
INBOX = INTAKE + "inbox.py"
ORDERS = INTAKE + "orders.py"
ANSWERS = SERVICES + "workflow_answers.py"
ROWS = "shared/rune/aws/job_rows.py"

TEST_INTAKE = TEST_SERVICES + "intake/"
ENVELOPE_TESTS = (TEST_INTAKE + "test_envelopes.py",)
DESK_TESTS = (TEST_INTAKE + "test_desk.py",)
DROP_TESTS = (TEST_INTAKE + "test_drops.py",)

MUTANTS = (
    Mutant(
        "intake takes any envelope",
        ENVELOPES,
        "    if found is not expected:\n",
        "    if False:\n",
        "Whoever may send to one intake could write what lies in another's.",
        ENVELOPE_TESTS,
    ),
    Mutant(
        "intake follows any bucket",
        ENVELOPES,
        'about.get("name") != bucket',
        "False",
        "An object of a bucket that anyone may write would be taken for one of the inbox.",
        ENVELOPE_TESTS,
    ),
    Mutant(
        "intake takes any topic",
        ENVELOPES,
        'envelope.get("TopicArn") != topic or ',
        "",
        "A message of another topic would be taken for one of ours.",
        ENVELOPE_TESTS,
    ),
    Mutant(
        "sources share their keys",
        ENVELOPES,
        '("key", source, key)',
        '("key", key)',
        "One sender's key would be refused because another one has used it.",
        ENVELOPE_TESTS,
    ),
    Mutant(
        "intake takes any name for a tenant",
        ORDERS,
        "if not settings.has_document:",
        "if False:",
        "A misspelt tenant would get jobs, with default limits, that nobody can read.",
        DESK_TESTS,
    ),
    Mutant(
        "intake serves suspended tenants",
        SERVICES + "jobs.py",
        "if settings.is_suspended:\n            raise TenantSuspendedError",
        "if False:\n            raise TenantSuspendedError",
        "A suspended tenant would go on by another way in.",
        DESK_TESTS,
    ),
    Mutant(
        "ways share their keys",
        INTAKE + "ways.py",
        "json.dumps([way, tenant, *identity])",
        "json.dumps([tenant, *identity])",
        "A key used on one way would be refused on another.",
        ENVELOPE_TESTS,
    ),
    Mutant(
        "answers are dropped in turn",
        DROPS,
        "if not key.startswith(INBOX):",
        "if False:",
        "An answer would be taken for a request, and answered.",
        DROP_TESTS,
    ),
    Mutant(
        "lines begin anew",
        INBOX,
        "if number in progress.answers:",
        "if False:",
        "A file that was interrupted would be answered twice, and never end if it is long.",
        DESK_TESTS,
    ),
    Mutant(
        "lines share one identity",
        INBOX,
        "(*drop.identity, str(number))",
        "drop.identity",
        "The lines of a file would be one job.",
        DESK_TESTS,
    ),
    Mutant(
        "answers so far are not kept",
        INBOX,
        "if len(answers) > len(progress.answers):",
        "if False:",
        "A line that must wait would cost all the answers before it.",
        DESK_TESTS,
    ),
    Mutant(
        "refused lines stay refused",
        DESK,
        "is_first_time = message.receive_count == 1",
        "is_first_time = False",
        "A file sent again after its cause was mended would get its old refusals.",
        DESK_TESTS,
    ),
    Mutant(
        "refusals are forgotten by one process alone",
        INBOX,
        "        self._write_lines(drop, accepted.answers)\n",
        "",
        "A process that dies would bring the old refusals back.",
        DESK_TESTS,
    ),
    Mutant(
        "patience has no end",
        DESK,
        "if is_final or self._is_over(message):",
        "if is_final:",
        "A message would be tried again until the queue forgets it, without a reason.",
        DESK_TESTS,
    ),
    Mutant(
        "refusals that may pass are final",
        DESK,
        "isinstance(error, RequestError) and not error.retryable",
        "isinstance(error, RequestError)",
        "A tenant with too many waiting jobs would lose what it sends meanwhile.",
        DESK_TESTS,
    ),
    Mutant(
        "failure queue holds tokens",
        DESK,
        "body = envelopes.without_task_token(body)",
        "pass",
        "Whoever reads a failure queue could end a workflow.",
        DESK_TESTS,
    ),
    Mutant(
        "retried task is not followed",
        DESK,
        "if submitted.is_replay:",
        "if False:",
        "A workflow that asks again would wait for an answer to its old token.",
        DESK_TESTS,
    ),
    Mutant(
        "newer token takes the answer of an earlier one",
        ANSWERS,
        "            for token in callback.tokens:\n",
        "            for token in callback.tokens[:1]:\n",
        "Whoever may send could take the answer of another workflow, which would wait until it times out.",
        DESK_TESTS,
    ),
    Mutant(
        "end is not told to a new token",
        ANSWERS,
        "if job is not None and not job.is_active and callback.task_token is not None:",
        "if False:",
        "A workflow that asks after the job's end would wait until it times out.",
        DESK_TESTS,
    ),
    Mutant(
        "token is written over one that came at the same moment",
        ROWS,
        "(attribute_not_exists(version) OR version = :before)",
        "(attribute_not_exists(version) OR version <> :before OR version = :before)",
        "The workflow that waits with the lost token would never be answered.",
        ("tests/functional/aws/test_job_store_submit.py",),
    ),
)
