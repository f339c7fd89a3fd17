"""A suite's figures for people: a sentence, and tables in Markdown."""

from collections.abc import Iterator, Sequence

from rune.bench.markdown import escape
from rune.bench.showing import number
from rune.contracts.diagnoses import CaseReport, DiagnosisEffort, DiagnosisReport, Share

OUTCOMES = ("correct", "partial", "abstained", "wrong", "no_answer")
"""In the order in which they are shown."""

_EFFORTS = (
    ("turns", "turns"),
    ("calls", "calls of tools"),
    ("invalid_calls", "invalid calls"),
    ("repeated_calls", "repeated calls"),
    ("input_tokens", "input tokens"),
    ("output_tokens", "output tokens"),
    ("duration_s", "seconds"),
    ("cost_usd", "USD"),
)


def summarize(diagnosis: DiagnosisReport) -> str:
    """Return the figures in two sentences."""
    correct_count = diagnosis.outcomes.get("correct", 0)
    counted = f"{correct_count} of {diagnosis.run_count} runs of {diagnosis.case_count} cases were correct"
    sentences = [f"{counted}: pass@1 {share_text(diagnosis.pass_at_1)}."]
    last = diagnosis.passed[-1]
    if last.k > 1:
        sentences.append(f"That {last.k} tries are all correct: {share_text(last.pass_hat_k)}.")
    if diagnosis.run_count < diagnosis.planned_run_count:
        sentences.append(f"{diagnosis.planned_run_count} runs were planned.")
    return " ".join(sentences)


def share_text(share: Share | None) -> str:
    """Return a share with its interval; a dash where there is none."""
    return "-" if share is None else f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def scores_of(diagnosis: DiagnosisReport) -> Iterator[tuple[str, str]]:
    """Yield name and value of each score."""
    yield "pass@1", share_text(diagnosis.pass_at_1)
    for each in diagnosis.passed[1:]:
        yield f"pass^{each.k}, all of {each.k} correct", share_text(each.pass_hat_k)
        yield f"pass@{each.k}, one of {each.k} correct", share_text(each.pass_at_k)
    yield "precision", share_text(diagnosis.precision)
    yield "recall", share_text(diagnosis.recall)
    yield "F1", share_text(diagnosis.f1)
    yield "trapped by red herrings", share_text(diagnosis.trap_rate)
    right, whole = diagnosis.abstained_rightly, diagnosis.undeterminable_run_count
    yield "said that it cannot be told, where so", f"{right} of {whole}"
    yield "and where it can", str(diagnosis.abstained_wrongly)
    yield "findings without proof", f"{diagnosis.unproven_count} of {diagnosis.finding_count}"


def efforts_of(diagnosis: DiagnosisReport) -> Iterator[tuple[str, str, str]]:
    """Yield what was spent: name, of one run, and by correct run."""
    for name, title in _EFFORTS:
        per_run = _amount(diagnosis.effort, name)
        if per_run != "":
            yield title, per_run, _amount(diagnosis.effort_per_correct, name) or "-"


def faults_of(case: CaseReport) -> str:
    """Return what was wrong in a case's runs, and how often."""
    parts = [
        f"{kind} {text}" + (f" ({count}x)" if count > 1 else "")
        for kind, texts in (
            ("missed", case.missed),
            ("invented", case.invented),
            ("trapped by", case.trapped),
        )
        for text, count in texts.items()
    ]
    return "; ".join(parts)


def diagnosis_to_markdown(diagnosis: DiagnosisReport) -> Iterator[str]:
    """Yield lines of Markdown: scores, efforts, cases."""
    runs = f"{diagnosis.run_count} of {diagnosis.planned_run_count} runs"
    yield from (
        "",
        f"Suite {escape(diagnosis.suite.name)}, {diagnosis.case_count} cases, {runs}.",
        "",
        "## Scores",
        "",
        *_table(("Score", "Value, 95 % interval"), scores_of(diagnosis)),
        "",
        "## Effort",
        "",
        *_table(("", "of one run", "by correct run"), efforts_of(diagnosis)),
        "",
        "## Cases",
        "",
        *_table(
            ("Case", "Correct", "Others", "Turns", "Calls", "What was wrong"),
            (
                (
                    escape(case.case_id),
                    f"{case.correct_count} of {case.run_count}",
                    others_of(case),
                    number(case.effort.turns),
                    number(case.effort.calls),
                    escape(faults_of(case)),
                )
                for case in diagnosis.cases
            ),
        ),
    )


def others_of(case: CaseReport) -> str:
    """Return the outcomes that are not `correct`, with their counts."""
    return ", ".join(
        f"{case.outcomes[name]} {name.replace('_', ' ')}" for name in OUTCOMES[1:] if name in case.outcomes
    )


def _amount(effort: DiagnosisEffort | None, name: str) -> str:
    value = None if effort is None else getattr(effort, name)
    return "" if value is None else number(value)


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
