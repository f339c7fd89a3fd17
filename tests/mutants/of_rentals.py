"""Mutants of the rules of a rental: proof, reconciliation, its writes, blame."""

from tests.mutants.mutant import RENTALS, TEST_RENTALS, TEST_RENTING, TEST_SERVICES, Mutant

PROOF = RENTALS + "proof.py"
RECONCILIATION = RENTALS + "reconciliation.py"
PUBLIC_EVENTS = RENTALS + "public_events.py"
LIFECYCLE = RENTALS + "lifecycle.py"
BLAME = RENTALS + "blame.py"
CREDIT = RENTALS + "credit.py"
CHARGING = RENTALS + "charges.py"
PACED = RENTALS + "paced_provider.py"

RECONCILIATION_TESTS = (TEST_RENTALS + "test_reconciliation.py",)
BLAME_TESTS = (TEST_RENTALS + "test_blame.py",)
CHARGE_TESTS = (TEST_RENTALS + "test_charges.py",)
CHARGE_READING_TESTS = (TEST_SERVICES + "test_charge_reading.py",)
PACED_TESTS = (TEST_RENTALS + "test_paced_provider.py",)
SWEEP_TESTS = (TEST_SERVICES + "test_orphan_sweep.py",)
CREDIT_TESTS = (TEST_SERVICES + "test_credit_check.py",)
CREDIT_STORE_TESTS = ("tests/functional/aws/test_credit_store.py",)
TABLE_OF_GUARDS = (
    "tests/functional/aws/test_rental_guards.py::test_table_of_guards_names_every_requirement",
)

PROOFS = (
    Mutant(
        "one source proves a machine gone",
        PROOF,
        "return Presence.UNCONFIRMED",
        "return Presence.ABSENT",
        "Listings have come back empty without an error.",
        SWEEP_TESTS,
    ),
    Mutant(
        "listing of another account proves",
        PROOF,
        "rental.account_id is not None and rental.account_id != listing.account_id",
        "False",
        "The key of another account shows nothing of ours.",
        SWEEP_TESTS,
    ),
    Mutant(
        "early listing proves",
        PROOF,
        "if is_of_other_account(rental, listing) or listing.begun_at < earliest_absence_at(rental):",
        "if is_of_other_account(rental, listing):",
        "A fresh machine is shown late.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "absence before an order to destroy proves",
        PROOF,
        "return rental.destroy_asked_at is not None and listing.begun_at >= rental.destroy_asked_at",
        "return True",
        "A machine that two answers lacked would never be destroyed.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "listing before the order to destroy proves",
        PROOF,
        "return rental.destroy_asked_at is not None and listing.begun_at >= rental.destroy_asked_at",
        "return rental.destroy_asked_at is not None",
        "An answer from before the order says nothing of after it.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "lost order is gone at once",
        PROOF,
        "first_look_at = rental.intended_at + RECONCILE_WINDOW",
        "first_look_at = rental.intended_at",
        "A machine of a lost order would bill unseen.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "one listing proves a lost order",
        PROOF,
        "Presence.UNCONFIRMED if rental.missed_at is None else Presence.ABSENT",
        "Presence.ABSENT",
        "A listing that has lost rows, and counts the rest, would have a second machine rented.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "second look at a lost order at once",
        PROOF,
        "first_look_at if rental.missed_at is None else rental.missed_at + SECOND_LOOK",
        "first_look_at",
        "A listing that loses rows does so for a while.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "last sign of the machine does not count",
        PROOF,
        "*(sign for sign in signs if sign is not None)",
        "",
        "A listing from before the machine was seen would prove it gone.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "read with another key confirms",
        PACED,
        "if sight.key_mark != listing.key_mark:",
        "if False:",
        "The key of another account shows nothing of ours.",
        PACED_TESTS,
    ),
    Mutant(
        "machine that a read shows is absent",
        PACED,
        "if sight.instance is not None:",
        "if False:",
        "A machine that the listing lacks would bill unseen.",
        PACED_TESTS,
    ),
)

