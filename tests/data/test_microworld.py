import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from transformers import AutoTokenizer

from lm_lab.data import microworld
from lm_lab.data.microworld.lexicon import GLAD, KINDS, SAD, SPLITS, Words, lexicon, words_of
from lm_lab.data.microworld.sentences import belongs
from lm_lab.errors import UsageError
from lm_lab.tasks.entities import entities

CONFIG = Path(__file__).parents[2] / "configs" / "backbones" / "microworld_bert"
EVERY_SPLIT = [(task, split) for task in microworld.TASKS for split in microworld.splits(task)]
CLASSIFIED = ("cola", "sst2", "mrpc", "rte", "mnli")
TEXT = pa.string()
PAIR = {"sentence1": TEXT, "sentence2": TEXT}
INDEX = {"idx": pa.int32()}


def texts(task: str, split: str, rows: int | None = None) -> list[tuple[str, ...]]:
    rest = ("id", "title", "label", "idx", "answer", "answers", "tags")
    columns = [microworld.table(task, split, rows)[c] for c in microworld.schema(task).names if c not in rest]
    return list(zip(*(map(written, column.to_pylist()) for column in columns), strict=True))


def written(text: str | list[str]) -> str:
    return text if isinstance(text, str) else " ".join(text)


def labels(task: str, split: str) -> np.ndarray:
    return np.array(microworld.table(task, split)["label"].to_pylist())


def content(words: Words) -> set[str]:
    nouns = {form for noun in words.nouns for form in (noun.singular, noun.plural)}
    sets = {word for group in (*words.praise, *words.blame, *words.verbs) for word in group}
    return nouns | sets | {*words.names, *words.places}


def last_validation(task: str) -> str:
    return next(split for split in microworld.splits(task) if split.startswith("validation"))


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("cola", {"sentence": TEXT, "label": pa.int64()} | INDEX),
        ("sst2", {"sentence": TEXT, "label": pa.int64()} | INDEX),
        ("mrpc", PAIR | {"label": pa.int64()} | INDEX),
        ("stsb", PAIR | {"label": pa.float32()} | INDEX),
        ("rte", PAIR | {"label": pa.int64()} | INDEX),
        ("mnli", {"premise": TEXT, "hypothesis": TEXT, "label": pa.int64()} | INDEX),
    ],
)
def test_columns_and_types_are_those_of_glue_on_the_hub(task: str, columns: dict[str, pa.DataType]) -> None:
    for split in microworld.splits(task):
        table = microworld.table(task, split, 12)
        assert table.schema == pa.schema(list(columns.items()))
        assert table["idx"].to_pylist() == list(range(12))


def test_squad_has_the_hubs_columns_and_its_answers_are_spans_of_the_context() -> None:
    table = microworld.table("squad", "validation", 300)
    assert table.column_names == ["id", "title", "context", "question", "answers"]
    assert table.schema.field("answers").type == pa.struct(
        [("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))]
    )
    rows = table.to_pylist()
    assert len({row["id"] for row in rows}) == 300
    for row in rows:
        (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(answer)] == answer
        assert re.fullmatch(r"\S+", answer)
    assert Counter(row["question"].split()[0] for row in rows) == {"who": 100, "what": 100, "where": 100}


def test_tags_mark_whole_phrases_of_persons_places_and_things() -> None:
    table = microworld.table("tags", "validation", 300)
    words = pa.list_(pa.string())
    assert table.schema == pa.schema([("tokens", words), ("tags", words), ("idx", pa.int32())])
    own, marked = words_of("validation"), Counter[str]()
    kinds = {"person": set(own.names), "place": set(own.places), "thing": {noun.singular for noun in own.nouns}}
    for row in table.to_pylist():
        spans = entities(row["tags"])
        marked.update(kind for kind, *_ in spans)
        named = [i for i, word in enumerate(row["tokens"]) if any(word in known for known in kinds.values())]
        assert sorted(end - 1 for _, _, end in spans) == named  # the last word of a phrase says what it names
        for kind, start, end in spans:
            assert row["tokens"][end - 1] in kinds[kind]
            assert all(word.endswith("ish") for word in row["tokens"][start : end - 1])
    assert min(marked.values()) > 100
    assert set(marked) == set(kinds)


def test_choices_have_the_columns_of_their_form_and_the_right_one_stands_anywhere() -> None:
    table = microworld.table("choice", "train")
    columns = [("context", TEXT), ("options", pa.list_(TEXT)), ("answer", pa.int64()), *INDEX.items()]
    assert table.schema == pa.schema(columns)
    assert Counter(table["answer"].to_pylist()) == dict.fromkeys(range(4), 500)
    assert all(len(set(options)) == 4 for options in table["options"].to_pylist())


def test_the_right_choice_alone_replaces_verb_and_adjective_by_synonyms() -> None:
    everything = lexicon()
    for row in microworld.table("choice", "validation", 200).to_pylist():
        told = row["context"].split()
        for place, option in enumerate(row["options"]):
            retold = option.split()
            assert [retold[0], retold[4]] == [told[0], told[4]]
            same = [
                any(told[i] in words and retold[i] in words for words in sets) and told[i] != retold[i]
                for i, sets in ((1, everything.verbs), (3, everything.praise + everything.blame))
            ]
            assert all(same) == (place == row["answer"])


# chance is 1/4, its standard error 0.014
@pytest.mark.parametrize("with_context", [True, False], ids=["options and context", "options alone"])
def test_a_shallow_classifier_is_at_chance_on_choices(with_context: bool) -> None:
    train, validation = (microworld.table("choice", split).to_pylist() for split in ("train", "validation"))
    vectorizer = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), binary=True)

    def lines(rows: list[dict]) -> list[str]:
        return [f"{row['context'] if with_context else ''} | {o}" for row in rows for o in row["options"]]

    right = [place == row["answer"] for row in train for place in range(4)]
    model = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(lines(train)), right)
    scores = model.decision_function(vectorizer.transform(lines(validation))).reshape(-1, 4)
    assert (scores.argmax(1) == [row["answer"] for row in validation]).mean() < 1 / 4 + 0.056


