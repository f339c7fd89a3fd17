"""The rules on who may import whom (docs/architecture.md, "Rooms"), read from the code itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.spending import LARGE

ROOT = Path(__file__).parents[2]
SHARED, FUNCTIONS = ROOT / "shared", ROOT / "functions"
FUNCTION_NAMES = sorted(path.parent.name for path in FUNCTIONS.glob("*/__init__.py"))


def rooms_of(page: str) -> Mapping[str, frozenset[str]]:
    """Return what each room may import, from the table of rooms in docs/architecture.md."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*)\|$", page, re.MULTILINE)
    return {room: frozenset(re.findall(r"`(\w+)`", allowed)) for room, allowed in rows}


MAY_IMPORT = rooms_of((ROOT / "docs" / "architecture.md").read_text())
"""What each room of `rune` may import besides itself. Only functions import `aws`."""

BASE = {
    "rune",
    "rune.amounts",
    "rune.errors",
    "rune.clock",
    "rune.settings",
    "rune.logs",
    "rune.json_members",
    "rune.signing_keys",
}

AWS_FILES = ("rune/aws/*.py", "llm/bedrock*.py")
HTTP_FILES = (
    "net/*.py",
    "llm/ollama.py",
    "llm/openai.py",
    "llm/bedrock_calls.py",
    "rentals/vastai_http.py",
)

PURE_FILES = (
    "agents/investigation/bounds.py",
    "agents/investigation/calls.py",
    "agents/investigation/evidence.py",
    "agents/investigation/limits.py",
    "agents/investigation/prompt.py",
    "agents/investigation/repeats.py",
    "agents/investigation/reporting.py",
    "agents/investigation/state.py",
    "agents/investigation/transcript.py",
    "kubernetes/recorded/case.py",
    "kubernetes/recorded/cells.py",
    "kubernetes/recorded/defaults.py",
    "kubernetes/recorded/discovery.py",
    "kubernetes/recorded/documents.py",
    "kubernetes/recorded/endpoints.py",
    "kubernetes/recorded/entities.py",
    "kubernetes/recorded/forms.py",
    "kubernetes/recorded/happenings.py",
    "kubernetes/recorded/kinds.py",
    "kubernetes/recorded/logs.py",
    "kubernetes/recorded/metrics.py",
    "kubernetes/recorded/paging.py",
    "kubernetes/recorded/paths.py",
    "kubernetes/recorded/pods.py",
    "kubernetes/recorded/problems.py",
    "kubernetes/recorded/readers.py",
    "kubernetes/recorded/selectors.py",
    "kubernetes/recorded/settling.py",
    "kubernetes/recorded/statuses.py",
    "kubernetes/recorded/tables.py",
    "kubernetes/recorded/templates.py",
    "kubernetes/recorded/times.py",
    "kubernetes/recorded/world.py",
    "jobs/lifecycle.py",
    "jobs/transitions.py",
    "storage/change.py",
    "jobs/metrics.py",
    "jobs/outcomes.py",
    "jobs/plan.py",
    "jobs/public_events.py",
    "jobs/receipts.py",
    "jobs/record.py",
    "jobs/samples.py",
    "jobs/usage.py",
    "workflows/graph.py",
    "workflows/benchmark/grades.py",
    "workflows/benchmark/result.py",
    "workflows/benchmark/state.py",
    "workflows/benchmark/context_size.py",
    "contracts/*.py",
    "errors.py",
    "events/catalog.py",
    "kubernetes/kinds.py",
    "kubernetes/kubeconfig.py",
    "kubernetes/masking.py",
    "kubernetes/outlines.py",
    "kubernetes/quantities.py",
    "kubernetes/selectors.py",
    "events/envelopes.py",
    "events/record.py",
    "signing_keys.py",
    "services/intake/drops.py",
    "services/intake/envelopes.py",
    "services/intake/patience.py",
    "services/intake/ways.py",
    "bench/comparison.py",
    "bench/diagnoses.py",
    "bench/diagnosis_figures.py",
    "bench/gates.py",
    "bench/junit.py",
    "bench/metrics.py",
    "bench/points.py",
    "bench/verdicts.py",
    "bench/converters.py",
    "bench/costs.py",
    "bench/definitions.py",
    "bench/comparability.py",
    "bench/anomalies.py",
    "bench/formulas*.py",
    "bench/json_answers.py",
    "bench/measurements.py",
    "bench/judging.py",
    "bench/markdown.py",
    "bench/numerals.py",
    "bench/prompt_sets.py",
    "bench/records_file.py",
    "bench/report_markdown.py",
    "bench/reports.py",
    "bench/rounding.py",
    "bench/runs.py",
    "bench/server_load.py",
    "bench/server_side.py",
    "bench/showing.py",
    "bench/statistics.py",
    "bench/sweeps.py",
    "bench/timeline.py",
    "bench/token_bounds.py",
    "bench/turns.py",
    "pages/*.py",
    "rentals/bills.py",
    "rentals/blame.py",
    "rentals/charges.py",
    "rentals/forecast.py",
    "rentals/hosts.py",
    "rentals/images.py",
    "rentals/ranking.py",
    "rentals/instance.py",
    "rentals/labels.py",
    "rentals/lifecycle.py",
    "rentals/market.py",
    "rentals/offers.py",
    "rentals/proof.py",
    "rentals/public_events.py",
    "rentals/reconciliation.py",
    "rentals/record.py",
    "money/*.py",
    "workflows/rental/estimate.py",
    "workflows/rental/samples.py",
    "schedules/aws_cron.py",
    "schedules/expressions.py",
    "schedules/lifecycle.py",
    "schedules/occurrences.py",
    "schedules/record.py",
    "schedules/telling.py",
)
HTTP = {"httpx", "httpcore", "requests", "urllib3", "http.client", "urllib.request"}
AWS = {
    "boto3",
    "botocore",
    "aioboto3",
    "mypy_boto3_bedrock",
    "mypy_boto3_bedrock_runtime",
    "mypy_boto3_dynamodb",
    "mypy_boto3_sqs",
    "mypy_boto3_s3",
}
ENVIRONMENT_READS = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
IMPURE = {
    "asyncio",
    "boto3",
    "botocore",
    "httpcore",
    "logging",
    "os",
    "random",
    "rune.clock",
    "socket",
    "subprocess",
    "threading",
    "time",
    "urllib",
    "uuid",
}


