"""Draw where each strategy acts: `python docs/pictures.py` writes docs/images/strategies/NAME.svg.

A picture is a model from the embeddings (below) to the head (above). Grey is frozen, blue trains, orange is added.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

OUT = Path(__file__).parent / "images" / "strategies"
PATH = ("embeddings", "attention", "norm", "feed-forward", "norm ", "pooling", "head")  # bottom to top
FROZEN, TRAINED, ADDED = ("#e8eaed", "#5f6368"), ("#cfe2ff", "#0b57d0"), ("#ffe0c2", "#b45309")
WIDTH, HEIGHT, GAP, LEFT = 120, 30, 22, 200
BLOCK = ("attention", "norm", "feed-forward", "norm ")
WEIGHTS = ("embeddings", *BLOCK)


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Attributes:
        trained: boxes of the path that train, besides the head.
        beside: box -> what is added at its side.
        behind: box -> what is added between it and the next one.
        before: box -> what is put in front of its input.
        note: a line below.
    """

    note: str
    trained: tuple[str, ...] = ()
    beside: dict[str, str] = field(default_factory=dict)
    behind: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)


PICTURES = {
    "full": Picture("every weight trains", WEIGHTS),
    "partial": Picture("shown: a block among the top k", BLOCK),
    "gradual": Picture("top block in epoch 0, one more with each epoch, embeddings last", WEIGHTS),
    "probe": Picture("one frozen layer is read"),
    "weighted": Picture("all layers are read", beside={"pooling": "softmax(w), gamma"}),
    "adapter": Picture(
        "Houlsby; Pfeiffer has the upper one alone",
        ("norm", "norm "),
        behind={"attention": "bottleneck", "feed-forward": "bottleneck"},
    ),
    "parallel_adapter": Picture(
        "the bottleneck reads what the feed-forward reads", beside={"feed-forward": "s x bottleneck"}
    ),
    "lora": Picture("W x + s B A x for query and value", beside={"attention": "B A"}),
    "dora": Picture("m (W + s B A) x / ||W + s B A||", beside={"attention": "B A, lengths m"}),
    "vera": Picture("W x + b * B (d * A x), with A and B random", beside={"attention": "b, d"}),
    "ia3": Picture(
        "keys, values and inner activations are rescaled",
        beside={"attention": "l_k, l_v", "feed-forward": "l_ff"},
    ),
    "bitfit": Picture("the biases of every box", beside=dict.fromkeys(("embeddings", *BLOCK), "biases")),
    "layer_norm": Picture("the norms alone, the embedding's included", ("norm", "norm ")),
    "random_mask": Picture(
        "as many weights as another method trains, drawn at random",
        beside={"attention": "n weights", "feed-forward": "n weights"},
    ),
    "prompt": Picture("k embeddings in front of the text", before={"embeddings": "p_1 .. p_k"}),
    "prefix": Picture("keys and values in front of the text's", before={"attention": "P_k, P_v"}),
    "combination": Picture(
        "shown: MAM, a prefix and a parallel adapter",
        before={"attention": "P_k, P_v"},
        beside={"feed-forward": "s x bottleneck"},
    ),
}


def svg(picture: Picture) -> str:
    """The picture as SVG text."""
    rows = [row for box in PATH for row in (box, picture.behind.get(box)) if row is not None]
    total = len(rows) * (HEIGHT + GAP) + 40
    parts, y = [], total - 30 - HEIGHT
    tops: dict[str, int] = {}
    for position, row in enumerate(rows):
        if position:
            parts.append(_line(LEFT + WIDTH // 2, y + HEIGHT + GAP, LEFT + WIDTH // 2, y + HEIGHT))
        if row in PATH:
            tops[row] = y
            parts.append(_box(LEFT, y, row.strip(), TRAINED if row in (*picture.trained, "head") else FROZEN))
        else:
            parts.append(_box(LEFT, y, row, ADDED))
        y -= HEIGHT + GAP
    for place, text in picture.beside.items():
        x = LEFT + WIDTH + 30
        parts += [_line(x, tops[place] + HEIGHT // 2, LEFT + WIDTH, tops[place] + HEIGHT // 2)]
        # biases are weights of the box itself, so they are blue
        parts.append(_box(x, tops[place], text, TRAINED if text == "biases" else ADDED))
    for place, text in picture.before.items():
        x = LEFT - WIDTH - 30
        parts += [_line(x + WIDTH, tops[place] + HEIGHT // 2, LEFT, tops[place] + HEIGHT // 2)]
        parts.append(_box(x, tops[place], text, ADDED))
    top, bottom = tops["norm "] - 10, tops["attention"] + HEIGHT + 10
    parts.insert(0, _frame(LEFT - 12, top, WIDTH + 24, bottom - top))
    body = "".join(parts)
    caption = f'<text x="260" y="{total - 8}" text-anchor="middle" fill="#5f6368">{escape(picture.note)}</text>'
    style = 'font-family="sans-serif" font-size="13"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 {total}" width="520" height="{total}" {style}>'
        f'<rect width="520" height="{total}" fill="white"/>{body}{caption}</svg>\n'
    )


def _box(x: int, y: int, text: str, colours: tuple[str, str]) -> str:
    fill, stroke = colours
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{fill}" stroke="{stroke}"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 20}" text-anchor="middle" fill="{stroke}">{escape(text)}</text>'
    )


def _line(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#9aa0a6"/>'


def _frame(x: int, y: int, width: int, height: int) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" stroke="#9aa0a6" '
        f'stroke-dasharray="4 3"/><text x="{x - 6}" y="{y + height // 2}" text-anchor="end" fill="#9aa0a6">L x</text>'
    )


def main() -> None:
    """Write every picture."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        (OUT / f"{name}.svg").write_text(svg(picture), encoding="utf-8")


if __name__ == "__main__":
    main()
