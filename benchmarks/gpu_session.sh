#!/usr/bin/env bash
# What is measured on a GPU, one step after the other, each within a time limit of its own; results go to $OUT.
#
#   LM_LAB_DATA=../shared/data OUT=runs/gpu benchmarks/gpu_session.sh
#   ACCELERATOR=cpu PEERS_OPTIONS=--tiny PACKS_DEVICE=cpu COMPILING_DEVICE=cpu COMPILING_OPTIONS="--tiny --precision fp32" PACKS_OPTIONS="--runs 2" WORKERS_LIMIT=1 ... tries the
#   script where there is none.
#   FAMILY=1 ... does the family of models of one text (benchmarks/family.yaml) first, ten times the tokens of a CPU's.
set -uo pipefail
cd "$(dirname "$0")/.."
: "${OUT:=runs/gpu}" "${PYTHON:=python3}"
mkdir -p "$OUT"
: > "$OUT/steps.jsonl"

step() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  timeout "$limit" "$@" > "$OUT/$name.log" 2>&1
  local code=$? said
  said=$(tail -n 1 "$OUT/$name.log" | tr -d '\\"' | tr -cd '[:print:]' | cut -c 1-160)
  echo "{\"step\": \"$name\", \"exit\": $code, \"seconds\": $((SECONDS - started)), \"said\": \"$said\"}" | tee -a "$OUT/steps.jsonl"
}

if [ -n "${FAMILY:-}" ]; then # LM_LAB_DATA with novels, wikitext-2-raw, the tasks; vocabularies are made first
  [ -d runs/wordpieces ] || step vocabulary 200 lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --vocab_size 8000 --lowercase --out runs/wordpieces
  STEPS=10000 ACCELERATOR=gpu step family_models 520 benchmarks/family.sh
  step family 240 lm-lab bench run benchmarks/family.yaml --out "$OUT/family" --workers 6
fi
step tests "${TESTS_LIMIT:-120}" "$PYTHON" -m pytest -q -m "gpu" tests/training
step peers "${PEERS_LIMIT:-470}" "$PYTHON" benchmarks/peers/compare.py --accelerator "${ACCELERATOR:-gpu}" --out "$OUT/peers.json" ${PEERS_OPTIONS:-}
step packs "${PACKS_LIMIT:-120}" "$PYTHON" benchmarks/packs.py --device "${PACKS_DEVICE:-cuda}" --runs 4 16 --out "$OUT/packs.json" ${PACKS_OPTIONS:-}
step compiling "${COMPILING_LIMIT:-360}" "$PYTHON" benchmarks/compiling.py --device "${COMPILING_DEVICE:-cuda}" --precision bf16 --out "$OUT/compiling.json" ${COMPILING_OPTIONS:-}
step workers "${WORKERS_LIMIT:-400}" "$PYTHON" benchmarks/gpu_workers.py --out "$OUT/workers.json" --work /tmp/gpu_workers ${WORKERS_OPTIONS:-}

# one file and one table last: what each step said, and its record where it left one
"$PYTHON" - "$OUT" <<'END'
import json, pathlib, sys

out = pathlib.Path(sys.argv[1])
steps = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
for each in steps:
    record = out / f"{each['step']}.json"
    each["record"] = json.loads(record.read_text()) if record.exists() else None
(out / "session.json").write_text(json.dumps(steps, indent=1) + "\n")
for each in steps:
    print(f"{each['step']:16} exit {each['exit']:3} {each['seconds']:5} s  {each['said']}")
if (out / "peers.log").exists():
    print((out / "peers.log").read_text().rpartition("\n\n")[2], end="")
END
