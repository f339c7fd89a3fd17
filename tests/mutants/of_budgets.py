"""Mutants of budgets: what is reserved, settled and limited."""

from tests.mutants.mutant import JOBS, Mutant

BUDGETS = "shared/rune/money/budgets.py"
CLOSING = JOBS + "closing.py"
SETTLEMENT = JOBS + "settlement.py"

BUDGET_TESTS = ("tests/unit/money/test_budgets.py",)
SETTLEMENT_TESTS = ("tests/unit/jobs/test_settlement.py",)

MUTANTS = (
    Mutant(
        "reservation of what is not free",
        BUDGETS,
        'requires=(Is("limit_micro_usd", written), IsAtLeast("free_micro_usd", micro_usd - more)),',
        'requires=(Is("limit_micro_usd", written),),',
        "Jobs posted at the same moment would pass the budget together.",
        BUDGET_TESTS,
    ),
    Mutant(
        "reservation under another limit",
        BUDGETS,
        'requires=(Is("limit_micro_usd", written), IsAtLeast("free_micro_usd", micro_usd - more)),',
        'requires=(IsAtLeast("free_micro_usd", micro_usd - more),),',
        "Of two that see a new limit both would add it.",
        BUDGET_TESTS,
    ),
    Mutant(
        "first reservation twice",
        BUDGETS,
        'requires=(Is("limit_micro_usd", None),),',
        "requires=(),",
        "Of two first jobs each would make the whole budget.",
        BUDGET_TESTS,
    ),
    Mutant(
        "end without settlement",
        CLOSING,
        "companions += settle(job, transition)",
        "pass",
        "What ended jobs have reserved would never be free again.",
        SETTLEMENT_TESTS,
    ),
    Mutant(
        "shared cost counts twice",
        SETTLEMENT,
        "ended.cost_micro_usd - (ended.shared_micro_usd or 0)",
        "ended.cost_micro_usd",
        "A kept machine's use would be paid by its rental and by its borrower.",
        SETTLEMENT_TESTS,
    ),
)
