"""`lm-lab tokenizer`: a vocabulary of one's own, from texts."""

import argparse
from pathlib import Path

from lm_lab.commands.arguments import Arguments

KINDS = ("character", "word", "wordpiece", "bpe", "unigram")


def main(args: list[str]) -> int:
    """Train the tokenizer, write it, and say how much of the texts it does not know."""
    options = parser().parse_args(args)

    from lm_lab.data import tokenizers
    from lm_lab.data.corpora.raw import documents

    texts = list(documents(options.source, options.column, encoding=options.encoding))
    settings = (options.vocab_size, options.min_frequency, options.lowercase, options.max_length)
    tokenizer = tokenizers.train(texts, options.kind, *settings)
    folder = tokenizers.save(tokenizer, options.out)
    share = tokenizers.unknown_share(tokenizer, texts)
    print(
        f"tokenizer: {folder}: {len(tokenizer):,} tokens from {len(texts):,} documents, of which {share:.2%} is unknown"
    )
    return 0


def parser() -> argparse.ArgumentParser:
    """What reads its arguments."""
    parser = Arguments("lm-lab tokenizer", description="Train a tokenizer with BERT's special tokens.")
    parser.add_argument("--kind", choices=KINDS, default="character", help="what a token is (default: character)")
    parser.add_argument(
        "--source", nargs="+", required=True, help="text files, data files, or folders with a split train"
    )
    parser.add_argument("--column", default="text", help="the column of data files (default: text)")
    parser.add_argument("--encoding", default="utf-8", help="of text files, such as latin-1 (default: utf-8)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--vocab_size", type=int, default=8000, help="most tokens, special ones included")
    parser.add_argument("--min_frequency", type=int, default=2, help="how often a token must occur")
    parser.add_argument("--lowercase", action="store_true", help="read capitals as small letters")
    parser.add_argument("--max_length", type=int, default=512, help="longest sequence that the tokenizer states")
    return parser
