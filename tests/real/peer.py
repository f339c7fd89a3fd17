"""aiperf, NVIDIA's benchmark of model servers: measures the same server as RUNE does, and is the one to agree with.

Its words for the numbers that are compared, in its own formulas (`aiperf/metrics/types`), are RUNE's:

- `time_to_first_token`: sending to the first chunk with content;
- `inter_token_latency`: (last chunk with content - first) / (tokens - 1) of each request, which RUNE calls TPOT;
- `output_token_throughput`: tokens / (first request sent to the last chunk with content).

Tokens are the server's own count; aiperf then only loads the tokenizer that it insists on, so an empty one does.
"""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.real.llama_server import VENVS

_LIMIT_SECONDS = 400
_TOKENIZER = {
    "tokenizer.json": {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
    },
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"},
}


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What aiperf says of one run.

    Attributes
    ----------
    ttft_to_server, tpot_to_server
        Medians over requests: aiperf's time as a multiple of the server's own for the same request.
    """

    completed: int
    failed: int
    ttft_p50_ms: float
    tpot_p50_ms: float
    output_tokens_per_s: float
    output_tokens: int
    ttft_to_server: float
    tpot_to_server: float


def measure_with_peer(
    url: str,
    folder: Path,
    *,
    model: str,
    prompts: Sequence[str],
    warmup_prompts: Sequence[str],
    concurrency: int,
    output_tokens: int,
) -> PeerRun:
    """Return what aiperf measures when it asks every prompt once; files and logs are left in `folder`."""
    folder.mkdir(parents=True)
    questions = folder / "prompts.jsonl"
    questions.write_text(
        "".join(json.dumps({"text": prompt}) + "\n" for prompt in [*warmup_prompts, *prompts])
    )
    _write_tokenizer(folder / "hub/models--no--tokenizer")
    options = {
        "--model": model,
        "--url": url,
        "--endpoint-type": "chat",
        "--tokenizer": "no/tokenizer",
        "--input-file": questions,
        "--custom-dataset-type": "single_turn",
        "--dataset-sampling-strategy": "sequential",
        "--concurrency": concurrency,
        "--request-count": len(prompts),
        "--warmup-request-count": len(warmup_prompts),
        "--extra-inputs": json.dumps({"max_tokens": output_tokens, "ignore_eos": True, "temperature": 0}),
        "--workers-max": 1,
        "--record-processors": 1,
        "--artifact-dir": folder / "artifacts",
        "--ui": "none",
        "--export-level": "raw",
        # llama-server closes what it has promised to keep open, and aiperf would count that as failed requests.
        "--connection-reuse-strategy": "never",
    }
    command = [VENVS / "real-peer/bin/aiperf", "profile", "--streaming", "--use-server-token-count"]
    command += ["--no-gpu-telemetry", "--no-server-metrics"]
    _run([*map(str, command), *(str(word) for option in options.items() for word in option)], folder)
    return _read_run(folder / "artifacts")


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    with (
        (folder / "log").open("wb") as log,
        # A session of its own, so that its many processes end together.
        subprocess.Popen(  # noqa: S603 - our own
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            status = process.wait(_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert status == 0, f"aiperf has failed: {folder / 'log'}"


def _write_tokenizer(folder: Path) -> None:
    """Write it as if it had been downloaded: offline, aiperf looks nowhere else, not even at a path."""
    revision = "0" * 40
    for name, content in {"refs/main": revision}.items() | {
        f"snapshots/{revision}/{file}": json.dumps(content) for file, content in _TOKENIZER.items()
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _read_run(folder: Path) -> PeerRun:
    found = json.loads((folder / "profile_export_aiperf.json").read_text())
    metrics = {
        line["metadata"]["x_request_id"]: line["metrics"]
        for line in _lines(folder / "profile_export.jsonl")
        if _is_measured(line)
    }
    own = {
        line["metadata"]["x_request_id"]: _server_timings(line)
        for path in folder.rglob("*raw*.jsonl")
        for line in _lines(path)
        if _is_measured(line)
    }

    def read(metric: str, statistic: str) -> float:
        return float(found.get(metric, {}).get(statistic, 0.0))

    return PeerRun(
        completed=int(read("request_count", "avg")),
        failed=int(read("error_request_count", "avg")),
        ttft_p50_ms=read("time_to_first_token", "p50"),
        tpot_p50_ms=read("inter_token_latency", "p50"),
        output_tokens_per_s=read("output_token_throughput", "avg"),
        output_tokens=int(read("total_osl", "avg")),
        ttft_to_server=median(
            metrics[key]["time_to_first_token"]["value"] / timings["prompt_ms"]
            for key, timings in own.items()
        ),
        tpot_to_server=median(
            metrics[key]["inter_token_latency"]["value"] * timings["predicted_n"] / timings["predicted_ms"]
            for key, timings in own.items()
        ),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _is_measured(line: dict[str, Any]) -> bool:
    return bool(line["metadata"]["benchmark_phase"] == "profiling")


def _server_timings(line: dict[str, Any]) -> dict[str, float]:
    """Return llama-server's own times, from the event that has them."""
    texts = [packet["value"] for event in line["responses"] for packet in event["packets"]]
    events = [json.loads(text) for text in texts if text.startswith("{")]
    return next(event["timings"] for event in reversed(events) if "timings" in event)
