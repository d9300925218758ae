#!/usr/bin/env bash
# What is measured on a GPU, one step after the other, each within a time limit of its own; results go to $OUT.
#
#   LM_LAB_DATA=../shared/data OUT=runs/gpu benchmarks/gpu_session.sh
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

step workers "${WORKERS_LIMIT:-400}" "$PYTHON" benchmarks/gpu_workers.py --out "$OUT/gpu_workers.json" --work /tmp/gpu_workers ${WORKERS_OPTIONS:-}
