"""What a suite's run knows between two turns: plain data, kept as JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from rune.agents.investigation.state import State
from rune.amounts import MICRO_USD_PER_USD
from rune.bench.diagnoses import Grade
from rune.contracts import BenchmarkRequest, Document, read_stored
from rune.contracts.diagnoses import DiagnosisRun
from rune.llm.dialects import STANDARD, Dialect
from rune.workflows.acquaintance import is_acquaintance
from rune.workflows.benchmark.server_snapshot import ServerSnapshot


class Counted(Document):
    """What investigations took."""

    turns: int = 0
    calls: int = 0
    invalid_calls: int = 0
    repeated_calls: int = 0
    system_tokens: int = 0
    tool_tokens: int = 0
    reasoning_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    ms: int = 0

    @classmethod
    def of(cls, state: State) -> "Counted":
        """Return what one investigation has taken so far."""
        counts = state.counts
        return cls(
            turns=counts.turns,
            calls=counts.tool_calls,
            invalid_calls=counts.invalid_calls,
            repeated_calls=counts.repeated_calls,
            system_tokens=counts.system_tokens,
            tool_tokens=counts.tool_tokens,
            reasoning_tokens=counts.reasoning_tokens,
            input_tokens=counts.prompt_tokens,
            output_tokens=counts.output_tokens,
            ms=counts.model_ms + counts.tools_ms,
        )

    def plus(self, other: "Counted") -> "Counted":
        """Return both together."""
        names = type(self).model_fields
        return Counted(**{name: getattr(self, name) + getattr(other, name) for name in names})


class OpenRun(Document):
    """A run of a case that is not over."""

    investigation_json: str
    """State of `rune.agents.investigation`."""
    counted: Counted = Counted()
    cost_micro_usd: int = 0
    """Of its tokens so far."""

    def after(self, investigation: State, cost_micro_usd: int) -> "OpenRun":
        """Return the run after another turn, whose tokens cost so much."""
        return OpenRun(
            investigation_json=investigation.model_dump_json(),
            counted=Counted.of(investigation),
            cost_micro_usd=self.cost_micro_usd + cost_micro_usd,
        )


class SuiteState(Document):
    """A suite after some turns. Which run is next follows from how many are over."""

    of: Literal["suite"] = "suite"
    rental_id: str | None
    """The machine that it runs on; runs of two machines are no measurement."""
    backend_url: str
    started_at: datetime
    before: ServerSnapshot
    """What the server said before the first run."""
    dialect: Dialect = STANDARD
    warnings: tuple[str, ...] = ()
    runs: tuple[DiagnosisRun, ...] = ()
    """In the order in which they were made."""
    open_run: OpenRun | None = None
    counted: Counted = Counted()
    """Of all runs that are over."""
    errors_in_a_row: int = 0
    """Runs that a server ended, the last ones."""
    is_out_of_money: bool = False

    @property
    def all_counted(self) -> Counted:
        """With what an open run has taken."""
        return self.counted if self.open_run is None else self.counted.plus(self.open_run.counted)

    def with_run(self, run: DiagnosisRun) -> "SuiteState":
        """Return the state after another run, which was the open one."""
        return self.model_copy(
            update={
                "runs": (*self.runs, run),
                "open_run": None,
                "counted": self.all_counted,
                "errors_in_a_row": 0 if run.error_code is None else self.errors_in_a_row + 1,
            }
        )


def suite_state_in(state_json: str | None, rental_id: str | None) -> SuiteState | None:
    """Return what has been run so far on the job's present machine; None for nothing."""
    if state_json is None or is_acquaintance(state_json):
        return None
    state = read_stored(SuiteState, state_json)
    return state if state.rental_id == rental_id else None


def planned_runs(request: BenchmarkRequest) -> list[tuple[str, int]]:
    """Return case and number of each run, in the order in which they are made.

    All cases once, then all of them again: a job that ends early has run each case about as often as any other.
    """
    return [(case_id, run) for run in range(request.runs or 0) for case_id in request.cases or ()]


def make_run(
    place: tuple[str, int],
    grade: Grade,
    opened: OpenRun,
    *,
    is_billed: bool,
    status: str | None = None,
    finding_count: int = 0,
    bound: str | None = None,
    error_code: str | None = None,
) -> DiagnosisRun:
    """Return a run that is over.

    Parameters
    ----------
    place
        Its case and number.
    is_billed
        Whether its tokens are billed one by one.
    """
    case_id, number = place
    counted = opened.counted
    return DiagnosisRun(
        case_id=case_id,
        run=number,
        outcome=grade.outcome,
        status=status,
        found=list(grade.found),
        missed=list(grade.missed),
        invented=list(grade.invented),
        trapped=list(grade.trapped),
        finding_count=finding_count,
        unproven_count=grade.unproven_count,
        turns=counted.turns,
        calls=counted.calls,
        invalid_calls=counted.invalid_calls,
        repeated_calls=counted.repeated_calls,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        duration_s=counted.ms / 1000,
        cost_usd=opened.cost_micro_usd / MICRO_USD_PER_USD if is_billed else None,
        bound=bound,
        error_code=error_code,
    )


def labels_of(run: DiagnosisRun) -> Mapping[str, str]:
    """Return what an event tells of a run."""
    told = {
        "case": run.case_id,
        "run": str(run.run),
        "outcome": run.outcome,
        "turns": str(run.turns),
        "calls": str(run.calls),
        "bound": run.bound,
        "error": run.error_code,
    }
    return {name: value for name, value in told.items() if value is not None}