def test_default_sizes_and_split_names() -> None:
    assert [microworld.table("rte", split).num_rows for split in SPLITS] == [2000, 1000, 1000]
    assert set(microworld.splits("mnli")) == {
        "train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched",
    }  # fmt: skip


@pytest.mark.parametrize("task", CLASSIFIED)
def test_labels_are_balanced(task: str) -> None:
    for split in microworld.splits(task):
        counts = Counter(labels(task, split).tolist())
        assert set(counts) == set(range(3 if task == "mnli" else 2))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_graded_scores_cover_the_whole_range() -> None:
    scores = labels("stsb", "train")
    assert scores.min() == 0
    assert scores.max() == 5
    shares = np.histogram(scores, bins=5, range=(0, 5))[0] / len(scores)
    assert shares.min() > 0.04


@pytest.mark.parametrize("task", microworld.TASKS)
def test_no_row_is_repeated_within_or_across_splits(task: str) -> None:
    rows = [row for split in microworld.splits(task) for row in texts(task, split)]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(("task", "split"), EVERY_SPLIT)
def test_a_split_uses_its_own_content_words_only(task: str, split: str) -> None:
    used = {word for row in texts(task, split) for text in row for word in text.split()}
    own = content(words_of(split.partition("_")[0]))
    assert used & content(lexicon()) <= own
    assert len(used & own) > 20


def test_the_shares_of_the_splits_are_disjoint_and_cover_the_lexicon() -> None:
    shares = [content(words_of(split)) for split in SPLITS]
    assert sum(map(len, shares)) == len(set().union(*shares)) == len(content(lexicon()))


def test_the_same_arguments_give_the_same_rows_and_another_seed_gives_others() -> None:
    for task in microworld.TASKS:
        first = microworld.table(task, "train", 50, seed=3)
        assert first.equals(microworld.table(task, "train", 50, seed=3))
        assert not first.equals(microworld.table(task, "train", 50, seed=4))
    assert microworld.corpus(200, seed=1) == microworld.corpus(200, seed=1)
    assert microworld.corpus(200, seed=1) != microworld.corpus(200, seed=2)


# chance is 1/2 or 1/3; with 1000 rows its standard error is 0.016, and the bound is four of them
@pytest.mark.parametrize("task", CLASSIFIED)
@pytest.mark.parametrize("words", [True, False], ids=["words and pairs of words", "lengths and shared words"])
def test_a_shallow_classifier_is_at_chance_on_validation(task: str, words: bool) -> None:
    train, validation = texts(task, "train"), texts(task, last_validation(task))
    features = bag_of_words if words else surface
    inputs, held_out = features(train, validation)
    model = LogisticRegression(max_iter=2000).fit(inputs, labels(task, "train"))
    score = model.score(held_out, labels(task, last_validation(task)))
    assert score < (1 / 3 if task == "mnli" else 1 / 2) + 0.065


# the words of one split can be memorised, so here only what holds for any words may help
def test_similarity_is_told_by_shared_words_in_part_only() -> None:
    shared = surface(texts("stsb", "validation"), [])[0][:, -1]
    correlation = pearsonr(shared, labels("stsb", "validation")).statistic
    assert 0.3 < correlation < 0.6


def bag_of_words(train: list[tuple[str, ...]], held_out: list[tuple[str, ...]]) -> tuple[np.ndarray, np.ndarray]:
    vectorizer = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2))
    inputs = vectorizer.fit_transform(" | ".join(row) for row in train)
    return inputs, vectorizer.transform(" | ".join(row) for row in held_out)


def surface(train: list[tuple[str, ...]], held_out: list[tuple[str, ...]]) -> tuple[np.ndarray, np.ndarray]:
    def measure(row: tuple[str, ...]) -> list[int]:
        words = [text.split() for text in row]
        return [*map(len, words), *map(len, row), len(set(words[0]) & set(words[-1]))]

    inputs = np.array([measure(row) for row in train], dtype=float)
    scaler = StandardScaler().fit(inputs)
    return scaler.transform(inputs), scaler.transform(np.array([measure(r) for r in held_out])) if held_out else inputs


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return microworld.corpus(40_000)


