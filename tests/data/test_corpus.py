import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lm_lab import bind
from lm_lab.backbones import Backbone
from lm_lab.data import microworld
from lm_lab.data.corpora import store
from lm_lab.data.corpora.chunkers import Chunker, PhraseChunker
from lm_lab.data.corpora.corpus import Corpus
from lm_lab.data.corpora.rows import Documents, NextSentencePairs, Packed, RowsFactory
from lm_lab.errors import UsageError
from lm_lab.objectives import CausalLM, EntityMasking, MaskedLM
from lm_lab.objectives.masked.corruption import Corruption
from lm_lab.training.pretraining import Pretraining

Make = Callable[..., Backbone]


def prepared(backbone: Backbone, **options: Any) -> Corpus:
    data = Corpus(**({"documents": 300, "held_out": 50, "batch_size": 16, "max_length": 64} | options))
    bind(Pretraining(backbone, CausalLM if backbone.family.causal else MaskedLM), data).setup("fit")
    return data


def decoded(data: Corpus, batches: Any, tokenizer: Any) -> list[str]:
    return [text for batch in batches for text in tokenizer.batch_decode(batch["input_ids"])]


def as_read(document: str) -> str:
    return "[CLS] " + document.replace("\t", " [SEP] ") + " [SEP]"


def test_every_document_is_given_once_to_train_or_to_validate(make: Make) -> None:
    backbone = make()
    data = prepared(backbone)
    train = decoded(data, data.train_dataloader(), backbone.tokenizer)
    held_out = decoded(data, data.val_dataloader(), backbone.tokenizer)
    assert (len(train), len(held_out)) == (250, 50)
    given = [text.replace(" [PAD]", "") for text in (*train, *held_out)]
    assert sorted(given) == sorted(map(as_read, microworld.corpus(300, 0)))


def test_a_batch_is_padded_to_its_longest_and_marks_segments(make: Make) -> None:
    tokenizer = make().tokenizer
    for batch in prepared(make()).train_dataloader():
        ids, mask, segments = batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]
        assert ids.shape == mask.shape == segments.shape
        assert mask.sum(dim=1).max() == ids.shape[1]
        assert torch.equal(mask == 0, ids == tokenizer.pad_token_id)
        pairs = (ids == tokenizer.sep_token_id).sum(dim=1) == 2
        assert torch.equal(segments.any(dim=1), pairs)
        assert not segments[mask == 0].any()


def test_the_order_is_new_in_every_epoch_and_repeats_with_the_seed(make: Make) -> None:
    def epoch(number: int, seed: int = 0) -> list[list[int]]:
        loader = prepared(make(), seed=seed).train_dataloader()
        loader.batch_sampler.set_epoch(number)
        return [row for batch in loader for row in batch["input_ids"].tolist()]

    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)


def test_batches_mix_kinds_of_documents(make: Make) -> None:
    """Batches of one kind each stop a small model from learning anything but that kind."""
    shares = [batch["token_type_ids"].any(dim=1).float().mean() for batch in prepared(make()).train_dataloader()]
    assert sum(0 < share < 1 for share in shares) >= 0.8 * len(shares)