DECISIONS = (
    Mutant(
        "machine without a row lives",
        RECONCILIATION,
        'return Decision(Action.DESTROY, EndReason.ORPHANED, "no row", is_alarming=True)',
        "return LEAVE",
        "A machine that nothing knows would bill for ever.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "held machine is destroyed at once",
        RECONCILIATION,
        "if now - held_until <= OVERDUE_LIMIT and not is_without_money:",
        "if False:",
        "The janitor would destroy the machine of a running job.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "job without money keeps its machine",
        RECONCILIATION,
        "is_without_money = stopped_by is not None and now >= stopped_by",
        "is_without_money = False",
        "Where its worker is lost, a job would cost more than it may.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "order to destroy is not repeated for a job without money",
        RECONCILIATION,
        "return DESTROY if is_without_money else LEAVE",
        "return LEAVE",
        "A janitor that dies before the order would leave the machine to bill.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "overdue job keeps its machine",
        RECONCILIATION,
        "if now - held_until <= OVERDUE_LIMIT and not is_without_money:",
        "if True:",
        "A job that hangs would bill for ever.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "borrowed machine of an overdue job is destroyed",
        RECONCILIATION,
        "if rental.is_borrowed:\n        return RETURN_TO_TENANT\n    if is_without_money:",
        "if is_without_money:",
        "A machine that a tenant keeps would be destroyed for a job's sake.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "borrowed machine of an ended job is destroyed",
        RECONCILIATION,
        "if rental.is_borrowed:\n        return RETURN_TO_TENANT\n    return Decision(Action.DESTROY, "
        'EndReason.ORPHANED, "its job has ended"',
        'return Decision(Action.DESTROY, EndReason.ORPHANED, "its job has ended"',
        "A machine that a tenant keeps would be destroyed for a job's sake.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "rental without a job has no grace",
        RECONCILIATION,
        "if now - rental.updated_at <= ORPHAN_GRACE:",
        "if False:",
        "A machine that changes hands would be destroyed.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "kept machine never expires",
        RECONCILIATION,
        "if rental.kept_until is None or rental.kept_until <= now:",
        "if rental.kept_until is None:",
        "A kept machine would bill for ever.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "release that hangs is left to its job",
        RECONCILIATION,
        "if now - asked_at <= OVERDUE_LIMIT:",
        "if True:",
        "A machine would bill as long as its job's step fails.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "machine that was taken for gone lives",
        RECONCILIATION,
        'return Decision(Action.DESTROY, EndReason.ORPHANED, "it was taken for gone", is_alarming=True)',
        "return LEAVE",
        "A machine that shows up late would bill for ever.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "old listing revives a machine",
        RECONCILIATION,
        "if listing is None or instance is None or listing.begun_at <= proven_at + CLOCK_SKEW:",
        "if listing is None or instance is None:",
        "A listing from before the end would ring for a machine that is gone.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "gone although alive",
        RECONCILIATION,
        "if not rental.is_alive or not is_proven_gone(rental, listing):",
        "if not rental.is_alive:",
        "A job would end while its machine bills.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "order that is taken is sent each time",
        RECONCILIATION,
        "return rental.destroyed_at is None or now - rental.destroyed_at > DESTROY_AGAIN_AFTER",
        "return True",
        "The rate limit would be used up by repeated orders.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "listed machine is never destroyed again",
        RECONCILIATION,
        "return rental.destroyed_at is None or now - rental.destroyed_at > DESTROY_AGAIN_AFTER",
        "return rental.destroyed_at is None",
        "An order that the provider has lost would let the machine bill for ever.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "unseen machine is never destroyed again",
        RECONCILIATION,
        "asked_at is None or now - asked_at > DESTROY_UNSEEN_AGAIN_AFTER",
        "asked_at is None",
        "An order that the provider has lost would let the machine bill as long as nothing can be listed.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "other machine of the label is not destroyed",
        RECONCILIATION,
        "if instance.contract_id != rental.contract_id:\n        return True",
        "if False:\n        return True",
        "A machine that was made twice would bill.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "refused order with a machine is never made",
        RECONCILIATION,
        "if rental.state is not RentalState.INTENDED or rental.contract_id is not None:",
        "if rental.state is RentalState.RELEASED:",
        "A machine that an order made all the same would bill.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "risen price is not written",
        RECONCILIATION,
        "price is None or price <= rental.prices.micro_usd_per_hour:",
        "True:",
        "The job would be billed less than the provider charges.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "job gives up a machine of its tenant",
        RECONCILIATION,
        "if rental.is_borrowed:\n        return lifecycle.give_back",
        "if False:\n        return lifecycle.give_back",
        "A machine that a tenant keeps would be destroyed for a job's sake.",
        (TEST_RENTING + "test_lost_machine.py",),
    ),
    Mutant(
        "machine of another holder is returned",
        RECONCILIATION,
        "return lifecycle.give_back(rental, now, unfit_for=job_id) if rental.holder == job_id else None",
        "return lifecycle.give_back(rental, now, unfit_for=job_id)",
        "A job would take a machine from another one.",
        RECONCILIATION_TESTS,
    ),
    Mutant(
        "contract of a released rental is forgotten",
        RECONCILIATION,
        "return lifecycle.reopen(rental, contract_id, now)\n    # Of two",
        "return None\n    # Of two",
        "A machine that shows up late would bill for ever.",
        RECONCILIATION_TESTS,
    ),
)

