"""The file of single requests: one JSON object a line, as docs/benchmarks.md documents its keys.

It holds answers but no prompts: prompts are the caller's already, and `prompt_index` says which one it was. Numbers
are rounded as in the report, so a report can be computed again from its records.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rune.bench import formulas
from rune.bench.records import RequestRecord
from rune.bench.rounding import DECIMALS, rounded
from rune.llm.protocol import Generation

MAX_ANSWER_CHARS = 2000
"""Of an answer that are kept; `answer_chars` tells how many there were."""

_NS_PER_MS = 1_000_000

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "run": "index of the run",
        "number": "of the request within its run, from 0, in the order in which requests became due",
        "block": "index of the block in which it was asked; 0 for a run that was measured at once",
        "prompt_index": "which prompt was asked, from 0",
        "conversation": "number of the first request of its conversation; null for a prompt of one turn",
        "turn": "which of the conversation's answered turns it is, from 0",
        "prompt_chars": "length of the prompt with its number; of the whole conversation until then",
        "status": "completed, failed or cut_off (broken off at the end of the point's time)",
        "error_code": "of a failed request, else null",
        "due_ms": "when it was due, since the point or its block began",
        "sent_ms": "when it was sent, since the point or its block began; null if never",
        "ended_ms": "when it was over, since the point or its block began",
        "score": "of the answer, 0 to 1; null where it was not judged",
        "is_buffered": "whether the answer came all at once",
        "is_truncated": "whether the server dropped a part of the prompt",
        # Null but for a completed request, from here on.
        "ttfb_ms": "sending to the answer's headers",
        "first_chunk_ms": "sending to the first chunk, which may be without content",
        "ttft_ms": "sending to the first chunk with content",
        "ttfo_ms": "sending to the first chunk with text",
        "tpot_ms": "(e2el - ttft) / (output tokens - those that came first)",
        "e2el_ms": "sending to the last chunk with content",
        "itl_ms": "list of the gaps between neighbouring chunks with content",
        "input_tokens": "of the prompt, as the server counts",
        "output_tokens": "of the answer, reasoning included",
        "cached_tokens": "of the prompt, from the server's cache",
        "reasoning_tokens": "of the answer",
        "token_count_source": "who counted the output: usage, server, or by estimate chunks or characters",
        "finish_reason": "why the model stopped",
        "server_load_ms": "the server's own view",
        "server_prompt_eval_ms": "the server's own view",
        "server_eval_ms": "the server's own view",
        "reasoning_chars": "length of what the model thought before it, also aloud; 0 where none was sent",
        "answer": f"its first {MAX_ANSWER_CHARS} characters",
        "answer_chars": "length of the whole answer",
    }
)
"""What stands in a line, in this order; times in milliseconds."""


def record_lines(run_index: int, records: Sequence[RequestRecord], block_index: int = 0) -> str:
    """Return the requests of a run as JSON lines, each ended by a newline; in ASCII, which holds any text."""
    return "".join(
        json.dumps(_line(run_index, block_index, record), separators=(",", ":")) + "\n" for record in records
    )


def _line(run_index: int, block_index: int, record: RequestRecord) -> dict[str, object]:
    line: dict[str, object] = dict.fromkeys(KEYS)
    line |= {
        "run": run_index,
        "number": record.number,
        "block": block_index,
        "prompt_index": record.prompt_index,
        "conversation": record.conversation,
        "turn": record.turn,
        "prompt_chars": record.prompt_chars,
        "status": record.status,
        "error_code": record.error_code,
        "due_ms": _ms(record.due_ns),
        "sent_ms": None if record.sent_ns is None else _ms(record.sent_ns),
        "ended_ms": _ms(record.ended_ns),
        "score": record.score,
        "is_buffered": record.is_buffered,
        "is_truncated": record.is_truncated,
    }
    if record.generation is not None:
        line |= _answer(record.generation)
    return line


def _answer(generation: Generation) -> dict[str, object]:
    stamps, tokens, server = generation.stamps, generation.tokens, generation.server_timings
    return {
        "ttfb_ms": _ms(stamps.headers_ns - stamps.sent_ns),
        "first_chunk_ms": _ms(stamps.first_chunk_ns - stamps.sent_ns),
        "ttft_ms": rounded(formulas.time_to_first_token_ms(stamps)),
        "ttfo_ms": rounded(formulas.time_to_first_visible_token_ms(stamps)),
        "tpot_ms": rounded(formulas.time_per_output_token_ms(generation)),
        "e2el_ms": rounded(formulas.end_to_end_latency_ms(stamps)),
        "itl_ms": [rounded(gap) for gap in formulas.inter_chunk_latencies_ms(generation.chunk_arrivals_ns)],
        "input_tokens": tokens.prompt_count,
        "output_tokens": tokens.output_count,
        "cached_tokens": tokens.cached_count,
        "reasoning_tokens": tokens.reasoning_count,
        "token_count_source": tokens.source.value,
        "finish_reason": generation.finish_reason.value,
        "server_load_ms": rounded(server.load_ms),
        "server_prompt_eval_ms": rounded(server.prompt_eval_ms),
        "server_eval_ms": rounded(server.eval_ms),
        "reasoning_chars": len(generation.reasoning),
        "answer": generation.text[:MAX_ANSWER_CHARS],
        "answer_chars": len(generation.text),
    }


def _ms(ns: int) -> float:
    return round(ns / _NS_PER_MS, DECIMALS)
