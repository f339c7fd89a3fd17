import pytest

from rune.bench.token_bounds import estimate_tokens, most_synthetic_tokens, most_tokens

TEKKEN = {
    # text, tokens of Mistral's Tekken (tekken_240911.json of mistral-common)
    "English": ("The readiness probe of one pod fails because its database is down.", 13),
    "Russian": ("Скорость вывода модели зависит от пропускной способности памяти.", 17),
    "Chinese": ("模型的推理速度取决于显存带宽和批处理大小。", 21),
    "rare Han": ("㐀㐁㐂㐃㐄㐅㐆㐇", 24),
    "emoji": ("🪿🫨🧑🏽‍🚀🏳️‍🌈", 33),
    "Khmer": ("ភាសាខ្មែរគឺជាភាសាផ្លូវការ", 75),
    "cuneiform": ("𒀀𒀁𒀂𒀃", 16),
    "code": ("def add(a: int, b: int) -> int:\n    return a + b\n", 19),
    "JSON": ('{"ttft_ms":98.122,"tpot_ms":24.992,"tokens":[8,120]}', 31),
    "digits": ("31415926535897932384", 20),
}


@pytest.mark.parametrize(("text", "tokens"), TEKKEN.values(), ids=TEKKEN)
def test_no_text_has_more_tokens_than_its_bound_or_its_estimate(text: str, tokens: int) -> None:
    assert most_tokens(text) == len(text.encode())
    assert tokens <= estimate_tokens(text) <= most_tokens(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("ab", 1),
        ("a b", 2),
        ("a1", 2),
        ("a\n", 2),
        ("{}", 2),
        ("é", 2),
        ("字", 3),
        ("🙂", 4),
    ],
)
def test_estimate_pairs_letters_and_spaces_alone(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize(("asked", "most"), [(16, 20), (1001, 1252)])
def test_synthetic_prompts_have_a_margin(asked: int, most: int) -> None:
    assert most_synthetic_tokens(asked) == most
