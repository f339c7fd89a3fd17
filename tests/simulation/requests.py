"""What callers ask for in the simulation."""

from __future__ import annotations

import json
from datetime import timedelta

from rune.contracts import BenchmarkRequest, LlmInstanceRequest
from rune.jobs.record import Kind, StepName
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import Admitted, Renting, admit_benchmark, admit_llm_instance
from rune.services.jobs import Caller, JobLimits
from rune.tenants.settings import FixedTenants, TenantSettings
from tests.spending import LARGE_LIMITS

CALLER = Caller("acme")
LIMITS = JobLimits(
    queue_timeout=timedelta(days=1),
    max_runtime=timedelta(hours=1),
    retention=timedelta(days=30),
    max_cost_micro_usd=10_000_000,
    spending=LARGE_LIMITS,
)
LONGEST_KEEP = timedelta(hours=2)
TENANTS = FixedTenants({CALLER.tenant: TenantSettings(keep_limit=LONGEST_KEEP)})

MODEL = "llama3.1:8b"
OTHER_MODEL = "qwen3:14b"

QUESTION_JSON = (
    '{"question": "What is unhealthy?", "model": "llama3.1:8b", "backend_url": "http://sim.example:11434"}'
)
BENCHMARK = Admitted(Kind.BENCHMARK, StepName.CHECK, QUESTION_JSON)
SWEEP = {"concurrency": [1, 2, 4], "repetitions": 3, "min_waves": 0, "warmup_requests": 1}
SILENT = Admitted(Kind.BENCHMARK, StepName.CHECK, QUESTION_JSON.replace("sim.example", "silent.example"))
MEASURED = Admitted(
    Kind.BENCHMARK, StepName.CHECK, json.dumps({**json.loads(QUESTION_JSON), "workload": SWEEP})
)
AGENTIC_AGENT = Admitted(Kind.AGENTIC_AGENT, StepName.CHECK_AGENT, QUESTION_JSON)
LLM_INSTANCE = Admitted(Kind.LLM_INSTANCE, StepName.VERIFY, '{"backend_url": "http://sim.example:11434"}')

_RENTING = Renting(is_possible=True, longest_keep=LONGEST_KEEP)


def rented_benchmark(model: str = MODEL, **members: object) -> Admitted:
    """Return a question for a model on a machine to be rented, as the API admits it."""
    document = {"question": "What is unhealthy?", "model": model, "vastai": True, **members}
    return admit_benchmark(BenchmarkRequest.model_validate(document), AddressPolicy(), _RENTING)


def rented_instance(model: str = MODEL, keep_seconds: int = 600, **members: object) -> Admitted:
    """Return the request for a rented model server that is kept."""
    document = {"model": model, "vastai": True, "keep_seconds": keep_seconds, **members}
    return admit_llm_instance(LlmInstanceRequest.model_validate(document), AddressPolicy(), _RENTING)
