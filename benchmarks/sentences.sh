#!/usr/bin/env bash
# The models of benchmarks/sentences.yaml: one pass over the same nine novels each, two million tokens, and their cosines.
#
#   lm-lab tokenizer --kind wordpiece --source wikitext-2-raw --vocab_size 8000 --lowercase --out runs/wordpieces
#   lm-lab words fit novels wikitext-2-raw --epochs 3 --out runs/skip_gram
#   LM_LAB_DATA=../shared/data benchmarks/sentences.sh
set -euo pipefail
out=runs/sentences
lm_lab=("${PYTHON:-python}" -m lm_lab)
tiny=(--model.backbone.tokenizer=runs/wordpieces --model.backbone.dropout=0.0)
pairs=( # as benchmarks/objectives.py reads novels
  "${tiny[@]}" --data.source=novels --data.documents=11 --data.held_out=2 --data.batch_size=32 --data.max_length=64
  --trainer.max_steps=1010 --trainer.max_epochs=-1 --trainer.val_check_interval=1010
  --trainer.check_val_every_n_epoch=null --trainer.limit_val_batches=60 --trainer.precision=32-true
)
fit() { # NAME CONFIGURATION OPTION...
  [ -e "$out/$1/pretraining.json" ] || "${lm_lab[@]}" pretrain fit --config="configs/pretraining/$2.yaml" "${@:3}" \
    --trainer.enable_progress_bar=false --save.output="$out/$1"
}
score() { # NAME POOLING OPTION...
  "${lm_lab[@]}" score --task sts --pooling "$2" --out "$out/sts/$1.csv" "${@:3}"
}
fit quick_thoughts novels_quick_thoughts
fit quick_thoughts_bert novels_quick_thoughts --model.backbone=lm_lab.backbones.TransformersBackbone \
  --model.backbone.source=new:bert-tiny "${tiny[@]}"
fit bert_nsp microworld_bert_nsp --model.backbone.source=new:bert-tiny "${pairs[@]}"
fit albert_sop microworld_albert --model.backbone.source=new:albert-tiny "${pairs[@]}"
fit skip_thoughts novels_skip_thoughts

lstm=lm_lab.backbones.LSTM
for name in quick_thoughts skip_thoughts; do
  score "$name" mean --backbone "$lstm" --backbone.source "$out/$name"
  score "${name}_last" last --backbone "$lstm" --backbone.source "$out/$name"
done
score random_lstm mean --backbone "$lstm" --backbone.source "$out/quick_thoughts" --backbone.pretrained false
score random_lstm_last last --backbone "$lstm" --backbone.source "$out/quick_thoughts" --backbone.pretrained false
for name in quick_thoughts_bert bert_nsp albert_sop; do score "$name" mean --backbone "$out/$name"; done
for name in bert_nsp albert_sop; do
  score "random_$name" mean --backbone lm_lab.backbones.TransformersBackbone --backbone.source "$out/$name" \
    --backbone.pretrained false
done
score skip_gram mean --backbone lm_lab.backbones.StaticVectors --backbone.source runs/skip_gram
"${PYTHON:-python}" benchmarks/sentence_form.py
"${PYTHON:-python}" benchmarks/skip_thoughts_read.py
