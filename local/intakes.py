"""The ways in, all turned on, for the tenant whose token the stack shows."""

from collections.abc import Mapping

SOURCE = "acme.ci"
"""The source whose events submit for that tenant."""

WAYS = {"drop": "Drop", "bus": "Bus", "queue": "Intake", "topic": "Topic", "workflow": "Workflow"}
"""Those with a queue, and how the template's outputs name it."""


def intake_parameters(tenant: str) -> dict[str, str]:
    """Return the template's parameters that turn every way in on."""
    ways = ("S3Drop", "BusIntake", "QueueIntake", "TopicIntake", "InvokeIntake", "WorkflowIntake")
    return {**dict.fromkeys(ways, "on"), "IntakeTenant": tenant, "BusTenants": f"{SOURCE}={tenant}"}


def intake_queues(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs of the intakes' queues by way."""
    return {way: outputs[f"{name}QueueUrl"] for way, name in WAYS.items()}


def failure_queues(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the URLs of the failure queues by way."""
    ways = {**WAYS, "invoke": "Invoke"}
    return {way: outputs[f"{name}FailureQueueUrl"] for way, name in ways.items()}
