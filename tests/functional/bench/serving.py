"""Scripted servers for a while: in a thread, or where a millisecond counts in a process of their own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.simulators.scripted import Exchange, Script, ScriptedServer, running_scripted

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Served:
    """A scripted server's script and options."""

    script: Script = field(default_factory=Script)
    slots: int | None = None
    context_tokens: int | None = None


@contextmanager
def running_thread(served: Served) -> Iterator[tuple[str, list[Exchange]]]:
    """Serve while the block runs; gives the address, and the exchanges as they come."""
    server = ScriptedServer(served.script, slots=served.slots, context_tokens=served.context_tokens)
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


async def serve(options: dict[str, Any]) -> None:
    """Serve until standard input ends, then write all exchanges to standard output."""
    server = ScriptedServer(Script(**options.pop("script")), **options)
    async with server.listening() as address:
        print(address, flush=True)  # noqa: T201 read by the parent
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps([asdict(exchange) for exchange in server.exchanges]))  # noqa: T201 as above


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
