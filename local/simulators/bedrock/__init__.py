"""A simulated Amazon Bedrock: lists, Converse and ConverseStream, as boto3 and AWS's CLI call them.

Written from botocore's service models of `bedrock` and `bedrock-runtime` (1.44.5) and the API reference (read
2026-11). Both services answer at one address. Its answers are made up and say so. Not simulated, because RUNE does
not use it: images and documents, guardrails, prompt caching by cache points, InvokeModel.
"""

from local.simulators.bedrock.app import create_app
from local.simulators.bedrock.catalog import FoundationModel
from local.simulators.bedrock.faults import BedrockFault, BedrockFaultKind
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.bedrock.state import SimulatedBedrock

__all__ = [
    "BedrockFault",
    "BedrockFaultKind",
    "BedrockSettings",
    "FoundationModel",
    "SimulatedBedrock",
    "create_app",
]
