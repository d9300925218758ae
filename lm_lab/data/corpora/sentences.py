"""Where the sentences of a text end: a rule for scripts that mark it, good enough to make pairs of sentences.

A sentence ends behind `.`, `!`, `?` and closing quotes or brackets where white space follows, at a blank line, and
behind the full stops of Chinese and Japanese, which need no space. Titles and initials (`Mr. Smith`, `J. Austen`) end
none. A single line break is white space: novels break lines inside sentences.
"""

import re

_CLOSING = "\"'”’»)\\]"
# not from the middle of a run of stops: a line of dots would be read again from every one of them
_END = re.compile(rf"(?<![.!?…])[.!?…]++[{_CLOSING}]*+(?=\s)|[。！？][”』」]*|\n[^\S\n]*(?=\n)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Messrs|Dr|Prof|St|Rev|Col|Capt|Gen|Lt|Sgt|vs|etc|cf|No|vol|pp|[A-HJ-Z])\.$")
_LONGEST = 10  # characters of an abbreviation


def ends(text: str) -> list[int]:
    """Return where each sentence ends, in characters; the last one is the text's length.

    Args:
        text: an empty one has no sentence.
    """
    found = [match.end() for match in _END.finditer(text) if not _is_abbreviation(text, match)]
    length = len(text.rstrip())
    return [end for end in found if end < length] + ([len(text)] if length else [])


def _is_abbreviation(text: str, match: re.Match[str]) -> bool:
    if match.group() != ".":
        return False
    return _ABBREVIATION.search(text[max(0, match.end() - _LONGEST) : match.end()]) is not None
