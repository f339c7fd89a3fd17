import pytest

from rune.llm.counts import ToldCounts, is_believable, read_usage


def usage(prompt: int | None, output: int | None, total: int | None, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total, **more}


def reasoning(count: int) -> dict[str, object]:
    return {"completion_tokens_details": {"reasoning_tokens": count}}


def cached(count: int) -> dict[str, object]:
    return {"prompt_tokens_details": {"cached_tokens": count}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, (None, None, None, None)),
        (usage(12, 30, 42), (12, 30, None, None)),
        (usage(12, 30, 42, **reasoning(20), **cached(8)), (12, 30, 8, 20)),
        # On top of the output, as the total says or as it must be.
        (usage(12, 2, 331, **reasoning(317)), (12, 319, None, 317)),
        (usage(12, 2, None, **reasoning(317)), (12, 319, None, 317)),
        (usage(12, 2, 14, **reasoning(317)), (12, 2, None, 317)),
        # In the total alone.
        (usage(12, 2, 331), (12, 319, None, 317)),
        (usage(12, 2, 331, **reasoning(300)), (12, 319, None, 317)),
        # Not counted.
        (usage(0, 6, 6), (None, 6, None, None)),
        (usage(0, 6, 18), (12, 6, None, None)),
        (usage(0, 2, 319, **reasoning(317)), (None, 319, None, 317)),
        (usage(0, 2, 331, **reasoning(317)), (12, 319, None, 317)),
        (usage(None, 6, 18), (12, 6, None, None)),
        (usage(12, None, 18), (12, 6, None, None)),
        (usage(None, None, 18), (None, None, None, None)),
        (usage(30, None, 18), (30, None, None, None)),
        # A cache beside the prompt.
        (usage(3, 6, 1009, **cached(1000)), (1003, 6, 1000, None)),
        (usage(300, 6, 406, **cached(100)), (400, 6, 100, None)),
        (usage(300, 6, 426, **cached(100), **reasoning(20)), (400, 26, 100, 20)),
        # Under other names.
        ({"input_tokens": 12, "output_tokens": 30}, (12, 30, None, None)),
        (
            {"input_tokens": 12, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 2}},
            (12, 3, None, 2),
        ),
        (usage(12, 30, 42, prompt_cache_hit_tokens=8), (12, 30, 8, None)),
        (usage(12, 30, 42, cached_tokens=8), (12, 30, 8, None)),
        (usage(12, 30, 42, reasoning_tokens=8), (12, 30, None, 8)),
        # Nonsense proves nothing.
        (usage(12, 30, 7), (12, 30, None, None)),
        (usage(12, 30, -7), (12, 30, None, None)),
        ({"prompt_tokens": "12", "completion_tokens": True, "total_tokens": 1.5}, (None, None, None, None)),
    ],
)
def test_usage_is_read_in_openai_s_meaning(
    told: dict[str, object], expected: tuple[int | None, int | None, int | None, int | None]
) -> None:
    read = read_usage(told)

    assert (read.prompt_count, read.output_count, read.cached_count, read.reasoning_count) == expected


def test_total_is_all_that_was_counted_when_reasoning_is_on_top() -> None:
    assert read_usage(usage(12, 2, 331, **reasoning(317))) == ToldCounts(12, 319, None, 317, 331)


@pytest.mark.parametrize(
    ("count", "chunks", "chars", "expected"),
    [
        (2, 62, 426, False),
        (2, 62, 150, True),
        (2, 1, 3000, True),
        (30, 60, 1300, True),
        (1, 60, 400, False),
    ],
)
def test_count_is_doubted_when_text_and_chunks_are_far_too_many(
    count: int, chunks: int, chars: int, expected: bool
) -> None:
    assert is_believable(count, chunk_count=chunks, char_count=chars) is expected
