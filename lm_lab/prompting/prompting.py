"""Prompting: the baseline that trains nothing (Brown et al. 2020, https://arxiv.org/abs/2005.14165).

    score of a class = log p(its word | template with the text)

A masked model reads the word in the place of its mask (Schick and Schütze 2021, https://arxiv.org/abs/2001.07676), a
decoder at the end, a T5 where a sentinel stands. With `shots`, examples with their answers stand before the text. With
`calibrated`, the same score of texts without content is taken off (Zhao et al. 2021, https://arxiv.org/abs/2102.09690).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lm_lab.backbones import Backbone
from lm_lab.errors import UsageError
from lm_lab.heads import Head
from lm_lab.prompting.head import PromptedHead
from lm_lab.prompting.prompts import prompt_of
from lm_lab.strategies import AdaptationStrategy
from lm_lab.strategies.about import Paper
from lm_lab.tasks import Task, TextTask

MOST = 1024  # examples that are shown


@dataclass(frozen=True)
class Prompting(AdaptationStrategy):
    """Label words in a template, zero-shot or with examples before the text; nothing trains.

    Args:
        shots: examples of the training set that are shown, of each class as many or nearly; the run's seed draws them.
        calibrated: take off what the model says to texts without content.
        template: with {a}, {b} of a pair, and {answer}; None takes the task's own (`lm_lab.prompting.prompts`).
        words: what stands for each class; None takes the task's own.
    """

    paper: ClassVar[Paper] = Paper(
        "Brown et al.", 2020, "Language Models are Few-Shot Learners", "https://arxiv.org/abs/2005.14165"
    )
    learning_rate: ClassVar[float] = 0.0
    learning_rates: ClassVar[tuple[float, ...]] = ()
    trains: ClassVar[bool] = False
    packs: ClassVar[bool] = False
    head_alone: ClassVar[bool] = True

    shots: int = 0
    calibrated: bool = False
    template: str | None = None
    words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.shots <= MOST:
            raise UsageError(f"shots={self.shots}: expected 0 to {MOST}.")

    def inject(self, backbone: Backbone) -> None:
        """Leave everything frozen."""

    def parameters(self, backbone: Backbone) -> int:  # noqa: ARG002
        """None."""
        return 0

    def whole_head(self, backbone: Backbone, task: Task) -> Head:
        """Label words. Raises `UsageError` for a task without classes, or a model without an output layer."""
        if not isinstance(task, TextTask) or not task.labels:
            raise UsageError(f"Prompting answers with a word a class; '{task.name}' is no task of classes of texts.")
        prompt = prompt_of(task, backbone.causal, self.template, self.words)
        return PromptedHead(backbone, prompt, self.shots, self.calibrated, torch.initial_seed() % 2**32)
