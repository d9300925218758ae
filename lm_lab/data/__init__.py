"""LightningDataModules, what they read, and how it becomes tokens; the names here are those that configurations use."""

from importlib import import_module
from typing import Any

# imported on first use: what only encodes texts must not wait for Lightning
_HOMES = {
    "modules.choices": ("MultipleChoice",),
    "modules.glue": ("GLUE",),
    "modules.marked": ("WSC", "WiC"),
    "modules.multi_label": ("MultiLabelTexts",),
    "modules.options": ("MultiRC", "ReCoRD"),
    "modules.own": ("OwnTexts",),
    "modules.sequences": ("Sequences", "TextToTextGLUE"),
    "modules.squad": ("SQuAD",),
    "modules.superglue_texts": ("TextToTextSuperGLUE",),
    "modules.tags": ("TokenClassification",),
    "modules.trees": ("SSTTrees",),
    "corpora.chunkers": ("NameChunker", "PhraseChunker"),
    "corpora.corpus": ("Corpus",),
    "corpora.rows": (
        *("ConsecutiveSentences", "Continuing", "Documents", "NextSentencePairs", "Packed"),
        *("SentenceOrderPairs", "ThreeWayPairs"),
    ),
}
_HOME = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
