import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from fake_results import pick

from lm_lab.report.figures import references, strategies, trade_off
from lm_lab.report.marks import cut, mark
from lm_lab.report.page import write_svg
from lm_lab.report.palette import FAMILIES, SYMBOLS, Look
from lm_lab.report.scale import scale
from lm_lab.report.text import count, percent, score, seconds, size
from lm_lab.report.traces import AXES
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.records import AVERAGE


def test_every_seed_is_a_marker_that_says_what_it_is(points):
    figure = trade_off(points, "sst2")
    seeds = next(t for t in figure.data if t.name == "lora, seeds")
    assert len(seeds.y) == 9
    assert "seed 0" in seeds.text[0]
    assert "learning_rate 0.0003" in seeds.text[0]
    assert "added" in seeds.text[0]


def test_the_axis_says_whether_the_head_counts_and_nought_has_a_place(points):
    figure = trade_off(points, "sst2")
    assert figure.layout.xaxis.title.text == "trained parameters, head included"
    included, left_out = figure.layout.updatemenus[0].buttons
    names = [trace.name for trace in figure.data]
    probe, lora = names.index("probe"), names.index("lora")
    assert included.args[0]["x"][lora] == list(figure.data[lora].x)
    assert left_out.args[1]["xaxis.title.text"] == "trained parameters, head left out"
    assert left_out.args[0]["x"][lora][0] == 18_432
    # a probe trains nothing but its head: a log axis has no nought, so it gets a labelled slot of its own
    assert left_out.args[1]["xaxis.ticktext"][0] == "0"
    assert left_out.args[1]["xaxis.tickvals"][0] == left_out.args[0]["x"][probe][0] > 0


@pytest.mark.parametrize("axis", AXES)
def test_nought_stands_at_its_label_on_every_axis(points, axis):
    probe, full = (pick(points, name, "sst2") for name in ("probe", "full"))
    costs = {"trained": 0, "delta_bytes": 0}
    nothing = replace(probe, ledger={**probe.ledger, **costs}, train_seconds=0.0, peak_bytes=0.0)
    figure = trade_off([nothing, full], "sst2", axis)
    mean = next(trace for trace in figure.data if trace.name == "probe")
    assert figure.layout.xaxis.ticktext[0] == "0"
    assert mean.x[0] == figure.layout.xaxis.tickvals[0]


def test_full_fine_tuning_is_a_line_and_controls_are_muted(points):
    figure = trade_off(points, AVERAGE)
    (line,) = figure.layout.shapes
    assert line.y0 == pytest.approx(100 * pick(points, "full", AVERAGE).mean)
    control = next(t for t in figure.data if t.name == "full · bert-random")
    assert control.opacity < 1
    assert control.line.dash == "dot"
    about = {"line": "full", "backbone": "bert-random", "family": "fine-tuning", "task": AVERAGE}
    assert control.meta == {"control": True, "reference": True, **about}


def test_a_strategy_has_one_colour_and_one_marker_in_all_figures(points):
    for task in ("sst2", AVERAGE):
        for axis in AXES:
            lora = next(t for t in trade_off(points, task, axis).data if t.name == "lora")
            assert (lora.line.color, lora.marker.symbol) == (FAMILIES["updates"], "circle")


def several(points, count, name="strategy {}", spread=0.0):
    """One point many times, each time as another strategy."""
    one = pick(points, "full", "sst2")
    return [
        replace(
            one,
            key=Coordinates({**one.key, "strategy": name.format(number)}),
            scores={seed: score - number * spread for seed, score in one.scores.items()},
            interval=one.interval._replace(mean=one.mean - number * spread),
        )
        for number in range(count)
    ]


def drawn(svg, part):
    return list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}" + part))


def test_many_strategies_have_looks_and_numbers_of_their_own(points):
    many = several(points, 18)
    assert len(set(strategies(many).values())) == 18
    words = [text.text for text in drawn(write_svg(many, task="sst2"), "text")]
    for rank in range(1, 19):
        assert any(word == f"{rank}" or word.startswith(f"{rank} (") for word in words)  # at the point
        assert any(word.startswith(f"{rank}  strategy") for word in words)  # in the legend
    assert "and 8 below these" in [text.text for text in drawn(write_svg(several(points, 40), task="sst2"), "text")]


def test_a_name_that_has_no_room_ends_in_dots_and_is_told_whole(points):
    long = "an adapter with a name that goes on and on & on {}"
    for many in (several(points, 2, long), several(points, 18, long)):
        svg = write_svg(many, task="sst2")
        names = [text for text in drawn(svg, "text") if "…" in (text.text or "")]
        assert len(names) == len(many)
        for text in names:
            (title,) = text.iter("{http://www.w3.org/2000/svg}title")
            assert title.text.startswith("an adapter with a name that goes on and on & on ")
            assert float(text.get("x")) + 0.56 * float(text.get("font-size")) * len(text.text) < 860
    assert cut("short", 100, 12) == "short"


