"""That docs/benchmarks.md and docs/api.md tell of what callers meet."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from rune.bench.definitions import FORMULAS, WARNINGS
from rune.bench.records_file import KEYS
from rune.contracts import BenchmarkReport, CostReport, Expectation, GoodputLimits, Workload
from rune.contracts.benchmarks import SCHEMA_VERSION, EndedBy, TokenCostReport
from rune.contracts.requests import VastaiProvisioning
from rune.errors import RequestError, RuneError, StoppedError
from tests.benchmark_builders import a_report

DOCS = Path(__file__).parents[2] / "docs"
SHARED = Path(__file__).parents[2] / "shared" / "rune"
PAGE = (DOCS / "benchmarks.md").read_text()


def named(page: str) -> set[str]:
    """Return every word that stands in code on the page, outside of its blocks."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", code)}


@pytest.mark.parametrize(
    "document", [Workload, GoodputLimits, Expectation, BenchmarkReport, CostReport, TokenCostReport]
)
def test_page_names_every_field(document: type[BaseModel]) -> None:
    assert document.model_fields.keys() - named(PAGE) - {"currency"} == set()


def test_page_names_every_warning_and_why_workloads_end() -> None:
    assert WARNINGS.keys() - named(PAGE) == set()
    assert {*EndedBy.__value__.__args__} - named(PAGE) == set()


def test_page_tells_of_each_key_of_the_records() -> None:
    for name, what in KEYS.items():
        assert f"| `{name}` | {what} |" in PAGE


def test_page_names_the_version_and_the_formulas_of_costs() -> None:
    costs = {name for name in FORMULAS if name.startswith(("usd", "output_tokens_per_usd"))}

    assert f"Version {SCHEMA_VERSION}" in PAGE
    assert costs - named(PAGE) == set()


def test_worked_example_is_the_cost_of_the_reports_example() -> None:
    cost = a_report().cost
    assert cost

    for value in (
        cost.usd_per_million_output_tokens,
        cost.usd_per_million_output_tokens_all_in,
        cost.usd_per_1k_requests,
        cost.idle_seconds,
    ):
        assert f"= {value:g}" in PAGE
    assert f"= {cost.output_tokens_per_usd:,.0f}" in PAGE


def test_api_page_names_every_code_at_the_door() -> None:
    files = [
        "services/admission/requests.py",
        "services/admission/workloads.py",
        "tenants/backends.py",
        "bench/judging.py",
    ]
    routes = Path(__file__).parents[2] / "functions" / "api" / "routes"
    sources = [(SHARED / file).read_text() for file in files] + [
        file.read_text() for file in routes.glob("*.py")
    ]
    codes = {code for source in sources for code in re.findall(r'code="(\w+)"', source)}

    assert len(codes) > 20
    assert codes - named((DOCS / "api.md").read_text()) == set()


def test_renting_page_names_exactly_the_terms_that_may_be_nested() -> None:
    _, _, rest = (DOCS / "renting.md").read_text().partition("nested under `provisioning.vastai` instead: ")
    listed = re.findall(r"`(\w+)`", rest.partition(" for `vastai_stop_instance`")[0])

    assert listed == [*VastaiProvisioning.model_fields]


ENDS_NO_JOB = {
    "address_error": "a base that is never raised",
    "model_server_error": "a base that is never raised",
    "provider_error": "a base that is never raised",
    "provider_busy": "waited for, until the job's deadline",
    "credit_reserved": "waited for, until the job's deadline",
    "create_lost": "the machine is looked for by its label",
    "pull_too_slow": "another machine is rented",
    "lease_lost": "another worker goes on",
    "bad_settings": "the function does not start",
}


def kinds_of_error(base: type[RuneError] = RuneError) -> list[type[RuneError]]:
    """Return the errors with a code of their own that a step may raise; a refused request has no job."""
    kinds = [base] if "code" in vars(base) else []
    for kind in base.__subclasses__():
        if kind.__module__ == RuneError.__module__ and kind is not RequestError:
            kinds += kinds_of_error(kind)
    return kinds


def documented_job_errors() -> dict[str, bool]:
    """Return the codes of the page's last table, and whether each is marked as tried again."""
    _, _, table = (DOCS / "api.md").read_text().partition("\nA job fails with one of these in `error_code`")
    cells = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    return {code: bool(mark) for cell in cells for code, mark in re.findall(r"`(\w+)`( ↻)?", cell)}


def test_api_page_names_exactly_the_codes_that_end_a_job() -> None:
    sources = [file.read_text() for file in SHARED.rglob("*.py")]
    written = {code for source in sources for code in re.findall(r'\bFail(?:ed|ure)\(\s*"(\w+)"', source)}
    # It refuses requests, and the order of a job's machine.
    raised = {kind.code for kind in kinds_of_error()} | {StoppedError.code}

    assert len(written) >= 10
    assert raised >= ENDS_NO_JOB.keys()
    assert documented_job_errors().keys() == (written | raised) - ENDS_NO_JOB.keys()


def test_api_page_marks_exactly_the_errors_that_are_tried_again() -> None:
    documented = documented_job_errors()
    raised = {kind.code: kind.retryable for kind in kinds_of_error() if kind is not RuneError}

    assert {code: documented[code] for code in raised.keys() & documented.keys()} == {
        code: retryable for code, retryable in raised.items() if code in documented
    }
