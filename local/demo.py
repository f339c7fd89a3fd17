"""`make demo`: one benchmark job on a rented GPU, or one question to an agent, shown while it runs.

The demo starts the stack, submits the job as the command line `rune` does, and stops the stack. The GPU is rented
from the simulated Vast.ai, unless BACKEND_URL names a model server. With AGENT=kubernetes a scripted model on the
simulated Ollama investigates the simulated cluster.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from local.deploy import DeployError
from local.emulator import EmulatorError
from local.guard import NotStartedError
from local.ports import PortBusyError
from local.settings import StackSettings
from local.stack import EXIT_FAILED, EXIT_REFUSED, StackError, running_stack
from local.state import StackRunsError, StackState
from local.tenants import CLUSTER, FIELD_TEMPLATE
from rune_client import RuneClient, RuneError
from rune_client.cli.exits import ExitCode
from rune_client.cli.output import Output
from rune_client.cli.plans import plan_table
from rune_client.cli.submitting import follow_to_end

QUESTION = "What is unhealthy?"
WORKLOAD = {"prompts": [QUESTION], "repetitions": 12, "concurrency": [1, 4], "output_tokens": 32}
"""Small, so that the demo is short; twelve requests at each point are enough for a p90."""

INVESTIGATOR = "investigator-good:latest"
"""The simulated Ollama's model that investigates as a good one would."""

LONGEST_WAIT_SECONDS = 900.0


@dataclass(frozen=True)
class DemoSettings:
    """The measured server: BACKEND_URL (empty rents a GPU from the simulator), BACKEND_TYPE and MODEL.

    WORKLOAD (any text) measures a sweep over a prompt set instead of one question. AGENT puts the question to an
    agent; without BACKEND_URL its model is on the simulated Ollama.
    """

    backend_url: str
    backend_type: str
    model: str
    has_workload: bool
    agent: str = ""

    @property
    def kind(self) -> Literal["benchmark", "agentic-agent"]:
        """The kind of the job."""
        return "agentic-agent" if self.agent else "benchmark"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "DemoSettings":
        """Read settings from variables; an empty variable counts as absent, because Make passes empty ones."""
        given = {name: value for name, value in environment.items() if value}
        agent, backend_url = given.get("AGENT", ""), given.get("BACKEND_URL", "")
        is_scripted = agent == "kubernetes" and not backend_url
        return cls(
            backend_url=backend_url,
            backend_type=given.get("BACKEND_TYPE", "ollama"),
            model=given.get("MODEL", INVESTIGATOR if is_scripted else "llama3.1:8b"),
            has_workload="WORKLOAD" in given,
            agent=agent,
        )


def allow_host_of(settings: StackSettings, url: str) -> StackSettings:
    """Return the settings with the URL's addresses allowed."""
    host = urlsplit(url).hostname
    if not host:
        return settings
    found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    blocks = {f"{ip_address(address[4][0])}/32" for address in found}
    return replace(settings, allowed_networks=",".join([settings.allowed_networks, *sorted(blocks)]))


def describe_request(settings: DemoSettings, simulators: Mapping[str, str]) -> dict[str, object]:
    """Return the body that is posted: the specification's RunBenchmarkRequest, or a run on the named server."""
    asked: dict[str, object] = {"question": QUESTION, "model": settings.model, "backend_warmup": True}
    if settings.agent:
        asked |= {"agent": settings.agent, "backend_url": settings.backend_url or simulators["ollama"]}
        asked["backend_type"] = settings.backend_type
        return {**asked, "cluster": CLUSTER} if settings.agent == "kubernetes" else asked
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


def compare_with_bill(state: StackState, record: Mapping[str, Any], output: Output) -> None:
    """Show the simulated provider's bill, to compare with the cost that the job reports."""
    if not record["result"].get("rental") or "vastai" not in state.simulators:
        return
    simulator = state.simulators["vastai"]
    with httpx.Client(base_url=simulator, timeout=10.0, trust_env=False) as client:
        bill = client.get("/_sim/bill").json()
        alive = [each for each in client.get("/_sim/instances").json()["instances"] if each["exists"]]
    output.show(f"the provider's bill: ${bill['total_usd']:.4f}; machines that still exist: {len(alive)}")


def run_job(state: StackState, settings: DemoSettings) -> bool:
    """Submit the job as the command line does, and follow it; return whether it succeeded."""
    output, body, kind = Output(), describe_request(settings, state.simulators), settings.kind
    with RuneClient(state.base_url, state.token, tenant=state.tenant) as client:
        output.show(plan_table(client.plan(kind, body), title=f"Plan: {kind} with {settings.model}"))
        job_id = client.submit(kind, body)["job_id"]
        output.show(f"job {job_id}")
        code = follow_to_end(client, output, job_id, wait_seconds=LONGEST_WAIT_SECONDS)
        if code is ExitCode.SUCCEEDED:
            compare_with_bill(state, client.job(job_id), output)
    return code is ExitCode.SUCCEEDED


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
            has_succeeded = run_job(stack.state, settings)
    except KeyboardInterrupt:
        console.print("stopped")
        return EXIT_FAILED
    except (PortBusyError, StackRunsError, ValueError, socket.gaierror) as error:
        console.print(f"error: {error}", style="red")
        return EXIT_REFUSED
    except (DeployError, EmulatorError, NotStartedError, StackError, RuneError, httpx.HTTPError) as error:
        console.print(f"error: {error}", style="red")
        return EXIT_FAILED
    console.print("\nThe stack is stopped. `make local` keeps one running.")
    return 0 if has_succeeded else EXIT_FAILED


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
