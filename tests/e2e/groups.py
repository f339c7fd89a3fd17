"""Which tests share a process, and in which order: the longest begin first."""

from __future__ import annotations

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist has no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER = {"test_limiter": "blocked address", "test_specification_limiter": "blocked address"}
"""Files that share a group; other files are groups of their own, as their tests share what they posted."""

SPREAD = {"test_rental", "test_stack_processes"}
"""Files whose tests share nothing and take long: each is a group of its own."""

FIRST = (
    "test_kept_instance_is_listed_extended_used_and_ended",
    "test_versions",
    "test_settings_change",
    "blocked address",
    "test_machine_is_gone_when_the_job_is_cancelled_while_it_boots",
    "test_what_carries_our_label_without_a_row_is_destroyed_and_nothing_else",
    "test_schedules",
    "test_conformance",
    "test_field_clients",
    "test_specification",
    "test_failing_machine_is_given_back_and_another_one_does_the_work",
    "test_specifications_example_rents_once_and_gives_back_with_a_true_receipt",
)
LAST = (
    # Two hundred jobs: what runs beside them waits.
    "test_many_jobs",
    # They look at jobs that have recovered by then.
    "test_worker_loss_rented",
    "test_worker_loss_measured",
    "test_worker_loss",
)


def group_of(nodeid: str) -> str:
    """Return the name that a test shares with those which must run in the same process."""
    path, _, name = nodeid.partition("::")
    stem = path.rpartition("/")[2].removesuffix(".py")
    return name if stem in SPREAD else TOGETHER.get(stem, stem)


def place_of(nodeid: str) -> int:
    """Return a number that is lower the earlier the test's group is to begin."""
    group = group_of(nodeid)
    if group in FIRST:
        return FIRST.index(group) - len(FIRST)
    return LAST.index(group) + 1 if group in LAST else 0


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # without types it is Any
    """Gives each process a group after the other, in the order of their tests.

    xdist has `--dist loadgroup` for this; its release 3.8.0 does nothing with pytest 9.2, where a test's id cannot
    be changed.
    """

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