def modules_of(*packages: tuple[Path, str]) -> Mapping[str, Path]:
    """Return every module of packages in their source folders by its dotted name."""
    found = {}
    for source, package in packages:
        for path in sorted((source / package).rglob("*.py")):
            dotted = ".".join(path.relative_to(source).with_suffix("").parts)
            found[dotted.removesuffix(".__init__")] = path
    return found


MODULES = modules_of((SHARED, "rune"), *((FUNCTIONS, name) for name in FUNCTION_NAMES))
LOCAL = modules_of((ROOT, "local"))
ADMIN = modules_of((ROOT, "rune_admin"))
CLIENT = modules_of((ROOT / "clients" / "python", "rune_client"))
RUNE = {name: path for name, path in MODULES.items() if name.split(".")[0] == "rune"}
OF_FUNCTIONS = {name: path for name, path in MODULES.items() if name not in RUNE}


@cache
def syntax_of(name: str) -> ast.Module:
    return ast.parse({**MODULES, **LOCAL, **ADMIN, **CLIENT}[name].read_text())


@cache
def imports_of(name: str) -> frozenset[str]:
    """Return what a module imports, as dotted names, also for type checkers alone."""
    found: set[str] = set()
    for node in ast.walk(syntax_of(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            origin = node.module or ""
            found |= {
                dotted if (dotted := f"{origin}.{alias.name}") in MODULES or dotted in LOCAL else origin
                for alias in node.names
            }
    return frozenset(found)


def room_of(module: str) -> str:
    return "base" if module in BASE else module.split(".")[1]


def is_any_of(path: Path, patterns: tuple[str, ...]) -> bool:
    return any(path.match(pattern) for pattern in patterns)


def belongs_to(imported: str, packages: set[str]) -> bool:
    return any(imported == package or imported.startswith(f"{package}.") for package in packages)


def test_modules_are_found() -> None:
    assert {"rune.jobs.engine", "rune.net.client", "api.handler", "worker.handler", "janitor.handler"} <= set(
        MODULES
    )
    assert "rune.jobs.lifecycle" in imports_of("rune.jobs.engine")


@pytest.mark.parametrize("name", OF_FUNCTIONS)
def test_function_imports_only_itself_and_rune(name: str) -> None:
    own = name.split(".", maxsplit=1)[0]
    ours = {
        first for first in (i.split(".")[0] for i in imports_of(name)) if first in {*FUNCTION_NAMES, "rune"}
    }
    local = {i for i in imports_of(name) if i.split(".")[0] in {"local", "rune_admin", "tests"}}

    assert ours <= {own, "rune"}
    assert local == set()


def breaking(names: Iterable[str], find_wrong: Callable[[str], set[str]]) -> dict[str, set[str]]:
    """Return what is wrong by module: a test for each of some 400 modules would take longer than the looking."""
    return {name: wrong for name in names if (wrong := find_wrong(name))}


def test_rune_imports_no_function() -> None:
    def find_wrong(name: str) -> set[str]:
        return {
            i
            for i in imports_of(name)
            if i.split(".")[0] in {*FUNCTION_NAMES, "local", "rune_admin", "tests"}
        }

    assert breaking(RUNE, find_wrong) == {}


def test_operators_tool_imports_rune_alone_and_nothing_imports_it() -> None:
    def find_wrong(name: str) -> set[str]:
        return {i for i in imports_of(name) if i.split(".")[0] in {*FUNCTION_NAMES, "local", "tests"}}

    assert breaking(ADMIN, find_wrong) == {}
    assert breaking(LOCAL, lambda name: {i for i in imports_of(name) if i.startswith("rune_admin")}) == {}


def test_client_stands_alone_and_only_local_imports_it() -> None:
    def find_foreign(name: str) -> set[str]:
        ours = {*FUNCTION_NAMES, "rune", "local", "rune_admin", "tests"}
        return {i for i in imports_of(name) if i.split(".")[0] in ours}

    assert "rune_client.client" in CLIENT
    assert breaking(CLIENT, find_foreign) == {}
    assert (
        breaking(
            [*MODULES, *ADMIN], lambda name: {i for i in imports_of(name) if i.startswith("rune_client")}
        )
        == {}
    )


def test_every_room_has_a_rule() -> None:
    assert set(MAY_IMPORT) == {room_of(name) for name in RUNE}
    assert all("aws" not in allowed for allowed in MAY_IMPORT.values())


def test_room_imports_only_rooms_that_it_may() -> None:
    def find_wrong(name: str) -> set[str]:
        room = room_of(name)
        return {room_of(i) for i in imports_of(name) if i in RUNE} - {room} - MAY_IMPORT[room]

    assert breaking(RUNE, find_wrong) == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {**MODULES, **LOCAL}
    graph = {name: {i for i in imports_of(name) if i in known and i != name} for name in known}

    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")
    assert set(order) == set(known)


@pytest.mark.parametrize(("packages", "files"), [(AWS, AWS_FILES), (HTTP, HTTP_FILES)], ids=["aws", "http"])
def test_only_files_named_for_it_talk_to_aws_or_http(packages: set[str], files: tuple[str, ...]) -> None:
    names = [name for name, path in MODULES.items() if not is_any_of(path, files)]

    assert names
    assert breaking(names, lambda name: {i for i in imports_of(name) if belongs_to(i, packages)}) == {}


@pytest.mark.parametrize("pattern", PURE_FILES)
def test_pure_module_has_no_clock_no_io_and_no_chance(pattern: str) -> None:
    pure = [name for name, path in RUNE.items() if path.match(f"rune/{pattern}")]

    assert pure
    assert {i for name in pure for i in imports_of(name) if belongs_to(i, IMPURE)} == set()


@pytest.mark.parametrize("pattern", PURE_FILES)
def test_pure_module_reads_no_time(pattern: str) -> None:
    names = [name for name, path in RUNE.items() if path.match(f"rune/{pattern}")]
    calls = [
        ast.unparse(node.func)
        for name in names
        for node in ast.walk(syntax_of(name))
        if isinstance(node, ast.Call)
    ]

    assert [
        call for call in calls if call.endswith((".now", ".utcnow", ".today")) or call in {"open", "print"}
    ] == []


def test_only_handlers_read_the_environment() -> None:
    def find_wrong(name: str) -> set[str]:
        nodes = [*ast.walk(syntax_of(name))]
        attributes = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        taken = {
            f"os.{alias.name}"
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module == "os"
            for alias in node.names
        }
        return (attributes | taken) & ENVIRONMENT_READS

    assert breaking([name for name in MODULES if not name.endswith("handler")], find_wrong) == {}


def test_only_the_clock_reads_the_time_of_day() -> None:
    readers = {
        name
        for name in MODULES
        for node in ast.walk(syntax_of(name))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"datetime.now", "time.time", "datetime.utcnow"}
    }

    assert readers == {"rune.clock"}


ROUTE_METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "api_route", "middleware"}


