"""The figures of a suite of cases, each run several times.

Runs of one case are alike: a model that knows an illness is right in all of them. So every interval counts cases,
and runs no more than they add. The variance of a share is that of a ratio over clusters (W. G. Cochran, Sampling
Techniques, 1977, section 9.3, without finite correction); Wilson's interval is then taken at the number of
independent values that would vary as much (E. L. Korn, B. I. Graubard, Survey Methodology 24, 1998), never fewer
than there are cases and never more than there are runs. The plain interval over runs would be too narrow by up to
the root of the runs per case; one over cases alone would throw away what repetitions tell.

The intervals are for cases like these, drawn from the same illnesses, and not for these very cases.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist

from rune.bench.capacity import wilson_interval
from rune.bench.diagnoses import Expected
from rune.bench.rounding import DECIMALS
from rune.bench.statistics import student_quantile
from rune.contracts.diagnoses import (
    CaseReport,
    DiagnosisEffort,
    DiagnosisReport,
    DiagnosisRun,
    PassedOfMany,
    Share,
    SuiteReport,
)
from rune.kubernetes.causes import ClusterStatus

CONFIDENCE = 0.95

type _ByCase = Mapping[str, Sequence[DiagnosisRun]]
type _Count = Callable[[DiagnosisRun], int]


def share_over_cases(parts: Sequence[tuple[float, float]], run_count: float) -> Share | None:
    """Return the share that cases have together, with its interval; None where there is nothing to have it.

    Parameters
    ----------
    parts
        Of each case: how much has it, of how much.
    run_count
        Most independent values that may stand behind it.
    """
    whole = math.fsum(of for _, of in parts)
    if not whole:
        return None
    value = min(max(math.fsum(has for has, _ in parts) / whole, 0.0), 1.0)
    low, high = wilson_interval(value, _independent_count(parts, value, run_count), CONFIDENCE)
    return Share(
        value=round(value, DECIMALS),
        # At 0 and 1 the last bit can push an end past the value.
        low=round(min(low, value), DECIMALS),
        high=round(max(high, value), DECIMALS),
    )


def pass_hat_k(run_count: int, correct_count: int, k: int) -> float:
    """Return the chance that `k` of the runs, drawn without putting back, are all correct: C(c, k) / C(n, k).

    Of tau-bench (S. Yao and others, 2024, https://arxiv.org/abs/2406.12045).
    """
    return math.comb(correct_count, k) / math.comb(run_count, k)


def pass_at_k(run_count: int, correct_count: int, k: int) -> float:
    """Return the chance that at least one of them is: 1 - C(n - c, k) / C(n, k).

    The estimator without bias of M. Chen and others, 2021 (https://arxiv.org/abs/2107.03374).
    """
    return 1 - math.comb(run_count - correct_count, k) / math.comb(run_count, k)


def fold_diagnoses(
    runs: Iterable[DiagnosisRun],
    expected: Mapping[str, Expected],
    *,
    suite: SuiteReport,
    planned_run_count: int,
) -> DiagnosisReport:
    """Return the figures of all runs.

    Parameters
    ----------
    runs
        At least one.
    expected
        By case.
    suite
        What the runs are of.
    planned_run_count
        Runs that were to be made.

    Raises
    ------
    ValueError
        There are no runs.
    """
    by_case: dict[str, list[DiagnosisRun]] = {}
    for run in runs:
        by_case.setdefault(run.case_id, []).append(run)
    every = [run for each in by_case.values() for run in each]
    if not every:
        raise ValueError("No runs have no figures.")
    passed = [_passed(by_case, k) for k in range(1, max(map(len, by_case.values())) + 1)]
    correct_count = sum(_is_correct(run) for run in every)
    baited = {case_id: each for case_id, each in by_case.items() if expected[case_id].red_herrings}
    return DiagnosisReport(
        suite=suite,
        case_count=len(by_case),
        run_count=len(every),
        planned_run_count=planned_run_count,
        outcomes=_outcomes(every),
        pass_at_1=passed[0].pass_at_k,
        passed=passed,
        precision=_ratio(by_case, _found, lambda run: _found(run) + len(run.invented)),
        recall=_ratio(by_case, _found, lambda run: _found(run) + len(run.missed)),
        f1=_ratio(
            by_case,
            lambda run: 2 * _found(run),
            lambda run: 2 * _found(run) + len(run.invented) + len(run.missed),
        ),
        trap_rate=_ratio(baited, lambda run: bool(run.trapped), lambda _: 1),
        abstained_rightly=sum(_is_correct(run) and run.status == ClusterStatus.UNDETERMINED for run in every),
        abstained_wrongly=sum(run.outcome == "abstained" for run in every),
        undeterminable_run_count=sum(
            expected[run.case_id].status is ClusterStatus.UNDETERMINED for run in every
        ),
        finding_count=sum(run.finding_count for run in every),
        unproven_count=sum(run.unproven_count for run in every),
        effort=_effort(every, len(every)),
        effort_per_correct=_effort(every, correct_count) if correct_count else None,
        cases=[_case(case_id, each, has_bait=case_id in baited) for case_id, each in by_case.items()],
    )


def _independent_count(parts: Sequence[tuple[float, float]], value: float, run_count: float) -> float:
    """Return how many independent values a share of cases is worth."""
    sizes = [of for _, of in parts if of]
    whole, case_count = math.fsum(sizes), len(sizes)
    # Cases of unequal size count as fewer (L. Kish, Survey Sampling, 1965, section 11.7).
    least = whole**2 / math.fsum(size**2 for size in sizes)
    if case_count < 2:  # noqa: PLR2004  # one case tells nothing of others
        return least
    squares = math.fsum((has - value * of) ** 2 for has, of in parts if of)
    variance = squares * case_count / ((case_count - 1) * whole**2)
    if not variance:
        # Nothing varies, as where all is right: what the runs of a case add is then unknown.
        return least
    upper = (1 + CONFIDENCE) / 2
    # The variance itself is known from so many cases only.
    unsure = (NormalDist().inv_cdf(upper) / student_quantile(upper, case_count - 1)) ** 2
    return min(max(value * (1 - value) / variance * unsure, least), max(run_count, least))


def _ratio(by_case: _ByCase, has: _Count, of: _Count) -> Share | None:
    parts = [(sum(map(has, each)), sum(map(of, each))) for each in by_case.values()]
    return share_over_cases(parts, sum(count for _, count in parts))


def _passed(by_case: _ByCase, k: int) -> PassedOfMany:
    cases = [each for each in by_case.values() if len(each) >= k]
    counts = [(len(each), sum(map(_is_correct, each))) for each in cases]
    run_count = sum(map(len, cases))
    hat, at = (
        share_over_cases([(chance(total, correct, k), 1.0) for total, correct in counts], run_count / k)
        for chance in (pass_hat_k, pass_at_k)
    )
    if hat is None or at is None:
        raise AssertionError("at least one case has as many runs")
    return PassedOfMany(k=k, pass_hat_k=hat, pass_at_k=at, case_count=len(cases))


def _case(case_id: str, runs: Sequence[DiagnosisRun], *, has_bait: bool) -> CaseReport:
    return CaseReport(
        case_id=case_id,
        run_count=len(runs),
        correct_count=sum(map(_is_correct, runs)),
        outcomes=_outcomes(runs),
        missed=dict(Counter(text for run in runs for text in run.missed)),
        invented=dict(Counter(text for run in runs for text in run.invented)),
        trapped=dict(Counter(text for run in runs for text in run.trapped)),
        trapped_run_count=sum(bool(run.trapped) for run in runs) if has_bait else None,
        effort=_effort(runs, len(runs)),
    )


def _effort(runs: Sequence[DiagnosisRun], shared_by: int) -> DiagnosisEffort:
    def mean(of: Callable[[DiagnosisRun], float]) -> float:
        return round(math.fsum(map(of, runs)) / shared_by, DECIMALS)

    is_billed = all(run.cost_usd is not None for run in runs)
    return DiagnosisEffort(
        turns=mean(lambda run: run.turns),
        calls=mean(lambda run: run.calls),
        invalid_calls=mean(lambda run: run.invalid_calls),
        repeated_calls=mean(lambda run: run.repeated_calls),
        input_tokens=mean(lambda run: run.input_tokens),
        output_tokens=mean(lambda run: run.output_tokens),
        duration_s=mean(lambda run: run.duration_s),
        cost_usd=mean(lambda run: run.cost_usd or 0.0) if is_billed else None,
    )


def _outcomes(runs: Iterable[DiagnosisRun]) -> dict[str, int]:
    return dict(Counter[str](run.outcome for run in runs))


def _is_correct(run: DiagnosisRun) -> bool:
    return run.outcome == "correct"


def _found(run: DiagnosisRun) -> int:
    return len(run.found)
