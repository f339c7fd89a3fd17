"""Settings of a simulated Bedrock."""

from dataclasses import dataclass

from local.simulators.bedrock.catalog import MODELS, FoundationModel
from local.simulators.bedrock.faults import BedrockFault


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockSettings:
    """Settings of one region.

    Attributes
    ----------
    first_token_seconds
        From the request to the first chunk.
    output_tokens_per_second
        Exact on average: chunks are sent at their due times.
    gaps_seconds
        The wait before each chunk, used again from its start when it is exhausted; replaces the two above.
    answer_tokens, reasoning_tokens
        Length of an answer that no limit cuts, and of the reasoning before it.
    tokens_per_chunk
        Tokens that arrive in one chunk.
    cached_tokens
        Tokens of each prompt that are reported as read from a cache; `inputTokens` then excludes them, as on AWS.
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
    faults: tuple[BedrockFault, ...] = ()
