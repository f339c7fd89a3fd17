"""`python -m local.simulators.scripted`: one scripted model server until SIGINT, to try a benchmark."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import suppress

from local.simulators.command_line import add_port
from local.simulators.scripted.metrics import ENGINES
from local.simulators.scripted.script import Script
from local.simulators.scripted.server import MODEL, ScriptedServer

DEFAULT_PORT = 8010


def parse_server(arguments: Sequence[str] | None = None) -> tuple[ScriptedServer, int]:
    """Return the server and the port that a command line asks for; exits on a wrong one."""
    script = Script()
    parser = argparse.ArgumentParser(prog="python -m local.simulators.scripted", description=__doc__)
    add_port(parser, DEFAULT_PORT)
    parser.add_argument("--ttft-ms", type=float, default=200.0, help="(%(default)s)")
    parser.add_argument("--gap-ms", type=float, default=20.0, help="between two chunks (%(default)s)")
    parser.add_argument("--output-tokens", type=int, default=64, help="at most (%(default)s)")
    parser.add_argument(
        "--tokens-per-chunk", type=float, default=script.tokens_per_chunk, help="(%(default)s)"
    )
    parser.add_argument("--slots", type=int, help="requests answered at a time; any number by default")
    parser.add_argument("--engine", choices=ENGINES, help="whose metrics /metrics tells; none by default")
    parser.add_argument("--kv-tokens", type=int, default=1_000_000, help="of all contexts (%(default)s)")
    parser.add_argument("--prefix-cache", action="store_true", help="tell what began as an earlier prompt")
    chosen = parser.parse_args(arguments)
    script = Script(
        ttft_ms=chosen.ttft_ms,
        gap_ms=chosen.gap_ms,
        output_tokens=chosen.output_tokens,
        tokens_per_chunk=chosen.tokens_per_chunk,
    )
    server = ScriptedServer(
        script,
        slots=chosen.slots,
        engine=chosen.engine,
        kv_tokens=chosen.kv_tokens,
        has_prefix_cache=chosen.prefix_cache,
    )
    return server, chosen.port


async def serve(server: ScriptedServer, port: int) -> None:
    """Serve until cancelled, after one line with the address."""
    async with server.listening(port) as address:
        print(f"model {MODEL!r} at {address}, OpenAI's API and Ollama's", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(*parse_server()))
