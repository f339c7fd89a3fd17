from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from local.simulators.a2a import A2aFault
from local.simulators.bedrock import BedrockFault
from local.simulators.driver import DriverFault
from local.simulators.faults import Fault, FaultKind, FaultQueue
from local.simulators.holmes import HolmesFault
from local.simulators.ollama import OllamaFault
from local.simulators.request_log import RequestLog, RequestRecord
from local.simulators.vastai import VastaiFault

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
EVERY_KIND: dict[type[Fault], set[str]] = {
    OllamaFault: {
        *("refused", "not_json", "disconnected", "hang", "stream_error", "truncated", "slow"),
        *("out_of_memory", "overloaded", "no_final_newline"),
    },
    BedrockFault: {
        *("refused", "not_json", "disconnected", "hang", "stream_error", "truncated", "slow"),
        *("stopped", "corrupt"),
    },
    HolmesFault: {
        *("refused", "not_json", "disconnected", "hang", "stream_error", "truncated", "slow"),
        *("no_analysis", "huge"),
    },
    DriverFault: {
        *("refused", "not_json", "disconnected", "hang"),
        *("lost_submit", "no_job_id", "action_fails", "no_answer"),
    },
    A2aFault: {
        *("refused", "not_json", "disconnected", "hang"),
        *("lost_submit", "forgets", "rpc_error"),
    },
}


def test_queue_takes_the_first_fault_that_is_due_and_counts_only_what_it_concerns() -> None:
    late = Fault(kind=FaultKind.HANG, after_requests=1, times=2)
    other = Fault(kind=FaultKind.REFUSED, times=None)
    queue = FaultQueue([late, other])

    taken = [queue.take(lambda fault: fault is late) for _ in range(4)]

    assert taken == [None, late, late, None]
    assert queue.pending() == (other,)
    assert [queue.take(lambda _: True) for _ in range(2)] == [other, other]


@pytest.mark.parametrize("fault_type", EVERY_KIND)
def test_simulator_accepts_the_kinds_that_it_can_carry_out(fault_type: type[Fault]) -> None:
    adapter: TypeAdapter[Fault] = TypeAdapter(fault_type)
    known = set.union(*EVERY_KIND.values())

    accepted = set()
    for kind in known:
        try:
            accepted.add(str(adapter.validate_python({"kind": kind}).kind))
        except ValidationError:
            continue

    assert accepted == EVERY_KIND[fault_type]


@pytest.mark.parametrize("fault_type", [*EVERY_KIND, VastaiFault])
def test_misspelt_field_of_a_fault_is_refused(fault_type: type[Fault]) -> None:
    adapter: TypeAdapter[Fault] = TypeAdapter(fault_type)

    with pytest.raises(ValidationError, match="after_request"):
        adapter.validate_python({"kind": "hang", "after_request": 1})


def test_log_numbers_its_records_and_selects_by_every_given_attribute() -> None:
    log = RequestLog(RequestRecord)
    first, second = log.open("GET", "/a", NOW), log.open("POST", "/a", NOW)
    log.open("POST", "/b", NOW)

    assert [record.number for record in log.records] == [1, 2, 3]
    assert log.select(path="/a") == [first, second]
    assert log.select(path="/a", method="POST") == [second]
