"""Tasks: columns, labels and metrics, a table row each."""

from lm_lab.tasks.glue import TASKS, glue_average, glue_task
from lm_lab.tasks.task import Task, task_score

__all__ = ["TASKS", "Task", "glue_average", "glue_task", "task_score"]
