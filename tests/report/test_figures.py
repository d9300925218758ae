import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from fake_results import pick

from lm_lab.report.figures import COLOURS, colours, references, trade_off
from lm_lab.report.page import write_svg
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
    assert control.meta == {"control": True}


def test_a_strategy_has_one_colour_in_all_figures(points):
    for task in ("sst2", AVERAGE):
        for axis in AXES:
            lora = next(t for t in trade_off(points, task, axis).data if t.name == "lora")
            assert lora.line.color == COLOURS["lora"]


def test_many_strategies_have_colours_and_numbers_of_their_own(points):
    one = pick(points, "full", "sst2")
    many = [replace(one, key=Coordinates({**one.key, "strategy": f"strategy {number}"})) for number in range(18)]
    assert len(set(colours(point.key["strategy"] for point in many).values())) == 18
    drawn = [text.text for text in ET.fromstring(write_svg(many, task="sst2")).iter("{http://www.w3.org/2000/svg}text")]
    for rank in range(1, 19):
        assert any(words == f"{rank}" or words.startswith(f"{rank} (") for words in drawn)  # at the point
        assert any(text.startswith(f"{rank}  strategy") for text in drawn)  # in the legend


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
