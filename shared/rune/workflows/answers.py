"""How much of an answer is kept: what is kept must fit into one answer of the API, which Lambda bounds at 6 MB."""

import json
from collections.abc import Mapping, Sequence

LONGEST_ANSWER_CHARS = 500_000
"""Of a model's or an agent's answer. Each character may take 7 bytes on its way out, where it is escaped twice."""

MOST_ARTIFACT_BYTES = 500_000
"""Of all artifacts of an agent together, as JSON in ASCII."""

LONGEST_DETAIL_CHARS = 1000
MOST_DETAILS = 50
"""Of what an agent tells besides."""

type Artifact = Mapping[str, str]


def keep_answer(answer: str) -> tuple[str, dict[str, str]]:
    """Return the beginning of an answer, and where it was cut, metadata that tells its whole length."""
    if len(answer) <= LONGEST_ANSWER_CHARS:
        return answer, {}
    return answer[:LONGEST_ANSWER_CHARS], {
        "answer_chars": str(len(answer)),
        "answer_warning": f"The first {LONGEST_ANSWER_CHARS:,} of {len(answer):,} characters are kept.",
    }


def keep_artifacts(artifacts: Sequence[Artifact]) -> tuple[list[Artifact], dict[str, str]]:
    """Return the first artifacts, as many as fit, and metadata that counts those that are left out."""
    kept: list[Artifact] = []
    left_bytes = MOST_ARTIFACT_BYTES
    for artifact in artifacts:
        left_bytes -= len(json.dumps(dict(artifact)))
        if left_bytes < 0:
            break
        kept.append(artifact)
    left_out = len(artifacts) - len(kept)
    if not left_out:
        return kept, {}
    return kept, {
        "artifacts_warning": f"{left_out} of {len(artifacts)} artifacts are too large and left out."
    }


def keep_details(details: Mapping[str, str]) -> dict[str, str]:
    """Return what an agent tells besides, each text cut at its bound."""
    first = list(details.items())[:MOST_DETAILS]
    return {name[:LONGEST_DETAIL_CHARS]: text[:LONGEST_DETAIL_CHARS] for name, text in first}
