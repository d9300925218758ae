"""Sets of the hub, by name, out of a cache laid out as the hub's client lays it out, with the hub out of bounds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from lm_lab import hub
from lm_lab.cli import main
from lm_lab.config.imports import restrict
from lm_lab.data.corpora import raw
from lm_lab.data.modules.base import TaskData
from lm_lab.data.modules.choices import MultipleChoice
from lm_lab.data.modules.multi_label import MultiLabelTexts
from lm_lab.data.modules.own import OwnTexts
from lm_lab.data.modules.sequences import Sequences
from lm_lab.data.modules.squad import SQuAD
from lm_lab.data.modules.tags import TokenClassification
from lm_lab.data.reading import hub_sets
from lm_lab.errors import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "f" * 40
TEXTS = [f"text number {i}" for i in range(24)]
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that puts a set into the hub's cache: its splits, in the folder of a subset, at a commit."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    datasets.disable_progress_bars()

    def to(name: str, columns: dict[str, list[Any]], features: Features | None = None, **options: Any) -> None:
        subset, commit = options.get("subset", "default"), options.get("commit", COMMIT)
        repository = tmp_path / "hub" / f"datasets--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        if options.get("main", True):
            (repository / "refs" / "main").write_text(commit)
        folder = repository / "snapshots" / commit / subset
        folder.mkdir(parents=True)
        for split in options.get("splits", ("train", "validation")):
            Dataset.from_dict(columns, features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        _card(folder.parent)

    return to


def _card(folder: Path) -> None:
    """The head of a README names subsets and the files of their splits, as sets on the hub do."""
    lines = ["---", "configs:"]
    for subset in sorted(path for path in folder.iterdir() if path.is_dir()):
        lines += [f"- config_name: {subset.name}", "  data_files:"]
        splits = sorted(path.name.split("-")[0] for path in subset.iterdir())
        lines += [f"  - {{split: {split}, path: {subset.name}/{split}-*}}" for split in splits]
    (folder / "README.md").write_text("\n".join([*lines, "---", "A set."]))


@pytest.fixture(autouse=True)
def unrestricted() -> Any:
    yield
    restrict()


def _texts(write: Write, source: str) -> TaskData:
    features = Features({"review": Value("string"), "stars": ClassLabel(names=["poor", "fine", "good"])})
    write("owner/texts", {"review": TEXTS, "stars": [0, 1, 2] * 8}, features)
    return OwnTexts(source=f"{source}owner/texts", columns={"sentence": "review", "label": "stars"})


def _topics(write: Write, source: str) -> TaskData:
    features = Features({"sentence": Value("string"), "label": List(ClassLabel(names=["food", "rude"]))})
    write("owner/topics", {"sentence": TEXTS, "label": [[0], [], [0, 1], [1]] * 6}, features)
    return MultiLabelTexts(source=f"{source}owner/topics")


def _pairs(write: Write, source: str) -> TaskData:
    columns = {"a": TEXTS, "b": TEXTS[::-1], "how_much": [i / 10 for i in range(24)]}
    write("owner/pairs", columns)
    named = {"sentence": "a", "sentence2": "b", "label": "how_much"}
    return OwnTexts(source=f"{source}owner/pairs", columns=named)


def _tags(write: Write, source: str) -> TaskData:
    kinds = ["O", "B-PER", "I-PER"]
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=kinds))})
    write("owner/tags", {"tokens": [["so", "Ann", "Lee"]] * 24, "ner_tags": [[0, 1, 2]] * 24}, features)
    return TokenClassification("people", source=f"{source}owner/tags")


def _spans(write: Write, source: str) -> TaskData:
    columns: dict[str, list[Any]] = {"id": [str(i) for i in range(24)], "context": ["it is red ."] * 24}
    columns |= {"question": ["what ?"] * 24, "answers": [{"text": ["red"], "answer_start": [6]}] * 24}
    write("owner/spans", columns)
    return SQuAD(source=f"{source}owner/spans")


def _choices(write: Write, source: str) -> TaskData:
    choices = {"label": ["A", "B"], "text": ["an egg", "a stone"]}
    write("owner/choices", {"stem": TEXTS, "choices": [choices] * 24, "answerKey": ["A", "B"] * 12})
    columns = {"context": "stem", "options": "choices.text", "option_names": "choices.label", "answer": "answerKey"}
    return MultipleChoice("mine", source=f"{source}owner/choices", columns=columns)


def _written(write: Write, source: str) -> TaskData:
    write("owner/written", {"translation": [{"de": text, "en": text.upper()} for text in TEXTS]})
    columns = {"source": "translation.de", "target": "translation.en"}
    return Sequences("mine", source=f"{source}owner/written", columns=columns)


FORMS = [_texts, _topics, _pairs, _tags, _spans, _choices, _written]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__[1:])
def test_every_form_is_read_whole_and_streamed_alike(write: Write, form: Callable[[Write, str], TaskData]) -> None:
    whole = form(write, "hub:")
    streamed = type(whole)(**_arguments(whole) | {"source": str(whole.source).replace("hub:", "stream:")})
    for split in ("train", "validation"):
        found = [b"".join(data.rows(split).content()) for data in (whole, streamed)]
        assert found[0] == found[1]
        assert len(whole.rows(split)) == len(TEXTS)
    assert whole.fingerprint() == streamed.fingerprint()
    assert whole.fingerprint().endswith(f"@{COMMIT}")


def _arguments(data: TaskData) -> dict[str, Any]:
    shared = {"columns": data.columns, "train_limit": data.train_limit}
    return data.settings() | shared


def test_names_of_classes_are_kept(write: Write) -> None:
    texts, topics, tags, choices = (form(write, "stream:") for form in (_texts, _topics, _tags, _choices))
    assert texts.task.labels == ("fine", "good", "poor")
    assert texts.rows("train").labels[:3].tolist() == [2, 0, 1]
    assert topics.task.labels == ("food", "rude")
    assert topics.rows("train").labels[:4].tolist() == [[1, 0], [0, 0], [1, 1], [0, 1]]
    assert tags.task.labels == ("O", "B-PER", "I-PER")
    assert choices.rows("train").labels[:2].tolist() == [0, 1]


def test_a_subset_and_a_revision_are_named(write: Write) -> None:
    columns = {"sentence": TEXTS, "label": ["a", "b"] * 12}
    write("owner/many", columns, subset="one")
    write("owner/many", columns | {"label": ["c", "d"] * 12}, subset="two")
    write("owner/many", columns | {"label": ["e", "f"] * 12}, subset="one", commit=OLDER, main=False)
    assert OwnTexts(source="hub:owner/many:two").task.labels == ("c", "d")
    old = OwnTexts(source=f"hub:owner/many:one@{OLDER}")
    assert old.task.labels == ("e", "f")
    assert old.fingerprint().endswith(f"@{OLDER}")
    assert old.rows("train").origin == f"hub owner/many:one@{OLDER[:12]} train"
    with pytest.raises(UsageError, match=r"Config name is missing.*\['one', 'two'\].*subset: hub:owner/many:SUBSET"):
        OwnTexts(source="hub:owner/many")


@pytest.mark.parametrize("kind", ["hub:", "stream:"])
def test_splits_of_other_names_are_mapped_and_may_be_parts(write: Write, kind: str) -> None:
    write("owner/other", {"sentence": TEXTS, "label": ["a", "b"] * 12}, splits=("training", "dev"))
    with pytest.raises(UsageError, match=r"train cannot be read: .*'training'.*--data\.splits"):
        OwnTexts(source=f"{kind}owner/other")
    splits = {"train": "training[:20]", "validation": "training[20:]", "test": "dev"}
    data = OwnTexts(source=f"{kind}owner/other", splits=splits, train_limit=5)
    assert data.rows("validation").texts == (TEXTS[20:],)
    assert len(data.read("train", labelled=True)) == 20
    whole = OwnTexts(source="hub:owner/other", splits=splits, train_limit=5)
    assert data.rows("train").texts == whole.rows("train").texts  # the seeded choice is among the same rows
    assert len(data.rows("test")) == len(TEXTS)


def test_a_stream_reads_no_further_than_its_part(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("owner/long", {"sentence": [f"text {i}" for i in range(5000)], "label": ["a", "b"] * 2500})
    handed: list[int] = []
    real = datasets.IterableDataset.iter

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        for table in real(self, *args, **options):
            handed.append(table.num_rows)
            yield table

    monkeypatch.setattr(datasets.IterableDataset, "iter", counted)
    splits = {"train": "train[:100]"}
    data = OwnTexts(source="stream:owner/long", labels=["a", "b"], splits=splits, train_limit=50)
    assert len(data.rows("train")) == 50
    assert handed == [100]


def test_a_corpus_is_read_out_of_the_cache_too(write: Write) -> None:
    _texts(write, "hub:")
    assert list(raw.documents([f"hub:owner/texts@{COMMIT}"], column="review")) == TEXTS
    assert list(raw.documents(["hub:owner/texts"], column="review", split="train[2:4]")) == TEXTS[2:4]
    with pytest.raises(UsageError, match=r"hub owner/texts nowhere cannot be read: Bad split: nowhere"):
        list(raw.documents(["hub:owner/texts"], column="review", split="nowhere"))


def test_a_share_of_a_stream_is_refused(write: Write) -> None:
    write("owner/shares", {"sentence": TEXTS, "label": ["a", "b"] * 12})
    assert OwnTexts(source="hub:owner/shares", splits={"train": "train[:50%]"}).rows("train").texts[0] == TEXTS[:12]
    with pytest.raises(
        UsageError, match=r"'train\[:50%\]' of a stream: expected numbers of rows, such as train\[:1000"
    ):
        OwnTexts(source="stream:owner/shares", splits={"train": "train[:50%]"})


def test_what_is_in_no_cache_says_what_to_fetch(write: Write) -> None:
    fetch = r"HF_HUB_OFFLINE forbids asking the hub\. Fetch it where there is a hub: hf download owner/none"
    with pytest.raises(UsageError, match=f"'owner/none' .*{fetch} --repo-type dataset"):
        OwnTexts(source="hub:owner/none")
    write("owner/some", {"sentence": TEXTS, "label": ["a", "b"] * 12})
    with pytest.raises(UsageError, match=r"'owner/some@v2' .*hf download owner/some --repo-type dataset --revision v2"):
        OwnTexts(source="stream:owner/some@v2")
    with pytest.raises(UsageError, match=r"'no name at all' is no name of the hub; expected hub:OWNER/NAME"):
        OwnTexts(source="hub:no name at all")


@pytest.mark.usefixtures("write")
def test_what_datasets_made_before_is_found_with_its_commit() -> None:
    """Such a cache has a folder for owner, name, subset, version and commit with the arrow files in it."""
    made = Path(datasets.config.HF_DATASETS_CACHE) / "owner___made" / "default" / "0.0.0" / COMMIT
    made.mkdir(parents=True)
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    with ArrowWriter(path=str(made / "made-train.arrow"), features=features) as writer:
        for i, text in enumerate(TEXTS):
            writer.write({"sentence": text, "label": i % 2})
        writer.finalize()
    splits = datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=24, dataset_name="made")})
    info = datasets.DatasetInfo(
        features=features,
        splits=splits,
        builder_name="parquet",
        dataset_name="made",
        config_name="default",
        version="0.0.0",
    )
    info.write_to_directory(str(made))
    data = OwnTexts(source="hub:owner/made")
    assert data.task.labels == ("bad", "good")
    assert data.rows("train").origin == f"hub owner/made@{COMMIT[:12]} train"
    with pytest.raises(UsageError, match="hf download owner/made --repo-type dataset --revision v2"):
        OwnTexts(source="hub:owner/made@v2")


@pytest.mark.usefixtures("write")
def test_the_hub_is_asked_for_the_commit_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(*names: Any, **options: Any) -> Dataset:
        asked.append((names, options))
        return Dataset.from_dict({"sentence": TEXTS, "label": ["a", "b"] * 12})

    class Api:
        def dataset_info(self, name: str, revision: str | None) -> Any:
            asked.append((name, revision))
            return type("Info", (), {"sha": COMMIT})

    monkeypatch.setattr(hub, "require", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(datasets, "load_dataset", load)
    table, origin = hub_sets.read_hub(hub_sets.HubSet("owner/there", "one", "v1"), "train", "")
    assert table.num_rows == len(TEXTS)
    assert asked == [("owner/there", "v1"), (("owner/there", "one"), {"split": "train", "revision": COMMIT})]
    assert origin == f"hub owner/there:one@{COMMIT[:12]} train"


def test_the_command_trains_on_a_set_of_the_hub(
    write: Write, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _texts(write, "hub:")
    words = ["--data", "OwnTexts", "--data.name", "stars", "--data.source", "stream:owner/texts", "--data.columns"]
    words += ["{sentence: review, label: stars}", "--data.splits", "{validation: 'train[:12]'}"]
    model = ["--model.backbone.source", str(folders["bert"]), "--model.strategy", "LinearProbe"]
    assert main(["adapt", "fit", *model, *words, "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]) == 0
    (card,) = tmp_path.rglob("delta/README.md")
    assert "stars from stream:owner/texts: 24 train" in card.read_text()
    assert f"@{COMMIT}" in card.read_text()
