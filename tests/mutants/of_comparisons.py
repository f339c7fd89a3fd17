"""Mutants of comparisons, of their gates, and of the rows of baselines."""

from tests.mutants.mutant import AWS, SERVICES, Mutant

BENCH = "shared/rune/bench/"
VERDICTS = BENCH + "verdicts.py"
GATES = BENCH + "gates.py"
METRICS = BENCH + "metrics.py"
STORE = AWS + "baseline_store.py"
BASELINES = SERVICES + "baselines.py"

COMPARISON_TESTS = ("tests/unit/bench/test_comparison.py",)
GATE_TESTS = ("tests/unit/bench/test_gates.py",)
BASELINE_TESTS = ("tests/functional/functions/test_api_baselines.py",)

MUTANTS = (
    Mutant(
        "one odd number among many is sure",
        VERDICTS,
        "if matters and test.p_value() <= sureness.at_most:",
        "if matters and test.p_value() <= 1 - CONFIDENCE:",
        "Of a hundred numbers one would be told apart by chance in most comparisons.",
        COMPARISON_TESTS,
    ),
    Mutant(
        "what nobody knows is no difference",
        VERDICTS,
        "if not matters and test.tail(least - size) <= MISSED_RATIO:",
        "if not matters:",
        "A comparison of few requests would say that nothing differs.",
        COMPARISON_TESTS,
    ),
    Mutant(
        "windows that fall on answers have no spread",
        METRICS,
        "std = max(std, value * _unevenness_of_requests(run) * math.sqrt(count))",
        "std = max(std, 0.0)",
        "A throughput of ten answers would be surely worse by a hair.",
        COMPARISON_TESTS,
    ),
    Mutant(
        "undecided check passes",
        GATES,
        'elif outcomes and "undecided" not in outcomes:',
        "elif outcomes:",
        "A pipeline would go on although nobody knows.",
        GATE_TESTS,
    ),
    Mutant(
        "limit is judged by the value alone",
        GATES,
        "if not pair.least_requests and test.tail(abs(over)) <= level:",
        "if not pair.least_requests:",
        "A gate would fail and pass by chance.",
        GATE_TESTS,
    ),
    Mutant(
        "point that was not measured again is not checked",
        GATES,
        "if pair.first or pair.second]",
        "if pair.first and pair.second]",
        "A sweep that ended earlier, as it does on a slower server, would pass.",
        GATE_TESTS,
    ),
    Mutant(
        "baseline is written over another writer's",
        STORE,
        '(Is("version", None if before is None else before.version),),',
        "(),",
        "Two pipelines would overtake each other, and the count of baselines would drift.",
        BASELINE_TESTS,
    ),
    Mutant(
        "tenant has any number of baselines",
        STORE,
        'requires = (IsBelow("count", most),) if after.is_there else ()',
        "requires = ()",
        "A tenant could fill the table.",
        BASELINE_TESTS,
    ),
    Mutant(
        "repeated request is refused",
        BASELINES,
        "if found is not None and found.job_id == job_id:",
        "if found is not None and found.job_id == job_id and not expected.is_absent:",
        "A pipeline whose first answer was lost would be told that another one was faster.",
        BASELINE_TESTS,
    ),
)
