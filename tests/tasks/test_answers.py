"""SQuAD's measures: cases by hand, and torchmetrics' implementation of the first version as a peer."""

import random

import pytest
from torchmetrics.functional.text import squad

from lm_lab.tasks.answers import exact_match, f1, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("a an the", ""),
        ("Theatre another", "theatre another"),  # articles are whole words
        ("U.S.-based", "usbased"),
        ("the.cat", "thecat"),  # punctuation goes first, without leaving a space
        ("\t25%\n", "25"),
        ("Émile", "émile"),
        ("", ""),
    ],
)
def test_normalised(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("prediction", "golds", "exact", "first", "second"),
    [
        ("Denver Broncos", ["Denver Broncos", "The Broncos"], 1, 1, 1),
        ("the Broncos", ["Denver Broncos"], 0, 2 / 3, 2 / 3),
        ("Carolina", ["Denver Broncos"], 0, 0, 0),
        ("broncos broncos", ["Denver Broncos"], 0, 0.5, 0.5),  # a word counts as often as the other text has it
        ("10 October", ["October 10", "10"], 0, 1, 1),  # F1 knows no order
        ("", ["Denver"], 0, 0, 0),
        ("the", ["a"], 1, 0, 1),  # nothing is left of either: the versions differ
        ("", [], 1, 0, 1),
        ("Denver", [], 0, 0, 0),
    ],
)
def test_exact_match_and_f1(prediction, golds, exact, first, second):
    assert exact_match(prediction, golds, version=1) == exact_match(prediction, golds, version=2) == exact
    assert f1(prediction, golds, version=1) == pytest.approx(first)
    assert f1(prediction, golds, version=2) == pytest.approx(second)


def test_the_second_version_leaves_out_gold_answers_of_which_nothing_is_left():
    golds = ["the", "Denver"]
    assert (exact_match("", golds, version=1), f1("", golds, version=1)) == (1, 0)
    assert (exact_match("", golds, version=2), f1("", golds, version=2)) == (0, 0)


def test_the_first_version_is_torchmetrics():
    rng = random.Random(0)
    words = ["the", "a", "Denver", "denver", "U.S.", "25%", "of", "an", "New-York", "--", ""]

    def draw() -> str:  # torchmetrics has the second version's rule for texts of which nothing is left
        return " ".join([*rng.choices(words, k=rng.randint(0, 3)), rng.choice(words[2:7])])

    for _ in range(300):
        prediction, golds = draw(), [draw() for _ in range(rng.randint(1, 3))]
        target = {"answers": {"answer_start": [0] * len(golds), "text": golds}, "id": "1"}
        theirs = squad([{"prediction_text": prediction, "id": "1"}], [target])
        assert exact_match(prediction, golds, version=1) * 100 == pytest.approx(theirs["exact_match"].item())
        assert f1(prediction, golds, version=1) * 100 == pytest.approx(theirs["f1"].item(), abs=1e-3)