@pytest.mark.parametrize("name", [name for name in OF_FUNCTIONS if name.startswith("api.")])
def test_routes_and_dependencies_are_async(name: str) -> None:
    """A plain one costs a thread hop: 1.4 ms against 0.14 ms per request."""
    plain = [node for node in ast.walk(syntax_of(name)) if isinstance(node, ast.FunctionDef)]
    routes = [
        function.name
        for function in plain
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in ROUTE_METHODS
    ]
    depended_on = {
        ast.unparse(node.args[0])
        for node in ast.walk(syntax_of(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Depends"
    }

    assert routes == []
    assert depended_on & {function.name for function in plain} == set()


def test_every_route_file_has_async_routes() -> None:
    routed = [name for name in OF_FUNCTIONS if name.startswith("api.routes.")]

    assert len(routed) >= 2
    for name in routed:
        assert any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(syntax_of(name)))


ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "RUNE_STAGE": "local",
    "RUNE_LANE": "money",
    "RUNE_TABLE": "t",
    "RUNE_BUCKET": "b",
    "RUNE_MONEY_QUEUE_URL": "https://sqs/c",
    "RUNE_INFERENCE_QUEUE_URL": "https://sqs/i",
    "RUNE_NOTICE_QUEUE_URL": "https://sqs/n",
    "RUNE_DEAD_LETTER_QUEUE_URL": "https://sqs/d",
    "RUNE_RUNNING_JOBS": "5",
    "RUNE_RETENTION_DAYS": "30",
    "RUNE_SPENDING_LIMITS": LARGE,
}
WEB = {"fastapi", "starlette", "mangum"}


