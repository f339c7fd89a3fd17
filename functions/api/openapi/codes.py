"""Codes of problems, by status and operation; docs/api.md says what each means."""

from collections.abc import Mapping

from rune.contracts.problems import STATUSES
from rune.errors import TenantUnknownError


def _codes_with(status: int) -> tuple[str, ...]:
    return tuple(kind.code for kind, each in STATUSES.items() if each == status)


# What only an event's source is told is left out of 403.
CODES: Mapping[int, tuple[str, ...]] = {
    400: ("invalid_json", "bad_request"),
    401: _codes_with(401),
    403: tuple(code for code in _codes_with(403) if code != TenantUnknownError.code),
    413: ("body_too_large",),
    415: ("unsupported_media_type", "unsupported_content_encoding"),
    422: ("invalid_request", "query_member_unknown", "query_member_repeated", "answer_too_large"),
    429: ("too_many_polls", "too_many_submits"),
    500: ("internal_error",),
    503: ("store_unavailable", "row_unreadable"),
}
"""What every operation with the status may say."""

PASSING: Mapping[int, str] = {
    429: "More requests than the deployment takes, refused by API Gateway in its own form.",
    503: "Nothing was stored. API Gateway answers an outage in its own form.",
}
"""Statuses that API Gateway gives too, and what they mean."""

_KEYED = ("invalid_idempotency_key", "idempotency_key_reused")
_TWO_KEYS: Mapping[int, tuple[str, ...]] = {400: ("idempotency_keys_differ",)}

_TIMES = ("time_too_long", "cost_cap_too_high", "cost_cap_too_low")

_BACKEND = (
    "backend_url_missing",
    "address_refused",
    "credential_unknown",
    "credential_wrong_server",
    "bedrock_not_allowed",
    "bedrock_url_invalid",
    "bedrock_region_not_allowed",
    "bedrock_model_not_allowed",
)

_RENTING = (
    "vastai_not_available",
    "renting_not_allowed",
    "backend_url_and_vastai",
    "max_dph_zero",
    "max_dph_too_high",
    "model_size_unknown",
    "keep_seconds_too_long",
    "rental_backend_type",
    "rental_backend_credential",
    "rental_model_name",
)

_WORKLOAD = (
    "attestation_not_available",
    "bedrock_budget_exceeded",
    "output_tokens_missing",
    "price_unknown",
    "workload_too_large",
    "concurrency_too_high",
    "context_too_small",
    "context_tokens_unsupported",
    "expectation_invalid",
    "too_many_to_judge",
    "judge_server_missing",
    "suite_missing",
    "suite_unknown",
    "suite_changed",
    "suite_case_unknown",
    "suite_contradicted",
    "suite_too_large",
)

_SPENDING: Mapping[int, tuple[str, ...]] = {
    402: ("budget_exhausted",),
    409: ("stopped",),
    429: ("too_many_waiting_jobs",),
}

_BENCHMARK = (*_TIMES, *_BACKEND, *_RENTING, *_WORKLOAD)
_AGENT = (
    *_TIMES,
    *_BACKEND,
    "agent_unknown",
    "agent_not_configured",
    "cluster_missing",
    "cluster_unknown",
    "bedrock_budget_exceeded",
    "output_tokens_missing",
    "price_unknown",
)
_INSTANCE = (*_TIMES, *_BACKEND, *_RENTING)
_ANY_JOB = tuple(dict.fromkeys((*_BENCHMARK, *_AGENT)))

_SCHEDULE = (
    "cron_not_understood",
    "cron_never",
    "rate_not_understood",
    "timezone_unknown",
    "schedule_never_due",
    "schedule_request_too_large",
    "dry_run_not_here",
    *_ANY_JOB,
)

_SERVER = (
    "server_unreachable",
    "server_timeout",
    "server_overloaded",
    "server_failed",
    "server_access_denied",
    "quota_exhausted",
    "request_rejected",
    "bad_response",
)
"""Of a model server that is asked while the caller waits."""

_LISTING: Mapping[int, tuple[str, ...]] = {422: (*_BACKEND, "address_unresolved"), 502: _SERVER}

_SIMULATION = ("model_size_unknown", "price_unknown", "token_price_unknown")

_JOB: Mapping[int, tuple[str, ...]] = {404: ("job_not_found",)}
_RENTAL: Mapping[int, tuple[str, ...]] = {404: ("rental_not_found",)}
_SCHEDULED: Mapping[int, tuple[str, ...]] = {404: ("schedule_not_found",)}
_WEBHOOK: Mapping[int, tuple[str, ...]] = {404: ("webhook_not_found",)}
_UNSIGNED = {409: ("signing_key_missing",)}
_BENCHMARKED = {404: ("job_not_found", "not_a_benchmark"), 409: ("job_not_finished", "no_report")}

