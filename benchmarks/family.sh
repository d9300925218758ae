#!/usr/bin/env bash
# The models of benchmarks/family.yaml: a million tokens each of nine novels. On a GPU, ten times as many, of all novels:
#
#   STEPS=4900 DOCUMENTS=null ACCELERATOR=gpu benchmarks/family.sh
set -euo pipefail
out=runs/family steps=${STEPS:-490} documents=${DOCUMENTS:-11}
read_as=(
  --trainer.accelerator="${ACCELERATOR:-cpu}"
  --data.source=novels --data.documents="$documents" --data.held_out=2 --data.batch_size=32 --data.max_length=64
  --trainer.max_steps="$steps" --trainer.max_epochs=-1 --trainer.val_check_interval="$steps"
  --trainer.check_val_every_n_epoch=null --trainer.limit_val_batches=60
)
mkdir -p "$out"
"${PYTHON:-python}" - "$out/words.txt" "$((steps * 32 * 64))" "$documents" <<'PYTHON'
import sys
from itertools import islice

from lm_lab.data.corpora.raw import documents

path, room, last = sys.argv[1], int(sys.argv[2]), None if sys.argv[3] == "null" else int(sys.argv[3])
with open(path, "w", encoding="utf-8") as file:
    for text in islice(documents(["novels"]), 2, last):
        words = text.split()[:room]
        room -= len(words)
        file.writelines(" ".join(words[at : at + 1000]) + "\n" for at in range(0, len(words), 1000))
PYTHON
lm-lab words fit "$out/words.txt" --model skip_gram --size 128 --epochs 1 --min-count 2 --out "$out/skip_gram"
lm-lab pretrain fit --config=configs/pretraining/novels_lstm.yaml --model.backbone.init_args.source=runs/wordpieces \
  "${read_as[@]}" --save.output="$out/lstm"
lm-lab tokenizer --kind word --source novels wikitext-2-raw --vocab_size 30000 --lowercase --out runs/words
lm-lab pretrain fit --config=configs/pretraining/novels_elmo.yaml "${read_as[@]}" --save.output="$out/elmo"
lm-lab pretrain fit --config=configs/pretraining/microworld_causal_lm.yaml --model.backbone.source=new:gpt2-tiny \
  --model.backbone.tokenizer=runs/wordpieces --model.backbone.dropout=0.0 --data.rows=lm_lab.data.Packed \
  "${read_as[@]}" --save.output="$out/causal_lm"
lm-lab pretrain fit --config=configs/pretraining/wikitext_mlm.yaml --model.backbone.source=new:bert-tiny \
  --data.starts=null --trainer.max_time=null "${read_as[@]}" --save.output="$out/mlm"
