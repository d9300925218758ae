import json

import pytest

from lm_lab.benchmark.baselines import baseline
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences, TextToTextGLUE
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification


def folder(path, train, validation):
    path.mkdir()
    for name, rows in (("train", train), ("validation", validation)):
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def texts(*labels):
    return [{"sentence": f"text {i}", "label": label} for i, label in enumerate(labels)]


def found(data):
    answer = baseline(data, "print")
    assert answer["data"] == "print"
    return answer["what"], answer["score"]


def test_a_class_is_the_constant_answer_that_scores_best_in_training(tmp_path):
    source = folder(tmp_path / "own", texts("no", "no", "yes"), texts("yes", "yes", "yes", "no"))
    assert found(OwnTexts("own", source=source)) == ("always no", 0.25)


def test_the_constant_answer_is_chosen_by_the_tasks_own_metrics(tmp_path):
    # F1 is of the class "yes": always "no" has the better accuracy and an F1 of 0
    source = folder(tmp_path / "own", texts("no", "no", "yes"), texts("no", "yes"))
    what, score = found(OwnTexts("own", source=source, metrics=["accuracy", "f1"]))
    assert what == "always yes"
    assert score == pytest.approx((0.5 + 2 / 3) / 2)


def test_the_mean_ranks_nothing(tmp_path):
    source = folder(tmp_path / "own", texts(0.5, 2.25), texts(1.5, 2.0, 0.75))
    assert found(OwnTexts("own", source=source)) == ("the mean score", 0.0)


def test_classes_as_text_have_the_same_baseline_as_classes():
    what, score = found(TextToTextGLUE("sst2", source="microworld"))
    assert what in ("always negative", "always positive")
    assert score == pytest.approx(0.5, abs=0.05)


def test_a_tag_is_the_words_commonest(tmp_path):
    train = [
        {"tokens": ["Ada", "May", "in"], "tags": ["B-PER", "O", "O"]},
        {"tokens": ["May", "May"], "tags": ["B-PER", "B-PER"]},
    ]
    validation = [{"tokens": ["May", "Bob", "in", "Ada"], "tags": ["B-PER", "B-PER", "O", "O"]}]
    data = TokenClassification("mine", source=folder(tmp_path / "mine", train, validation))
    # Bob is new and Ada wrong: 1 of 2 predicted, 1 of 2 found
    assert found(data) == ("each word's commonest tag", pytest.approx(0.5))


def test_a_summary_is_the_first_sentence(tmp_path):
    rows = [{"source": "The cat sat. It slept.", "target": "the cat sat"}]
    data = Sequences("mine", source=folder(tmp_path / "mine", rows, rows))
    assert found(data) == ("the first sentence", pytest.approx(1.0))


def test_a_choice_is_a_draw(tmp_path):
    rows = [
        {"context": "a", "options": ["b", "c"], "answer": 0},
        {"context": "a", "options": ["b", "c", "d", "e"], "answer": 3},
    ]
    data = MultipleChoice("mine", source=folder(tmp_path / "mine", rows, rows))
    assert found(data) == ("chance", pytest.approx((1 / 2 + 1 / 4) / 2))


def test_a_span_is_drawn_from_its_context(tmp_path):
    def asked(key, context, answer):
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        return {"id": key, "title": "t", "context": context, "question": "q", "answers": answers}

    words = "one two three four five six seven eight nine ten"
    rows = [asked(f"{i}", words, word) for i, word in enumerate(words.split() * 30)]
    data = SQuAD(source=folder(tmp_path / "mine", rows, rows))
    what, score = found(data)
    assert what == "a random span"
    assert score == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 300) ** 0.5)  # one word of ten
