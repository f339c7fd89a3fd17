"""What must hold for the ways in: each with a queue, a failure queue, an alarm, and senders of its own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rune.events.catalog import REQUESTED
from rune.services.intake import patience
from rune.services.intake.drops import INBOX
from tests.template import load_template

type Block = dict[str, Any]

TEMPLATE = load_template()
RESOURCES: dict[str, Block] = TEMPLATE["Resources"]
NO_VALUE = {"Ref": "AWS::NoValue"}
PARAMETERS = {
    "HasDrop": "S3Drop",
    "HasBusIntake": "BusIntake",
    "HasQueueIntake": "QueueIntake",
    "HasTopicIntake": "TopicIntake",
    "HasWorkflowIntake": "WorkflowIntake",
    "HasInvokeIntake": "InvokeIntake",
}
WAYS = {
    "drop": ("Drop", "HasDrop"),
    "bus": ("Bus", "HasBusIntake"),
    "queue": ("Intake", "HasQueueIntake"),
    "topic": ("Topic", "HasTopicIntake"),
    "workflow": ("Workflow", "HasWorkflowIntake"),
}
ALL_WAYS = {**WAYS, "invoke": ("Invoke", "HasInvokeIntake")}
SOURCES = {"drop": "DropSource", "bus": "BusSource", "queue": "QueueSource", "topic": "TopicSource"} | {
    "workflow": "WorkflowSource"
}
SENDERS = {
    "drop": ("events.amazonaws.com", {"Fn::GetAtt": "DropRule.Arn"}),
    "bus": ("events.amazonaws.com", {"Fn::GetAtt": "BusRule.Arn"}),
    "topic": ("sns.amazonaws.com", {"Ref": "IntakeTopic"}),
}


def arn(name: str) -> Block:
    """Return a resource's ARN as the template has it."""
    return {"Fn::GetAtt": f"{name}.Arn"}


def properties(name: str) -> Block:
    found: Block = RESOURCES[name]["Properties"]
    return found


def policy_statements(name: str) -> list[Block]:
    """Return the statements of a policy, also those under a condition."""
    return [
        option
        for entry in properties(name)["PolicyDocument"]["Statement"]
        for option in entry.get("Fn::If", ["", entry])[1:]
        if option != NO_VALUE
    ]


@pytest.mark.parametrize(("condition", "parameter"), PARAMETERS.items())
def test_way_is_off_until_its_parameter_turns_it_on(condition: str, parameter: str) -> None:
    assert TEMPLATE["Parameters"][parameter]["Default"] == "off"
    assert TEMPLATE["Conditions"][condition] == {"Fn::Equals": [{"Ref": parameter}, "on"]}


def test_function_is_there_as_soon_as_one_way_has_a_queue() -> None:
    assert TEMPLATE["Conditions"]["HasQueuedIntake"] == {
        "Fn::Or": [{"Condition": condition} for _, condition in WAYS.values()]
    }


@pytest.mark.parametrize("way", WAYS)
def test_way_has_a_queue_a_failure_queue_and_two_executions_of_its_own(way: str) -> None:
    name, condition = WAYS[way]
    queue, source = properties(f"{name}Queue"), properties(SOURCES[way])

    assert {
        RESOURCES[each]["Condition"] for each in (f"{name}Queue", f"{name}FailureQueue", SOURCES[way])
    } == {condition}
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == arn(f"{name}FailureQueue")
    assert (source["EventSourceArn"], source["FunctionName"]) == (
        arn(f"{name}Queue"),
        {"Ref": "TriggerFunction"},
    )
    assert source["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # An object may have a thousand lines.
    assert source["BatchSize"] == (1 if way == "drop" else 10)
    assert queue["VisibilityTimeout"] >= 6 * properties("TriggerFunction")["Timeout"]


@pytest.mark.parametrize("way", WAYS)
def test_queue_gives_up_only_after_the_function_has(way: str) -> None:
    queue = properties(f"{WAYS[way][0]}Queue")
    put_off_count, waited_seconds = 0, 0
    while waited_seconds < patience.PATIENCE.total_seconds():
        put_off_count += 1
        waited_seconds += patience.delay_seconds(put_off_count)

    assert put_off_count < patience.MOST_RECEIVES / 2
    assert queue["RedrivePolicy"]["maxReceiveCount"] == patience.MOST_RECEIVES + 2
    assert queue["MessageRetentionPeriod"] > 40 * queue["VisibilityTimeout"]


@pytest.mark.parametrize("way", ALL_WAYS)
def test_refusals_are_kept_and_ring(way: str) -> None:
    name, condition = ALL_WAYS[way]
    alarm = properties(f"{name}FailureAlarm")

    assert RESOURCES[f"{name}FailureAlarm"]["Condition"] == condition
    assert properties(f"{name}FailureQueue")["MessageRetentionPeriod"] == 1209600
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": f"{name}FailureQueue.QueueName"}}
    ]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 1)


@pytest.mark.parametrize("way", SENDERS)
def test_queue_takes_messages_of_its_one_source_alone(way: str) -> None:
    name, condition = WAYS[way]
    service, source = SENDERS[way]
    both = [arn(f"{name}Queue"), arn(f"{name}FailureQueue")]
    (allowed,) = [each for each in policy_statements(f"{name}QueuePolicy") if each["Effect"] == "Allow"]

    assert RESOURCES[f"{name}QueuePolicy"]["Condition"] == condition
    assert allowed["Principal"] == {"Service": service}
    assert (allowed["Action"], allowed["Resource"]) == ("sqs:SendMessage", both)
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}


