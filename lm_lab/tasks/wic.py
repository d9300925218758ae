"""Words in context: does a word mean the same in two sentences? (Pilehvar & Camacho-Collados 2019,
https://arxiv.org/abs/1808.09121)."""

from lm_lab.tasks.texts import TextTask

WIC = TextTask("wic", ("sentence1", "sentence2"), ("different", "same"), marked=True, test=(("test", "WiC"),))
