"""`make demo`: one benchmark job on a rented GPU, shown while it runs.

The demo starts the stack, posts the job over HTTP and stops the stack. The GPU is rented from the simulated
Vast.ai, unless BACKEND_URL names a model server.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from local.deploy import DeployError
from local.emulator import EmulatorError
from local.guard import NotStartedError
from local.ports import PortBusyError
from local.settings import StackSettings
from local.stack import EXIT_FAILED, EXIT_REFUSED, StackError, running_stack
from local.state import StackRunsError, StackState
from local.tenants import FIELD_TEMPLATE

QUESTION = "What is unhealthy?"
WORKLOAD = {"prompts": [QUESTION], "repetitions": 12, "concurrency": [1, 4], "output_tokens": 32}
"""Small, so that the demo is short; twelve requests at each point are enough for a p90."""

POLL_SECONDS = 0.4
LONGEST_WAIT_SECONDS = 900.0
ENDED = ("succeeded", "failed", "cancelled")

type Record = dict[str, Any]
"""A job as the API returns it: JobRecord in rune.contracts."""


@dataclass(frozen=True)
class DemoSettings:
    """The measured server: BACKEND_URL (empty rents a GPU from the simulator), BACKEND_TYPE and MODEL.

    WORKLOAD (any text) measures a sweep over a prompt set instead of one question.
    """

    backend_url: str
    backend_type: str
    model: str
    has_workload: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "DemoSettings":
        """Read settings from variables; an empty variable counts as absent, because Make passes empty ones."""
        given = {name: value for name, value in environment.items() if value}
        return cls(
            backend_url=given.get("BACKEND_URL", ""),
            backend_type=given.get("BACKEND_TYPE", "ollama"),
            model=given.get("MODEL", "llama3.1:8b"),
            has_workload="WORKLOAD" in given,
        )


def allow_host_of(settings: StackSettings, url: str) -> StackSettings:
    """Return the settings with the URL's addresses allowed."""
    host = urlsplit(url).hostname
    if not host:
        return settings
    found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    blocks = {f"{ip_address(address[4][0])}/32" for address in found}
    return replace(settings, allowed_networks=",".join([settings.allowed_networks, *sorted(blocks)]))


def follow(client: httpx.Client, job_id: str) -> Iterator[Record]:
    """Yield the job at each poll, the ended job last.

    Raises
    ------
    StackError
        It did not end in time, or the API answered with an error.
    """
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < deadline:
        response = client.get(f"/v1/jobs/{job_id}")
        if response.is_error:
            raise StackError(f"GET /v1/jobs/{job_id} answers {response.status_code}: {response.text[:300]}")
        record: Record = response.json()
        yield record
        if record["status"] in ENDED:
            return
        time.sleep(POLL_SECONDS)
    raise StackError(f"the job did not end within {LONGEST_WAIT_SECONDS:.0f} s")


def describe(record: Record, elapsed_seconds: float) -> Text:
    """Return one line with the state of the job."""
    line = Text(f"{elapsed_seconds:6.1f} s  ")
    line.append(f"{record['status']:<10}", style="bold")
    line.append(f" {record['progress']['step']:<9}")
    line.append(f" {_count(record):<13}", style="cyan")
    if record["cost_usd"] is not None:
        line.append(f" ${record['cost_usd']:.4f}  ", style="green")
    line.append(record["message"], style="dim")
    return line


def _count(record: Record) -> str:
    """Return the progress of the current step."""
    progress, result = record["progress"], record["result"]
    if result:
        return f"{result['measurements']['output_tokens']} tokens"
    if "requests" in progress:
        return f"{progress['requests']} of {progress['requests_total']}"
    if "pulled_percent" in progress:
        return f"{progress['pulled_bytes'] / 1e9:.1f} GB {progress['pulled_percent']:>3} %"
    if "booting_seconds" in progress:
        return f"{progress['booting_seconds']} s"
    return f"{progress['chunks']} chunks" if "chunks" in progress else ""


def watch(client: httpx.Client, job_id: str, console: Console) -> Record:
    """Show the job until it has ended, and return it."""
    started = time.monotonic()
    record: Record = {}
    with Live(console=console, auto_refresh=False, transient=False) as live:
        shown = ""
        for record in follow(client, job_id):
            line = describe(record, time.monotonic() - started)
            if console.is_terminal:
                live.update(line, refresh=True)
            stand = f"{record['status']} {record['progress']['step']}"
            # Without a terminal a line cannot be redrawn, so only a new state is printed.
            if not console.is_terminal and stand != shown:
                console.print(line, soft_wrap=True)
            shown = stand
    return record


def summarize(record: Record) -> Table:
    """Return the result as a small table."""
    result, numbers = record["result"], record["result"]["measurements"]
    table = Table(title=f"benchmark of {result['model_name']}", title_justify="left", show_header=False)
    table.add_row("server", f"{result['backend_url']} ({result['metadata']['backend_type']})")
    table.add_row("question", QUESTION)
    table.add_row("answer", _shorten(result["answer"]))
    table.add_row("time to first token", _number(numbers["ttft_ms"], "ms"))
    table.add_row("output speed", _number(numbers["output_throughput_tokens_per_s"], "tokens/s"))
    table.add_row("speed after it", _number(numbers["output_tokens_per_s_per_user"], "tokens/s"))
    table.add_row("end-to-end latency", _number(numbers["e2el_ms"], "ms"))
    table.add_row("tokens in, out", f"{numbers['input_tokens']}, {numbers['output_tokens']}")
    if report := result.get("report"):
        _add_report(table, report)
    phases = ", ".join(f"{item['phase']} {item['ms']} ms" for item in result["telemetry"]["latency"])
    table.add_row("phases", phases)
    if receipt := result["rental"]:
        machine = f"{receipt['gpu_count']} x {receipt['gpu_name']}, {receipt['place']}"
        table.add_row("machine", f"{machine} at ${receipt['price_usd_per_hour']:.2f} per hour")
        table.add_row("cost", f"${receipt['cost_usd']:.4f}, machine proven gone at {receipt['released_at']}")
    return table


