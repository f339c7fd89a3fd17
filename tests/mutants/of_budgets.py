"""Mutants of budgets: what is reserved, settled and limited."""

from tests.mutants.mutant import AWS, JOBS, RENTALS, SERVICES, Mutant

BUDGETS = "shared/rune/money/budgets.py"
CLOSING = JOBS + "closing.py"
JOB_SERVICE = SERVICES + "jobs.py"
SETTLEMENT = JOBS + "settlement.py"

BUDGET_TESTS = ("tests/unit/money/test_budgets.py",)
RENTAL_TESTS = ("tests/unit/rentals/test_settlement.py",)
SUBMIT_TESTS = ("tests/unit/services/test_submit_budgets.py",)
SETTLEMENT_TESTS = ("tests/unit/jobs/test_settlement.py",)

MUTANTS = (
    Mutant(
        "reservation of what is not free",
        BUDGETS,
        'requires=(IsBelow("used_micro_usd", limit_micro_usd - micro_usd + 1),),',
        "requires=(),",
        "Jobs posted at the same moment would pass the budget together.",
        BUDGET_TESTS,
    ),
    Mutant(
        "first reservation of more than all",
        BUDGETS,
        "if micro_usd > limit_micro_usd:",
        "if False:",
        "Where a window has no row yet, its first job could reserve more than the limit.",
        BUDGET_TESTS,
    ),
    Mutant(
        "job that pays for who has its kept machine",
        RENTALS + "bills.py",
        "if rental.kept_until is not None and rental.of_job_micro_usd is not None:",
        "if False:",
        "A job that ends late would pay for another job's time, which is booked twice.",
        ("tests/unit/rentals/test_bills.py",),
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
        "kept machine without a reservation",
        RENTALS + "lifecycle.py",
        'lowered["budget_micro_usd"] = max(0, min(may_cost, left_micro_usd or 0))',
        'lowered["budget_micro_usd"] = 0',
        "What a kept machine may still cost would be given to other jobs.",
        RENTAL_TESTS,
    ),
    Mutant(
        "end of a kept machine books all of it",
        RENTALS + "settlement.py",
        "spent_micro_usd += (after.booked_micro_usd or 0) - rental.booked_micro_usd",
        "spent_micro_usd += after.booked_micro_usd or 0",
        "What its job has booked would count twice.",
        RENTAL_TESTS,
    ),
    Mutant(
        "kept machine keeps its reservation",
        RENTALS + "lifecycle.py",
        'sets |= {"booked_micro_usd": cost, "budget_micro_usd": 0}',
        'sets |= {"booked_micro_usd": cost}',
        "What ended machines have reserved would never be free again.",
        RENTAL_TESTS,
    ),
    Mutant(
        "rental's writes leave the budgets alone",
        AWS + "rental_store.py",
        "*budget_writes(self._table, budgets),",
        "",
        "Kept machines would be in no budget.",
        ("tests/functional/aws/test_budget_store.py",),
    ),
    Mutant(
        "exhausted budget refuses a replay",
        JOB_SERVICE,
        "if replay is not None:\n                return replay",
        "if False:\n                return replay",
        "A caller whose answer was lost would not learn of its job.",
        SUBMIT_TESTS,
    ),
    Mutant(
        "submit reserves nothing",
        JOB_SERVICE,
        "if not job.reserved_micro_usd:",
        "if True:",
        "Budgets would hold nothing.",
        SUBMIT_TESTS,
    ),
    Mutant(
        "full budget taken for a full queue",
        JOBS + "admission.py",
        "if submitted.positions[0] < len(own):\n                return submitted",
        "if False:\n                return submitted",
        "A job that others were quicker than would be refused for the queue.",
        SUBMIT_TESTS,
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
