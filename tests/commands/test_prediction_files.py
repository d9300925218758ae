"""Rows of a file with their predictions: columns kept, any form in and out, a block of rows at a time."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lm_lab import AdaptedModel, bind
from lm_lab.backbones import TransformersBackbone
from lm_lab.cli import main
from lm_lab.commands import row_files
from lm_lab.data import MultipleChoice, OwnTexts, TokenClassification
from lm_lab.models.loading import load_adaptation
from lm_lab.strategies import BitFit

TEXTS = ["the cat sees", 'a, "b"', "dog\nbird", "the dog ."]
ROWS = [{"id": number, "review": text, "stars": 0.5 * number} for number, text in enumerate(TEXTS)]


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return path


def read(path: Path) -> list[dict]:
    return [row for block in row_files.blocks(path) for row in block]


@pytest.fixture
def delta(folders: dict[str, Path]) -> Path:
    rows = [{"review": text, "verdict": ("bad", "good")[at % 2]} for at, text in enumerate(TEXTS * 6)]
    data = OwnTexts(
        "reviews", source=str(write(Path("train.csv"), rows)), columns={"sentence": "review", "label": "verdict"}
    )
    model = AdaptedModel(TransformersBackbone(str(folders["bert"])), BitFit(), data.task)
    bind(model, data)
    return model.save("delta")


@pytest.mark.parametrize("before", row_files.READ)
@pytest.mark.parametrize("after", row_files.WRITTEN)
def test_columns_stay_and_predictions_are_the_model_s(
    delta: Path, before: str, after: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(row_files, "BLOCK", 3)
    given, out = write(Path(f"new{before}"), ROWS), Path(f"out{after}")
    assert main(["adapt", "predict", "--delta", str(delta), "--text", str(given), "--out", str(out)]) == 0
    assert "predictions: out" in capsys.readouterr().out
    rows, expected = read(out), load_adaptation(delta).predict(TEXTS)
    assert len(rows) == 4
    for found, row, answer in zip(rows, ROWS, expected, strict=True):
        assert found["review"] == row["review"]
        assert [float(found[name]) for name in ("id", "stars")] == [row["id"], row["stars"]]
        assert found["prediction"] == answer["prediction"]
        shares = found.get("probabilities") or {k: float(found[f"probability_{k}"]) for k in ("bad", "good")}
        assert shares == pytest.approx(answer["probabilities"], abs=1e-6)
    if before == after == ".parquet":
        assert pq.read_schema(out).field("stars").type == pa.float64()


def test_lines_and_other_names_of_columns(delta: Path) -> None:
    Path("new.txt").write_text("the cat\n\nthe dog .\n")
    assert main(["adapt", "predict", f"--delta={delta}", "--text=new.txt", "--out=out.csv"]) == 0
    assert [row["review"] for row in read(Path("out.csv"))] == ["the cat", "the dog ."]
    write(Path("new.csv"), [{"text": "a bird"}])
    named = ["adapt", "predict", f"--delta={delta}", "--text=new.csv", "--out=out.csv"]
    assert main([*named, "--data.columns={sentence: text}"]) == 0
    assert read(Path("out.csv"))[0]["text"] == "a bird"


@pytest.mark.parametrize(
    ("rows", "out", "more", "said"),
    [
        ([{"text": "a"}], "out.csv", [], "row 0: no column 'review'; it has text. Name it: --data.columns"),
        ([*ROWS, {"id": 4, "review": "", "stars": 0}], "out.csv", [], "row 4, column 'review': expected a text"),
        ([ROWS[0] | {"prediction": 1}], "out.csv", [], "has a column 'prediction' already"),
        (ROWS, "out.xlsx", [], "ends with .csv, .tsv, .jsonl, .parquet"),
        (ROWS, "new.csv", [], "is the file that is read"),
        (ROWS, "out.csv", ["--trainer.devices=2"], "with --out, `predict` takes"),
        (ROWS, "out.csv", ["--data.columns={text: a}"], "--data.columns names 'text'; an example has sentence"),
        (ROWS, "out.csv", ["--data.columns=review"], "expected such as"),
        (ROWS, None, [], "has columns; say where they go with their predictions: --out FILE.csv"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_no_file(delta: Path, rows, out, more, said, capsys) -> None:
    write(Path("new.csv"), rows)
    named = ["adapt", "predict", f"--delta={delta}", "--text=new.csv", *([f"--out={out}"] if out else []), *more]
    assert main(named) == 2
    assert said in capsys.readouterr().err
    assert not Path("out.csv").exists()
    assert not list(Path().glob(".writing*"))


def test_words_and_options(folders: dict[str, Path]) -> None:
    for data, rows in (
        (TokenClassification("tags", source="microworld"), [{"tokens": ["the", "cat"]}, {"tokens": ["a"]}]),
        (
            MultipleChoice("choice", source="microworld"),
            [{"context": "the cat", "option_0": "a", "option_1": "the dog"}],
        ),
    ):
        model = AdaptedModel(TransformersBackbone(str(folders["bert"])), BitFit(), data.task)
        bind(model, data)
        model.save("other")
        write(Path("new.jsonl"), rows)
        assert main(["adapt", "predict", "--delta=other", "--text=new.jsonl", "--out=out.jsonl"]) == 0
        for found, row in zip(read(Path("out.jsonl")), rows, strict=True):
            assert row.items() <= found.items()
            assert (
                len(found["prediction"]) == len(row["tokens"])
                if "tokens" in row
                else found["prediction"] in row.values()
            )
