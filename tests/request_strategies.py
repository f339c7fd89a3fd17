"""Requests as callers may send them, for Hypothesis: every kind and form, each default given or left out."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

type Body = dict[str, Any]

LOOPBACK_URLS = ("http://127.0.0.1:11434", "http://127.0.0.1:11434/", "http://127.0.0.1")
# Its size is in the catalog, so it can be rented for.
KNOWN_MODEL = "llama3.1:8b"

_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_model_names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
_prices = st.floats(0, 1000, allow_nan=False)
_highest_prices = st.floats(0.01, 1000, allow_nan=False)
_ratios = st.floats(0, 1, allow_nan=False)
TEMPLATES = ("c166c11f035d3a97871a23bd32ca6aba", "4e17788f")
_hashes = st.none() | st.sampled_from(["", *TEMPLATES])


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    """Draw any of the fields, or none."""
    return st.fixed_dictionaries({}, optional=fields)


def _merged(*parts: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
    return st.tuples(*parts).map(
        lambda drawn: {name: value for part in drawn for name, value in part.items()}
    )


def _ordered_prices(terms: Body) -> Body:
    """Return the terms with the lower price as `min_dph`, also beside a `max_dph` that was left out."""
    low, high = terms.get("min_dph"), terms.get("max_dph")
    if low is None:
        return terms
    if high is None:
        return {**terms, "min_dph": min(low, 3.0)}
    return {**terms, "min_dph": min(low, high), "max_dph": max(low, high)}


_nested_terms = _optional(
    template_hash=_hashes,
    min_dph=_prices,
    max_dph=_highest_prices,
    reliability=_ratios,
    stop_instance=st.booleans(),
).map(_ordered_prices)
_flat_terms = _optional(
    template_hash=_hashes,
    min_dph=st.none() | _prices,
    max_dph=st.none() | _highest_prices,
    reliability=st.none() | _ratios,
    vastai_stop_instance=st.booleans(),
).map(_ordered_prices)
_no_provisioning: st.SearchStrategy[Body] = st.sampled_from(
    ({}, {"provisioning": None}, {"provisioning": {}}, {"provisioning": {"vastai": None}})
)
_rental_limits = _optional(boot_timeout_seconds=st.integers(60, 1800), keep_seconds=st.integers(60, 7200))

_rented_flat = _merged(st.just({"vastai": True}), _flat_terms, _no_provisioning, _rental_limits)
_rented_nested = _merged(
    _optional(vastai=st.just(value=True)),
    _nested_terms.map(lambda terms: {"provisioning": {"vastai": terms}}),
    _rental_limits,
)
_own_server = _merged(
    st.sampled_from(LOOPBACK_URLS).map(lambda url: {"backend_url": url}),
    _optional(backend_type=st.sampled_from(("ollama", "openai")), vastai=st.just(value=False)),
    _flat_terms,
    _no_provisioning,
    _rental_limits,
)

_schemas: st.SearchStrategy[Body] = st.sampled_from(
    (
        {},
        {"type": "object", "properties": {"a": {"const": None}, "b": {"default": None}}},
        {"enum": [None, 1, 1.5, "x", 2**70]},
        {"type": ["null", "string"], "minLength": 0},
    )
)
_expectations: st.SearchStrategy[Body] = st.one_of(
    st.lists(_texts, min_size=1, max_size=3).map(lambda texts: {"contains": texts}),
    st.sampled_from(("a+", "^$", "[0-9]{1,3}")).map(lambda regex: {"regex": regex}),
    _schemas.map(lambda schema: {"json_schema": schema}),
    _merged(
        st.floats(-1e9, 1e9).map(lambda value: {"value": value}),
        _optional(tolerance=st.floats(0, 10), relative_tolerance=_ratios),
    ).map(lambda numeric: {"numeric": numeric}),
    st.fixed_dictionaries(
        {"model": _model_names, "rubric": _texts, "backend_url": st.sampled_from(LOOPBACK_URLS)},
        optional={"backend_type": st.sampled_from(("ollama", "openai"))},
    ).map(lambda judge: {"judge": judge}),
)
_scored = _merged(_expectations, _optional(pass_score=st.none() | st.floats(0.01, 1)))

_user_turns = _texts | _texts.map(lambda text: {"role": "user", "content": text})
_fixed_turns = _texts.map(lambda text: {"role": "assistant", "content": text})
_conversations = st.lists(_user_turns, min_size=1, max_size=3) | st.tuples(
    _user_turns, _fixed_turns, _user_turns
).map(list)
_prompts: st.SearchStrategy[Body] = st.one_of(
    st.just({}),
    st.lists(_texts | _conversations, min_size=1, max_size=3).map(lambda prompts: {"prompts": prompts}),
    st.sampled_from(("chat", "code", "summary")).map(lambda name: {"prompt_set": name}),
    st.integers(16, 1000).map(lambda tokens: {"prompt_set": "synthetic", "input_tokens": tokens}),
)
_fixed_levels: st.SearchStrategy[Body] = st.one_of(
    st.just({}),
    st.sets(st.integers(1, 64), min_size=1, max_size=4).map(lambda levels: {"concurrency": sorted(levels)}),
    st.sets(st.floats(0.01, 100), min_size=1, max_size=4).map(lambda rates: {"request_rates": sorted(rates)}),
    st.just({"sweep": True}),
)
# A search has limits of its own, and takes no others beside them.
_levels: st.SearchStrategy[Body] = st.one_of(
    _merged(
        _fixed_levels,
        _optional(goodput=st.none() | st.floats(1, 1000).map(lambda limit_ms: {"ttft_ms": limit_ms})),
    ),
    st.fixed_dictionaries(
        {"limits": st.floats(1, 1000).map(lambda limit_ms: {"ttft_ms": limit_ms})},
        optional={
            "good_ratio": st.floats(0.01, 0.99),
            "load": st.sampled_from(("concurrency", "request_rate")),
            "max_points": st.integers(1, 12),
        },
    ).map(lambda search: {"search": search}),
)
_workloads = _merged(
    _prompts,
    _levels,
    _optional(
        repetitions=st.integers(1, 3),
        max_concurrency=st.integers(1, 64),
        warmup_requests=st.integers(0, 64),
        output_tokens=st.none() | st.integers(1, 8192),
        ignore_eos=st.booleans(),
        temperature=st.none() | st.floats(0, 2),
        prefix_cache=st.sampled_from(("busted", "shared")),
        seed=st.integers(0, 2**31 - 1),
        point_seconds=st.integers(10, 800),
        max_blocks=st.integers(1, 3),
    ),
)

_questions = _merged(
    st.fixed_dictionaries({"question": _texts, "model": st.just(KNOWN_MODEL)}),
    _optional(
        backend_warmup=st.booleans(),
        backend_warmup_timeout=st.integers(30, 900),
        timeout_seconds=st.integers(10, 840),
        kubeconfig=st.none() | _texts,
    ),
)

benchmarks = _merged(
    _questions,
    st.one_of(_rented_flat, _rented_nested, _own_server),
    _optional(
        attestation_required=st.just(value=False),
        workload=st.none() | _workloads,
        expected=st.none() | _scored,
    ),
)
agentic_agents = _merged(
    _questions,
    st.sampled_from(LOOPBACK_URLS).map(lambda url: {"backend_url": url}),
    _optional(backend_type=st.sampled_from(("ollama", "openai")), agent=st.just("ask")),
)
llm_instances = _merged(
    st.one_of(_rented_flat, _rented_nested, _own_server),
    _optional(model=st.none() | st.just(KNOWN_MODEL), backend_warmup_timeout=st.integers(30, 900)),
)

_durations = _optional(
    model=st.none() | st.just(KNOWN_MODEL), estimated_duration_seconds=st.integers(1, 2_592_000)
)
_rented_hours = _merged(
    st.just({"vastai": True}),
    _optional(min_dph=_prices, max_dph=_highest_prices).map(_ordered_prices),
)
_own_machine: st.SearchStrategy[Body] = st.fixed_dictionaries(
    {
        "local_hardware": st.just(value=True),
        "local_tdp_watts": st.floats(1, 100_000),
        "local_energy_rate_kwh": st.floats(0.01, 100),
        "local_hardware_purchase_price": st.floats(1, 1e8),
        "local_hardware_lifespan_years": st.floats(0.5, 100),
    }
)
estimates = _merged(_durations, st.one_of(_rented_hours, _own_machine))
links: st.SearchStrategy[Body] = _merged(
    st.fixed_dictionaries({"what": st.sampled_from(("job", "events", "report"))}),
    _optional(lifetime_seconds=st.integers(10, 3600)),
)
page_links: st.SearchStrategy[Body] = _optional(
    lifetime_seconds=st.integers(60, 604_800), threshold=st.floats(0, 1), compared_with=st.just([])
)
extensions: st.SearchStrategy[Body] = st.fixed_dictionaries({"keep_seconds": st.integers(60, 7200)})

_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}", fullmatch=True)
_minutes = st.one_of(st.integers(0, 59).map(str), st.sampled_from(("*", "*/15", "0,30", "5-10")))
_crons = st.one_of(
    st.tuples(_minutes, st.integers(0, 23), st.sampled_from(("*", "1", "L", "29")), st.integers(1, 12)).map(
        lambda drawn: f"{drawn[0]} {drawn[1]} {drawn[2]} {drawn[3]} *"
    ),
    st.sampled_from(("0 9 * * MON-FRI", "cron(0 9 ? * 2#1 *)", "*/5 * * * *", "30 2 LW * *")),
)
_rates = st.tuples(st.integers(1, 366), st.sampled_from(("minutes", "hours", "days"))).map(
    lambda drawn: f"rate({drawn[0]} {drawn[1]})"
)
_rules = st.one_of(_crons.map(lambda cron: {"cron": cron}), _rates.map(lambda rate: {"rate": rate}))
_posted: st.SearchStrategy[Body] = st.one_of(
    benchmarks.map(lambda body: {"kind": "benchmark", "request": body}),
    agentic_agents.map(lambda body: {"kind": "agentic-agent", "request": body}),
    llm_instances.map(lambda body: {"kind": "llm-instance", "request": body}),
)
_ends = st.none() | st.sampled_from(("2099-01-01T00:00:00Z", "2063-04-05T11:00:00.123456+02:00"))
_zones = st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"))
_overlaps = st.sampled_from(("skip", "allow", "cancel_running"))
_schedule_options = _optional(timezone=_zones, paused=st.booleans(), ends_at=_ends, overlap=_overlaps)

schedules = _merged(_names.map(lambda name: {"name": name}), _rules, _posted, _schedule_options)
schedule_changes: st.SearchStrategy[Body] = st.one_of(
    _merged(_rules, _optional(timezone=_zones, ends_at=_ends, overlap=_overlaps, name=_names)),
    _optional(timezone=_zones, ends_at=_ends, overlap=_overlaps),
    benchmarks.map(lambda body: {"request": body}),
)

_receivers = st.sampled_from(
    ("https://ci.example/", "https://ci.example:8443/in?key=1", "http://127.0.0.1:9/")
)
_filters = st.lists(
    st.sampled_from(("*", "rune.*", "rune.job.*", "rune.job.succeeded")), min_size=1, max_size=4
)
webhooks: st.SearchStrategy[Body] = _merged(
    st.fixed_dictionaries({"url": _receivers}),
    _optional(events=_filters, description=st.none() | st.text(max_size=20)),
)
webhook_revisions: st.SearchStrategy[Body] = _optional(
    url=st.none() | _receivers,
    events=st.none() | _filters,
    description=st.none() | st.text(max_size=20),
    status=st.none() | st.sampled_from(("enabled", "disabled")),
)
secret_rotations: st.SearchStrategy[Body] = _optional(overlap_seconds=st.integers(0, 86_400))

suites = st.fixed_dictionaries(
    {
        "cases": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
                    "base": st.just("shop-3-nodes"),
                    "now": st.just("2026-11-29T14:21:00Z"),
                    "ask": st.text("abc ?", min_size=1, max_size=20),
                    "expect": st.sampled_from([{"status": "healthy"}, {"status": "undetermined"}]),
                }
            ),
            min_size=1,
            max_size=2,
            unique_by=lambda case: str(case["id"]),
        )
    }
)
"""Suites of cases in which nothing is wrong."""
