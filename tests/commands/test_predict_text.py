"""`lm-lab adapt predict --delta DIR --text FILE` for every form: a line out for each line in, and clear mistakes."""

from pathlib import Path

import pytest

from lm_lab.commands import adapt
from lm_lab.data import microworld
from lm_lab.errors import UsageError

FORMS = {
    "spans": (["--data=SQuAD", "--data.max_length=64", "--data.overlap=8"], "squad"),
    "tags": (["--data=TokenClassification", "--data.task=tags"], "tags"),
    "choice": (["--data=MultipleChoice", "--data.task=choice"], "choice"),
    "sequence": (["--data=Sequences", "--data.task=summary", "--data.max_target=10"], "summary"),
    "text to text": (["--data=TextToTextGLUE", "--data.task=rte", "--data.scored=true"], "rte"),
}


def lines(task: str) -> list[str]:
    """Two examples as a user writes them."""
    texts = {
        "squad": lambda row: [row["question"], row["context"]],
        "tags": lambda row: [" ".join(row["tokens"])],
        "choice": lambda row: [row["context"], *row["options"]],
        "summary": lambda row: [row["source"]],
        "rte": lambda row: [row["sentence1"], row["sentence2"]],
    }[task]
    return ["\t".join(texts(row)) for row in microworld.table(task, "validation", rows=2).to_pylist()]


@pytest.mark.parametrize("form", FORMS)
def test_a_line_out_for_each_line_in(form, folders, tmp_path, capsys):
    arguments, task = FORMS[form]
    common = ["--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}/run"]
    adapt.main(
        [
            "fit", f"--model.backbone.source={folders['bert']}", "--model.strategy=BitFit", *arguments,
            "--data.source=microworld", "--data.train_limit=16", "--data.validation_limit=8",
            "--trainer.max_steps=1", *common,
        ]
    )  # fmt: skip
    given = lines(task)
    Path("mine.txt").write_text(f"{given[0]}\n\n{given[1]}\n")
    capsys.readouterr()
    adapt.main(["predict", f"--delta={tmp_path}/run/delta", "--text=mine.txt", *common])
    shown = [line for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [line.endswith(text) for line, text in zip(shown, given, strict=True)] == [True, True]
    predicted = [line.split("\t")[0] for line in shown]
    if form == "spans":
        assert all(answer in text for answer, text in zip(predicted, given, strict=True))
    if form == "tags":
        assert [len(tags.split()) for tags in predicted] == [len(text.split()) for text in given]
    if form == "choice":
        assert all(option in text.split("\t")[1:] for option, text in zip(predicted, given, strict=True))
    if form == "text to text":
        assert set(predicted) <= {"entailment", "not_entailment"}
    Path("wrong.txt").write_text("\t".join("abc"[: 1 if task in ("squad", "choice", "rte") else 3]))
    with pytest.raises(UsageError, match=r"wrong.txt, line 1: \d texts, but this task needs"):
        adapt.main(["predict", f"--delta={tmp_path}/run/delta", "--text=wrong.txt", *common])
