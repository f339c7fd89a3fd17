"""Carrying out the calls of one answer: each is answered, in order, and none is made twice."""

import difflib
import math
import time
from collections.abc import Mapping

from rune.agents.investigation import prompt, reporting
from rune.agents.investigation.limits import Bound, Limits
from rune.agents.investigation.repeats import digest_of, key_of
from rune.agents.investigation.state import Entry, KeptCall, KeptResult, State
from rune.agents.tools import Toolbox, ToolResult
from rune.errors import AddressError, ModelServerError, ServerOverloadedError

LARGEST_RESULT_BYTES = 8 * 1024
"""Of a result, whatever the toolbox was asked for."""

_MOST_LOST_READS = 3
_MOST_PAUSES = 5
_DEFAULT_PAUSE_SECONDS = 5
_STOPPING_REPEAT = 3
_NS_PER_MS = 1_000_000


class Interrupted(Exception):  # noqa: N818  # no error: the turn goes on later
    """The cluster asks to be left alone; the state has the calls that are still to be made."""

    def __init__(self, state: State, pause_seconds: int) -> None:
        super().__init__()
        self.state = state
        self.pause_seconds = pause_seconds


async def carry_out(state: State, toolbox: Toolbox, limits: Limits) -> Bound | None:
    """Answer every pending call in the state; return the bound that was reached meanwhile.

    Raises
    ------
    Interrupted
        The cluster asks to be left alone.
    ModelServerError, AddressError
        The cluster cannot be read, and nothing of it was read before.
    """
    bound: Bound | None = None
    done = 0
    while state.pending:
        call = state.pending[0]
        if bound is not None:
            _answer(state, call, prompt.NOT_DONE)
        elif done >= limits.calls_per_turn:
            _answer(state, call, prompt.TOO_MANY_AT_ONCE)
        elif wrong := _what_is_wrong(call, toolbox):
            state.counts.invalid_calls += 1
            _answer(state, call, wrong)
        elif state.counts.tool_calls >= limits.tool_call_count:
            bound = Bound.TOOL_CALLS
            _answer(state, call, prompt.NOT_DONE)
        else:
            done += 1
            bound = await _carry_out_one(state, call, toolbox, limits)
        state.pending = state.pending[1:]
    if bound is None and state.counts.repeated_calls > limits.repeated_call_count:
        return Bound.REPEATED_CALLS
    if bound is None and state.counts.invalid_calls > limits.invalid_call_count:
        return Bound.INVALID_CALLS
    return bound


async def _carry_out_one(state: State, call: KeptCall, toolbox: Toolbox, limits: Limits) -> Bound | None:
    arguments = call.arguments or {}
    key = key_of(call.name, arguments)
    if key in state.calls:
        return _answer_repeated(state, call, state.calls[key], key)
    result = await _read(state, call, toolbox, limits)
    if result is None:
        _answer(state, call, "The cluster did not answer this call.")
        return Bound.CLUSTER_LOST if state.counts.lost_reads >= _MOST_LOST_READS else None
    state.calls[key] = result.id
    before = state.digests.setdefault(result.digest, result.id)
    if before != result.id:
        # Another call, and nothing new by it: 100 lines, then 101.
        return _answer_repeated(state, call, before, result.digest)
    state.entries.append(Entry(role="tool", call_id=call.id, tool=call.name, result_id=result.id, shows=True))
    return None


def _answer_repeated(state: State, call: KeptCall, result_id: str, key: str) -> Bound | None:
    """Answer with the result and a note, then with a note, then end."""
    state.counts.repeated_calls += 1
    times = state.repeats[key] = state.repeats.get(key, 0) + 1
    is_shown = times == 1
    state.entries.append(
        Entry(
            role="tool",
            text=prompt.repeated_note(result_id, is_shown=is_shown),
            call_id=call.id,
            tool=call.name,
            result_id=result_id,
            shows=is_shown,
        )
    )
    return Bound.REPEATED_CALLS if times >= _STOPPING_REPEAT else None


async def _read(state: State, call: KeptCall, toolbox: Toolbox, limits: Limits) -> KeptResult | None:
    """Return what the tool returned, kept; None where the cluster did not answer."""
    began_ns = time.monotonic_ns()
    result_id = f"E{len(state.results) + 1}"
    max_bytes = min(limits.result_bytes, LARGEST_RESULT_BYTES)
    try:
        read = await toolbox.run(call.name, call.arguments or {}, result_id=result_id, max_bytes=max_bytes)
    except ServerOverloadedError as error:
        state.counts.pauses += 1
        if state.counts.pauses <= _MOST_PAUSES:
            raise Interrupted(state, error.retry_after_seconds or _DEFAULT_PAUSE_SECONDS) from error
        state.counts.lost_reads += 1
        return None
    except (ModelServerError, AddressError):
        if not state.has_read:
            raise
        state.counts.lost_reads += 1
        return None
    state.counts.pauses = state.counts.lost_reads = 0
    took_ms = math.ceil((time.monotonic_ns() - began_ns) / _NS_PER_MS)
    state.counts.tools_ms += took_ms
    state.counts.tool_calls += 1
    kept = _keep(read, call, result_id, took_ms)
    state.results.append(kept)
    return kept


def _keep(read: ToolResult, call: KeptCall, result_id: str, took_ms: int) -> KeptResult:
    text = read.text.encode("utf-8", "replace")[:LARGEST_RESULT_BYTES].decode("utf-8", "ignore")
    return KeptResult(
        id=result_id,
        tool=call.name,
        arguments=call.arguments or {},
        text=text,
        digest=digest_of(call.name, text),
        is_error=read.is_error,
        ms=took_ms,
    )


def _answer(state: State, call: KeptCall, text: str) -> None:
    state.entries.append(Entry(role="tool", text=text, call_id=call.id, tool=call.name))


def _what_is_wrong(call: KeptCall, toolbox: Toolbox) -> str:
    """Return what is wrong with a call before its tool sees it; empty where nothing is."""
    known = [*(tool.name for tool in toolbox.specs), reporting.NAME]
    if call.name not in known:
        near = difflib.get_close_matches(call.name, known, n=1)
        return prompt.unknown_tool(call.name, near or known)
    if call.arguments is None:
        return prompt.UNREADABLE_ARGUMENTS
    # Of two reports in one answer the last one counts.
    return prompt.NOT_DONE if call.name == reporting.NAME else ""


def count_by_tool(state: State) -> Mapping[str, int]:
    """Return how often each tool was used."""
    names = [result.tool for result in state.results]
    return {name: names.count(name) for name in sorted(set(names))}
