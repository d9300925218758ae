"""The picture of layers: a line a model, dots for its control, intervals, one colour for both."""

import re

from lm_lab.report.layer_curves import Mark, svg

ROWS = [Mark(layer, 0.5 + layer / 10, 0.45, 0.85) for layer in range(4)]


def test_a_model_and_its_control_share_a_colour() -> None:
    drawn = svg({"one": ROWS, "flat": ROWS[:1]}, "a title", {"one": [Mark(layer, 0.5, 0.5, 0.5) for layer in range(4)]})
    lines = re.findall(r'<polyline points="(.*?)" fill="none" stroke="(.*?)".*?(?:dasharray="(.*?)".*?)?/>', drawn)
    (control, one, flat) = lines
    assert control[1] == one[1] != flat[1]
    assert [bool(dashes) for *_, dashes in lines] == [True, False, True]
    (first, second) = flat[0].split()  # a model without layers is a line across
    assert first.split(",")[1] == second.split(",")[1]
    assert drawn.count("V") == 4 + 1  # no bar where the interval is not known
    assert ">with random weights</text>" in drawn
    assert "random" not in svg({"one": ROWS}, "a title")


def test_chance_is_in_the_frame() -> None:
    high = [Mark(0, 0.9, 0.88, 0.92), Mark(1, 0.95, 0.93, 0.97)]
    assert ">50</text>" in svg({"one": high}, "a title", floor=0.5)
    assert ">50</text>" not in svg({"one": high}, "a title")
