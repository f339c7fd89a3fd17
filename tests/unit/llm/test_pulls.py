import json
from collections.abc import Sequence

import pytest

from rune.errors import (
    BadResponseError,
    ModelNotFoundError,
    ModelUnsupportedError,
    PullStalledError,
    RuneError,
    StreamTruncatedError,
)
from rune.llm.framing import Frame
from rune.llm.protocol import PullProgress, PullRequest
from rune.llm.pulls import MAX_LAYERS, PullStream
from tests.unit.llm.asking import ask
from tests.unit.llm.scripted_server import Hold, Step, head, ndjson

HEAD = head(200, "application/x-ndjson")
REQUEST = PullRequest("m", slice_seconds=5.0, stall_seconds=5.0)
MANIFEST = {"status": "pulling manifest"}
SUCCESS = {"status": "success"}


def layer(digest: str, completed: int | None, total: int = 100) -> dict[str, object]:
    counted = {} if completed is None else {"completed": completed}
    return {"status": f"pulling {digest}", "digest": f"sha256:{digest}", "total": total, **counted}


def pull(*script: Step, request: PullRequest = REQUEST) -> tuple[bool, list[PullProgress]]:
    seen: list[PullProgress] = []
    done, _ = ask("ollama", [script], lambda server: server.pull(request, seen.append))
    return done, seen


def test_pull_adds_up_its_layers_when_it_runs_to_its_end() -> None:
    done, seen = pull(HEAD + ndjson(MANIFEST, layer("a", None), layer("a", 100), layer("b", 20, 50), SUCCESS))

    assert done
    assert seen[1:4] == [PullProgress(0, 100), PullProgress(100, 100), PullProgress(120, 150)]


def test_pull_is_unfinished_when_its_slice_is_over() -> None:
    request = PullRequest("m", slice_seconds=0.2, stall_seconds=5.0)

    done, seen = pull(HEAD + ndjson(MANIFEST, layer("a", 40)), Hold(), request=request)

    assert not done
    assert seen[-1] == PullProgress(40, 100)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([MANIFEST, {"error": "pull model manifest: file does not exist"}], ModelNotFoundError),
        ([MANIFEST, layer("a", 40)], StreamTruncatedError),
    ],
)
def test_pull_fails_by_name_when_a_200_is_no_success(
    lines: Sequence[dict[str, object]], error: type[RuneError]
) -> None:
    with pytest.raises(error):
        pull(HEAD + ndjson(*lines))


def test_pull_is_refused_when_the_server_has_no_word_for_it() -> None:
    with pytest.raises(ModelUnsupportedError):
        ask("openai", [], lambda server: server.pull(REQUEST, lambda _: None))


def take_all(lines: Sequence[tuple[float, dict[str, object]]], stall_seconds: float) -> PullStream:
    now = [0.0]
    stream = PullStream("m", stall_seconds, lambda _: None, lambda: now[0])
    for now[0], line in lines:
        stream.take(Frame(json.dumps(line).encode(), 0, is_error=False))
    return stream


def test_download_has_stalled_when_lines_come_without_bytes() -> None:
    with pytest.raises(PullStalledError, match="40 bytes"):
        take_all([(0.0, layer("a", 40)), (50.0, layer("a", 40)), (91.0, layer("a", 40))], 90.0)


def test_download_has_not_stalled_when_bytes_come_slowly_or_a_layer_is_verified() -> None:
    verifying: dict[str, object] = {"status": "verifying sha256 digest"}

    stream = take_all(
        [(0.0, layer("a", 1)), (80.0, layer("a", 2)), (160.0, verifying), (240.0, verifying)], 90.0
    )

    assert stream.progress == PullProgress(2, 100)


def test_download_has_stalled_when_only_words_are_new() -> None:
    words: list[tuple[float, dict[str, object]]] = [
        (30.0 * number, {"status": f"busy {number}"}) for number in range(5)
    ]

    with pytest.raises(PullStalledError):
        take_all([(0.0, layer("a", 40)), *words], 90.0)


def test_download_is_refused_when_it_has_layers_without_end() -> None:
    lines = [(0.0, layer(str(number), 1)) for number in range(MAX_LAYERS + 1)]

    with pytest.raises(BadResponseError, match="layers"):
        take_all(lines, 90.0)


def test_download_does_not_move_when_bytes_are_lost_and_come_again() -> None:
    with pytest.raises(PullStalledError):
        take_all([(0.0, layer("a", 60)), (60.0, layer("a", 20)), (120.0, layer("a", 60))], 90.0)
