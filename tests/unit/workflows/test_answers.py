"""How much of an answer is kept."""

from __future__ import annotations

from rune.workflows.answers import (
    LONGEST_ANSWER_CHARS,
    LONGEST_DETAIL_CHARS,
    MOST_ARTIFACT_BYTES,
    MOST_DETAILS,
    keep_answer,
    keep_artifacts,
    keep_details,
)


def test_answer_of_the_longest_length_is_kept_whole() -> None:
    assert keep_answer("a" * LONGEST_ANSWER_CHARS) == ("a" * LONGEST_ANSWER_CHARS, {})


def test_longer_answer_is_cut_with_a_warning() -> None:
    kept, told = keep_answer("a" * 16_000_000)

    assert (len(kept), told["answer_chars"]) == (LONGEST_ANSWER_CHARS, "16000000")
    assert told["answer_warning"] == "The first 500,000 of 16,000,000 characters are kept."


def test_artifacts_are_kept_as_far_as_they_fit_and_the_others_are_counted() -> None:
    artifact = {"text": "\u00e9" * (MOST_ARTIFACT_BYTES // 15)}

    kept, told = keep_artifacts([artifact] * 4)

    assert kept == [artifact] * 2
    assert told == {"artifacts_warning": "2 of 4 artifacts are too large and left out."}
    assert keep_artifacts([artifact]) == ([artifact], {})


def test_details_are_bounded_in_number_and_length() -> None:
    kept = keep_details({f"{number:03}": "x" * 5000 for number in range(100)})

    assert len(kept) == MOST_DETAILS
    assert set(map(len, kept.values())) == {LONGEST_DETAIL_CHARS}
