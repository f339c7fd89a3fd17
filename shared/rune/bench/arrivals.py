"""When requests arrive and in which order: drawn by a seed, so that equal workloads are equal."""

import random


def poisson_arrivals_s(request_rate_per_s: float, count: int, seed: int) -> tuple[float, ...]:
    """Return when each request is due, in seconds from the point's beginning, rising.

    Independent users together are a Poisson process: the gaps between arrivals are exponential, with the mean
    1 / rate (as vLLM's bench with burstiness 1, and guidellm's `poisson`). The first request waits for a gap too.
    The same seed gives the same gaps at every rate, only longer or shorter, so that points differ in nothing else.
    """
    gaps = random.Random(f"arrivals-{seed}")  # noqa: S311 nothing secret: it must be repeatable
    arrivals_s: list[float] = []
    due_s = 0.0
    for _ in range(count):
        due_s += gaps.expovariate(1.0) / request_rate_per_s
        arrivals_s.append(due_s)
    return tuple(arrivals_s)


def shuffled_order(prompt_count: int, repetitions: int, seed: int) -> tuple[int, ...]:
    """Return which prompt is asked when: each `repetitions` times, all of them shuffled together.

    So a long prompt does not always have the same neighbours, and its repetitions do not come in a row.
    """
    order = [index for index in range(prompt_count) for _ in range(repetitions)]
    random.Random(f"order-{seed}").shuffle(order)  # noqa: S311 as above
    return tuple(order)
