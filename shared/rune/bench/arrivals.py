"""When requests arrive and in which order: drawn by a seed, so that equal workloads are equal."""

import random
from itertools import accumulate


def poisson_arrivals_s(request_rate_per_s: float, count: int, seed: int) -> tuple[float, ...]:
    """Return when each request is due, in seconds from the point's beginning, rising.

    Independent users together are a Poisson process: the gaps between arrivals are exponential, with the mean
    1 / rate (as vLLM's bench with burstiness 1, and guidellm's `poisson`). The first request waits for a gap too.
    The gaps of few requests have another mean by chance, up to a quarter off with ten, and the same for everybody
    with the same seed. So they are stretched until the last is due at count / rate, as given that so many come in
    that time. The same seed gives the same gaps at every rate, only longer or shorter, so that points differ in
    nothing else.
    """
    gaps = random.Random(f"arrivals-{seed}")  # noqa: S311 nothing secret: it must be repeatable
    drawn = tuple(accumulate(gaps.expovariate(1.0) for _ in range(count)))
    return tuple(at / drawn[-1] * count / request_rate_per_s for at in drawn)


def shuffled_order(prompt_count: int, repetitions: int, seed: int) -> tuple[int, ...]:
    """Return which prompt is asked when: each `repetitions` times, all of them shuffled together.

    So a long prompt does not always have the same neighbours, and its repetitions do not come in a row.
    """
    order = [index for index in range(prompt_count) for _ in range(repetitions)]
    random.Random(f"order-{seed}").shuffle(order)  # noqa: S311 as above
    return tuple(order)