@pytest.mark.parametrize(
    ("function", "never"),
    [
        ("worker", WEB),
        ("notifier", WEB),
        (
            "janitor",
            {*WEB, "asyncio", "pydantic", "pydantic_core", "httpx", "httpcore", "cronsim", "zoneinfo"},
        ),
    ],
)
def test_function_loads_nothing_that_it_does_not_use(function: str, never: set[str]) -> None:
    script = f"import sys, {function}.handler; print(*{{name.split('.')[0] for name in sys.modules}})"

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", script],
        env={**ENVIRONMENT, "PYTHONPATH": f"{SHARED}:{FUNCTIONS}"},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stdout.split())
    assert {"boto3", "rune", function} <= loaded
    assert loaded & (never | set(FUNCTION_NAMES) - {function}) == set()


RARE_IN_API = {
    "api.routes.benchmarks",
    "api.routes.docs",
    "api.routes.estimates",
    "api.routes.finops",
    "api.routes.metrics",
    "api.report_pages",
    "api.routes.models",
    "api.routes.page_links",
    "api.routes.rentals",
    "api.routes.baselines",
    "api.routes.schedules",
    "api.routes.usage",
    "cronsim",
    "api.routes.webhooks",
    "httpx",
    "jsonschema_rs",
    "rune.agents.registry",
    "rune.bench.comparison",
    "rune.bench.converters",
    "rune.bench.judging",
    "rune.bench.markdown",
    "rune.bench.reports",
    "rune.bench.showing",
    "rune.contracts.benchmarks",
    "rune.contracts.comparisons",
    "rune.contracts.estimates",
    "rune.contracts.finops",
    "rune.contracts.links",
    "rune.contracts.metrics",
    "rune.contracts.models",
    "rune.contracts.rentals",
    "rune.contracts.results",
    "rune.contracts.baselines",
    "rune.contracts.schedules",
    "rune.contracts.usage",
    "rune.contracts.webhooks",
    "rune.llm.opener",
    "rune.llm.protocol",
    "rune.money.estimates",
    "rune.net.client",
    "rune.pages",
    "rune.services.catalog_prices",
    "rune.services.finops",
    "rune.services.rentals",
    "rune.jobs.baselines",
    "rune.services.baselines",
    "api.routes.suites",
    "rune.contracts.diagnoses",
    "rune.jobs.suites",
    "rune.kubernetes.recorded",
    "rune.services.suites",
    "rune.services.schedules",
    "rune.services.usage",
    "rune.rentals.record",
    "rune.services.reports",
    "rune.services.webhooks",
    "rune.webhooks.record",
}
"""What few requests need, and each cold start would pay for."""

