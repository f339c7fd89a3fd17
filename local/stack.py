"""The whole of RUNE on this machine: emulator, deployed template, simulated servers, one address.

`python -m local.stack` runs it in the foreground; `running_stack` is the same thing for the demo and the tests.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from local import proxy
from local.deploy import DeployError, build, deploy, machine_architecture
from local.emulator import REGION, AwsSession, Emulator, EmulatorError, start_emulator
from local.guard import GuardedProcess, NotStartedError, start_guarded
from local.intakes import failure_queues, intake_parameters, intake_queues
from local.logs import LogReader, follow_logs, now_milliseconds
from local.ports import PortBusyError, find_free_port, listen_on_loopback, require_free
from local.settings import ROOT, StackSettings
from local.state import StackRunsError, StackState, holding, write_state
from local.tenants import (
    SIGNING_KEY_PARAMETER,
    TENANTS_PATH,
    VASTAI_KEY_PARAMETER,
    make_documents,
    write_cluster,
    write_documents,
    write_secret,
)
from local.tokens import LocalTokens, make_tokens

EXIT_FAILED = 1
EXIT_REFUSED = 2
_READY_LIMIT_SECONDS = 60.0
MARKET_COMMAND = (
    '(eval "$(make -s env)"; HOME=$PWD/.local/vastai-home .local/venvs/vastai/bin/vastai search offers -n)'
)
"""Shows the simulated market with Vast.ai's own client, which keeps its files in that home."""

_KUBECONFIG = "cluster.json"
_SHOWN_TOKEN_CHARS = 6
_SIMULATOR_LIMIT_SECONDS = 30.0
_LISTENING = re.compile(r"listening on (https?://\S+)")
# Output names in the template by the short names that people see.
_FUNCTIONS = {
    "api": "Api",
    "worker-money": "MoneyWorker",
    "worker-inference": "InferenceWorker",
    "worker-load": "LoadWorker",
    "janitor": "Janitor",
    "notifier": "Notifier",
    "trigger": "Trigger",
    "invoke": "Invoke",
}

type Say = Callable[[str], None]


class StackError(Exception):
    """Raised when the stack does not come up, or one of its processes ends; the message names the log."""


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Parameters
    ----------
    state
        Its addresses and names, as in the state file.
    aws
        The administrator's way to the emulator.
    """

    state: StackState
    aws: AwsSession
    _processes: tuple[GuardedProcess, ...]

    def follow_logs(self, write: Say, stop: threading.Event) -> None:
        """Write the functions' log lines from now on, until `stop` is set."""
        reader = LogReader(
            self.aws.client("logs"), self.state.log_groups, since_milliseconds=now_milliseconds()
        )
        follow_logs(reader, write, stop)

    def find_ended(self) -> GuardedProcess | None:
        """Return a process of the stack that is not there any more, if there is one."""
        return next((process for process in self._processes if not process.is_running()), None)


@contextlib.contextmanager
def running_stack(settings: StackSettings, *, say: Say = print) -> Iterator[Stack]:
    """Start everything, give it to the block when the API answers, and leave nothing behind.

    Parameters
    ----------
    say
        Called with a line per thing done.

    Raises
    ------
    PortBusyError, StackRunsError
        The port or the state file is in use; nothing was started.
    DeployError, EmulatorError, NotStartedError, StackError
        Something did not come up; everything is stopped again.
    ValueError
        The tokens cannot be read.
    """
    tokens = make_tokens(settings.api_tokens)
    with contextlib.ExitStack() as stops:
        listeners = listen_on_loopback(settings.port, variable="PORT")
        for listener in listeners:
            stops.callback(listener.close)
        if settings.emulator_port:
            require_free(settings.emulator_port, variable="EMULATOR_PORT")
        stops.enter_context(holding(settings.state_path))
        run_folder = _empty(settings.run_folder)
        with _timed(say, "built"):
            build(run_folder / "build.log")
        with _timed(say, "emulator up"):
            emulator = _enter_emulator(settings, run_folder, stops)
        vastai_key = settings.vastai_api_key or secrets.token_urlsafe(24)
        simulators = _enter_simulators(settings, run_folder, stops, vastai_key)
        aws = emulator.session()
        documents = make_documents(
            settings.tenants,
            tokens.tenants,
            has_bedrock="bedrock" in simulators,
            agent_urls={name: simulators[name][1] for name in AGENT_SERVERS if name in simulators},
            has_cluster="kubernetes" in simulators,
        )
        write_documents(aws, documents)
        if "kubernetes" in simulators:
            write_cluster(aws, tokens.tenants[0], (run_folder / _KUBECONFIG).read_text())
        write_secret(aws, VASTAI_KEY_PARAMETER, vastai_key)
        write_secret(aws, SIGNING_KEY_PARAMETER, secrets.token_urlsafe(32))
        with _timed(say, "deployed"):
            outputs = deploy(aws, _parameters(settings, tokens, simulators), run_folder / "deploy.log")
        upstream = f"{emulator.url}/_aws/execute-api/{outputs['ApiId']}/$default"
        app = proxy.ReverseProxy(upstream, concurrency=settings.api_concurrency)
        stops.enter_context(proxy.serving(app, listeners))
        port = int(listeners[0].getsockname()[1])
        state = _describe(f"http://localhost:{port}", tokens, emulator, outputs, simulators)
        if "vastai" in simulators:
            state = replace(state, vastai_key=vastai_key)
        processes = (emulator.process, *(process for process, _ in simulators.values()))
        stack = Stack(state, emulator.session(), processes)
        with _timed(say, "answering"):
            _wait_until_healthy(stack, f"http://127.0.0.1:{port}/healthz")
        write_state(settings.state_path, state)
        yield stack


