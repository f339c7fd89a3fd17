"""Whether a server counts tokens of reasoning that it does not send."""

from rune.bench.token_bounds import estimate_tokens
from rune.llm.protocol import Generation, TokenCountSource

SLACK_TOKENS = 16
"""Of what a server counts beside the text: marks of its template, and the end."""

_TOKENS_PER_CHUNK = 2
"""What comes as a chunk of its own was not hidden, even if its text is shorter than tokens are."""

_COUNTED = frozenset({TokenCountSource.USAGE, TokenCountSource.SERVER})


def is_reasoning_hidden(generation: Generation) -> bool:
    """Return whether the answer has more tokens than its characters allow, or than the server sent reasoning of.

    The time per token of such an answer is not known: its tokens were made before the first one that came.
    """
    tokens = generation.tokens
    if generation.has_hidden_reasoning or (tokens.reasoning_count and not generation.reasoning):
        return True
    if (tokens.reasoning_count or 0) > estimate_tokens(generation.reasoning) + SLACK_TOKENS:
        return True  # a summary of it was sent
    if tokens.source not in _COUNTED:
        return False
    if tokens.output_count <= _TOKENS_PER_CHUNK * len(generation.chunk_arrivals_ns) + SLACK_TOKENS:
        return False
    texts = (generation.text, generation.reasoning, *(call.arguments_text for call in generation.tool_calls))
    return tokens.output_count > sum(map(estimate_tokens, texts)) + SLACK_TOKENS
