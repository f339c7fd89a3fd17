"""How a simulated Bedrock is set up."""

from dataclasses import dataclass

from local.simulators.bedrock.catalog import MODELS, FoundationModel
from local.simulators.bedrock.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockSettings:
    """Everything that can be chosen about one region.

    Attributes
    ----------
    first_token_seconds
        From the request to the first piece.
    output_tokens_per_second
        Pieces are sent at their due times, so the average pace is exact.
    gaps_seconds
        Instead of both: the wait before each piece, over and over.
    answer_tokens, reasoning_tokens
        Length of an answer that no limit cuts, and of the reasoning before it.
    tokens_per_chunk
        How many tokens arrive in one piece.
    cached_tokens
        That every answer claims to have read from a cache; they are then missing in `inputTokens`, as on AWS.
    page_size
        Inference profiles per page.
    """

    region: str = "us-east-1"
    models: tuple[FoundationModel, ...] = MODELS
    first_token_seconds: float = 0.2
    output_tokens_per_second: float = 40.0
    gaps_seconds: tuple[float, ...] = ()
    answer_tokens: int = 120
    reasoning_tokens: int = 24
    tokens_per_chunk: int = 1
    cached_tokens: int = 0
    page_size: int = 2
    faults: tuple[Fault, ...] = ()
