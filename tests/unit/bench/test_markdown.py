import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.bench.comparison import compare
from rune.bench.markdown import escape, to_markdown
from rune.contracts import BenchmarkReport, BenchmarkRequest
from rune.llm.protocol import ModelFacts
from tests.builders import REQUEST
from tests.measured_builders import a_completed, a_report, a_run

LEGEND = """
*better* and *worse*: the 99% confidence interval of the difference (Welch's t) leaves zero out, so does the \
correction for many numbers (Benjamini and Hochberg, 5%), and the difference is at least 5%, or as many points of \
a ratio. *no difference*: it is surely smaller. *undecided*: neither is sure; so many requests on each side would \
decide, if the numbers stay what they are. Numbers without spread are *not comparable*. ± is the standard \
deviation over requests, or of throughput in ten parts of the time.

Each benchmark is one measurement at one time. What changes from hour to hour, as other guests of a machine do, \
is in no interval: repeat what matters.
"""


def paced(pace_ms: float, **overrides: object) -> BenchmarkReport:
    """Return a report of ten answers, one after the other, with a token in each chunk."""
    lasts_ms = 100 + 19 * pace_ms
    records = [a_completed(n, sent_ms=n * lasts_ms, gaps_ms=[pace_ms] * 19) for n in range(10)]
    return a_report(a_run(*records), **overrides)


def test_two_benchmarks_are_a_page_that_one_can_read() -> None:
    other = paced(20, prompts=["How?"], model=ModelFacts(family="llama"))

    page = to_markdown(compare([("6f1f|0c2f", paced(10)), ("77aa", other)]))

    assert page == (
        """# Comparison

| | Job | Model | Backend | Server | GPU | Warnings |
|---|---|---|---|---|---|---|
| **A** | 6f1f\\|0c2f | llama3.1:8b | ollama |  |  |  |
| **B** | 77aa | llama3.1:8b | ollama |  |  |  |

## 1 at a time

| | A | B | B against A |
|---|---:|---:|---|
| Time to first token (lower is better) | 100 ± 0 ms | 100 ± 0 ms | +0.0%: no difference |
| Time to first token, median (lower is better) | 100 ms | 100 ms | +0.0%: no difference |
| Time to first token, p90 (lower is better) | 100 ms | 100 ms | +0.0%: undecided (would take 20 requests) |
| Time to first token, p95 (lower is better) |  |  | undecided (would take 40 requests) |
| Time to first token, p99 (lower is better) |  |  | undecided (would take 200 requests) |
| Time per output token (lower is better) | 10 ± 0 ms | 20 ± 0 ms | +100.0%: **worse** |
| Time per output token, median (lower is better) | 10 ms | 20 ms | +100.0%: **worse** |
| Time per output token, p90 (lower is better) | 10 ms | 20 ms | +100.0%: undecided (would take 20 requests) |
| Time per output token, p95 (lower is better) |  |  | undecided (would take 40 requests) |
| Time per output token, p99 (lower is better) |  |  | undecided (would take 200 requests) |
| Gap between chunks (lower is better) | 10 ± 0 ms | 20 ± 0 ms | +100.0%: **worse** |
| End-to-end latency (lower is better) | 290 ± 0 ms | 480 ± 0 ms | +65.5%: **worse** |
| End-to-end latency, median (lower is better) | 290 ms | 480 ms | +65.5%: **worse** |
| End-to-end latency, p90 (lower is better) | 290 ms | 480 ms | +65.5%: undecided (would take 20 requests) |
| End-to-end latency, p95 (lower is better) |  |  | undecided (would take 40 requests) |
| End-to-end latency, p99 (lower is better) |  |  | undecided (would take 200 requests) |
| Output throughput, steady (higher is better) | 68.97 ± 1.626 tokens/s | 41.67 ± 0.9821 tokens/s | -39.6%: **worse** |
| Output throughput (higher is better) | 68.97 ± 1.626 tokens/s | 41.67 ± 0.9821 tokens/s | -39.6%: **worse** |
| Request throughput (higher is better) | 3.448 requests/s | 2.083 requests/s | -39.6%: not comparable |
| Speed for each user (higher is better) | 100 ± 0 tokens/s | 50 ± 0 tokens/s | -50.0%: **worse** |
| Failed requests (lower is better) | 0.0% | 0.0% | +0: undecided (would take 164 requests) |
| Completed requests (higher is better) | 100.0% | 100.0% | +0.0%: undecided (would take 164 requests) |

## Notes

- Other prompts than in the first benchmark: 77aa.
- 77aa ran another model, whose tokens may be longer or shorter: numbers per token are comparable only within a \
family of models.
"""  # noqa: E501
        + LEGEND
    )


def test_named_benchmarks_have_their_names_in_the_heads() -> None:
    request = BenchmarkRequest.model_validate({**REQUEST, "name": "night|ly"})
    page = to_markdown(compare([("a", paced(10, request=request)), ("b", paced(10))]))

    assert "| | Job | Name | Model | Backend | Server | GPU | Warnings |\n|---|---|---|" in page
    assert "| **A** | a | night\\|ly | llama3.1:8b |" in page
    assert "| **B** | b |  | llama3.1:8b |" in page
    assert "| | A: night\\|ly | B | B against A |" in page


def test_a_third_benchmark_gets_its_own_columns() -> None:
    page = to_markdown(compare([("a", paced(10)), ("b", paced(10)), ("c", paced(5))]))

    assert "| | A | B | B against A | C | C against A |\n|---|---:|---:|---|---:|---|\n" in page
    assert "| 10 ± 0 ms | 10 ± 0 ms | +0.0%: no difference | 5 ± 0 ms | -50.0%: **better** |" in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<script>&amp;", "\\<script\\>\\&amp;"),
        ("*bold* `code` [link](x)", "\\*bold\\* \\`code\\` \\[link\\](x)"),
        ("back\\|slash", "back\\\\\\|slash"),
        ("two\r\nlines\u2028", "two lines "),
        ("Q4_K_M", "Q4\\_K\\_M"),
        ("llama3.1:8b", "llama3.1:8b"),
    ],
)
def test_names_are_shown_as_they_are(text: str, expected: str) -> None:
    assert escape(text) == expected


@given(st.text(max_size=30))
def test_no_name_breaks_a_table(name: str) -> None:
    page = to_markdown(compare([(name, paced(10, model=ModelFacts(family=name)))]))

    row = page.splitlines()[4]
    assert row.startswith("| **A** | ")
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 8


def test_columns_go_on_after_z() -> None:
    report = paced(10)

    page = to_markdown(compare([(str(number), report) for number in range(28)]))

    assert "| **Z** | 25 |" in page
    assert "| **AB** | 27 |" in page
