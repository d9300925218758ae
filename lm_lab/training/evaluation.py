"""What is known of the splits that an epoch of evaluation covers, gathered batch by batch."""

from torch import Tensor, device

from lm_lab.data.module import HELD_OUT
from lm_lab.tasks import Judged, Task, task_score
from lm_lab.training.predictions import Predictions


class Evaluation:
    """Judged examples of each split, over all processes."""

    def __init__(self) -> None:
        self.splits: dict[str, Predictions] = {}

    def update(self, split: str, ids: Tensor, judged: Judged, where: device) -> None:
        """Add a batch of a split; `where` its counts are gathered."""
        self.splits.setdefault(split, Predictions().to(where)).update(ids, *judged)

    def close(self, task: Task) -> tuple[Task, dict[str, float]]:
        """The task with what held-out examples decide, and every value to log; forgets the examples.

        Logged are a split's metrics, its details, and its score: the mean of the metrics.
        """
        found = {split: predictions.compute()[1:] for split, predictions in self.splits.items()}
        self.splits.clear()
        if HELD_OUT in found:
            task = task.tuned(*found[HELD_OUT])
        logged: dict[str, float] = {}
        for split, (values, labels) in found.items():
            scores = task.scores(values, labels)
            named = scores | task.detailed(values, labels) | {"score": task_score(scores)}
            logged |= {f"{split}/{name}": value for name, value in named.items()}
        return task, logged
