#!/usr/bin/env bash
# Run a benchmark, compare it with a baseline, write the comparison as Markdown, and fail by the gate.
# Both pipelines call it: .github/actions/benchmark and ci/gitlab-benchmark.yml. It needs `rune` on the PATH, and
# RUNE_API_BASE_URL, RUNE_API_TOKEN and RUNE_API_TENANT.
#
#   RUNE_REQUEST     file with the benchmark's body, JSON or YAML
#   RUNE_BASELINE    name of the baseline; where there is none yet, this benchmark becomes it
#   RUNE_FAIL_ON     limits, such as ttft_ms.p95:1.10,completed_ratio:0.99
#   RUNE_MAX_COST    what the job may cost, in USD
#   RUNE_UNDECIDED   pass (default) or fail: what an undecided gate does
#   RUNE_OUT         folder for comparison.md, junit.xml and result.jsonl (default: rune-benchmark)
#   RUNE_KEY         idempotency key, so that a repeated step is the same job; name the pipeline and its commit
#
# Exit codes are those of `rune` (docs/command-line.md): 1 is a broken limit or a failed job.
set -euo pipefail

: "${RUNE_REQUEST:?names the file with the body of the benchmark}"
: "${RUNE_BASELINE:?names the baseline}"
: "${RUNE_MAX_COST:?says what the job may cost, in USD}"
out=${RUNE_OUT:-rune-benchmark}
mkdir -p "$out"

rune bench run --json --yes -f "$RUNE_REQUEST" --max-cost "$RUNE_MAX_COST" \
  ${RUNE_KEY:+--idempotency-key "$RUNE_KEY"} >"$out/result.jsonl" || { code=$?; tail -n 1 "$out/result.jsonl"; exit $code; }
# What the last document on stdin has under a name of its `data`.
data() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["data"][sys.argv[1]])' "$1"; }
job=$(data job_id <"$out/result.jsonl")
echo "job_id=$job" | tee -a "${GITHUB_OUTPUT:-/dev/null}"

# A baseline that is not there yet is answered with 404, which is exit code 2 and this code in the document.
code=0
shown=$(rune bench baseline show "$RUNE_BASELINE" --json 2>/dev/null) || code=$?
case $code:$shown in
  0:*) before=$(data job_id <<<"$shown") ;;
  *baseline_not_found*)
    rune bench baseline set "$RUNE_BASELINE" "$job" --only-if-new
    before=$job ;;
  *) echo "$shown" >&2; exit "$code" ;;
esac
# The first one, also where its step is repeated under the same key: there is nothing to compare it with.
if [ "$before" = "$job" ]; then
  rune bench show "$job" --format markdown >"$out/comparison.md"
  exit 0
fi

limits=()
IFS=, read -ra given <<<"${RUNE_FAIL_ON:-}"
for limit in "${given[@]}"; do limits+=(--fail-on "$limit"); done
rune bench compare "$job" --baseline "$RUNE_BASELINE" "${limits[@]}" --undecided "${RUNE_UNDECIDED:-pass}" \
  --save "markdown=$out/comparison.md" ${limits:+--save "junit=$out/junit.xml"}