AGENT_SERVERS = ("holmes", "driver", "a2a")
"""Simulators that serve the agents of the same names."""


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _enter_emulator(settings: StackSettings, run_folder: Path, stops: contextlib.ExitStack) -> Emulator:
    emulator = start_emulator(
        settings.emulator_port or find_free_port(), run_folder, path_variable=os.environ.get("PATH", "")
    )
    stops.callback(emulator.process.stop)
    return emulator


def _enter_simulators(
    settings: StackSettings, run_folder: Path, stops: contextlib.ExitStack, vastai_key: str
) -> dict[str, tuple[GuardedProcess, str]]:
    if not settings.with_simulators:
        return {}
    options: dict[str, dict[str, str]] = {
        "ollama": {},
        "bedrock": {"region": REGION},
        # What clients in the field ask for, so that it is in its modelList.
        "holmes": {"model": "llama3.1:8b"},
        "driver": {},
        "a2a": {},
        "kubernetes": {"kubeconfig": str(run_folder / _KUBECONFIG)},
    }
    if not settings.vastai_api_url:
        options["vastai"] = {"api-key": vastai_key}
    processes = {name: _start_simulator(name, given, run_folder, stops) for name, given in options.items()}
    return {name: (process, _wait_for_address(process)) for name, process in processes.items()}


def spell_options(options: Mapping[str, str]) -> list[str]:
    """Return options as a command line that argparse reads back unchanged.

    Each is one word, `--name=value`: a value in a word of its own is taken for an option where it begins with a
    dash, and one random key in 64 does.
    """
    return [f"--{name}={value}" for name, value in options.items()]


def _start_simulator(
    name: str, options: Mapping[str, str], run_folder: Path, stops: contextlib.ExitStack
) -> GuardedProcess:
    process = start_guarded(
        name,
        [sys.executable, "-m", f"local.simulators.{name}", *spell_options({"port": "0", **options})],
        # The simulated cluster is made of what `rune` has.
        environment={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT / "shared")},
        folder=ROOT,
        log_path=run_folder / f"{name}.log",
    )
    stops.callback(process.stop)
    return process


def _wait_for_address(process: GuardedProcess) -> str:
    deadline = time.monotonic() + _SIMULATOR_LIMIT_SECONDS
    while time.monotonic() < deadline:
        if found := _LISTENING.search(process.read_log()):
            return found[1]
        if not process.is_running():
            break
        time.sleep(0.05)
    raise StackError(f"{process.name} did not come up: see {process.log_path}")


def _address_of(name: str, simulators: dict[str, tuple[GuardedProcess, str]]) -> str | None:
    return simulators[name][1] if name in simulators else None


def _parameters(
    settings: StackSettings, tokens: LocalTokens, simulators: dict[str, tuple[GuardedProcess, str]]
) -> dict[str, str]:
    own_account_url = settings.vastai_api_url if settings.vastai_api_key else ""
    vastai_url = _address_of("vastai", simulators) or own_account_url
    renting = (
        {"VastaiApiUrl": vastai_url, "VastaiApiKeyParameter": VASTAI_KEY_PARAMETER} if vastai_url else {}
    )
    bedrock_url = _address_of("bedrock", simulators)
    bedrock = {"BedrockAccess": "true", "BedrockUrl": bedrock_url} if bedrock_url else {}
    return {
        **renting,
        **bedrock,
        **intake_parameters(tokens.tenant),
        "Stage": "local",
        "Architecture": machine_architecture(),
        "ApiTokens": tokens.deployed,
        "AllowedNetworks": settings.allowed_networks,
        "SigningKeyParameter": SIGNING_KEY_PARAMETER,
        "ArchiveTable": "true",
        "InferenceConcurrency": str(settings.running_jobs),
        "LoadLane": "on",
        # Two processes, as a laptop has few processors.
        "LoadMemoryMb": "3538",
        # Tests share the stack.
        "TenantDailyBudgetUsd": "100000",
        "TenantMonthlyBudgetUsd": "100000",
        "DailyBudgetUsd": "100000",
        "MonthlyBudgetUsd": "100000",
        "MaxMachines": "100",
        "MaxUsdPerHour": "1000",
        "MaxDph": "100",
    }


