"""Mutants of who may call, and what each token may."""

from tests.mutants.mutant import Mutant

AUTH = "functions/api/auth.py"
TOKENS = "shared/rune/tenants/tokens.py"

TOKEN_TESTS = ("tests/unit/tenants/test_tokens.py",)
CREDENTIALS = "tests/functional/functions/test_api_credentials.py::test_"
OVER_THE_API = "tests/functional/functions/test_api_tokens.py::test_"

MUTANTS = (
    Mutant(
        "no scope is asked for",
        "functions/api/queries.py",
        'require(scope, *needed_scopes(scope["method"], self.path))',
        "pass",
        "A token that may only read could give machines back.",
        (CREDENTIALS + "route_is_closed_to_a_token_without_its_scope",),
    ),
    Mutant(
        "who may plan may submit",
        "functions/api/routes/submissions.py",
        "    require_submit(request)\n",
        "",
        "A token that may only read could spend money.",
        (CREDENTIALS + "token_that_may_read_plans_jobs_and_makes_none",),
    ),
    Mutant(
        "token outlives its end",
        AUTH,
        "if token.has_expired(services.clock.now()):",
        "if False:",
        "An operator who gave a token for a week would have given it for ever.",
        (OVER_THE_API + "expired_token_is_told_so_and_never_blocks_its_address",),
    ),
    Mutant(
        "link reads for who may not",
        "shared/rune/tenants/settings.py",
        " or Scope.READ not in token.scopes",
        "",
        "A token that lost its scope would leave its links behind.",
        TOKEN_TESTS,
    ),
    Mutant(
        "two entries of a token add up",
        TOKENS,
        "frozenset.intersection(",
        "frozenset().union(",
        "A token that the operator limits would keep what an older entry gave it.",
        TOKEN_TESTS,
    ),
    Mutant(
        "token ends with its last entry",
        TOKENS,
        "expires_at=min(ends, default=None)",
        "expires_at=max(ends, default=None)",
        "A token that the operator ends would live on by an older entry.",
        TOKEN_TESTS,
    ),
    Mutant(
        "named tenant is looked up too",
        AUTH,
        "if token is None and not offer.names_tenant:",
        "if token is None:",
        "A caller who names one tenant would act as another.",
        (OVER_THE_API + "token_that_the_operator_names_may_come_without_its_tenant",),
    ),
)
