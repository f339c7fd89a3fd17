"""How well a model investigates, as parts of a report's page."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.diagnosis_showing import OUTCOMES, efforts_of, faults_of, others_of, scores_of
from rune.bench.showing import number
from rune.contracts.diagnoses import CaseReport, DiagnosisReport
from rune.pages.figures import Bar, Figure, draw_bars
from rune.pages.frame import figures, scrolled, section, table_of
from rune.pages.markup import Child, element, name

_CASES = (
    ("Case", None),
    ("Correct", "of runs"),
    ("Others", None),
    ("Turns", "mean"),
    ("Calls", "mean"),
    ("What was wrong", None),
)
_HOW_TO_READ = (
    "Correct: the status is right, each cause was named at one of its objects, and nothing else was named. "
    "In brackets: 95 % intervals, which count cases and not runs, since runs of one case are alike."
)


def diagnosis_sections(diagnosis: DiagnosisReport) -> Iterator[Element]:
    """Yield scores, efforts and cases of a suite."""
    runs = f"{diagnosis.run_count} of {diagnosis.planned_run_count} runs of {diagnosis.case_count} cases"
    scores = [_row(title, value) for title, value in scores_of(diagnosis)]
    yield section(
        "Scores",
        element("p", None, f"{runs}, each at most {diagnosis.suite.max_turns} turns."),
        figures([_outcomes(diagnosis)]),
        scrolled(table_of((("Score", None), ("Value", "95 % interval")), scores), "Scores"),
        element("p", {"class": "soft"}, _HOW_TO_READ),
    )
    efforts = [_row(*cells) for cells in efforts_of(diagnosis)]
    heads = (("", None), ("One run", "mean"), ("A correct run", "wrong ones included"))
    yield section("Effort", scrolled(table_of(heads, efforts), "Effort"))
    yield section("Cases", scrolled(table_of(_CASES, map(_case_row, diagnosis.cases)), "Cases"))


def _outcomes(diagnosis: DiagnosisReport) -> Element:
    counts = [(each.replace("_", " "), diagnosis.outcomes.get(each, 0)) for each in OUTCOMES]
    figure = Figure(
        "outcomes",
        "Outcomes",
        f"Of {diagnosis.run_count} runs.",
        ("Outcome", "runs"),
        [(title, str(count)) for title, count in counts],
    )
    bars = [
        Bar(title, 0.0, float(count), str(count), mark) for mark, (title, count) in enumerate(counts) if count
    ]
    return draw_bars(figure, bars)


def _case_row(case: CaseReport) -> Element:
    return _row(
        case.case_id,
        f"{case.correct_count} of {case.run_count}",
        others_of(case),
        number(case.effort.turns),
        number(case.effort.calls),
        faults_of(case),
    )


def _row(title: str, *cells: str) -> Element:
    told: Sequence[Child] = [element("td", None, name(each) if each else "") for each in cells]
    return element("tr", None, element("th", {"scope": "row"}, name(title)), *told)
