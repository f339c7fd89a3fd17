"""The formula of each published number, and the meaning of each warning.

Both are published: the formulas with every report, and both in docs/benchmarks.md. The formulas of one request's
numbers are in `rune.bench.formulas`, and these are their short forms.
"""

from collections.abc import Mapping
from types import MappingProxyType

DIAGNOSIS_FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "correct": "status right, nothing missed, invented or trapped",
        "pass_at_1": "mean over cases of correct runs / runs",
        "pass_hat_k": "mean over cases of C(correct runs, k) / C(runs, k)",
        "pass_at_k": "mean over cases of 1 - C(runs - correct runs, k) / C(runs, k)",
        "precision": "found / (found + invented), sums over runs",
        "recall": "found / (found + missed), sums over runs",
        "f1": "2 found / (2 found + invented + missed), sums over runs",
        "trap_rate": "runs that named a red herring as a cause / runs of cases with red herrings",
        "effort": "mean over runs",
        "effort_per_correct": "sum over all runs / correct runs",
        "low, high": (
            "Wilson's 95 % interval at the number of independent values with the variance of a ratio over cases; "
            "at least cases, at most runs"
        ),
    }
)
"""Of a report with `diagnosis`."""

FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "ttft_ms": "arrival of the first chunk with text, reasoning or a tool call - sending of the request",
        "ttfo_ms": "arrival of the first chunk with text - sending of the request",
        "tpot_ms": (
            "(e2el - ttft) / (output tokens - those that came first, by their characters), per request with 2 "
            "tokens or more that came at 2 instants or more; undefined where reasoning is hidden"
        ),
        "itl_ms": "gaps between neighbouring chunks with content, of all requests together",
        "e2el_ms": "arrival of the last chunk with content - sending of the request",
        "client_queue_time_ms": "sending of the request - time at which it was due, of an open load",
        "output_tokens_per_s_per_user": "1000 / tpot of each request",
        "input_tokens": "tokens of each prompt, as the server counts",
        "output_tokens": "tokens of each answer, reasoning included, as the server counts",
        "mean_tokens_per_chunk": "output tokens / chunks with content, sums over completed requests",
        "duration_s": "end of the last completed request - first sending; of failed ones where none was completed",
        "request_throughput_per_s": "completed requests / duration",
        "output_throughput_tokens_per_s": "output tokens of completed requests / duration, ramp and drain included",
        "total_throughput_tokens_per_s": "(input tokens + output tokens) of completed requests / duration",
        "steady_output_throughput_tokens_per_s": (
            "output tokens / time, from when all slots were first busy (of 5 requests a slot or more: when as many "
            "had ended as there are slots) until fewer are for good; tokens of a request lie evenly on its "
            "chunks, and chunks of one that was cut off have the mean of all"
        ),
        "steady_output_throughput_windows_tokens_per_s": (
            "output tokens / time in each of ten equal parts of the time in which all slots were busy; of several "
            "blocks, in nearly equal parts none of which lies in two"
        ),
        "output_throughput_windows_tokens_per_s": (
            "output tokens / time in each of ten equal parts of the duration; tokens of a request lie evenly on "
            "its chunks"
        ),
        "max_output_tokens_per_s": "output tokens in the busiest of the whole seconds since the first sending",
        "max_concurrent_requests": "most requests between sending and end at one instant",
        "goodput_requests_per_s": (
            "completed requests within all limits / duration; times of an open load begin when a request was due; "
            "an answer of 1 token keeps the limit of tpot"
        ),
        "good_ratio": (
            "completed requests within all limits / (completed + failed + cut off after a limit had passed); those "
            "whose tpot has a limit and is not defined are in neither"
        ),
        "good_count": "completed requests within all limits",
        "bad_count": "requests outside a limit, failed, or cut off after a limit had passed",
        "blocks": (
            "of each run of a point: the same formulas; the point's numbers of requests are of all its blocks "
            "together, and its rates are sums over sums"
        ),
        "capacity.highest": (
            "highest load at which good_count / (good_count + bad_count) >= good_ratio, below all at which it is "
            "not"
        ),
        "capacity.good_ratio_low": (
            "Wilson's 90 % interval of good_count / (good_count + bad_count), of as many requests as ttft and "
            "e2el are worth independent ones"
        ),
        "resent_count": "requests sent anew on a new connection, sum over completed requests",
        "achieved_request_rate_per_s": "requests sent / time from the point's beginning to the last sending",
        "schedule_delay_ms": "having a slot and a turn - time at which it was due, of each request of an open load",
        "ttft_from_due_ms": "ttft + sending - time at which it was due, of an open load",
        "e2el_from_due_ms": "e2el + sending - time at which it was due, of an open load",
        "server_side.load_ms": "mean of what the server reports for completed requests; likewise the other _ms",
        "server_side.prompt_tokens_per_s": "(input tokens - cached tokens) / prompt_eval_ms, sums over requests",
        "server_side.output_tokens_per_s": "output tokens / eval_ms, sums over requests",
        "turns": "the same numbers of the requests of each turn of conversations",
        "cached_input_ratio": (
            "cached tokens / input tokens, sums over completed requests that tell both; where none does, "
            "server.prefix_cache_hit_ratio"
        ),
        "server": (
            "gauges: largest and mean of the readings while requests were under way; counters: last - first "
            "reading, of one that fell what it counted since"
        ),
        "server.prefix_cache_hit_ratio": "tokens of prompts from the cache / all tokens of prompts, by counters",
        "server.draft_accepted_ratio": "drafted tokens that were accepted / drafted tokens, by counters",
        "quality.score": "score of each judged answer, 0 to 1",
        "quality.reliability_ratio": "answers that reach pass_score / (judged answers + failed requests)",
        "percentiles": (
            "linear interpolation (NumPy's default) over completed requests; p90 needs 10, p95 20, p99 100 values"
        ),
        "std": "standard deviation of the sample (n - 1)",
        "best_run": (
            "run with the most good requests / s where there are limits, else with the highest steady output "
            "throughput; first those of which at most 10 % failed, 90 % kept the limits, each slot had a request"
        ),
        "usd_per_million_output_tokens": (
            "price_usd_per_hour / 3600 / steady_output_throughput_tokens_per_s * 1e6; over the whole duration of "
            "an open load, and where all slots were never busy; null where tokens are estimated"
        ),
        "usd_per_million_output_tokens_all_in": (
            "cost_usd / (output tokens of all runs' completed requests and of warm-up) * 1e6"
        ),
        "usd_per_million_total_tokens": (
            "usd_per_million_output_tokens * output_throughput_tokens_per_s / total_throughput_tokens_per_s"
        ),
        "output_tokens_per_usd": "1e6 / usd_per_million_output_tokens, in tokens",
        "usd_per_1k_requests": (
            "price_usd_per_hour / 3600 / (request_throughput_per_s * steady / whole output throughput) * 1000"
        ),
        "usd_per_good_request": (
            "price_usd_per_hour / 3600 / (goodput_requests_per_s * steady / whole output throughput)"
        ),
        "idle_seconds": "billed_seconds - busy_seconds, at least 0",
    }
)
"""By the name in the report, the definition of the number."""

WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        # Of a suite of cases.
        "runs_given_up": "A server or worker failed in some runs, which count as without an answer.",
        # Of a run.
        "few_samples": "Fewer than 10 requests were completed: means and medians are rough.",
        "few_waves": (
            "Fewer than 5 requests for each slot were completed: ramp and drain are a large share of the run, and "
            "its throughput over the whole duration is too low."
        ),
        "requests_stalled": (
            "An answer stood still for over 2 seconds and then went on; its wait is in the throughput over the "
            "whole duration."
        ),
        "errors": "Requests failed; latencies are those of the others, and may flatter a server that refuses.",
        "blocks_lost": (
            "The point was several runs, whose requests could not be read again: its numbers are those of the run "
            "with the most answers."
        ),
        "cut_short": (
            "The point ended, by its time or at 2,000,000 chunks, before its requests did: those under way are in "
            "no other number, and those to come were not sent."
        ),
        "stream_buffered": (
            "Answers came at once or in bursts, not as they were made: something on the way holds streams back, so "
            "gaps between chunks say nothing, and times per token little."
        ),
        "prompt_truncated": "The server counted far fewer tokens than prompts have: it dropped some silently.",
        "client_overloaded": "RUNE's own event loop was over 5 ms late (p99), or it used over 90 % of "
        "a processor: its stamps are doubtful.",
        "concurrency_not_reached": (
            "Never were max_concurrency requests under way: there are too few of them, or the server answers "
            "faster than RUNE asks. The numbers are those of max_concurrent_requests."
        ),
        "token_counts_estimated": (
            "The server does not say how many tokens answers have: chunks were counted, or characters where chunks "
            "are no tokens. Tokens have no price then."
        ),
        "input_tokens_unknown": "The server did not say for each prompt how many tokens it has.",
        "prefix_cache_hits": (
            "Over a tenth of the prompts' tokens came from the server's cache: times to first token are shorter "
            "than for prompts it has never seen."
        ),
        "short_answers": "Half of the answers have fewer than 16 tokens: times per token are mostly noise.",
        "reasoning_hidden": (
            "The server counted tokens that it did not send, as those of hidden reasoning: such answers have no "
            "time per token, and their times to first token hold the reasoning."
        ),
        "few_pieces": (
            "Half of the longer answers came in fewer than 4 pieces: times per token are rough, or not defined."
        ),
        "empty_answers": "Some answers had no text beside what the model thought, and no tool call.",
        "unknown_ends": (
            "The server ended some answers without a reason, or for one that RUNE does not know."
        ),
        "arrivals_delayed": (
            "At least 5 % of the requests had a slot over 10 ms late, most often since max_concurrency were under "
            "way: the server had less load than request_rate_per_s says."
        ),
        "model_reloaded": (
            "The server says that it loaded the model while requests were measured: another model had taken its "
            "place, it was not loaded before, or the server was started anew. The load is in a request's times."
        ),
        "server_queued": (
            "The server says that requests waited in its queue, at a quarter of the readings or more: times to "
            "first token hold that wait."
        ),
        "kv_cache_full": (
            "The server says that at least 95 % of its memory for contexts was in use: more load waits, or takes "
            "it from others."
        ),
        "server_preempted": (
            "The server says that requests lost their memory to others and began again: the load is more than it "
            "holds."
        ),
        "server_throttled": (
            "The server refused requests for their number; RUNE waited before the next ones, as long as the server "
            "asked, so the load was less than the workload says."
        ),
        # Of the whole.
        "cost_cap_reached": (
            "The job's money was over before its work: what was measured until then is in the numbers."
        ),
        "partial_gpu_offload": "A part of the model is not in GPU memory and runs on the CPU.",
        "server_parallel_exceeded": (
            "More requests were under way than the server answers at a time: beyond that its queue was measured."
        ),
        "eos_not_ignored": (
            "The server cannot be told to go on to output_tokens, so answers have different lengths."
        ),
        "ignore_eos_suspected": (
            "Answers broke off with an error while the server was told to go on after the model's end of text, "
            "which some models do not bear: send ignore_eos false."
        ),
        "asked_otherwise": "The server refuses fields that RUNE sends to others; `notes` tells which.",
        "model_not_listed": (
            "The server's list of models does not have the model, or there is none; it answered all the same."
        ),
        "context_differs": "The model is loaded with another context than was asked for.",
        "server_changed": (
            "The server says otherwise of the model than at the beginning, or has other models in memory."
        ),
        "point_given_up": "A point failed again and again, and neither it nor those after it were measured.",
        "judge_failed": "The judge model's server was of no use: answers are not judged, or not all of them.",
        "judge_unfinished": "The job's time was over before all answers were judged.",
        "cost_so_far": "The machine is kept and goes on costing: these are the figures at the job's end.",
        "answers_unjudged": "The judge model gave no usable score for some answers.",
    }
)
"""By name, what makes numbers doubtful."""
