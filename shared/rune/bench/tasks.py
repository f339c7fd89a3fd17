"""A workload as requests: what the driver sends."""

import secrets
from dataclasses import dataclass, field, replace

from rune.bench.arrivals import shuffled_order
from rune.bench.prompts import add_nonce
from rune.bench.turns import AnyPrompt, opening_of, turn_count_of
from rune.contracts.workloads import Expectation
from rune.llm.protocol import ChatRequest, Message, Role

# Numbers of measured requests stay far below (`MAX_REQUESTS`), and `add_nonce` takes up to 2**24.
_FIRST_WARMUP_NUMBER = 2**22
_FIRST_SAMPLE_NUMBER = 2**23
_NONCE_SEED_BITS = 62

BLOCK_WARM_UP_TOKENS = 64
"""Longest answer of a warm-up before a block: whole ones would take the time of what is measured."""


@dataclass(frozen=True, slots=True)
class BlockShare:
    """What one of several runs of a point asks.

    Attributes
    ----------
    index
        Of the run, from 0.
    left
        Which prompts are left to be asked, in order.
    first_number
        Of its requests: those of all runs have different ones.
    """

    index: int
    left: tuple[int, ...]
    first_number: int


@dataclass(frozen=True, slots=True)
class Place:
    """What one measured request is.

    Attributes
    ----------
    time
        Which of the times that a prompt is asked, from 0 (`Task.order`).
    turn, turn_count
        Which of the prompt's turns that are answered, from 0, and how many there are.
    """

    time: int
    prompt_index: int
    turn: int
    turn_count: int

    @property
    def is_last(self) -> bool:
        """Whether it ends its conversation."""
        return self.turn == self.turn_count - 1


@dataclass(frozen=True, slots=True)
class Task:
    """A workload's requests, the same at each of its points.

    Attributes
    ----------
    prompts
        From `make_prompts`, without numbers.
    repetitions
        How often each prompt is asked.
    warmup_count
        Requests before a point, which are left out of all numbers.
    is_cache_busted
        Whether each prompt begins with a number of its own.
    seed
        Of arrivals and of the prompts' order.
    idle_timeout_seconds
        Longest silence of the server before a request counts as failed.
    first_timeout_seconds
        The same before an answer's first chunk, where the server may have others to answer first; None for no
        difference.
    request_timeout_seconds
        Longest time of a request from its sending; None gives it all that its point has.
    expected
        What answers are judged by. Method `judge` is left to the step that asks the judge.
    block
        What one of several runs of the point asks; None where the point is one run. A block of a closed load sends
        no request that would not end within its time: the next one does.
    nonce_seed
        Of the prompts' numbers. Drawn anew for each task and not from `seed`. Otherwise a second run of a workload
        on the same server, or a second try of a point, would find its prompts in the server's cache.
    """

    model: str
    prompts: tuple[AnyPrompt, ...]
    repetitions: int
    warmup_count: int
    max_output_tokens: int | None
    temperature: float | None
    ignore_eos: bool
    context_tokens: int | None
    is_cache_busted: bool
    seed: int
    idle_timeout_seconds: float = 60.0
    first_timeout_seconds: float | None = None
    request_timeout_seconds: float | None = None
    expected: Expectation | None = None
    block: BlockShare | None = None
    nonce_seed: int = field(default_factory=lambda: secrets.randbits(_NONCE_SEED_BITS))

    @property
    def asked_count(self) -> int:
        """How often a prompt is asked at a point, or in its block; a conversation counts once."""
        return len(self.order())

    @property
    def first_number(self) -> int:
        """Number of the first of the requests."""
        return 0 if self.block is None else self.block.first_number

    @property
    def request_count(self) -> int:
        """Measured requests of a point, or of its block: one for each turn that is answered."""
        return len(self.places())

    def order(self) -> tuple[int, ...]:
        """Return which prompt is asked each time."""
        if self.block is not None:
            return self.block.left
        return shuffled_order(len(self.prompts), self.repetitions, self.seed)

    def places(self) -> tuple[Place, ...]:
        """Return what each measured request is, by number; those of a conversation follow each other."""
        return tuple(
            Place(time, prompt_index, turn, turn_count)
            for time, prompt_index in enumerate(self.order())
            for turn_count in (turn_count_of(self.prompts[prompt_index]),)
            for turn in range(turn_count)
        )

    def opening_messages(self, prompt_index: int, point_index: int, number: int) -> tuple[Message, ...]:
        """Return what is sent for the first turn of a prompt that is answered."""
        prompt = self.prompts[prompt_index]
        opening = self.numbered(opening_of(prompt), point_index, number)
        return (Message(Role.USER, opening),) if isinstance(prompt, str) else prompt.messages(opening)

    def sample(self, text: str, point_index: int, number: int) -> str:
        """Return a text from which token counts are learnt, with a number that no other request has."""
        return self.numbered(text, point_index, _FIRST_SAMPLE_NUMBER + number)

    def numbered(self, prompt: str, point_index: int, number: int) -> str:
        """Return a prompt as it is sent with a measured request."""
        return add_nonce(prompt, self.nonce_seed, point_index, number) if self.is_cache_busted else prompt

    def warmup_messages(self, point_index: int, number: int) -> tuple[Message, ...]:
        """Return what a warm-up request asks: a prompt of the workload, with a number that no measured one has."""
        return self.opening_messages(number % len(self.prompts), point_index, _FIRST_WARMUP_NUMBER + number)

    def chat(self, prompt: str | tuple[Message, ...], longest_seconds: float) -> ChatRequest:
        """Return the request that asks a prompt, with so much time at most."""
        timeout_seconds = min(longest_seconds, self.request_timeout_seconds or longest_seconds)
        return ChatRequest(
            model=self.model,
            messages=(Message(Role.USER, prompt),) if isinstance(prompt, str) else prompt,
            timeout_seconds=timeout_seconds,
            idle_timeout_seconds=self.idle_timeout_seconds,
            first_timeout_seconds=self.first_timeout_seconds,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            ignore_eos=self.ignore_eos,
        )

    def warm_up_chat(self, messages: tuple[Message, ...], longest_seconds: float) -> ChatRequest:
        """Return a request that precedes measured ones."""
        chat = self.chat(messages, longest_seconds)
        if self.block is None:
            return chat
        longest_tokens = min(chat.max_output_tokens or BLOCK_WARM_UP_TOKENS, BLOCK_WARM_UP_TOKENS)
        return replace(chat, max_output_tokens=longest_tokens)

    def tiny_chat(self, prompt: str, longest_seconds: float) -> ChatRequest:
        """Return a request for one token, with the options that the measured ones have: others could load anew."""
        return replace(
            self.chat(prompt, longest_seconds), max_output_tokens=1, ignore_eos=False, is_free=True
        )
