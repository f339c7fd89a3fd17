"""Mutants of schedules: of when they are due, of what posts their jobs, and of their rows."""

from tests.mutants.mutant import AWS, SERVICES, Mutant

SCHEDULES = "shared/rune/schedules/"
OCCURRENCES = SCHEDULES + "occurrences.py"
LIFECYCLE = SCHEDULES + "lifecycle.py"
TICK = SERVICES + "schedule_tick.py"
POSTING = SERVICES + "schedule_jobs.py"
STORE = AWS + "schedule_store.py"

OCCURRENCE_TESTS = ("tests/unit/schedules/test_occurrences.py",)
LIFECYCLE_TESTS = ("tests/unit/schedules/test_lifecycle.py",)
SIMULATION = ("tests/simulation/test_schedules.py",)
STORE_TESTS = ("tests/functional/aws/test_schedule_store.py",)
API_TESTS = ("tests/functional/functions/test_api_schedules.py",)

MUTANTS = (
    Mutant(
        "repeated hour goes back",
        OCCURRENCES,
        "if due_at > instant:",
        "if due_at:",
        "Within a repeated hour the next occurrence would be in the past, and come again and again.",
        OCCURRENCE_TESTS,
    ),
    Mutant(
        "clock that is set is not seen",
        OCCURRENCES,
        "if changed_at is None:",
        "if changed_at is None or changed_at:",
        "Where a clock is set, schedules would be off by an hour.",
        OCCURRENCE_TESTS,
    ),
    Mutant(
        "paused schedule fires",
        LIFECYCLE,
        "if schedule.state is not ScheduleState.ACTIVE or schedule.next_at is None or schedule.next_at > now:",
        "if schedule.next_at is None or schedule.next_at > now:",
        "A row with a state and an occurrence would fire whatever its state is.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "what is too late is made up for",
        LIFECYCLE,
        "if now - schedule.next_at > LONGEST_LATENESS:",
        "if now - schedule.next_at > 99 * LONGEST_LATENESS:",
        "An idempotency key may be forgotten by then, and an occurrence would have a second job.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "failing schedule goes on",
        LIFECYCLE,
        "if schedule.failures >= MOST_FAILURES:",
        "if schedule.failures >= 9 * MOST_FAILURES:",
        "A schedule whose jobs fail would spend for ever.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "run of a paused schedule resumes it",
        LIFECYCLE,
        "is_waited_for = schedule.state is ScheduleState.ACTIVE and schedule.next_at == run.due_at",
        "is_waited_for = True",
        "A pause or a change while a job is being posted would be undone.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "pause that is taken back costs an occurrence",
        LIFECYCLE,
        "next_at = held_at if is_recent else next_after(schedule.timing, now)",
        "next_at = next_after(schedule.timing, now)",
        "What was due before the pause would never be posted.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "run is noted twice",
        LIFECYCLE,
        "    if _is_noted(schedule, run):\n",
        "    if False:\n",
        "Two ticks would tell of one job twice.",
        LIFECYCLE_TESTS,
    ),
    Mutant(
        "job of a schedule has a new key each time",
        POSTING,
        'return f"{schedule.schedule_id}:{to_epoch_ms(due_at)}"',
        'return f"{schedule.schedule_id}:{to_epoch_ms(due_at)}:{id(object())}:{schedule.version}"',
        "A tick that comes twice, or dies, would post a second job.",
        SIMULATION,
    ),
    Mutant(
        "changed request makes a second job",
        POSTING,
        "replace(admitted, sent_json=occasion)",
        "admitted",
        "An occurrence whose job is there would be refused, since the request was changed meanwhile.",
        SIMULATION,
    ),
    Mutant(
        "request is not judged when a schedule is made",
        POSTING,
        "            self._jobs.judge(caller, self._admit(understood, settings))\n",
        "            self._admit(understood, settings)\n",
        "A schedule would be made whose jobs are all refused.",
        API_TESTS,
    ),
    Mutant(
        "running job is cancelled before the next is posted",
        TICK,
        "if known.overlap is Overlap.CANCEL_RUNNING:",
        "if False:",
        "Jobs of a schedule would run beside each other although they should not.",
        SIMULATION,
    ),
    Mutant(
        "job that is no longer kept runs for ever",
        TICK,
        "if job is None and self._is_gone(job_id):",
        "if False:",
        "A schedule would wait for a job that has ended long ago.",
        SIMULATION,
    ),
    Mutant(
        "schedule is written over",
        STORE,
        '(Is("version", before.version),)',
        "()",
        "A tick would undo a pause or a deletion that came meanwhile.",
        STORE_TESTS,
    ),
    Mutant(
        "names are not unique",
        STORE,
        'requires = (Is("schedule_id", None if owner else schedule.schedule_id),)',
        "requires = ()",
        "A POST that is repeated would make a second schedule.",
        STORE_TESTS,
    ),
    Mutant(
        "tenant has any number of schedules",
        STORE,
        'requires=(IsBelow("count", most),)',
        "requires=()",
        "A tenant's rows would grow without a bound.",
        STORE_TESTS,
    ),
)