RARE_IN_WORKER = {
    "jsonschema_rs",
    "rune.agents",
    "rune.bench.driver",
    "rune.bench.judging",
    "rune.bench.reports",
    "rune.contracts.benchmarks",
    "rune.contracts.comparisons",
    "rune.contracts.records",
    "rune.contracts.results",
    "rune.llm.bedrock",
    "rune.llm.ollama",
    "rune.llm.openai",
    "rune.rentals.record",
    "rune.workflows.agent",
    "rune.workflows.benchmark.judge",
    "rune.workflows.benchmark.measure",
    "rune.workflows.benchmark.suite",
    "rune.workflows.rental",
}
"""What a turn of one step does not share with those of others, and what renting needs without an account."""


OF_THE_API = {
    "RUNE_TENANT_POLLS_PER_SECOND": "50",
    "RUNE_TENANT_SUBMITS_PER_SECOND": "20",
    "RUNE_API_TOKENS": f"t:{'x' * 40}",
    "RUNE_RETENTION_DAYS": "30",
    "RUNE_QUEUE_TIMEOUT_SECONDS": "86400",
    "RUNE_MAX_RUNTIME_SECONDS": "3600",
    "RUNE_MAX_COST_USD": "10",
}


@pytest.mark.parametrize(("function", "rare"), [("api", RARE_IN_API), ("worker", RARE_IN_WORKER)])
def test_function_starts_without_what_few_invocations_need(function: str, rare: set[str]) -> None:
    script = f"import sys, {function}.handler; print(*({rare!r} & sys.modules.keys()))"

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", script],
        env={**ENVIRONMENT, **OF_THE_API, "PYTHONPATH": f"{SHARED}:{FUNCTIONS}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == []


@pytest.mark.parametrize("name", sorted(RARE_IN_API | RARE_IN_WORKER))
def test_what_few_invocations_need_is_there(name: str) -> None:
    assert find_spec(name) is not None


def test_first_clients_are_made_at_the_start_and_no_others() -> None:
    """Those of most invocations: a whole processor is there for imports alone."""
    script = (
        "import worker.handler, api.handler, janitor.handler;"
        "print(*(sorted(vars(each.handler.clients)) for each in (api, worker, janitor)), sep='|')"
    )

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", script],
        env={**ENVIRONMENT, **OF_THE_API, "PYTHONPATH": f"{SHARED}:{FUNCTIONS}"},
        capture_output=True,
        text=True,
        check=True,
    )

    made = ["['_config', '_dynamodb', '_session', '_sqs']"] * 2 + ["['_config', '_dynamodb', '_session']"]
    assert done.stdout.strip().split("|") == made
