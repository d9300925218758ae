"""What a score has to beat: baselines, which know counts of the training set and understand nothing.

one class or a score a text   the constant answer that scores best on the training set
a label a node of a tree      the roots' commonest one
a tag a word                  each word's commonest tag in the training set, O for a new word
a text to be written          the first sentence of the source
one of several options        chance
any number of options         all of them, or none
a candidate for a gap         the one that the context names most often
a span of a context           a random one, as long in words as some answer of the training set
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import singledispatch
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from lm_lab.benchmark.fingerprints import build_data
from lm_lab.benchmark.plan import PlannedCell
from lm_lab.data.modules.base import TaskData
from lm_lab.results.coordinates import TASK
from lm_lab.results.records import Baseline, read_baselines, save_baselines
from lm_lab.tasks import Task, TextTask, answers, task_score
from lm_lab.tasks.answer_sets import AnswerSetTask
from lm_lab.tasks.choices import ChoiceTask
from lm_lab.tasks.cloze import ClozeTask
from lm_lab.tasks.entities import OUTSIDE
from lm_lab.tasks.nodes import NodeTask
from lm_lab.tasks.rouge import rouge
from lm_lab.tasks.sequences import SequenceTask, TextToText
from lm_lab.tasks.spans import SpanTask
from lm_lab.tasks.tags import TagTask, count, judged
from lm_lab.tasks.written import WrittenAnswer, WrittenNoun

_SENTENCE = re.compile(r"(?<=[.!?])\s")
Scorer = Callable[[Any], float]  # the task's score of the baseline's answers to a split's rows


def write_baselines(root: Path, cells: Iterable[PlannedCell]) -> None:
    """Keep the baseline of every task of a suite in `root`; those of the same data are not computed again."""
    known = read_baselines(root)
    found: dict[str, Baseline] = {}
    for planned in cells:
        task, data = str(planned.cell["coordinates"][TASK]), planned.fingerprints["data"]
        if task not in found:
            same = known.get(task)
            made = same if same and same["data"] == data else baseline(build_data(planned.config["data"]), data)
            found |= {task: made} if made else {}
    save_baselines(root, found)


def baseline(data: TaskData, fingerprint: str) -> Baseline | None:
    """The baseline of a task and its mean score over the validation splits; None for a form without one."""
    learned = _learn(data.task, data.rows("train"))
    if learned is None:
        return None
    what, score = learned
    return Baseline(what=what, score=fmean(score(data.rows(s)) for s in data.validation_splits), data=fingerprint)


@singledispatch
def _learn(task: Task, train: Any) -> tuple[str, Scorer] | None:  # noqa: ARG001
    """What the baseline of a task is called, and its scorer, from the rows of the training set."""
    return None


@_learn.register
def _constant(task: TextTask | TextToText, train: Any) -> tuple[str, Scorer]:
    def score(answer: float, rows: Any) -> float:
        labels = torch.as_tensor(rows.labels).double()
        return task_score(task.scores(torch.full_like(labels, answer), labels))

    if not task.labels:
        return "the mean score", lambda rows: score(float(train.labels.mean()), rows)
    best = max(range(len(task.labels)), key=lambda answer: score(answer, train))
    return f"always {task.labels[best]}", lambda rows: score(best, rows)


@_learn.register
def _commonest_root(task: NodeTask, train: Any) -> tuple[str, Scorer]:
    """A tree's root is its last label."""
    (most, _), *_ = Counter(tags[-1] for tags in train.tags).most_common(1)
    return f"always {task.labels[most]}", lambda rows: fmean(tags[-1] == most for tags in rows.tags)


@_learn.register
def _lexicon(task: TagTask, train: Any) -> tuple[str, Scorer]:
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for words, tags in zip(train.words, train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            seen[word][tag] += 1
    commonest = {word: task.labels[tags.most_common(1)[0][0]] for word, tags in seen.items()}

    def score(rows: Any) -> float:
        predicted = [[commonest.get(word, OUTSIDE) for word in words] for words in rows.words]
        gold = [[task.labels[tag] for tag in tags] for tags in rows.tags]
        counts = [count(*pair) for pair in zip(predicted, gold, strict=True)]
        return task_score(task.scores(*judged(torch.tensor(counts).double())))

    return "each word's commonest tag", score


@_learn.register
def _lead(task: SequenceTask, train: Any) -> tuple[str, Scorer]:  # noqa: ARG001
    def score(rows: Any) -> float:
        lead = [_SENTENCE.split(source.strip(), maxsplit=1)[0] for source in rows.sources]
        values = torch.tensor([rouge(*pair) for pair in zip(lead, rows.targets, strict=True)])
        return task_score(task.scores(values, torch.ones(len(values))))

    return "the first sentence", score


@_learn.register
def _none(task: WrittenAnswer | WrittenNoun, train: Any) -> None:
    """The first sentence of a source is no answer; there is none."""


@_learn.register
def _chance(task: ChoiceTask, train: Any) -> tuple[str, Scorer]:  # noqa: ARG001
    return "chance", lambda rows: fmean(1 / len(options) for options in rows.options)


@_learn.register
def _all_or_none(task: AnswerSetTask, train: Any) -> tuple[str, Scorer]:
    def score(said: bool, rows: Any) -> float:
        counts = [[sum(right) * said, len(right) * said, all(each == said for each in right)] for right in rows.right]
        return task_score(task.scores(torch.tensor(counts).double(), torch.from_numpy(rows.labels).double()))

    best = max((True, False), key=lambda said: score(said, train))
    return "every option" if best else "no option", lambda rows: score(best, rows)


@_learn.register
def _most_named(task: ClozeTask, train: Any) -> tuple[str, Scorer]:  # noqa: ARG001
    def score(rows: Any) -> float:
        best = [max(names, key=context.count) for names, context in zip(rows.names, rows.contexts, strict=True)]
        both = zip(best, rows.golds, strict=True)
        values = [[f(said, golds, 1) for f in (answers.exact_match, answers.f1)] for said, golds in both]
        return task_score(task.scores(torch.tensor(values), torch.ones(len(values))))

    return "the entity named most often", score


@_learn.register
def _span(task: SpanTask, train: Any) -> tuple[str, Scorer]:
    texts = [answer["text"][0] for answer in train.table["answers"].to_pylist() if answer["text"]]
    lengths = np.array([len(text.split()) for text in texts])

    def drawn(context: str, draw: np.random.Generator) -> str:
        words, length = context.split(), int(draw.choice(lengths))
        start = int(draw.integers(max(1, len(words) - length + 1)))
        return " ".join(words[start : start + length])

    def score(rows: Any, silent: bool = False) -> float:
        draw = np.random.default_rng(0)
        examples = [rows.example(row) for row in range(len(rows))]
        said = ["" if silent else drawn(row["context"], draw) for row in examples]
        measures = (answers.exact_match, answers.f1)
        values = [
            [f(text, row["answers"], task.version) for f in measures] for text, row in zip(said, examples, strict=True)
        ]
        return task_score(task.scores(torch.tensor(values), torch.ones(len(values))))

    if task.version == 2 and score(train, silent=True) > score(train):
        return "never an answer", lambda rows: score(rows, silent=True)
    return "a random span", score
