from itertools import combinations

import pytest

from rune.bench.prompt_sets import SYNTHETIC_WORDS
from rune.bench.prompts import add_nonce, make_prompts, synthetic_words
from rune.bench.turns import texts_of
from rune.contracts.workloads import Workload, question_once


def test_prompts_are_the_question_when_the_workload_brings_none() -> None:
    assert make_prompts("Why?", question_once()) == ("Why?",)
    assert make_prompts("Why?", Workload()) == ("Why?",)


def test_prompts_are_the_callers_own_when_given() -> None:
    assert make_prompts("Why?", Workload(prompts=["One?", "Two?"])) == ("One?", "Two?")


@pytest.mark.parametrize(
    ("name", "count", "least_chars", "most_chars"),
    [("chat", 16, 50, 110), ("code", 8, 80, 250), ("summary", 8, 1000, 1400)],
)
def test_prompt_set_holds_different_prompts_of_its_length(
    name: str, count: int, least_chars: int, most_chars: int
) -> None:
    prompts = make_prompts("Why?", Workload.model_validate({"prompt_set": name}))

    assert len(set(prompts)) == count
    assert all(least_chars <= len(text) <= most_chars for text in texts_of(prompts))


@pytest.mark.parametrize(
    ("tokens_per_word", "prefix_cache", "word_count"),
    [(None, "shared", 1000), (1.25, "shared", 800), (1.25, "busted", 794), (2000.0, "busted", 1)],
)
def test_synthetic_prompts_have_as_many_words_as_their_tokens_need(
    tokens_per_word: float | None, prefix_cache: str, word_count: int
) -> None:
    given = {"prompt_set": "synthetic", "input_tokens": 1000, "prefix_cache": prefix_cache}

    prompts = make_prompts("Why?", Workload.model_validate(given), tokens_per_word=tokens_per_word)

    assert {len(text.split()) for text in texts_of(prompts)} == {word_count}
    assert len(prompts) == 16


def test_synthetic_words_are_the_same_when_seed_and_number_are() -> None:
    assert synthetic_words(50, seed=1, number=2) == synthetic_words(50, seed=1, number=2)
    assert len({synthetic_words(50, seed, number) for seed in range(4) for number in range(4)}) == 16
    assert set(synthetic_words(500, 0, 0).split()) <= set(SYNTHETIC_WORDS)


def test_nonces_are_unique_over_all_points_and_numbers_of_a_job() -> None:
    prompts = {add_nonce("Why?", 7, point, number) for point in range(12) for number in range(10_000)}

    assert len(prompts) == 120_000
    assert {len(prompt) for prompt in prompts} == {len("lusab-babad\nWhy?")}


def test_nonces_differ_from_the_very_beginning() -> None:
    neighbours = [add_nonce("Why?", 7, 0, number) for number in range(100)]

    shared = [
        sum(a == b for a, b in zip(one[:5], other[:5], strict=True))
        for one, other in combinations(neighbours, 2)
    ]
    assert max(shared) < 5
    assert sum(shared) / len(shared) < 1.5  # of five letters at random, 3 in 16 and 2 in 4 would agree: 0.69


def test_nonce_is_the_same_when_all_it_is_made_of_is() -> None:
    assert add_nonce("Why?", 7, 1, 2) == add_nonce("Why?", 7, 1, 2)
    assert len({add_nonce("Why?", seed, 1, 2) for seed in range(1000)}) == 1000
