"""Where sentences end."""

import pytest

from lm_lab.data.corpora.sentences import ends


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("the beast was good . it slept .", ["the beast was good .", "it slept ."]),
        ('"Is it?" he said. "It is."', ['"Is it?"', "he said.", '"It is."']),
        ("Mr. Smith met J. Austen at 3.15. So did I. Then", ["Mr. Smith met J. Austen at 3.15.", "So did I.", "Then"]),
        ("CHAPTER I\n\nIt was\ncold.  Very.", ["CHAPTER I", "It was\ncold.", "Very."]),
        ("他来了。她没来！“好。”我说", ["他来了。", "她没来！", "“好。”", "我说"]),
        ("Wait... what?! Yes.  ", ["Wait...", "what?!", "Yes."]),
        ("no end", ["no end"]),
        ("", []),
        ("  \n", []),
    ],
)  # fmt: skip
def test_sentences_of_a_text(text: str, sentences: list[str]) -> None:
    stops = ends(text)
    assert [text[a:b].strip() for a, b in zip([0, *stops], stops, strict=False)] == sentences
    assert not stops or stops[-1] == len(text)


def test_a_line_of_dots_is_read_once() -> None:
    text = "." * 300_000 + "x! " + "?!" * 100_000
    assert ends(text) == [300_002, len(text)]
