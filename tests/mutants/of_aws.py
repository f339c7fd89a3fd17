"""Mutants of the stores: conditions, consistent reads, repeated writes."""

from tests.mutants.mutant import AWS, TEST_AWS, Mutant

STORE = AWS + "job_store.py"
JOB_ROWS = AWS + "job_rows.py"
TABLE = AWS + "dynamodb_table.py"
ROWS = AWS + "dynamodb_rows.py"
RENTAL_STORE = AWS + "rental_store.py"
ERRORS = AWS + "errors.py"

IN_MOTO = "tests/functional/aws/"
UPDATES = (IN_MOTO + "test_job_guards.py::test_update_refuses_when_one_requirement_fails",)
COMMITS = (IN_MOTO + "test_job_guards.py::test_commit_refuses_everything_when_one_requirement_fails",)
PLACES_KEPT_OUT = (IN_MOTO + "test_places.py::test_place_is_left_as_it_is_when_one_requirement_fails",)


def _tests(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{IN_MOTO}test_{file}.py::test_{name}" for name in names)


ROW_TESTS = (TEST_AWS + "test_dynamodb_rows.py",)
ERROR_TESTS = (TEST_AWS + "test_errors.py",)

MARKET_STORE = AWS + "market_store.py"
MARKET_TESTS = (IN_MOTO + "test_market_store.py",)

MUTANTS = (
    Mutant(
        "older search replaces the market",
        MARKET_STORE,
        "(#as_of < :as_of AND (",
        "(attribute_exists(#as_of) AND (",
        "A worker that paused would put old offers in place of new ones.",
        MARKET_TESTS,
    ),
    Mutant(
        "narrow search replaces the market for ever less",
        MARKET_STORE,
        "#as_of < :old OR (",
        "(#as_of < :old AND #as_of > :old) OR (",
        "Narrow searches alone would never renew a row.",
        MARKET_TESTS,
    ),
    Mutant(
        "search for cheap machines replaces the market",
        MARKET_STORE,
        "#max_micro_usd_per_hour <= :max_micro_usd_per_hour AND ",
        "",
        "What dearer machines cost would be forgotten.",
        MARKET_TESTS,
    ),
    Mutant(
        "search for sure machines replaces the market",
        MARKET_STORE,
        "#reliability_ppm >= :reliability_ppm",
        "attribute_exists(#as_of)",
        "What less sure machines cost would be forgotten.",
        MARKET_TESTS,
    ),
    Mutant(
        "search for long use replaces the market",
        MARKET_STORE,
        '" AND #time_needed_seconds >= :time_needed_seconds)))"',
        '")))"',
        "Machines with little time left would be forgotten.",
        MARKET_TESTS,
    ),
    Mutant(
        "update drops its condition",
        TABLE,
        "ConditionExpression=expression.condition,",
        'ConditionExpression="attribute_exists(pk)",',
        "No guard of a single write would hold.",
        UPDATES,
    ),
    Mutant(
        "transaction drops its conditions",
        TABLE,
        'write["Update"]["ConditionExpression"] = expression.condition',
        "pass",
        "No guard of a commit would hold.",
        COMMITS,
    ),
    Mutant(
        "put drops its condition",
        TABLE,
        "if condition is None:",
        "if True:",
        "A job would be overwritten by another with its id.",
        _tests("job_guards", "submit_refuses_when_the_id_is_taken"),
    ),
    Mutant(
        "read is not consistent",
        TABLE,
        "keys: Sequence[Item], *, is_consistent: bool = True",
        "keys: Sequence[Item], *, is_consistent: bool = False",
        "A worker would decide by an old row.",
        _tests("job_store", "read_is_one_consistent_call"),
    ),
    Mutant(
        "query is not consistent",
        TABLE,
        '"ConsistentRead": is_consistent,\n            "KeyConditionExpression": "pk',
        '"ConsistentRead": False,\n            "KeyConditionExpression": "pk',
        "A job's rentals and the places would be read as they were.",
        _tests("places", "places_are_read_consistently_in_one_call"),
    ),
    Mutant(
        "rest of a batch is not read",
        TABLE,
        'wanted = [*unread[self.name]["Keys"]] if self.name in unread else []',
        "wanted = []",
        "A job that exists would be taken for gone.",
        _tests("job_store_lists", "read_many_asks_again_for_what_was_left"),
    ),
    Mutant(
        "query ends after a page",
        TABLE,
        'if "LastEvaluatedKey" not in page:',
        "if True:",
        "Rentals beyond a page would not be seen.",
        _tests("job_store", "read_events_reads_on_when_there_are_several_pages"),
    ),
    Mutant(
        "commit without a token",
        STORE,
        "self._table.transact(all_writes, token=token)",
        "self._table.transact(all_writes)",
        "A repeated commit would take effect twice.",
        _tests("job_store", "commit_that_is_repeated_after_an_outage_is_the_same_transaction"),
    ),
    Mutant(
        "new token for each try",
        TABLE,
        "ClientRequestToken=token)",
        "ClientRequestToken=str(uuid.uuid4()))",
        "A transaction whose answer was lost would be refused by its own effect.",
        _tests("job_store", "commit_tries_again_as_the_same_transaction_when_another_write_is_in_the_way"),
    ),
    Mutant(
        "conflict of a transaction is final",
        TABLE,
        "if not is_transient(error):\n                        raise",
        "if True:\n                        raise",
        "A commit beside another write of the row would be given up.",
        _tests("job_store", "commit_tries_again_as_the_same_transaction_when_another_write_is_in_the_way"),
    ),
    Mutant(
        "conflict of an update is final",
        TABLE,
        'if code_of(error) != "TransactionConflictException":',
        "if True:",
        "A claim or a renewal beside a transaction would be given up.",
        _tests("job_store", "update_is_tried_again_when_a_transaction_is_at_work_on_the_row"),
    ),
    Mutant(
        "failed condition is repeated",
        TABLE,
        "if failed:\n                        raise ConditionFailedError(failed) from None",
        "if False:\n                        raise ConditionFailedError(failed) from None",
        "A loser would be told that the store is away.",
        _tests("job_store", "commit_is_refused_when_the_condition_failed_beside_a_conflict"),
    ),
    Mutant(
        "equals is not compared",
        ROWS,
        'return f"{name} = {words.value(requirement.field, value)}"',
        'return f"{name} <> {words.value(requirement.field, value)}"',
        "The claim of a stale message would hold.",
        UPDATES,
    ),
    Mutant(
        "absent is not compared",
        ROWS,
        'case Is(value=None):\n            return f"attribute_not_exists({name})"',
        'case Is(value=None):\n            return f"(attribute_not_exists({name}) OR attribute_exists({name}))"',
        "A waiting job would be claimed.",
        UPDATES,
    ),
    Mutant(
        "limit is included",
        ROWS,
        'lower = f"{name} < {words.value(requirement.field, limit)}"',
        'lower = f"{name} <= {words.value(requirement.field, limit)}"',
        "A tenant would run one more than it may.",
        PLACES_KEPT_OUT,
    ),
    Mutant(
        "conditions are alternatives",
        ROWS,
        'condition = " AND ".join(',
        'condition = " OR ".join(',
        "One condition of many would do.",
        UPDATES,
    ),
    Mutant(
        "ended job stays in the index",
        ROWS,
        'removed.append("due_bucket")',
        "pass",
        "The janitor would look at ended jobs each minute.",
        ROW_TESTS,
    ),
    Mutant(
        "later format is read",
        ROWS,
        'if "format" in row and int(row["format"]["N"]) > FORMAT:',
        "if False:",
        "A row of a later version would be misread.",
        _tests("other_versions", "row_in_a_later_format_is_not_understood"),
    ),
    Mutant(
        "other request has the same key",
        STORE,
        "if not submission.idempotency_key.is_of_same_request(found",
        "if False and not submission.idempotency_key.is_of_same_request(found",
        "A new request would get an old job's answer.",
        _tests("job_store_submit", "key_refuses_another_request_and_writes_nothing"),
    ),
    Mutant(
        "idempotency key without a condition",
        JOB_ROWS,
        '"attribute_not_exists(pk) OR expires_at < :now"',
        '"attribute_not_exists(pk) OR expires_at > :now"',
        "A repeated request would make a second job.",
        _tests("job_store_submit", "key_stands_for_the_first_job", "key_is_taken_anew_when_it_has_run_out"),
    ),
    Mutant(
        "results of two workers share a name",
        STORE,
        'name = f"results/{job.job_id}/{job.epoch}.json"',
        'name = f"results/{job.job_id}/1.json"',
        "A worker that was overtaken would overwrite the result.",
        _tests("job_store", "large_result_stays_the_winners_when_a_zombie_commits_later"),
    ),
    Mutant(
        "bad row fails a batch",
        STORE,
        'log.warning("row.unreadable", exc_info=True, extra={"job_id": job_rows.job_id_of(row)})\n'
        "        return None\n\n\ndef _understood_event",
        "raise\n\n\ndef _understood_event",
        "One row that is not understood would stop the tick.",
        _tests("job_store_lists", "read_many_leaves_out_and_names_what_it_does_not_understand"),
    ),
    Mutant(
        "gap in a history is left",
        STORE,
        "if not _is_whole(rows, after):",
        "if not rows:",
        "Who goes on after the last event would miss one of a commit that was being written.",
        _tests("job_store", "read_events_leaves_out_none_of_a_commit_that_is_being_written"),
    ),
    Mutant(
        "rental is opened twice",
        RENTAL_STORE,
        'self._table.put(row, condition="attribute_not_exists(pk)")',
        "self._table.put(row)",
        "Two workers would order two machines for one attempt.",
        _tests("rental_store", "second_open_of_an_attempt_writes_nothing"),
    ),
    Mutant(
        "machine of a turn that is over",
        RENTAL_STORE,
        '"epoch = :epoch AND seq = :seq"',
        '"epoch = :epoch OR seq = :seq"',
        "A worker that stood still would order a machine for a job that has ended.",
        _tests("rental_store", "open_writes_nothing_when_the_job_has_gone_on_without_its_worker"),
    ),
    Mutant(
        "reservation without a limit",
        AWS + "credit_store.py",
        "if credit_micro_usd is not None:",
        "if False:",
        "Two jobs at once would rent on the same dollar.",
        _tests("rental_store", "open_writes_nothing_when_too_much_of_the_credit_is_reserved"),
    ),
    Mutant(
        "reservation is never given back",
        RENTAL_STORE,
        "*([reserve(self._table, reserved)] if reserved else []),",
        "",
        "After some jobs no credit would be left for others.",
        _tests("rental_store", "open_reserves_what_the_rental_may_cost_until_it_is_proven_gone"),
    ),
    Mutant(
        "intent is not in the index",
        RENTAL_STORE,
        '            "due_bucket": {"S": ALIVE_BUCKET},\n',
        "",
        "The janitor would never look for the machine of a lost order.",
        _tests("rental_store", "everything_alive_is_found_oldest_first_up_to_a_limit"),
    ),
    Mutant(
        "job's own unreadable rental is left out",
        RENTAL_STORE,
        "if needed_by is not None and (",
        "if False and (",
        "A job would rent a second machine beside one that it cannot read.",
        _tests("rental_store", "row_that_is_not_understood_is_not_left_out_for_the_job_that_needs_it"),
    ),
    Mutant(
        "rental's event is not written",
        RENTAL_STORE,
        "                    *events,\n",
        "",
        "Nobody would hear of a machine that is rented, or gone.",
        _tests("rental_guards", "update_leaves_the_event_that_the_change_has"),
    ),
    Mutant(
        "machine is told of again",
        RENTAL_STORE,
        'told["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"',
        'told["Put"].pop("ConditionExpression", None)',
        "One machine would be told of at each tick.",
        _tests("rental_store", "machine_is_told_of_once"),
    ),
    Mutant(
        "throttled transaction is final",
        ERRORS,
        "return bool(codes) and codes <= TRANSIENT_CODES",
        "return False",
        "What was measured would be thrown away.",
        ERROR_TESTS,
    ),
    Mutant(
        "mixed reasons are transient",
        ERRORS,
        "return bool(codes) and codes <= TRANSIENT_CODES",
        "return bool(codes & TRANSIENT_CODES)",
        "A write that can never succeed would be repeated.",
        ERROR_TESTS,
    ),
    Mutant(
        "throttling is final",
        ERRORS,
        '        "ThrottlingException",\n',
        "",
        "What was measured would be thrown away.",
        ERROR_TESTS,
    ),
    Mutant(
        "server error is final",
        ERRORS,
        "code_of(error) in TRANSIENT_CODES or status >= _FIRST_SERVER_STATUS",
        "code_of(error) in TRANSIENT_CODES",
        "A short outage would end a job.",
        ERROR_TESTS,
    ),
    Mutant(
        "lost connection is final",
        ERRORS,
        "return isinstance(error, (HTTPClientError, IncompleteReadError, NoConnectionError))",
        "return False",
        "A short outage would end a job.",
        ERROR_TESTS,
    ),
)