def _add_report(table: Table, report: Record) -> None:
    """Add the report: each point of a workload, the time to ready, the cost of tokens, and warnings."""
    if len(report["runs"]) > 1:
        for run in report["runs"]:
            table.add_row(f"{run['max_concurrency']} at a time", _describe_run(run))
    if ready := report.get("time_to_ready"):
        parts = ("search", "boot", "pull", "load", "first_token")
        known = [(part, ready[f"{part}_ms"]) for part in parts if ready[f"{part}_ms"] is not None]
        phases = ", ".join(f"{part.replace('_', ' ')} {ms / 1000:.1f}" for part, ms in known)
        table.add_row("time to ready", f"{ready['total_ms'] / 1000:.1f} s: {phases}")
    if cost := report.get("cost"):
        steady, all_in = (cost[f"usd_per_million_output_tokens{name}"] for name in ("", "_all_in"))
        table.add_row("1M output tokens", f"{_dollars(steady)} steady, {_dollars(all_in)} all in")
    # One request alone is always few samples.
    named = {*report["warnings"], *(name for run in report["runs"] for name in run["warnings"])}
    if len(report["runs"]) > 1 and named:
        table.add_row("warnings", ", ".join(sorted(named)))


def _describe_run(run: Record) -> str:
    ttft, tpot = run["ttft_ms"], run["tpot_ms"]
    numbers = [
        _number(run["output_throughput_tokens_per_s"], "tokens/s"),
        f"first token {_number(ttft and ttft['median'], 'ms')}",
        f"then {_number(tpot and tpot['median'], 'ms')} each",
        f"{run['completed']} of {run['num_prompts']} answered",
    ]
    return ", ".join(numbers)


def describe_request(settings: DemoSettings) -> dict[str, object]:
    """Return the body that is posted: the specification's RunBenchmarkRequest, or a run on the named server."""
    asked: dict[str, object] = {"question": QUESTION, "model": settings.model, "backend_warmup": True}
    if settings.has_workload:
        asked["workload"] = WORKLOAD
    if settings.backend_url:
        return {**asked, "backend_url": settings.backend_url, "backend_type": settings.backend_type}
    return {
        "vastai": True,
        "template_hash": FIELD_TEMPLATE,
        "min_dph": 2.3,
        "max_dph": 3.0,
        "reliability": 0.99,
        **asked,
        "vastai_stop_instance": True,
    }


def compare_with_bill(state: StackState, record: Record, console: Console) -> None:
    """Print the simulated provider's bill, to compare with the cost that the job reports."""
    receipt = record["result"]["rental"]
    if receipt is None or "vastai" not in state.simulators:
        return
    simulator = state.simulators["vastai"]
    with httpx.Client(base_url=simulator, timeout=10.0, trust_env=False) as client:
        bill = client.get("/_sim/bill").json()
        alive = [each for each in client.get("/_sim/instances").json()["instances"] if each["exists"]]
    console.print(f"the provider's bill: ${bill['total_usd']:.4f}; machines that still exist: {len(alive)}")


def run_job(state: StackState, settings: DemoSettings, console: Console) -> bool:
    """Post the job and watch it; return whether it succeeded."""
    body = describe_request(settings)
    headers = {"X-Tenant-ID": state.tenant, "Authorization": f"Bearer {state.token}"}
    with httpx.Client(base_url=state.base_url, headers=headers, timeout=60.0, trust_env=False) as client:
        console.print(f"\nPOST {state.base_url}/v1/jobs/benchmark", highlight=False)
        posted = client.post("/v1/jobs/benchmark", json=body)
        if posted.is_error:
            console.print(f"refused with {posted.status_code}: {posted.json()['error']}", style="red")
            return False
        console.print(f"{posted.status_code} {posted.text}\n", highlight=False)
        record = watch(client, posted.json()["job_id"], console)
    if record["status"] != "succeeded":
        console.print(f"\n{record['status']}: {record['error']} ({record['error_code']})", style="red")
        return False
    console.print()
    console.print(summarize(record))
    compare_with_bill(state, record, console)
    return True


def main() -> int:
    """Run the demo and return the exit code: 0 when the job succeeded, 2 when refused, else 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    settings = DemoSettings.from_environment(os.environ)
    try:
        stack_settings = StackSettings.from_environment(os.environ)
        if settings.backend_url:
            stack_settings = allow_host_of(stack_settings, settings.backend_url)
        console.print("Starting RUNE on this machine:")
        with running_stack(stack_settings, say=console.print) as stack:
            has_succeeded = run_job(stack.state, settings, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return EXIT_FAILED
    except (PortBusyError, StackRunsError, ValueError, socket.gaierror) as error:
        console.print(f"error: {error}", style="red")
        return EXIT_REFUSED
    except (DeployError, EmulatorError, NotStartedError, StackError, httpx.HTTPError) as error:
        console.print(f"error: {error}", style="red")
        return EXIT_FAILED
    console.print("\nThe stack is stopped. `make local` keeps one running.")
    return 0 if has_succeeded else EXIT_FAILED


def _number(value: float | None, unit: str) -> str:
    return "undefined" if value is None else f"{value:,.1f} {unit}"


def _dollars(value: float | None) -> str:
    return "undefined" if value is None else f"${value:,.2f}"


def _shorten(answer: str) -> str:
    return answer if len(answer) <= 240 else answer[:239] + "…"  # noqa: PLR2004  # three lines of a terminal


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
