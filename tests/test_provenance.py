"""What is written beside a figure can be used to measure it again."""

import shlex

import pytest

from lm_lab import provenance
from lm_lab.redaction import HIDDEN, redacted, redacted_words


@pytest.mark.parametrize("program", ["/somewhere/bin/lm-lab", "/somewhere/lm_lab/__main__.py"])
def test_a_shell_reads_the_command_as_it_was_given(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["pretrain", "fit", "--data.starts= = [^=]", "--data.source=my 'own' text.txt", "--data.documents=null"]
    monkeypatch.setattr("sys.argv", [program, *words])
    assert shlex.split(provenance.command()) == ["lm-lab", *words]


def test_a_commit_says_whether_files_differ_from_it() -> None:
    assert provenance.commit({"commit": "abc", "dirty": False}) == "abc"
    assert provenance.commit({"commit": "abc", "dirty": True}) == "abc with uncommitted changes"
    assert provenance.commit({"commit": None, "dirty": None}) == "no git commit"


@pytest.mark.parametrize(
    "words",
    [
        ["--hub_token", "abc123"], ["--api-key=abc123"], ["--model.api_key", "abc123"], ["-p", "--password=abc123"],
        ["WANDB_API_KEY=abc123"], ["--data", '{"name": "x", "hf_token": "abc123", "b": 1}'], ["--data={token: abc123}"],
        ["--data.source=https://user:abc123@host.org/x.csv"], ["https://host.org/x.csv?b=1&token=abc123&c=2"],
        ["--note", f"hf_{'abc123' * 5}"], [f"sk-{'abc123' * 5}"], [f"ghp_{'abc123' * 6}"], ["--auth", "abc123"],
        ["https://s3.org/x?X-Amz-Signature=abc123"], ["--header", "Authorization: Bearer abc123"],
        ["--password=?abc123"], ["--password", "x abc123"],
    ],
)  # fmt: skip
def test_a_secret_is_in_no_record(words: list[str]) -> None:
    shown = " ".join(redacted_words(words))
    assert "abc123" not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "word",
    [
        "--backbone.tokenizer=runs/wordpieces", "--data.tokens=3", "tokenizer", "--max_tokens=9", "a: key", "--ab:c=d",
        "new:bert-mini", "--revision=0123456789abcdef0123456789abcdef01234567", "https://host.org/a@b", "hf_model",
        "--trainer.callbacks.monitor=val/loss", "--lm_weight=0.5", "keyboard=1", "--data.columns={label: stars}",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(word: str) -> None:
    assert redacted_words(["fit", word, "next"]) == ["fit", word, "next"]


def test_homes_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/ann")
    assert redacted("--out=/srv/ann/runs /srv/anna /data/srv/ann") == "--out=~/runs /srv/anna /data/srv/ann"
    assert redacted("/home/bob/x.csv '/Users/eve'") == "~/x.csv '~'"
    assert redacted(r"C:\Users\eve\x.csv") == r"~\x.csv"