def test_the_corpus_tells_the_polarity_of_every_adjective(documents: list[str]) -> None:
    tally: dict[str, int] = defaultdict(int)
    for document in documents:
        if found := re.search(r"was (not )?(\w+) \. \w+ (\w+) \.$", document):
            denied, adjective, reaction = found.groups()
            pleased = reaction in GLAD
            assert pleased or reaction in SAD
            tally[adjective] += 1 if pleased != bool(denied) else -1
    words = lexicon()
    for adjective in (word for group in words.praise + words.blame for word in group):
        assert abs(tally[adjective]) > 50
        assert (tally[adjective] > 0) == belongs(adjective, words.praise)


def test_the_corpus_tells_the_kind_and_number_of_every_noun(documents: list[str]) -> None:
    kinds: dict[str, Counter] = defaultdict(Counter)
    numbers: dict[str, Counter] = defaultdict(Counter)
    for document in documents:
        if found := re.search(r"the (\w+) \. the (\w+) was", document):
            kinds[found[1]][found[2]] += 1
        if found := re.match(r"the (\w+) (is|are|was|were) ", document):
            numbers[found[1]][found[2]] += 1
    for noun in lexicon().nouns:
        assert set(kinds[noun.singular]) == {noun.kind}
        assert numbers[noun.plural].keys() <= {"are", "were"}
        assert numbers[noun.singular].total() > 0
        assert numbers[noun.plural].total() > 0


def test_the_corpus_tells_which_words_mean_the_same(documents: list[str]) -> None:
    seen = {frozenset(found.groups()) for d in documents if (found := re.fullmatch(r"(\w+) means (\w+) \.", d))}
    words = lexicon()
    groups = words.verbs + words.praise + words.blame
    every = {frozenset((a, b)) for group in groups for a in group for b in group if a != b}
    assert seen <= every
    assert len(seen) > 0.95 * len(every)


def test_documents_are_short_and_some_have_two_segments(documents: list[str]) -> None:
    assert len(documents) == 40_000
    assert all(1 <= document.count(" .") + document.count(" ?") <= 5 for document in documents)
    segments = Counter(document.count(microworld.SEGMENT) for document in documents)
    assert set(segments) == {0, 1}
    assert 0.3 < segments[1] / 40_000 < 0.7


def test_the_vocabulary_covers_corpus_and_tasks(documents: list[str]) -> None:
    tokenizer = microworld.tokenizer()
    rows = [text for task, split in EVERY_SPLIT for row in texts(task, split, 200) for text in row]
    lines = [*(segment for document in documents for segment in document.split(microworld.SEGMENT)), *rows]
    ids = {token for line in tokenizer(sorted(set(lines)))["input_ids"] for token in line}
    assert tokenizer.unk_token_id not in ids
    assert len(ids) == len(tokenizer) - 3  # all but padding, unknown and mask
    assert max(len(document.split()) for document in documents) + 3 <= tokenizer.model_max_length


def test_tokenizer_encodes_pairs_as_bert_does() -> None:
    tokenizer = microworld.tokenizer()
    encoded = tokenizer("The beast was [MASK] .", "it was xyz")
    tokens = ["[CLS]", "the", "beast", "was", "[MASK]", ".", "[SEP]", "it", "was", "[UNK]", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == tokens
    assert encoded["token_type_ids"] == [0] * 7 + [1] * 4
    assert microworld.vocabulary()[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [tokenizer.pad_token_id, tokenizer.mask_token_id] == [0, 4]


def test_tokenizer_survives_saving_and_equals_the_committed_one(tmp_path: Path) -> None:
    tokenizer = microworld.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    for folder in (tmp_path, CONFIG):
        loaded = AutoTokenizer.from_pretrained(folder)
        assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert loaded.special_tokens_map == tokenizer.special_tokens_map
        assert loaded.model_max_length == tokenizer.model_max_length
        assert loaded("it was", "not fine").data == tokenizer("it was", "not fine").data


def test_kinds_start_with_a_consonant_because_the_grammar_says_a() -> None:
    assert not any(kind[0] in "aeiou" for kind in KINDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("qqp", "train"), "no task 'qqp'; it has cola, sst2, mrpc, stsb, rte, mnli, squad"),
        (("rte", "dev"), "'rte' has no split 'dev'; it has train, validation, test"),
        (("mnli", "validation"), "'mnli' has no split 'validation'; it has train, validation_matched"),
        (("rte", "train", 0), "rows=0"),
        (("rte", "test", 10**6), "rows=1000000: .*fewer different rows; ask for"),
    ],
)
def test_bad_requests_name_what_there_is(arguments: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        microworld.table(*arguments)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(UsageError, match="sentences=0"):
        microworld.corpus(0)
