#!/usr/bin/env bash
# The models of benchmarks/family.yaml: two million tokens each, drawn from the novels and WikiText-2 together; what they know
# untrained. On a GPU, ten times as many:
#
#   STEPS=10000 ACCELERATOR=gpu benchmarks/family.sh
set -euo pipefail
out=runs/family steps=${STEPS:-1000}
read_as=(
  --trainer.accelerator="${ACCELERATOR:-cpu}"
  --data.source='[novels,wikitext-2-raw]' --data.documents=null --data.held_out=0 --data.batch_size=32 --data.max_length=64
  --trainer.max_steps="$steps" --trainer.max_epochs=-1 --trainer.val_check_interval="$steps"
  --trainer.check_val_every_n_epoch=null --trainer.limit_val_batches=null --trainer.enable_progress_bar=false
)
mkdir -p "$out/scores"
"${PYTHON:-python}" - "$out/words.txt" "$((steps * 32 * 64))" <<'PYTHON'
import random
import sys

from lm_lab.data.corpora.raw import documents

path, room = sys.argv[1], int(sys.argv[2])
pieces = []  # of at most 1,000 words
for text in documents(["novels", "wikitext-2-raw"]):
    words = text.split()
    pieces += [words[at : at + 1000] for at in range(0, len(words), 1000)]
random.Random(0).shuffle(pieces)
with open(path, "w", encoding="utf-8") as file:
    for piece in pieces:
        file.write(" ".join(piece[:room]) + "\n")
        if (room := room - len(piece)) <= 0:
            break
PYTHON
lm-lab tokenizer --kind word --source novels wikitext-2-raw --vocab_size 30000 --lowercase --out runs/words
lm-lab words fit "$out/words.txt" --model skip_gram --size 128 --epochs 1 --min-count 2 --out "$out/skip_gram"
lm-lab pretrain fit --config=configs/pretraining/wikitext_mlm.yaml --model.backbone.source=new:bert-tiny \
  --data.starts=null --trainer.max_time=null "${read_as[@]}" --save.output="$out/mlm"
lm-lab pretrain fit --config=configs/pretraining/microworld_causal_lm.yaml --model.backbone.source=new:gpt2-tiny \
  --model.backbone.tokenizer=runs/wordpieces --model.backbone.dropout=0.0 --data.rows=lm_lab.data.Packed \
  "${read_as[@]}" --save.output="$out/causal_lm"
lm-lab pretrain fit --config=configs/pretraining/microworld_span_corruption.yaml --model.backbone.source=new:t5-tiny \
  --model.backbone.tokenizer=runs/wordpieces --model.backbone.dropout=0.0 --data.rows=lm_lab.data.Packed \
  "${read_as[@]}" --save.output="$out/span_corruption"
lm-lab pretrain fit --config=configs/pretraining/novels_lstm.yaml --model.backbone.init_args.source=runs/wordpieces \
  "${read_as[@]}" --save.output="$out/lstm"
lm-lab pretrain fit --config=configs/pretraining/novels_elmo.yaml "${read_as[@]}" --save.output="$out/elmo"

static=(--backbone=lm_lab.backbones.StaticVectors --backbone.source="$out/skip_gram")
lstm=(--backbone=lm_lab.backbones.LSTM --backbone.source="$out/lstm")
elmo=(--backbone=lm_lab.backbones.ELMo --backbone.source="$out/elmo")
gpt=(--backbone="$out/causal_lm")
bert=(--backbone="$out/mlm")
t5=(--backbone="$out/span_corruption")
score() { lm-lab score --task "$2" "${@:3}" --out "$out/scores/$1-$2.csv"; }
score skip_gram sts "${static[@]}" --pooling mean
score lstm sts "${lstm[@]}" --pooling mean
score elmo sts "${elmo[@]}" --pooling mean
score gpt sts "${gpt[@]}" --pooling mean
score bert sts "${bert[@]}" --pooling mean
score t5 sts "${t5[@]}" --pooling mean
score lstm blimp "${lstm[@]}" --limit 100
score elmo blimp "${elmo[@]}" --limit 100
score gpt blimp "${gpt[@]}" --limit 100
score bert blimp "${bert[@]}" --limit 100
score t5 blimp "${t5[@]}" --limit 100
score lstm lambada "${lstm[@]}" --limit 500
score gpt lambada "${gpt[@]}" --limit 500
score bert lambada "${bert[@]}" --limit 500
score t5 lambada "${t5[@]}" --limit 500