CODES_OF: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "submit_benchmark": {422: (*_KEYED, *_BENCHMARK), **_SPENDING, **_TWO_KEYS},
    "submit_agentic_agent": {422: (*_KEYED, *_AGENT), **_SPENDING, **_TWO_KEYS},
    "submit_llm_instance": {422: (*_KEYED, *_INSTANCE), **_SPENDING, **_TWO_KEYS},
    "submit_ollama_instance": {422: (*_KEYED, *_INSTANCE), **_SPENDING, **_TWO_KEYS},
    "list_jobs": {422: ("metadata_filter_invalid",)},
    "list_benchmarks": {422: ("metadata_filter_invalid",)},
    "get_job": _JOB,
    "cancel_job": {**_JOB, 409: ("job_finished",)},
    "get_job_events": _JOB,
    "get_job_receipt": {**_JOB, 409: ("job_not_finished",)},
    "create_job_link": {404: ("job_not_found", "not_a_benchmark"), **_UNSIGNED},
    "estimate_cost": {
        422: (
            "cost_driver_missing",
            "cost_driver_ambiguous",
            "estimate_input_missing",
            "estimate_out_of_range",
            "price_unknown",
            *_TIMES,
            *_RENTING,
        )
    },
    "get_cost_simulation": {422: _SIMULATION},
    "simulate_cost": {422: ("query_and_body_differ", *_SIMULATION)},
    "list_llm_models": _LISTING,
    "list_ollama_models": _LISTING,
    "get_metrics_summary": _JOB,
    "get_rental": _RENTAL,
    "end_rental": {**_RENTAL, 409: ("rental_in_use", "rental_ending")},
    "extend_rental": {
        **_RENTAL,
        409: ("rental_in_use", "rental_ending"),
        422: ("keep_seconds_too_long",),
    },
    "get_rental_key": {**_RENTAL, 409: ("rental_has_no_key", "rental_ending")},
    "compare_benchmarks": {
        **_BENCHMARKED,
        404: (*_BENCHMARKED[404], "baseline_not_found"),
        422: ("jobs_to_compare", "gate_missing", "gate_limit_invalid", "gate_metric_unknown"),
    },
    "get_benchmark_report": {**_BENCHMARKED, 422: ("run_without_format", "run_not_found")},
    "get_benchmark_records": _BENCHMARKED,
    "get_job_artifacts": _JOB,
    "create_benchmark_link": {
        404: ("job_not_found", "not_a_benchmark"),
        **_UNSIGNED,
        422: ("jobs_to_compare",),
    },
    "set_baseline": {
        **_BENCHMARKED,
        409: (*_BENCHMARKED[409], "too_many_baselines"),
        412: ("precondition_failed",),
    },
    "get_baseline": {404: ("baseline_not_found",)},
    "delete_baseline": {404: ("baseline_not_found",), 412: ("precondition_failed",)},
    "set_suite": {409: ("too_many_suites",), 422: ("suite_name_taken",)},
    "get_suite": {404: ("suite_not_found",)},
    "delete_suite": {404: ("suite_not_found",), 422: ("suite_name_taken",)},
    "create_schedule": {409: ("schedule_name_taken", "too_many_schedules"), 422: _SCHEDULE},
    "get_schedule": _SCHEDULED,
    "update_schedule": {**_SCHEDULED, 409: ("schedule_name_taken",), 422: _SCHEDULE},
    "delete_schedule": _SCHEDULED,
    "pause_schedule": _SCHEDULED,
    "resume_schedule": _SCHEDULED,
    "run_schedule": {**_SCHEDULED, **_SPENDING, **_TWO_KEYS, 422: (*_KEYED, *_ANY_JOB)},
    "create_webhook": {
        409: ("too_many_webhooks", "signing_key_missing"),
        422: ("address_refused", "event_type_unknown"),
    },
    "get_callback_secret": _UNSIGNED,
    "rotate_callback_secret": _UNSIGNED,
    "get_webhook": _WEBHOOK,
    "update_webhook": {**_WEBHOOK, 422: ("address_refused", "event_type_unknown")},
    "delete_webhook": _WEBHOOK,
    "rotate_webhook_secret": {**_WEBHOOK, **_UNSIGNED},
    "send_test_event": {**_WEBHOOK, 409: ("webhook_disabled",)},
    "list_webhook_deliveries": _WEBHOOK,
    "get_webhook_delivery": {404: ("webhook_not_found", "delivery_not_found")},
    "redeliver_events": {404: ("webhook_not_found", "delivery_not_found"), 409: ("webhook_disabled",)},
}
"""What an operation may say besides."""
