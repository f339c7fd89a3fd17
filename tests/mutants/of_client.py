"""Mutants of the client for Python: what keeps it from posting twice, spending too much, or giving a token away."""

from tests.mutants.mutant import Mutant

CLIENT = "clients/python/rune_client/"
TESTS = "tests/client/"

FLOWS = CLIENT + "flows.py"
CALLS = CLIENT + "calls/"
SETTINGS = CLIENT + "settings.py"
TOKENS = CLIENT + "tokens.py"
SPENDING = CLIENT + "mcp/spending.py"
MCP = CLIENT + "mcp/server.py"
ASKING = CLIENT + "mcp/asking.py"

SENDING_TESTS = (TESTS + "test_sending.py",)
FOLLOWING_TESTS = (TESTS + "test_following.py",)
SETTINGS_TESTS = (TESTS + "test_settings.py",)
TOKEN_TESTS = (TESTS + "test_tokens.py",)
MCP_TESTS = (TESTS + "test_mcp.py",)

MUTANTS = (
    Mutant(
        "client sends anything again",
        FLOWS,
        "is_last = not call.is_repeatable or attempt",
        "is_last = attempt",
        "A webhook or a schedule would be made twice when its answer is lost.",
        SENDING_TESTS,
    ),
    Mutant(
        "client sends again for ever",
        FLOWS,
        "or attempt >= policy.retries or",
        "or",
        "A call would be sent until its time is over, however few tries were asked for.",
        SENDING_TESTS,
    ),
    Mutant(
        "client waits beyond its time",
        FLOWS,
        "if is_last or policy.clock() + pause >= ends_at:",
        "if is_last:",
        "A caller would sleep for as long as a server's Retry-After says.",
        SENDING_TESTS,
    ),
    Mutant(
        "client repeats what was refused",
        FLOWS,
        " or not isinstance(error, _PASSING)",
        "",
        "A refusal would be asked for again and again.",
        SENDING_TESTS,
    ),
    Mutant(
        "lost submission forgets its key",
        FLOWS,
        "        answer.idempotency_key = call.idempotency_key\n",
        "",
        "Who lost the answer could not ask again for the same job.",
        SENDING_TESTS,
    ),
    Mutant(
        "each submission has the same key",
        CALLS + "jobs.py",
        "key = uuid.uuid4().hex if idempotency_key is None else idempotency_key",
        'key = "0" * 32 if idempotency_key is None else idempotency_key',
        "A second job would be the first one.",
        SENDING_TESTS,
    ),
    Mutant(
        "key is sent bare",
        CALLS + "call.py",
        "return {KEY_HEADER: f'\"{key}\"'}",
        "return {KEY_HEADER: key}",
        "A key with a comma would be two keys.",
        SENDING_TESTS,
    ),
    Mutant(
        "list that stands still is read for ever",
        FLOWS,
        "if following == cursor:",
        "if False:",
        "A server that gives the same cursor again would keep a client busy without end.",
        (TESTS + "test_following.py::test_list_that_would_never_end_is_an_error",),
    ),
    Mutant(
        "following repeats events",
        FLOWS,
        '            last = max([last, *(event["id"] for event in events)])\n',
        "",
        "Each event would be given again with each look.",
        FOLLOWING_TESTS,
    ),
    Mutant(
        "following ends with an outage",
        FLOWS,
        "gives_up_at = watch.heard_at + policy.patience_seconds",
        "gives_up_at = watch.heard_at",
        "One bad minute would end the wait for a job that goes on.",
        FOLLOWING_TESTS,
    ),
    Mutant(
        "settings file may hold a token",
        SETTINGS,
        "if key not in allowed and any(",
        "if False and any(",
        "A token would be committed with a project.",
        SETTINGS_TESTS,
    ),
    Mutant(
        "profile's token goes to any address",
        TOKENS,
        "    _require_same_address(settings)\n",
        "",
        "A downloaded project's rune.yaml could have the token sent elsewhere.",
        TOKEN_TESTS,
    ),
    Mutant(
        "token file may be read by others",
        TOKENS,
        "if state.st_mode & _OTHERS:",
        "if False:",
        "Every user of the machine could spend.",
        TOKEN_TESTS,
    ),
    Mutant(
        "token file is written for others too",
        TOKENS,
        "os.O_EXCL | os.O_CLOEXEC, 0o600)",
        "os.O_EXCL | os.O_CLOEXEC, 0o644)",
        "As above.",
        TOKEN_TESTS,
    ),
    Mutant(
        "agent's plan has no cap",
        SPENDING,
        'return {**request, "max_cost_usd": max_cost_usd}',
        "return dict(request)",
        "A job of another agent could cost anything.",
        MCP_TESTS,
    ),
    Mutant(
        "agent confirms another cap",
        SPENDING,
        "if plan.max_cost_usd != max_cost_usd:",
        "if False:",
        "An agent that got its user's word for 2 dollars would think that it has it for 20.",
        MCP_TESTS,
    ),
    Mutant(
        "agent's plan never ends",
        SPENDING,
        "return not plan.is_confirmed and now >= plan.expires_at",
        "return False",
        "A job would be made at prices of which nobody knows any more.",
        MCP_TESTS,
    ),
    Mutant(
        "agent's session has no limit",
        SPENDING,
        "        if Decimal(str(max_cost_usd)) > left:",
        "        if False:",
        "Many small jobs would cost more than a person has allowed.",
        MCP_TESTS,
    ),
    Mutant(
        "lost job gives its cap back",
        SPENDING,
        "plan.is_confirmed = plan.may_exist",
        "plan.is_confirmed = False",
        "A job that exists would not count against the session's limit.",
        MCP_TESTS,
    ),
    Mutant(
        "token confirms another job each time",
        SPENDING,
        "if plan.submission is None:",
        "if True:",
        "An agent that asks again after a lost answer would pay twice.",
        MCP_TESTS,
    ),
    Mutant(
        "who does not tick the box agrees",
        ASKING,
        "if isinstance(answer, AcceptedElicitation) and answer.data.run_it:",
        "if isinstance(answer, AcceptedElicitation):",
        "A form that was sent as it stood would spend.",
        MCP_TESTS,
    ),
    Mutant(
        "agent's key is forgotten before its answer",
        SPENDING,
        "plan.submission.about_to_send({}, spends=True)",
        "plan.submission.forget()",
        "A server that dies while it posts a job would pay twice in its next session.",
        MCP_TESTS,
    ),
    Mutant(
        "agent's refused job keeps its cap",
        MCP,
        "            self._plans.take_back(plan)\n",
        "",
        "A session could spend nothing more after some refusals.",
        MCP_TESTS,
    ),
)