def test_a_text_file_is_read_line_by_line(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the beast was good .\n\n  the plant was poor .\tyes .\nit was fine .\n", encoding="utf-8")
    backbone = make()
    data = prepared(backbone, source=str(path), documents=None, held_out=1)
    assert decoded(data, data.val_dataloader(), backbone.tokenizer) == ["[CLS] the beast was good . [SEP]"]
    train = decoded(data, data.train_dataloader(), backbone.tokenizer)
    assert any("the plant was poor . [SEP] yes . [SEP]" in text for text in train)
    assert data.description == f"{path}, 3 documents of which 1 held out"
    assert len(prepared(backbone, source=str(path), documents=2, held_out=1).training) == 1


def test_long_documents_are_truncated_and_counted(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("it was fine .\n" + "good " * 50 + "\n" + "good " * 20 + "\tit was fine .\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="2 of 2 documents are longer than 12 tokens"):
        data = prepared(make(), source=str(path), documents=None, held_out=1, max_length=12)
    assert data.training.lengths(0).tolist() == [12, 12]
    assert all(data.training[0, i].ids[-1] == 3 for i in range(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "nowhere.txt"}, "no text at 'nowhere.txt'; give a UTF-8 text file"),
        ({"documents": 0}, "documents=0: expected 1 or more"),
        ({"held_out": 300}, "held_out=300: expected 1 to 299"),
        ({"held_out": 0}, "held_out=0: expected 1 to 299"),
        ({"max_length": 4000}, "max_length=4000: this backbone takes 1 to"),
    ],
)
def test_bad_settings_say_what_was_expected(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(make(), **options)


def test_text_unknown_to_the_tokenizer_is_refused(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "english.txt"
    path.write_text("Tokens nobody taught this model\n" * 3, encoding="utf-8")
    with pytest.raises(UsageError, match="of the corpus is unknown to the tokenizer"):
        prepared(make(), source=str(path), documents=None, held_out=1)


@pytest.mark.parametrize("content", [b"\n \n", b"\xff\xfe\x00bad"])
def test_a_file_without_readable_text_is_refused(make: Make, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(UsageError, match=r"text\.txt"):
        prepared(make(), source=str(tmp_path / "text.txt"))


@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.parametrize("rows", [Documents, Packed, NextSentencePairs])
def test_worker_processes_change_nothing(make: Make, rows: RowsFactory) -> None:
    def epochs(workers: int) -> list[list[list[int]]]:
        loader = prepared(make(), rows=rows, num_workers=workers).train_dataloader()
        found = []
        for epoch in range(2):
            loader.batch_sampler.set_epoch(epoch)
            found.append([row for batch in loader for row in batch["input_ids"].tolist()])
        return found

    assert epochs(2) == epochs(0)


def test_a_folders_own_split_is_validated_on(make: Make, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("it was good .\nit was fine .\n")
    (tmp_path / "validation.txt").write_text("the beast was good .\n")
    backbone = make()
    data = prepared(backbone, source=str(tmp_path), held_out=0, documents=1)
    data.prepare_data()
    assert decoded(data, data.train_dataloader(), backbone.tokenizer) == ["[CLS] it was good . [SEP]"]
    assert decoded(data, data.val_dataloader(), backbone.tokenizer) == ["[CLS] the beast was good . [SEP]"]


def test_text_is_tokenised_once_and_anew_when_it_changes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("it was good .\nit was fine .\n")
    made, tokenise = [], store.tokenise
    monkeypatch.setattr(store, "tokenise", lambda *given: made.append(given) or tokenise(*given))
    for _ in range(2):
        prepared(make(), source=str(path), documents=None, held_out=1).prepare_data()
    assert len(made) == 1
    path.write_text("it was good .\nit was poor and fine .\n")
    prepared(make(), source=str(path), documents=None, held_out=1)
    assert len(made) == 2


def test_entities_of_a_corpus_are_masked_whole(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [{"text": "the beast was good and not poor .", "entities": [[14, 26]]}] * 8
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    backbone = make()
    data = prepared(backbone, source=str(path), documents=None, held_out=1, spans="entities")
    corrupt = Corruption(backbone, 0.4, EntityMasking())
    for batch in data.train_dataloader():
        hidden = corrupt(batch).targets >= 0
        assert hidden[batch["units"] > 0].all()
        assert (hidden.sum(dim=1) == 3).all()  # three tokens of the entity, and no word more


def test_spans_need_a_column(make: Make) -> None:
    with pytest.raises(UsageError, match="spans='entities': spans stand in a column of a data file, without starts"):
        prepared(make(), spans="entities")


def test_a_chunker_finds_what_is_masked_whole(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("the beast was good fine poor .\n" * 8)
    backbone = make()
    for longest, sizes in ((3, {3}), (2, {2})):  # the cache tells them apart
        data = prepared(backbone, source=str(path), documents=None, held_out=1, spans=PhraseChunker(longest))
        corrupt = Corruption(backbone, 0.4, EntityMasking())
        for batch in data.train_dataloader():
            units = batch["units"]
            assert set((units > 0).sum(dim=1).tolist()) == sizes
            assert (corrupt(batch).targets >= 0)[units > 0].all()


def test_a_chunker_reads_the_microworld_too(make: Make) -> None:
    class Beast(Chunker):
        def __call__(self, text: str) -> list[tuple[int, int]]:
            return [match.span() for match in re.finditer("the beast", text)]

    backbone = make()
    batch = next(iter(prepared(backbone, spans=Beast()).train_dataloader()))
    marked = batch["input_ids"][batch["units"] > 0]
    assert set(backbone.tokenizer.convert_ids_to_tokens(marked)) == {"the", "beast"}


def test_several_sources_are_one_text_of_which_each_gives_its_own_held_out_documents(
    make: Make, tmp_path: Path
) -> None:
    texts = microworld.corpus(60, 0)
    for name, part in (("a", texts[:40]), ("b", texts[40:])):
        (tmp_path / f"{name}.txt").write_text("\n".join(text.replace("\t", " ") for text in part), encoding="utf-8")
    backbone, sources = make(), [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    both = prepared(backbone, source=sources, documents=15, held_out=5)
    alone = [prepared(backbone, source=source, documents=15, held_out=5) for source in sources]
    for loader in ("train_dataloader", "val_dataloader"):
        found = decoded(both, getattr(both, loader)(), backbone.tokenizer)
        apart = [text for data in alone for text in decoded(data, getattr(data, loader)(), backbone.tokenizer)]
        assert sorted(text.replace(" [PAD]", "") for text in found) == sorted(t.replace(" [PAD]", "") for t in apart)
    assert both.description == f"{' and '.join(sources)}, 30 documents of which 10 held out"
    assert both.fingerprint() not in {data.fingerprint() for data in alone}


@pytest.mark.parametrize("sources", [[], ["microworld", "text.txt"]])
def test_a_list_of_no_text_or_with_the_microworld_among_others_is_refused(sources: list[str]) -> None:
    with pytest.raises(UsageError, match="expected one source, or several files, folders or names"):
        Corpus(sources)