WRITES = (
    Mutant(
        "prove_release without version",
        LIFECYCLE,
        'Is("version", rental.version),\n        ),\n        sets=sets,',
        "),\n        sets=sets,",
        "A rental would end although its contract was just learned.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "note_contract of a second machine",
        LIFECYCLE,
        'requires=(Is("contract_id", None), Is("version", rental.version))',
        'requires=(Is("version", rental.version),)',
        "The row would forget the first machine.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "note_running for another holder",
        LIFECYCLE,
        'requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),\n'
        '        sets={"state": RentalState.RUNNING',
        'requires=(IsOneOf("state", _HELD), Is("version", rental.version)),\n'
        '        sets={"state": RentalState.RUNNING',
        "A job would use a machine that another has.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "note_running of a machine that is given up",
        LIFECYCLE,
        'requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),\n'
        '        sets={"state": RentalState.RUNNING',
        'requires=(Is("holder", rental.holder), Is("version", rental.version)),\n'
        '        sets={"state": RentalState.RUNNING',
        "A machine that is being destroyed would count as running.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "take_kept by two jobs",
        LIFECYCLE,
        'requires=(Is("state", RentalState.KEPT), Is("version", rental.version)),\n        sets={\n',
        'requires=(Is("state", RentalState.KEPT),),\n        sets={\n',
        "Two jobs would use one machine.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "keep beyond the ceiling",
        LIFECYCLE,
        '"kept_until": min(until, ceiling_at)',
        '"kept_until": until',
        "A machine would be kept beyond the time that was paid for.",
        (TEST_RENTALS + "test_record.py", TEST_RENTING + "test_release.py", *TABLE_OF_GUARDS),
    ),
    Mutant(
        "keep by another job",
        LIFECYCLE,
        '            Is("holder", rental.holder),\n            Is("version", rental.version),\n        ),\n'
        '        sets={\n            "state": RentalState.KEPT,\n            "kept_until"',
        '            Is("version", rental.version),\n        ),\n'
        '        sets={\n            "state": RentalState.KEPT,\n            "kept_until"',
        "A job would give away a machine that another one uses.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "give_back by another job",
        LIFECYCLE,
        '            Is("holder", rental.holder),\n            Is("version", rental.version),\n        ),\n'
        '        sets={\n            "state": RentalState.KEPT,\n            "holder"',
        '            Is("version", rental.version),\n        ),\n'
        '        sets={\n            "state": RentalState.KEPT,\n            "holder"',
        "A job would give away a machine that another one uses.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "event of a keep without its number",
        LIFECYCLE,
        '            Is("version", rental.version),\n        ),\n'
        '        sets={\n            "state": RentalState.KEPT,\n            "kept_until"',
        '        ),\n        sets={\n            "state": RentalState.KEPT,\n            "kept_until"',
        "Two events of one rental would have one number, and the second take the place of the first.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "gone is not told",
        PUBLIC_EVENTS,
        ', RentalState.RELEASED: "gone"}',
        "}",
        "Nobody would hear of the final bill.",
        (TEST_RENTALS + "test_public_events.py",),
    ),
    Mutant(
        "order without a machine is told of",
        PUBLIC_EVENTS,
        "or after.contract_id is None or",
        "or",
        "A rental would be gone that was never rented.",
        (TEST_RENTALS + "test_public_events.py",),
    ),
    Mutant(
        "download is counted twice",
        LIFECYCLE,
        "# The version keeps one download from being counted twice.\n"
        '        requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), '
        'Is("version", rental.version)),',
        'requires=(IsOneOf("state", _HELD), Is("holder", rental.holder)),',
        "A tenant would pay twice for one download.",
        TABLE_OF_GUARDS,
    ),
    Mutant(
        "reopened rental is not due",
        LIFECYCLE,
        '"due_at": now,\n            "released_at": None,',
        '"released_at": None,',
        "The janitor would not see a machine that shows up late.",
        (*RECONCILIATION_TESTS, *SWEEP_TESTS),
    ),
    Mutant(
        "bill ends with the listing's begin",
        LIFECYCLE,
        "ended_at = rental.absent_at or max(gone_at, now)",
        "ended_at = gone_at",
        "The bill would be lower than what the provider charges.",
        RECONCILIATION_TESTS,
    ),
)

