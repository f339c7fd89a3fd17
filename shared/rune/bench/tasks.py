"""A workload as requests: what the driver sends."""

import secrets
from dataclasses import dataclass, field, replace

from rune.bench.arrivals import shuffled_order
from rune.bench.prompts import add_nonce
from rune.contracts.workloads import Expectation
from rune.llm.protocol import ChatRequest, Message, Role

# Numbers of measured requests stay far below (`MAX_REQUESTS`), and `add_nonce` takes up to 2**24.
_FIRST_WARMUP_NUMBER = 2**22
_FIRST_SAMPLE_NUMBER = 2**23
_NONCE_SEED_BITS = 62


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
    nonce_seed
        Of the prompts' numbers. Drawn anew for each task and not from `seed`. Otherwise a second run of a workload
        on the same server, or a second try of a point, would find its prompts in the server's cache.
    """

    model: str
    prompts: tuple[str, ...]
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
    nonce_seed: int = field(default_factory=lambda: secrets.randbits(_NONCE_SEED_BITS))

    @property
    def request_count(self) -> int:
        """Measured requests of a point."""
        return len(self.prompts) * self.repetitions

    def order(self) -> tuple[int, ...]:
        """Return which prompt each measured request asks."""
        return shuffled_order(len(self.prompts), self.repetitions, self.seed)

    def sample(self, text: str, point_index: int, number: int) -> str:
        """Return a text from which token counts are learnt, with a number that no other request has."""
        return self.numbered(text, point_index, _FIRST_SAMPLE_NUMBER + number)

    def numbered(self, prompt: str, point_index: int, number: int) -> str:
        """Return a prompt as it is sent with a measured request."""
        return add_nonce(prompt, self.nonce_seed, point_index, number) if self.is_cache_busted else prompt

    def warmup_prompt(self, point_index: int, number: int) -> str:
        """Return what a warm-up request asks: a prompt of the workload, with a number that no measured one has."""
        prompt = self.prompts[number % len(self.prompts)]
        return self.numbered(prompt, point_index, _FIRST_WARMUP_NUMBER + number)

    def chat(self, prompt: str, longest_seconds: float) -> ChatRequest:
        """Return the request that asks a prompt, with so much time at most."""
        timeout_seconds = min(longest_seconds, self.request_timeout_seconds or longest_seconds)
        return ChatRequest(
            model=self.model,
            messages=(Message(Role.USER, prompt),),
            timeout_seconds=timeout_seconds,
            idle_timeout_seconds=self.idle_timeout_seconds,
            first_timeout_seconds=self.first_timeout_seconds,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            ignore_eos=self.ignore_eos,
        )

    def tiny_chat(self, prompt: str, longest_seconds: float) -> ChatRequest:
        """Return a request for one token, with the options that the measured ones have: others could load anew."""
        return replace(self.chat(prompt, longest_seconds), max_output_tokens=1, ignore_eos=False)