def test_one_run_that_fell_over_does_not_squeeze_the_rest(points):
    good = several(points, 12, spread=0.002)
    fallen = replace(
        good[0], key=Coordinates({**good[0].key, "strategy": "fallen"}), scores={0: 0.05, 1: 0.06, 2: 0.07}
    )
    fallen = replace(fallen, interval=fallen.interval._replace(mean=0.06))
    ends, alone = scale([*good, fallen]), scale(good)
    assert ends == pytest.approx(alone, abs=1.5)
    figure = trade_off([*good, fallen], "sst2")
    (trace,) = [t for t in figure.data if t.name == "fallen"]
    assert trace.marker.symbol == ("arrow-down",)
    assert trace.y[0] == pytest.approx(ends.bottom, abs=1e-3)
    assert "score 6.0" in trace.text[0]
    assert figure.layout.meta["beyond"] == ["sst2, minilm-l3, fallen: 6.0"]
    arrows = [path for path in drawn(write_svg([*good, fallen], task="sst2"), "path") if path.get("class") == "beyond"]
    assert sorted(arrow[0].text for arrow in arrows)[:3] == ["5.0", "6.0", "7.0"]
    assert any("fallen: 6.0" in arrow[0].text for arrow in arrows)
    assert not [path for path in drawn(write_svg(good, task="sst2"), "path") if path.get("class") == "beyond"]


def test_what_takes_little_room_is_drawn_where_it_is(points):
    good = several(points, 12, spread=0.002)
    lower = several(points, 1, "lower", spread=0.0)[0]
    lower = replace(lower, scores={seed: score - 0.05 for seed, score in lower.scores.items()})
    assert scale([*good, lower]).bottom < 100 * min(lower.scores.values())


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_marker_stands_where_its_point_is(symbol):
    drawing = ET.fromstring(mark(Look("#123456", symbol), 50, 40, 5, "a & b"))
    assert drawing[0].text == "a & b"
    if symbol == "circle":
        assert (drawing.get("cx"), drawing.get("cy")) == ("50.0", "40.0")
        return
    corners = [tuple(map(float, pair.split(","))) for pair in drawing.get("points").split()]
    for at, middle in enumerate((50, 40)):
        assert abs(sum(corner[at] for corner in corners) / len(corners) - middle) < 0.1
        assert 3 < max(corner[at] for corner in corners) - middle < 8


@pytest.mark.parametrize("axis", AXES)
def test_axes_have_a_few_round_ticks_inside_the_range(points, axis):
    for task in ("cola", AVERAGE):
        layout = trade_off(points, task, axis).layout.xaxis
        assert 2 <= len(layout.tickvals) <= 8
        assert len(set(layout.ticktext)) == len(layout.ticktext)


def test_the_svg_is_well_formed_and_labelled(points):
    root = ET.fromstring(write_svg(points, "A & B"))
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "A & B" in words
    assert "lora (rank)" in words
    assert "trained parameters, head included (log scale)" in words
    card = root.find("{http://www.w3.org/2000/svg}rect")
    assert card.get("fill") == "#ffffff"
    assert "No finished cells yet." in write_svg([])


def test_in_the_svg_what_trains_nothing_stands_at_a_labelled_nought(points):
    probe, full = (pick(points, name, "sst2") for name in ("probe", "full"))
    nothing = replace(probe, ledger={**probe.ledger, "trained": 0})
    root = ET.fromstring(write_svg([nothing, full], task="sst2"))
    words = {node.text: float(node.get("x")) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    marks = [
        float(node.get("cx")) for node in root.iter("{http://www.w3.org/2000/svg}circle") if node.get("r") == "4.8"
    ]
    assert min(marks) == words["0"]
    assert "1" not in words  # it is no axis from one to millions


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (count(76_802), "76.8k"),
        (count(999_999), "1M"),
        (count(385), "385"),
        (size(307_208), "307 kB"),
        (seconds(12.34), "12.3 s"),
        (seconds(150), "2.5 min"),
        (percent(0.0044), "0.44%"),
        (percent(1.0), "100%"),
        (score(-0.0123, signed=True), "−1.2"),
        (score(-0.0001), "0.0"),
        (score(float("nan")), "–"),
    ],
)
def test_numbers_read_as_a_person_writes_them(made, expected):
    assert made == expected


def test_one_full_fine_tuning_a_backbone_is_the_reference(points):
    """Layer decay and gradual unfreezing train the whole model too."""
    full = next(p for p in points if p.key["strategy"] == "full")
    other = replace(full, key=Coordinates({**full.key, "strategy": "gradual"}))
    named = {p.key for p in points if p.key["strategy"] == "full"}
    assert references(points) == named
    assert references([other, *points]) == references([*points, other]) == named
    assert references([other]) == {other.key}
