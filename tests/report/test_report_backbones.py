"""Suites that compare backbones: the figure of all side by side, and the first sentences."""

import re
from dataclasses import replace

import pytest
from fake_results import at, records

from lm_lab.metrics.uncertainty import t_interval
from lm_lab.report.backbones import side_by_side
from lm_lab.report.curves import Point, average, compares_backbones, selected
from lm_lab.report.figures import trade_off
from lm_lab.report.headline import headline
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.records import AVERAGE


@pytest.fixture(scope="module")
def points() -> list[Point]:
    """Five backbones and a control, each a little better than the one before."""
    found = selected(record for record, _ in records() if at(record)["strategy"] in ("probe", "full"))
    pretrained = [point for point in found if not point.control]
    every = [point for point in found if point.control]
    for number in range(5):
        for point in pretrained:
            key = Coordinates({**point.key, "backbone": f"model_{number}"}, point.key.knob)
            scores = {seed: score + number / 50 for seed, score in point.scores.items()}
            interval = t_interval(list(scores.values()))
            every.append(replace(point, key=key, scores=scores, interval=interval))
    return every + average(every)


def test_every_backbone_has_a_row_and_every_strategy_a_dot_in_it(points: list[Point]) -> None:
    first, *others = re.findall(r"<figure>.*?</figure>", side_by_side(points), re.DOTALL)
    assert AVERAGE in first
    assert len(others) == len({point.task for point in points} - {AVERAGE})
    rows = re.findall(r'<g( opacity="0.6")?><text[^>]*>([^<]*)</text>(.*?)</g>', first)
    assert [name for _, name, _ in rows] == [f"model_{number}" for number in (4, 3, 2, 1, 0)] + ["bert-random"]
    assert [bool(faded) for faded, _, _ in rows] == [False] * 5 + [True]
    assert all(dots.count("<circle") == 2 for _, _, dots in rows)


def test_dots_stand_at_their_scores(points: list[Point]) -> None:
    figure = side_by_side(points)
    found = {title: float(x) for x, title in re.findall(r'<circle cx="([\d.]+)" [^>]*><title>(full, [^<]*)<', figure)}
    means = {p.key.backbone: p.mean for p in points if p.task == AVERAGE and p.key["strategy"] == "full"}
    places = {name: next(x for title, x in found.items() if title.startswith(f"full, {name}:")) for name in means}
    (low, high) = ("bert-random", "model_4")
    scale = (places[high] - places[low]) / (means[high] - means[low])
    for name, mean in means.items():
        assert places[name] == pytest.approx(places[low] + scale * (mean - means[low]), abs=0.2)


def test_the_first_sentences_say_which_backbone_is_best_for_each_strategy(points: list[Point]) -> None:
    sentences = headline(points, [])
    assert [sentence.split(" does best on ")[0] for sentence in sentences] == ["probe", "full"]
    assert all("best on model_4, " in sentence for sentence in sentences)
    assert all("of 4 other backbones are not significantly different from it" in sentence for sentence in sentences)
    assert all("random weights is bert-random, " in sentence for sentence in sentences)
    one = [replace(p, scores={0: p.scores[0]}, interval=t_interval([p.scores[0]])) for p in points]
    assert all("; a single seed allows no test of differences." in sentence for sentence in headline(one, []))


def test_a_line_of_full_fine_tuning_for_each_would_hide_the_curves(points: list[Point]) -> None:
    assert compares_backbones(points)
    assert not trade_off(points, AVERAGE).layout.shapes


def test_a_suite_of_one_backbone_has_no_such_figure(points: list[Point]) -> None:
    alone = [point for point in points if point.control or point.key.backbone == "model_0"]
    assert side_by_side(alone) == ""
    assert not compares_backbones(alone)
    assert trade_off(alone, AVERAGE).layout.shapes