BLAMES = (
    Mutant(
        "failure that no machine mends rents again",
        BLAME,
        "ModelNotFoundError: Blame.REQUEST,",
        "ModelNotFoundError: Blame.MACHINE,",
        "Three machines would be paid for a model that does not exist.",
        (TEST_RENTING + "test_pull.py",),
    ),
    Mutant(
        "busy provider costs an offer",
        BLAME,
        "ProviderBusyError: Blame.PROVIDER,",
        "ProviderBusyError: Blame.REQUEST,",
        "A rate limit would fail the job.",
        (*BLAME_TESTS, TEST_RENTING + "test_rent_refused.py"),
    ),
    Mutant(
        "offer that is gone fails the job",
        BLAME,
        "OfferGoneError: Blame.OFFER,",
        "OfferGoneError: Blame.REQUEST,",
        "A job would fail for an offer that another has taken.",
        (*BLAME_TESTS, TEST_RENTING + "test_rent_refused.py"),
    ),
    Mutant(
        "wrong image rents again",
        BLAME,
        "is_image = has_run_own_image or _IMAGE_IS_WRONG.search(status_text) is not None",
        "is_image = False",
        "Three machines would be paid for an image that does not exist.",
        BLAME_TESTS,
    ),
    Mutant(
        "full kept machine fails the job",
        BLAME,
        "if is_only_here and isinstance(error, _OF_THIS_MACHINE_ALONE):",
        "if False:",
        "A job would fail for what other jobs have left on a machine.",
        BLAME_TESTS,
    ),
    Mutant(
        "same failure rents again",
        BLAME,
        "return any((rental.end_reason, rental.end_detail) == told for rental in attempts)",
        "return False",
        "A third machine would be paid for the same failure.",
        BLAME_TESTS,
    ),
)

CREDITS = (
    Mutant(
        "credit corrected at once",
        CREDIT,
        "return None if now - credit.doubted_at < DOUBT else correct(",
        "return correct(",
        "The index may not show a rental that has just reserved.",
        CREDIT_TESTS,
    ),
    Mutant(
        "old doubt of another amount",
        CREDIT,
        "credit.doubted_at is None or credit.doubted_micro_usd != credit.reserved_micro_usd",
        "credit.doubted_at is None",
        "A rental that an earlier version has opened would lose its reservation.",
        CREDIT_TESTS,
    ),
    Mutant(
        "doubt stays",
        CREDIT,
        "return None if credit.doubted_at is None else trust(credit, now)",
        "return None",
        "A lag of seconds would be corrected, days after another one.",
        CREDIT_TESTS,
    ),
    Mutant(
        "reservation leaves the doubt",
        "shared/rune/aws/credit_store.py",
        " REMOVE #doubted",
        "",
        "A rental that is opened while the living are counted would lose its reservation.",
        CREDIT_STORE_TESTS,
    ),
)

CHARGES = (
    Mutant(
        "row on two pages counts twice",
        CHARGING,
        "if key not in found or found[key].micro_usd < charge.micro_usd:\n            found[key] = charge",
        "found[key] = found.get(key, Charge()).plus(charge)",
        "A receipt would say more than was charged.",
        CHARGE_TESTS,
    ),
    Mutant(
        "contract with an unreadable row counts",
        CHARGING,
        "if contract_id not in unreadable:",
        "if True:",
        "A receipt would say less than was charged.",
        CHARGE_TESTS,
    ),
    Mutant(
        "one reading of charges is enough",
        CHARGING,
        "is_settled = known is not None and known.micro_usd == charge.micro_usd and last_day >= ended_on",
        "is_settled = True",
        "What is charged late would be left out.",
        CHARGE_TESTS,
    ),
    Mutant(
        "charges without the last day are settled",
        CHARGING,
        " and last_day >= ended_on",
        "",
        "Traffic is charged with the last day.",
        CHARGE_TESTS,
    ),
    Mutant(
        "charge is booked as a whole",
        RENTALS + "settlement.py",
        "spent_micro_usd = after.over_micro_usd - rental.over_micro_usd",
        "spent_micro_usd = after.over_micro_usd",
        "What was charged beyond the record would be booked with each reading.",
        CHARGE_READING_TESTS,
    ),
    Mutant(
        "receipt of charges after the rental",
        "shared/rune/services/charge_reading.py",
        "if change is not None and self._jobs.write_rows([RowChange(ReceiptRow(rental.job_id), change)]):",
        "if change is None:",
        "A receipt would never say what was charged.",
        CHARGE_READING_TESTS,
    ),
    Mutant(
        "charge of a kept machine is on a receipt",
        "shared/rune/services/charge_reading.py",
        "elif rental.kept_until is None:",
        "else:",
        "One job would be told what others have used.",
        CHARGE_READING_TESTS,
    ),
)

MUTANTS = (*PROOFS, *DECISIONS, *WRITES, *BLAMES, *CREDITS, *CHARGES)
