"""Where the files of a job's result are in the bucket."""

import re

_NAME = re.compile(r"transcript-[0-9]{1,9}\.jsonl")


def artifact_key(job_id: str, name: str) -> str:
    """Return the key of a file."""
    return f"results/{job_id}/artifacts/{name}"


def is_artifact_name(name: str) -> bool:
    """Return whether a name in a result is one that a step gives; agents' own artifacts have other members."""
    return _NAME.fullmatch(name) is not None
