"""The list of mutants stays true while the code moves."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.listed import MUTANTS
from tests.mutants.mutant import Mutant, TextNotFoundError, path_of_test
from tests.mutants.run import Verdict, judge

ROOT = Path(__file__).parents[2]
MUTANT = MUTANTS[0]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_changes_exactly_one_place_that_can_be_compiled(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()

    changed = mutant.apply(source)

    assert changed != source
    compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("test", sorted({test for mutant in MUTANTS for test in mutant.tests}))
def test_test_that_a_mutant_names_is_there(test: str) -> None:
    function = test.partition("::")[2].partition("[")[0]

    assert f"def {function}" in (ROOT / path_of_test(test)).read_text()


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
