"""Scripted servers for a while: in a thread, or where a millisecond counts in a process of their own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from itertools import cycle
from pathlib import Path
from typing import Any

from local.simulators.scripted import Exchange, Script, ScriptedServer, running_scripted
from local.simulators.scripted.metrics import Engine

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Served:
    """A scripted server's script and options; `scripts` are played in turn, one an answer, instead of one."""

    script: Script = field(default_factory=Script)
    scripts: tuple[Script, ...] = ()
    slots: int | None = None
    context_tokens: int | None = None
    engine: Engine | None = None
    kv_tokens: int = 1_000_000
    has_prefix_cache: bool = False

    def server(self) -> ScriptedServer:
        """Return the server."""
        options = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in {"script", "scripts"}
        }
        return ScriptedServer(_chooser(self.scripts) if self.scripts else self.script, **options)


@contextmanager
def running_thread(served: Served) -> Iterator[tuple[str, list[Exchange]]]:
    """Serve while the block runs; gives the address, and the exchanges as they come."""
    server = served.server()
    with running_scripted(server) as address:
        yield address, server.exchanges


@contextmanager
def running_process(served: Served) -> Iterator[tuple[str, list[Exchange]]]:
    """Serve while the block runs; gives the address, and a list that holds the exchanges afterwards.

    In a process, since in a thread it would wait for the interpreter lock of whoever measures it.
    """
    exchanges: list[Exchange] = []
    command = [sys.executable, "-m", "tests.functional.bench.serving"]
    with subprocess.Popen(  # noqa: S603 our own module
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(served)) + "\n")
            process.stdin.flush()
            yield process.stdout.readline().strip(), exchanges
            output, _ = process.communicate(timeout=10)
            exchanges += [Exchange(**members) for members in json.loads(output)]
        finally:
            process.kill()


def _chooser(scripts: Sequence[Script]) -> Callable[[str], Script]:
    in_turn = cycle(scripts)
    return lambda _prompt: next(in_turn)


async def serve(options: dict[str, Any]) -> None:
    """Serve until standard input ends, then write all exchanges to standard output."""
    script, scripts = Script(**options.pop("script")), [Script(**each) for each in options.pop("scripts")]
    server = ScriptedServer(_chooser(scripts) if scripts else script, **options)
    async with server.listening() as address:
        print(address, flush=True)  # noqa: T201 read by the parent
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps([asdict(exchange) for exchange in server.exchanges]))  # noqa: T201 as above


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
