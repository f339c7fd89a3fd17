"""What a benchmark of investigators reports: how often, how surely and at what price a model finds what is wrong.

The unit is in the name, as in `rune.contracts.benchmarks`. Null means that a number is not defined.
"""

from typing import Literal

from rune.contracts.document import Document

type DiagnosisOutcome = Literal["correct", "partial", "abstained", "wrong", "no_answer"]


class Share(Document):
    """A share of something, from 0 to 1, over cases."""

    value: float
    low: float
    high: float
    """95 % interval (Wilson) for cases like these: runs of one case are not counted as independent ones."""


class DiagnosisRun(Document):
    """One investigation of one case."""

    case_id: str
    run: int
    """Which of the runs of its case, from 0."""
    outcome: DiagnosisOutcome
    status: str | None
    """What was reported of the whole; null where nothing was."""
    found: list[str]
    """Expected causes that were named, each as `cause at entity`."""
    missed: list[str]
    """Expected causes that were not."""
    invented: list[str]
    """Findings that match nothing expected."""
    trapped: list[str]
    """Findings that name a red herring of the case as a cause."""
    finding_count: int
    unproven_count: int
    """Findings without a quote that stands where it is said to."""
    turns: int
    """Answers of the model."""
    calls: int
    """Of tools, the last one that reports included."""
    invalid_calls: int
    """Calls that could not be carried out as they were written."""
    repeated_calls: int
    """Calls that had been made before."""
    input_tokens: int
    output_tokens: int
    duration_s: float
    """Of the model's answers and the tools, without waiting between turns."""
    cost_usd: float | None = None
    """Of tokens that are billed one by one; null for others."""
    bound: str | None = None
    """What ended the investigation early; null where the model ended it."""
    error_code: str | None = None
    """Why there is no answer, where a server is the reason."""


class DiagnosisEffort(Document):
    """What investigations took, on average."""

    turns: float
    calls: float
    invalid_calls: float
    repeated_calls: float
    input_tokens: float
    output_tokens: float
    duration_s: float
    cost_usd: float | None
    """Null where tokens are not billed one by one."""


class PassedOfMany(Document):
    """What several tries at each case would give."""

    k: int
    """Tries."""
    pass_hat_k: Share
    """That all of them are correct (pass^k): how far a model can be relied on."""
    pass_at_k: Share
    """That at least one is."""
    case_count: int
    """Cases with at least `k` runs, from which both come."""


class CaseReport(Document):
    """The runs of one case."""

    case_id: str
    run_count: int
    correct_count: int
    outcomes: dict[str, int]
    """How often each came; one that never came is left out."""
    missed: dict[str, int]
    """How often each expected cause was missed."""
    invented: dict[str, int]
    trapped: dict[str, int]
    trapped_run_count: int | None
    """Runs that named a red herring as a cause; null for a case without any."""
    effort: DiagnosisEffort


class SuiteReport(Document):
    """What was run, and how far each run could go."""

    name: str
    version: str
    """SHA-256 of all cases of the suite."""
    is_whole: bool
    """Whether all cases were run, and not some of them."""
    runs_per_case: int
    max_turns: int
    max_tool_calls: int
    max_tokens: int
    run_seconds: int


class DiagnosisReport(Document):
    """How well a model investigates the cases of a suite. `docs/benchmarks.md` has the formulas."""

    suite: SuiteReport
    case_count: int
    run_count: int
    planned_run_count: int
    """Fewer have run where the job ended early."""
    outcomes: dict[str, int]
    pass_at_1: Share
    """Chance that one run of a case is correct."""
    passed: list[PassedOfMany]
    """By number of tries, from 1."""
    precision: Share | None
    """Of what was named as a cause, the share that was expected; null where nothing was named."""
    recall: Share | None
    """Of expected causes, the share that was named; null where no case expects any."""
    f1: Share | None
    trap_rate: Share | None
    """Of runs of cases with red herrings, the share that named one as a cause; null where there are none."""
    abstained_rightly: int
    """Runs that said that it cannot be told, where that is so."""
    abstained_wrongly: int
    """Runs that said so where it can be told."""
    undeterminable_run_count: int
    """Runs of cases of which it cannot be told."""
    finding_count: int
    unproven_count: int
    """Findings without a quote that stands where it is said to."""
    effort: DiagnosisEffort
    """Of one run."""
    effort_per_correct: DiagnosisEffort | None
    """Of all runs together, by the number of correct ones; null where there is none."""
    cases: list[CaseReport]
