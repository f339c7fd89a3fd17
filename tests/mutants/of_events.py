"""Mutants of publishing: of the outbox, of notices, and of what sends them."""

from tests.mutants.mutant import AWS, JOBS, SERVICES, TEST_JOBS, TEST_SERVICES, Mutant

OUTBOX = "shared/rune/events/outbox.py"
PUBLISHING = SERVICES + "publishing.py"
NOTICES = SERVICES + "notices.py"
TELLING = JOBS + "telling.py"
CLOSING = JOBS + "closing.py"
BUS = AWS + "event_bus.py"

PUBLISHING_TESTS = (TEST_SERVICES + "test_publishing.py",)
NOTICE_TESTS = (TEST_SERVICES + "test_notices.py",)
TELLING_TESTS = (TEST_JOBS + "test_telling.py",)
BUS_TESTS = ("tests/functional/aws/test_event_bus.py",)

MUTANTS = (
    Mutant(
        "pointers are written over a later row",
        OUTBOX,
        'requires=(IsBelow("version", state.version + 1),),',
        "requires=(),",
        "Events that were written after the row was read would be taken for published.",
        PUBLISHING_TESTS,
    ),
    Mutant(
        "sink that failed is not tried again",
        PUBLISHING,
        "has_failed = any(pointer < found.last for pointer in pointers.values())",
        "has_failed = False",
        "What a sink did not take would be lost.",
        PUBLISHING_TESTS,
    ),
    Mutant(
        "new sink begins with the first event",
        OUTBOX,
        "state.pointers.get(sink, min(state.pointers.values(), default=0))",
        "state.pointers.get(sink, 0)",
        "A way out that is turned on would be told weeks of old events.",
        PUBLISHING_TESTS,
    ),
    Mutant(
        "sink gets again what it has",
        PUBLISHING,
        "if event.sequence > pointer]",
        "]",
        "One sink that is down would repeat all events of the others.",
        PUBLISHING_TESTS,
    ),
    Mutant(
        "two janitors send one notice",
        OUTBOX,
        'requires=(Is("due_at", state.due_at),),',
        "requires=(),",
        "Ticks that overlap would send each notice twice.",
        ("tests/functional/aws/test_outbox.py::test_only_one_of_two_janitors_sends_a_due_notice_again",),
    ),
    Mutant(
        "index alone says what must be published",
        NOTICES,
        "if state.due_at is None or state.due_at > now:",
        "if False:",
        "The index lags: what was just published would be sent again.",
        NOTICE_TESTS,
    ),
    Mutant(
        "end of a job makes nothing due",
        CLOSING,
        "companions.append(_fall_due(job, now))",
        "pass",
        "Where the notice is lost, the end would be told nobody.",
        TELLING_TESTS,
    ),
    Mutant(
        "repeated request is told again",
        TELLING,
        "if isinstance(submitted, Submitted) and not submitted.is_replay:",
        "if isinstance(submitted, Submitted):",
        "Each repetition would cost a notice.",
        TELLING_TESTS,
    ),
    Mutant(
        "turn of waiting is told",
        TELLING,
        "if is_written and transition.events:",
        "if is_written:",
        "Each look at a machine that boots would cost a notice.",
        TELLING_TESTS,
    ),
    Mutant(
        "refused commit is told",
        TELLING,
        "if is_written and transition.events:",
        "if transition.events:",
        "A worker that lost its lease would tell of nothing.",
        TELLING_TESTS,
    ),
    Mutant(
        "failed entry counts as taken",
        BUS,
        'if failed or answer.get("FailedEntryCount") or len(entries) < len(events):',
        "if len(entries) < len(events):",
        "PutEvents succeeds although entries failed: they would be lost.",
        BUS_TESTS,
    ),
)
