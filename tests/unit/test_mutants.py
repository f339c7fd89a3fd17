"""The list of mutants stays true while the code moves."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import TextNotFoundError, path_of_test
from tests.mutants.run import Verdict, judge

ROOT = Path(__file__).parents[2]
MUTANT = MUTANTS[0]


# By file, since a test for each of some 1,500 mutants would take longer than the looking.
@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_mutants_of_a_file_change_one_place_each_and_can_be_compiled(file: str) -> None:
    source = (ROOT / file).read_text()

    for mutant in MUTANTS:
        if mutant.file == file:
            changed = mutant.apply(source)
            assert changed != source, mutant.name
            compile(changed, mutant.name, "exec")


@pytest.mark.parametrize("path", sorted({path_of_test(test) for mutant in MUTANTS for test in mutant.tests}))
def test_tests_that_mutants_name_are_there(path: Path) -> None:
    source = (ROOT / path).read_text()
    named = {
        test.partition("::")[2].partition("[")[0]
        for mutant in MUTANTS
        for test in mutant.tests
        if path_of_test(test) == path
    }

    assert [function for function in sorted(named) if f"def {function}" not in source] == []


def test_names_of_mutants_are_unique() -> None:
    assert [name for name, count in Counter(each.name for each in MUTANTS).items() if count > 1] == []


@pytest.mark.parametrize("source", ["nothing of it", MUTANT.text * 2], ids=["never", "twice"])
def test_mutant_is_not_applied_when_its_text_is_not_there_once(source: str) -> None:
    with pytest.raises(TextNotFoundError):
        MUTANT.apply(source)


SUMMARY = """\
ERROR rune.jobs.engine step.crashed
FAILED tests/unit/test_a.py::test_b[c d] - assert 1 == 2
1 failed in 0.1s
"""


@pytest.mark.parametrize(
    ("exit_code", "output", "verdict"),
    [
        (0, "1 passed", Verdict(MUTANT, 2.0)),
        (1, SUMMARY, Verdict(MUTANT, 2.0, killed_by="tests/unit/test_a.py::test_b[c d]")),
        (
            2,
            "ERROR tests/unit/test_a.py - NameError",
            Verdict(MUTANT, 2.0, trouble="ERROR tests/unit/test_a.py - NameError"),
        ),
        (5, "no tests ran", Verdict(MUTANT, 2.0, trouble="no tests ran")),
    ],
    ids=["survived", "killed", "not imported", "no tests"],
)
def test_mutant_counts_as_killed_only_when_a_test_has_failed(
    exit_code: int, output: str, verdict: Verdict
) -> None:
    assert judge(MUTANT, exit_code, output, 2.0) == verdict