def test_intake_queue_takes_messages_of_rules_that_the_operator_names() -> None:
    (allowed,) = [each for each in policy_statements("IntakeQueuePolicy") if each["Effect"] == "Allow"]

    assert allowed["Resource"] == arn("IntakeQueue")
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "IntakeRuleArns"}}}
    assert TEMPLATE["Parameters"]["IntakeRuleArns"]["Default"] == ""


@pytest.mark.parametrize("way", ALL_WAYS)
def test_tls_is_demanded_for_each_queue(way: str) -> None:
    name = f"{ALL_WAYS[way][0]}QueuePolicy"
    (denied,) = [each for each in policy_statements(name) if each["Effect"] == "Deny"]
    guarded = properties(name)["Queues"]

    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    resources = denied["Resource"] if isinstance(denied["Resource"], list) else [denied["Resource"]]
    assert resources == [arn(queue["Ref"]) for queue in guarded]
    expected = ["InvokeFailureQueue"] if way == "invoke" else [f"{ALL_WAYS[way][0]}{q}" for q in QUEUES_OF]
    assert [queue["Ref"] for queue in guarded] == expected


QUEUES_OF = ("Queue", "FailureQueue")


def test_topic_takes_messages_of_those_whom_the_account_allows_alone() -> None:
    (allowed,) = [each for each in policy_statements("IntakeTopicPolicy") if each["Effect"] == "Allow"]

    assert allowed["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert allowed["Action"] == "sns:Publish"


def test_messages_of_the_topic_come_in_their_envelope() -> None:
    subscription = properties("TopicSubscription")

    assert subscription["RawMessageDelivery"] is False
    assert subscription["RedrivePolicy"] == {"deadLetterTargetArn": arn("TopicFailureQueue")}


@pytest.mark.parametrize("way", ["drop", "bus"])
def test_what_a_rule_cannot_deliver_is_kept(way: str) -> None:
    name = WAYS[way][0]
    (target,) = properties(f"{name}Rule")["Targets"]

    assert target["Arn"] == arn(f"{name}Queue")
    assert target["DeadLetterConfig"] == {"Arn": arn(f"{name}FailureQueue")}
    # What is delivered is the event itself, from which the tenant follows.
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()


def test_rule_of_the_inbox_sees_its_bucket_and_no_answer() -> None:
    pattern = properties("DropRule")["EventPattern"]

    assert pattern == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [{"Ref": "InboxBucket"}]}, "object": {"key": [{"prefix": INBOX}]}},
    }


def test_rule_of_the_bus_sees_requests_on_the_own_bus_alone() -> None:
    rule = properties("BusRule")

    assert rule["EventBusName"] == {"Ref": "EventBus"}
    assert rule["EventPattern"] == {"detail-type": [REQUESTED]}


def test_inbox_keeps_what_is_overwritten_and_only_rune_answers() -> None:
    bucket = properties("InboxBucket")
    denied = [each for each in policy_statements("InboxBucketPolicy") if each["Sid"] == "OnlyRuneAnswers"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert {*bucket["PublicAccessBlockConfiguration"].values()} == {True}
    assert [each["Condition"] for each in denied] == [
        {"ArnNotEquals": {"aws:PrincipalArn": arn("TriggerRole")}}
    ]


def test_call_that_fails_to_the_end_is_kept() -> None:
    config = properties("InvokeFunction")["EventInvokeConfig"]

    assert config["DestinationConfig"]["OnFailure"] == {
        "Type": "SQS",
        "Destination": arn("InvokeFailureQueue"),
    }
    assert config["MaximumRetryAttempts"] == 2
    assert 0 < config["MaximumEventAgeInSeconds"] <= 21_600


def test_function_that_others_may_call_reads_no_queue_and_no_inbox() -> None:
    (policy,) = properties("InvokeRole")["Policies"]
    granted = json.dumps(policy)

    assert "sqs:ReceiveMessage" not in granted
    assert "InboxBucket" not in granted
    assert "states:" not in granted


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [("OneTenantsIntakesNeedATenant", "IntakeTenant"), ("BusIntakeNeedsTenants", "BusTenants")],
)
def test_way_needs_to_know_for_whom_it_submits(rule: str, parameter: str) -> None:
    (assertion,) = TEMPLATE["Rules"][rule]["Assertions"]

    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("", True),
        ("acme.ci=acme", True),
        ("acme.ci=acme,acme.cd=default", True),
        ("acme.ci", False),
        ("acme.ci=", False),
        ("=acme", False),
        ("acme.ci=acme, acme.cd=acme", False),
        ("acme.ci=acme,", False),
        ("a=b=c", False),
    ],
)
def test_tenants_of_sources_are_named_one_by_one(text: str, *, is_taken: bool) -> None:
    pattern = TEMPLATE["Parameters"]["BusTenants"]["AllowedPattern"]

    assert (re.search(pattern, text) is not None) is is_taken


@pytest.mark.parametrize(
    "output", ["InboxBucketName", "IntakeQueueUrl", "IntakeTopicArn", "WorkflowQueueUrl"]
)
def test_neighbours_are_told_where_to_send(output: str) -> None:
    assert TEMPLATE["Outputs"][output]["Condition"] in PARAMETERS


IDLE_USD_OF_A_QUEUE = 0.26
IDLE_USD_OF_AN_ALARM = 0.10


def test_all_ways_together_idle_at_two_dollars() -> None:
    alarms = [
        name
        for name, block in RESOURCES.items()
        if block["Type"] == "AWS::CloudWatch::Alarm" and block.get("Condition") not in {None, "HasLoadLane"}
    ]

    assert len(WAYS) * IDLE_USD_OF_A_QUEUE + len(alarms) * IDLE_USD_OF_AN_ALARM <= 2.001