def _describe(
    base_url: str,
    tokens: LocalTokens,
    emulator: Emulator,
    outputs: dict[str, str],
    simulators: dict[str, tuple[GuardedProcess, str]],
) -> StackState:
    return StackState(
        base_url=base_url,
        tenant=tokens.tenant,
        token=tokens.token,
        emulator_url=emulator.url,
        api_id=outputs["ApiId"],
        table=outputs["TableName"],
        bucket=outputs["BucketName"],
        archive_bucket=outputs["ArchiveBucketName"],
        money_queue_url=outputs["MoneyQueueUrl"],
        inference_queue_url=outputs["InferenceQueueUrl"],
        notice_queue_url=outputs["NoticeQueueUrl"],
        dead_letter_queue_url=outputs["DeadLetterQueueUrl"],
        event_bus=outputs["EventBusName"],
        inbox_bucket=outputs["InboxBucketName"],
        intake_queue_url=outputs["IntakeQueueUrl"],
        intake_topic_arn=outputs["IntakeTopicArn"],
        workflow_queue_url=outputs["WorkflowQueueUrl"],
        intake_queue_urls=intake_queues(outputs),
        failure_queue_urls=failure_queues(outputs),
        tenants_path=TENANTS_PATH,
        functions={short: outputs[f"{name}FunctionName"] for short, name in _FUNCTIONS.items()},
        log_groups={short: outputs[f"{name}LogGroupName"] for short, name in _FUNCTIONS.items()},
        simulators={name: address for name, (_, address) in simulators.items()},
        pids={
            "stack": os.getpid(),
            "emulator": emulator.process.pid,
            **{name: process.pid for name, (process, _) in simulators.items()},
        },
    )


def _wait_until_healthy(stack: Stack, url: str) -> None:
    deadline = time.monotonic() + _READY_LIMIT_SECONDS
    answer = "no answer"
    with httpx.Client(trust_env=False, timeout=_READY_LIMIT_SECONDS) as client:
        while time.monotonic() < deadline:
            if ended := stack.find_ended():
                raise StackError(f"{ended.name} ended: see {ended.log_path}")
            response = client.get(url)
            if response.status_code == httpx.codes.OK:
                return
            answer = f"{response.status_code} {response.text[:300]}"
            time.sleep(0.3)
    raise StackError(f"GET {url} does not answer 200 but: {answer}")


@contextlib.contextmanager
def _timed(say: Say, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    say(f"  {what:<12} {time.monotonic() - started:5.1f} s")


def introduce(stack: Stack, say: Say) -> None:
    """Say where everything of a running stack is."""
    state = stack.state
    say(f"\nRUNE answers at {state.base_url}")
    say(f"  tenant       {state.tenant}")
    say(f"  token        {_abbreviate(state.token)}")
    say(f"  AWS endpoint {state.emulator_url}")
    say(f"  tenants      {state.tenants_path}/<tenant> in its SSM (docs/tenants.md)")
    for name, address in state.simulators.items():
        say(f"  {name:<12} {address} (simulated)")
    if state.vastai_key is not None:
        say(f"  its market   {MARKET_COMMAND}")
    say("The functions' logs follow. Ctrl-C stops everything.\n")


def _abbreviate(token: str | None) -> str:
    """Return what a terminal, and a log made of it, may show of the token."""
    if token is None:
        return "(only its hash was given)"
    return f"{token[:_SHOWN_TOKEN_CHARS]}… (all of it: make -s env)"


def _run_in_foreground(settings: StackSettings) -> None:
    """Run until Ctrl-C or SIGTERM (KeyboardInterrupt), or until a process of the stack ends (StackError)."""
    stop = threading.Event()
    with running_stack(settings, say=_say) as stack:
        introduce(stack, _say)
        follower = threading.Thread(target=stack.follow_logs, args=(_say, stop), name="logs", daemon=True)
        follower.start()
        try:
            while (ended := stack.find_ended()) is None:
                time.sleep(0.5)
            raise StackError(f"{ended.name} ended: see {ended.log_path}")
        finally:
            stop.set()
            follower.join(timeout=5.0)
            _say("stopping")


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the stack in the foreground and return the exit code: 0 when asked to stop, 2 when refused, else 1."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _run_in_foreground(StackSettings.from_environment(os.environ))
    except KeyboardInterrupt:
        _say("stopped")
        return 0
    except (PortBusyError, StackRunsError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except (DeployError, EmulatorError, NotStartedError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
