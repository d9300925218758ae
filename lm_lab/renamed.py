"""Names of earlier versions that a configuration or a saved delta may still hold, and what they are called now."""

import re

_MOVED = {
    "lm_lab.data": {
        "choices": ("MultipleChoice",),
        "chunkers": ("NameChunker", "PhraseChunker"),
        "corpus": ("Corpus",),
        "glue": ("GLUE",),
        "multi_label": ("MultiLabelTexts",),
        "own": ("OwnTexts",),
        "rows": ("Continuing", "Documents", "NextSentencePairs", "Packed", "SentenceOrderPairs", "ThreeWayPairs"),
        "sequences": ("Sequences", "TextToTextGLUE"),
        "squad": ("SQuAD",),
        "tags": ("TokenClassification",),
    },
    "lm_lab.strategies": {
        "adapters": ("HoulsbyAdapter", "PfeifferAdapter"),
        "weighted": ("WeightedFeatures",),
    },
}
PAIRS = {"joint": "cross_encoder", "towers": "bi_encoder"}
RENAMED = {
    "lm_lab.training.ramp.BatchRamp": "lm_lab.training.callbacks.batch_size_warmup.BatchSizeWarmup",
    "BatchRamp": "BatchSizeWarmup",
    "lm_lab.backbones.families.Row": "lm_lab.backbones.families.FamilyRow",
} | {
    f"{package}.{module}.{name}": f"{package}.{name}"
    for package, modules in _MOVED.items()
    for module, names in modules.items()
    for name in names
}
_ANY = re.compile("|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in sorted(RENAMED, key=len, reverse=True)))


_PAIRS = re.compile(rf"pairs\W.*\b({'|'.join(PAIRS)})\b", re.DOTALL)


def hint(message: str) -> str:
    """What the old names in an error are called now; "" where there is none."""
    now = RENAMED | PAIRS
    found = dict.fromkeys([*_ANY.findall(message), *_PAIRS.findall(message)])
    return "".join(f"; '{name}' is called '{now[name]}' now" for name in found)
