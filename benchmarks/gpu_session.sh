#!/usr/bin/env bash
# What is measured on a GPU, one step after the other, each within a time limit of its own; results go to $OUT.
#
#   LM_LAB_DATA=../shared/data OUT=runs/gpu benchmarks/gpu_session.sh
#   FAMILY=1 ... does the family of models of one text (benchmarks/family.yaml) first, ten times the tokens of a CPU's.
set -uo pipefail
cd "$(dirname "$0")/.."
: "${OUT:=runs/gpu}" "${PYTHON:=python3}"
mkdir -p "$OUT"

step() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  timeout "$limit" "$@" > "$OUT/$name.log" 2>&1
  echo "$name: exit $?, $((SECONDS - started)) s; $(tail -n 1 "$OUT/$name.log")"
}

if [ -n "${FAMILY:-}" ]; then # LM_LAB_DATA with novels, wikitext-2-raw, the tasks; vocabularies are made first
  [ -d runs/wordpieces ] || step vocabulary 200 lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --vocab_size 8000 --lowercase --out runs/wordpieces
  STEPS=10000 ACCELERATOR=gpu step family_models 520 benchmarks/family.sh
  step family 240 lm-lab bench run benchmarks/family.yaml --out "$OUT/family" --workers 6
fi
step workers "${WORKERS_LIMIT:-400}" "$PYTHON" benchmarks/gpu_workers.py --out "$OUT/gpu_workers.json" --work /tmp/gpu_workers ${WORKERS_OPTIONS:-}
