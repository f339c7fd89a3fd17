"""Prompts of several turns: what each request of a conversation holds, and how many tokens that can be.

A conversation is asked turn by turn. The model's own answers become part of it, so a request's prompt is known only
when the one before it has ended; bounds take the longest answer that may come.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rune.bench.token_bounds import most_reread_tokens
from rune.llm.protocol import Message, Role

NO_ANSWER = "(no answer)"
"""Sent again for an answer without text, since servers refuse a blank turn or leave it out."""

TURN_FRAME_TOKENS = 16
"""Of one turn after the first, for what a chat template puts around it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Several turns, the first and the last the user's.

    Attributes
    ----------
    turns
        As the workload gives them. A user's turn is answered by the model, unless an assistant's turn follows,
        which is sent as it is.
    """

    turns: tuple[Message, ...]

    @property
    def asked(self) -> tuple[int, ...]:
        """Places of the turns that the model answers, of which the last is one."""
        last = len(self.turns) - 1
        return tuple(
            at
            for at, turn in enumerate(self.turns)
            if turn.role is Role.USER and (at == last or self.turns[at + 1].role is Role.USER)
        )

    def messages(self, opening: str, answers: Sequence[str] = ()) -> tuple[Message, ...]:
        """Return what is sent for the turn that follows these answers.

        Parameters
        ----------
        opening
            The first turn as it is sent, with a number perhaps.
        """
        asked, messages = self.asked, [replace(self.turns[0], content=opening)]
        given = iter(answers)
        for at in range(asked[len(answers)]):
            if at in asked:
                answer = next(given)
                messages.append(Message(Role.ASSISTANT, answer if answer.strip() else NO_ANSWER))
            messages.append(self.turns[at + 1])
        return tuple(messages)


type AnyPrompt = str | Conversation
"""What one prompt of a workload is: a text, or a conversation."""


def opening_of(prompt: AnyPrompt) -> str:
    """Return a prompt's first turn."""
    return prompt if isinstance(prompt, str) else prompt.turns[0].content


def texts_of(prompts: Iterable[AnyPrompt]) -> Iterator[str]:
    """Yield all turns of the prompts."""
    for prompt in prompts:
        yield from (prompt,) if isinstance(prompt, str) else (turn.content for turn in prompt.turns)


def turn_count_of(prompt: AnyPrompt) -> int:
    """Return how many requests a prompt is."""
    return 1 if isinstance(prompt, str) else len(prompt.asked)


def has_conversations(prompts: Iterable[AnyPrompt]) -> bool:
    """Return whether any prompt is several requests, or has a turn that is sent as it is."""
    return not all(isinstance(prompt, str) for prompt in prompts)


def tokens_by_turn(
    prompt: AnyPrompt, count_tokens: Callable[[str], int], answer_tokens: int
) -> tuple[int, ...]:
    """Return how many tokens the prompt of each request of a conversation can have, in order.

    Parameters
    ----------
    count_tokens
        Returns how many a text can have; see `rune.bench.token_bounds`.
    answer_tokens
        Longest answer, of which each is sent again with all turns after it.
    """
    if isinstance(prompt, str):
        return (count_tokens(prompt),)
    asked, tokens, bounds = prompt.asked, -TURN_FRAME_TOKENS, []
    for at, turn in enumerate(prompt.turns):
        tokens += count_tokens(turn.content) + TURN_FRAME_TOKENS
        if at in asked:
            bounds.append(tokens)
            tokens += most_reread_tokens(answer_tokens) + TURN_FRAME_TOKENS
    return tuple(bounds)


def longest_tokens(
    prompts: Iterable[AnyPrompt], count_tokens: Callable[[str], int], answer_tokens: int
) -> int:
    """Return how many tokens the longest prompt of any request can have; see `tokens_by_turn`."""
    return max((tokens_by_turn(prompt, count_tokens, answer_tokens)[-1] for prompt in prompts), default=0)


def as_text(prompt: AnyPrompt) -> str:
    """Return a prompt as one text, as a judge reads it; what the model answers in between is not in it."""
    if isinstance(prompt, str):
        return prompt
    names = {Role.USER: "User", Role.ASSISTANT: "Assistant"}
    return "\n\n".join(f"{names[turn.role]}: {turn.content}" for turn in prompt.turns)


def as_json(prompt: AnyPrompt) -> str | list[str | dict[str, str]]:
    """Return a prompt as a workload gives it: a user's turn is a text."""
    if isinstance(prompt, str):
        return prompt
    return [
        turn.content if turn.role is Role.USER else {"role": turn.role.value, "content": turn.content}
        for turn in prompt.turns
    ]
