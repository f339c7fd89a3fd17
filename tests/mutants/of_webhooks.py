"""Mutants of webhooks: of claiming and leaving an endpoint, of what an attempt makes of it, and of signing."""

from tests.mutants.mutant import AWS, SERVICES, TEST_SERVICES, Mutant

WEBHOOKS = "shared/rune/webhooks/"
LIFECYCLE = WEBHOOKS + "lifecycle.py"
ATTEMPTS = WEBHOOKS + "attempts.py"
NET = "shared/rune/net/"

STORE_TESTS = ("tests/functional/aws/test_webhook_store.py",)
DAYS_TESTS = ("tests/simulation/test_webhooks.py",)
DECISION_TESTS = ("tests/unit/webhooks/test_decisions.py",)
SIGNING_TESTS = ("tests/unit/webhooks/test_signing.py",)
DELIVERY_TESTS = (TEST_SERVICES + "test_webhook_delivery.py",)
RECEIVER_TESTS = ("tests/unit/net/test_receivers.py",)

MUTANTS = (
    Mutant(
        "webhook that another worker has is claimed",
        LIFECYCLE,
        '            IsAbsentOrBefore("lease_until", now + _INSTANT),\n',
        "",
        "Two workers would post to one receiver at the same time.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook is left with new deliveries unseen",
        LIFECYCLE,
        '            Is("last_position", endpoint.last_position),\n            Is("retrying_count"',
        '            Is("retrying_count"',
        "What was added while the worker left would wait for the next event.",
        DAYS_TESTS,
    ),
    Mutant(
        "webhook is written by a worker that was overtaken",
        ATTEMPTS,
        'requires: tuple[Is, ...] = (Is("epoch", endpoint.epoch),)',
        "requires: tuple[Is, ...] = ()",
        "A frozen worker would move the queue on over deliveries that it has not made.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook delivery is concluded twice",
        ATTEMPTS,
        '        requires=(Is("version", delivery.version),),\n        sets={\n            "state": state,',
        '        requires=(),\n        sets={\n            "state": state,',
        "An attempt would be counted for a delivery that is over.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook deliveries are added where the worker may be leaving",
        LIFECYCLE,
        '            Is("due_at", endpoint.due_at),\n        ),\n        sets=look_soon',
        "        ),\n        sets=look_soon",
        "Nobody would look at what was added just as the worker left.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook receiver is asked while it is left alone",
        LIFECYCLE,
        '            IsAbsentOrBefore("not_before", now + _INSTANT),\n',
        "",
        "A receiver that asked to wait would be asked again.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook receiver that fails is not left alone",
        ATTEMPTS,
        "goes_on=not is_left_alone and disabled is None,",
        "goes_on=True,",
        "A receiver that hangs would be waited for once for each event.",
        DECISION_TESTS,
    ),
    Mutant(
        "webhook retry sooner than was asked",
        WEBHOOKS + "schedule.py",
        "return max(DELAYS[tries_made], asked)",
        "return DELAYS[tries_made]",
        "Retry-After would not count.",
        DECISION_TESTS,
    ),
    Mutant(
        "webhook that a caller removed is disabled",
        ATTEMPTS,
        "    if endpoint.status is not EndpointStatus.ENABLED:\n"
        "        # A caller has disabled or removed it meanwhile.\n        return None\n",
        "",
        "A removed webhook would come back as a disabled one.",
        DECISION_TESTS,
    ),
    Mutant(
        "webhook is signed with the new secret alone",
        LIFECYCLE,
        "if each.valid_until is None or each.valid_until > now)",
        "if each.valid_until is None)",
        "Receivers that have the old secret would refuse everything after a rotation.",
        SIGNING_TESTS,
    ),
    Mutant(
        "webhook event comes again after a second publication",
        AWS + "webhook_store.py",
        "self._table.put(_marker(each), _IS_NEW)",
        "self._table.put(_marker(each))",
        "A publisher that dies and begins again would deliver everything twice.",
        STORE_TESTS,
    ),
    Mutant(
        "webhook receivers wait for each other",
        SERVICES + "webhook_delivery.py",
        "made = await asyncio.gather(*(self._deliver_alone(key, may_go_on, lane) for key in wanted))",
        "made = [await self._deliver_alone(key, may_go_on, lane) for key in wanted]",
        "One receiver that hangs would delay the others of its batch.",
        DELIVERY_TESTS,
    ),
    Mutant(
        "webhook receivers that may hang take every invocation",
        LIFECYCLE,
        "return endpoint.last_succeeded_at is not None and endpoint.failures_in_row == 0",
        "return True",
        "Receivers that hang would hold up the bus and all other receivers.",
        DELIVERY_TESTS,
    ),
    Mutant(
        "webhook without TLS goes anywhere",
        NET + "addresses.py",
        'return replace(policy, allows_public=False) if scheme == "http" else policy',
        "return policy",
        "Events would cross the internet in the open.",
        RECEIVER_TESTS,
    ),
)
