"""The image of rented machines, which is a parameter of the stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from botocore.exceptions import WaiterError

from rune_admin.errors import OperatorError

if TYPE_CHECKING:
    from rune_admin.deployment import CloudFormationClient

PIN = "VastaiImage"

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
"""What the template needs where it is not deployed by a change set: it has roles, and is SAM's."""

WAIT = {"Delay": 5, "MaxAttempts": 120}
"""Ten minutes; the functions that have the parameter are changed within one or two."""


def move(formation: CloudFormationClient, stack: str, names: Iterable[str], image: str) -> None:
    """Give the stack another image, and wait until it holds.

    The template and all other parameters stay as they are, also those that AWS does not show. If this process ends
    before the update does, CloudFormation goes on with it.

    Parameters
    ----------
    names
        Of all parameters of the stack.

    Raises
    ------
    ClientError
        CloudFormation does not begin with it: the image has no version, or another update is under way.
    OperatorError
        The update failed, and everything is as before.
    """
    kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in names if name != PIN]
    formation.update_stack(
        StackName=stack,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": PIN, "ParameterValue": image}, *kept],
        Capabilities=[*CAPABILITIES],
    )
    try:
        formation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig=WAIT)
    except WaiterError as error:
        raise OperatorError(
            f"The update did not succeed: {error}. `aws cloudformation describe-stack-events` tells why; "
            "CloudFormation takes an update that failed back."
        ) from None
