"""ROUGE-1, ROUGE-2 and ROUGE-L F (Lin 2004) of texts in any script.

What is compared are words in lower case, not stemmed: runs of letters, digits and the marks that belong to letters, and
each character of Chinese and Japanese, which have no spaces. On English this is Google's rouge-score, which drops all
letters but a to z; Thai, Lao and Khmer, without spaces too, are compared by runs.
"""

import re
import unicodedata

from torchmetrics.functional.text.rouge import rouge_score

NAMES = ("rouge1", "rouge2", "rougeL")
_BASIC_PLANE = 0x10000
_MARKS = "".join(re.escape(chr(c)) for c in range(_BASIC_PLANE) if unicodedata.category(chr(c)).startswith("M"))
_ALONE = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_ALONE}][{_MARKS}]*|(?:(?![{_ALONE}])[^\W_])(?:(?![{_ALONE}])(?:[^\W_]|[{_MARKS}]))*")


def words(text: str) -> list[str]:
    """The words of a text, composed (NFC) and in lower case."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def rouge(prediction: str, reference: str) -> list[float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F of one text."""
    found = rouge_score(prediction, reference, normalizer=str, tokenizer=words, rouge_keys=NAMES)
    return [found[f"{name}_fmeasure"].item() for name in NAMES]
