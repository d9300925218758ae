"""SQuAD's measures of an answer (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250; 2018 for the second version).

Both compare normalised texts: lower case, no punctuation, no articles, single spaces. F1 is of the bag of words. Of
several gold answers the best counts. The two versions differ where nothing is left after normalising: the first gives
F1 0, as no word is shared; the second gives 1 to two empty texts, its form of "no answer", and 0 to one.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Version = Literal[1, 2]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """What is compared of an answer."""
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, golds: Sequence[str], version: Version = 2) -> float:
    """1 if the prediction equals any gold answer, else 0; no gold answer means that it has to be empty."""
    return float(normalised(prediction) in {normalised(gold) for gold in _comparable(golds, version)})


def f1(prediction: str, golds: Sequence[str], version: Version = 2) -> float:
    """Harmonic mean of precision and recall of words, of the gold answer that fits best."""
    said = normalised(prediction).split()
    return max(_overlap(said, normalised(gold).split(), version) for gold in _comparable(golds, version))


def _comparable(golds: Sequence[str], version: Version) -> Sequence[str]:
    """The second version leaves out gold answers of which nothing is left, unless all are."""
    usable = [gold for gold in golds if normalised(gold)] if version == 2 else golds
    return usable or [""]


def _overlap(said: list[str], gold: list[str], version: Version) -> float:
    if version == 2 and not (said and gold):
        return float(said == gold)
    shared = (Counter(said) & Counter(gold)).total()
    return 2 * shared / (len(said) + len(gold)) if shared else 0.0
