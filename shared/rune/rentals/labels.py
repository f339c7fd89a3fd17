"""The labels of our machines at the provider: the only sign by which RUNE recognizes them."""

import re
from dataclasses import dataclass

from rune.rentals.record import make_rental_id

_LABEL = re.compile(
    r"rune-(?P<stage>.+?)(?:-(?P<deployment_id>[0-9a-f]{10}))?-(?P<job_id>[0-9a-f]{32})-(?P<attempt>[0-9]{1,4})"
)


@dataclass(frozen=True, slots=True)
class LabelParts:
    """The parts of a label.

    Attributes
    ----------
    stage
        For people; the id alone tells two deployments apart.
    deployment_id
        None for a label of an earlier version, which had none.
    """

    stage: str
    deployment_id: str | None
    job_id: str
    attempt: int

    @property
    def rental_id(self) -> str:
        """The id of the rental that carries the label."""
        return make_rental_id(self.job_id, self.attempt)


def make_label(stage: str, deployment_id: str, job_id: str, attempt: int) -> str:
    """Return the label of a job's attempt; `parse_label` reads it back."""
    return f"rune-{stage}-{deployment_id}-{job_id}-{attempt}"


def parse_label(label: str | None) -> LabelParts | None:
    """Return the parts of a label that RUNE made; None for any other label."""
    match = _LABEL.fullmatch(label or "")
    if match is None:
        return None
    return LabelParts(match["stage"], match["deployment_id"], match["job_id"], int(match["attempt"]))
