"""Tasks: what is read, what is put out, how it is judged. A GLUE task is one row of a table."""

from lm_lab.tasks.glue import TASKS, glue_average, glue_task
from lm_lab.tasks.task import Judged, Task, task_score
from lm_lab.tasks.texts import TextTask

__all__ = ["TASKS", "Judged", "Task", "TextTask", "glue_average", "glue_task", "task_score"]
