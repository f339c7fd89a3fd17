"""What the local stack is told, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class StackSettings:
    """How to start a local stack. docs/local-stack.md explains each variable to people.

    Parameters
    ----------
    port
        Where the API answers on localhost; 0 takes a free one (PORT).
    emulator_port
        Where the emulator listens; 0 takes a free one (EMULATOR_PORT).
    api_tokens
        `tenant:token` entries, separated by commas or line ends; empty makes one (RUNE_API_TOKENS).
    allowed_networks
        Networks in which model servers may live, comma separated CIDRs (ALLOWED_NETWORKS).
    api_concurrency
        Requests that the proxy has in flight at once; the emulator starts a process for each (API_CONCURRENCY).
    running_jobs
        Jobs that run at once; the others wait (RUNNING_JOBS).
    with_simulators
        Whether to start the simulated model server, Bedrock and Vast.ai (SIMULATORS, 0 or 1).
    tenants
        Documents by tenant, each in the form of docs/tenants.md; empty lends the simulated Bedrock to the tenant
        whose token the stack shows, and allows each tenant the template of clients in the field (RUNE_TENANTS).
    vastai_api_url, vastai_api_key
        A real account to rent with, instead of the simulated one (VAST_API_URL and VAST_API_KEY). Both must be
        given: a key alone, as Vast.ai's own client takes it from the same variable, rents nothing.
    state_path
        The file that tells scripts about the running stack; two stacks need two (STACK_FILE).
    """

    port: int = 8080
    emulator_port: int = 0
    api_tokens: str = ""
    allowed_networks: str = "127.0.0.0/8,::1/128"
    api_concurrency: int = 8
    running_jobs: int = 5
    with_simulators: bool = True
    tenants: str = field(default="", repr=False)
    vastai_api_url: str = ""
    vastai_api_key: str = field(default="", repr=False)
    state_path: Path = ROOT / ".local" / "stack.json"

    @property
    def run_folder(self) -> Path:
        """Where the emulator keeps its state and every process its log; emptied at each start."""
        return self.state_path.with_suffix(".run")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "StackSettings":
        """Read settings from variables; an empty variable counts as absent, as Make passes it.

        Raises
        ------
        ValueError
            A variable does not hold what it should; the message names it.
        """
        given = {name: value for name, value in environment.items() if value}
        return cls(
            port=_port(given, "PORT", cls.port),
            emulator_port=_port(given, "EMULATOR_PORT", cls.emulator_port),
            api_tokens=given.get("RUNE_API_TOKENS", cls.api_tokens),
            allowed_networks=given.get("ALLOWED_NETWORKS", cls.allowed_networks).replace(" ", ""),
            api_concurrency=_number(given, "API_CONCURRENCY", cls.api_concurrency, least=1, most=100),
            running_jobs=_number(given, "RUNNING_JOBS", cls.running_jobs, least=2, most=100),
            vastai_api_url=given.get("VAST_API_URL", ""),
            vastai_api_key=given.get("VAST_API_KEY", "") if "VAST_API_URL" in given else "",
            with_simulators=bool(_number(given, "SIMULATORS", int(cls.with_simulators), least=0, most=1)),
            tenants=given.get("RUNE_TENANTS", ""),
            state_path=Path(given.get("STACK_FILE", str(cls.state_path))).absolute(),
        )


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    return _number(given, name, default, least=0, most=_HIGHEST_PORT)


def _number(given: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ValueError(f"{name} must be a number from {least} to {most}, not {text!r}")
    return int(text)
