"""Colours that people can tell apart: the formula against its published pairs, the palette against the formula."""

from itertools import combinations

import numpy as np
import pytest
from colour_vision import VISIONS, contrast, difference, lab

from lm_lab.doctor.examples import EXAMPLES
from lm_lab.report.families import OWN, family
from lm_lab.report.palette import FAMILIES, SYMBOLS, looks, named
from lm_lab.strategies.about import GROUPS

# Sharma, Wu, Dalal 2005, table 1
PAIRS = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.001 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195
50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045
50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.903
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
50 2.5 0 50 3.2972 0 1
50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.335 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.263
61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""
APART = 10.0


@pytest.mark.parametrize("pair", PAIRS.strip().splitlines())
def test_ciede2000_is_that_of_its_authors(pair: str) -> None:
    numbers = np.array([float(word) for word in pair.split()])
    assert difference(numbers[:3], numbers[3:6]) == pytest.approx(numbers[6], abs=1e-4)


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_families_are_told_apart_by_everybody(vision: str) -> None:
    seen = {name: lab(colour, vision) for name, colour in FAMILIES.items()}
    near = {pair: difference(*(seen[name] for name in pair)) for pair in combinations(seen, 2)}
    assert min(near.values()) > APART, min(near, key=lambda pair: near[pair])


@pytest.mark.parametrize("paper", ["#ffffff", "#1a1d22"])
def test_every_colour_stands_out_on_both_papers(paper: str) -> None:
    assert min(contrast(colour, paper) for colour in FAMILIES.values()) >= 3  # WCAG 2.2, 1.4.11


@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_of_many_curves_are_confused(vision: str) -> None:
    """All strategies that there are, and more of one's own than a page of results ever had."""
    known = {name: str(type(example).group) for name, example in EXAMPLES.items()}
    seen = looks(known | {f"own_{number}": OWN for number in range(48 - len(known))})
    assert len(seen) == len(set(seen.values())) == 48
    for one, other in combinations(seen.values(), 2):
        if one.symbol == other.symbol:
            assert difference(lab(one.colour, vision), lab(other.colour, vision)) > APART


def test_a_family_has_one_colour_and_its_members_a_marker_each() -> None:
    seen = looks({"full": "fine-tuning", "a": "fine-tuning", "lora": "updates", "dora": "updates", "mine": OWN})
    assert seen["full"].colour == seen["a"].colour == FAMILIES["fine-tuning"]
    assert seen["full"].symbol == "circle"
    assert seen["lora"].colour == seen["dora"].colour
    assert len({seen["lora"].symbol, seen["dora"].symbol}) == 2
    assert seen["mine"].colour == FAMILIES[OWN]
    own = looks({"lora": "updates", "mine": OWN, "yours": OWN})
    assert own["yours"].colour == FAMILIES[OWN]  # a colour is a family: it takes none of another
    assert own["yours"].symbol != own["mine"].symbol
    assert len({look.colour for look in looks(dict.fromkeys("abcd", OWN)).values()}) == 4
    crowd = looks({f"lora {number}": "updates" for number in range(len(SYMBOLS) + 3)})
    assert len(set(crowd.values())) == len(crowd)
    assert len(set(named(map(str, range(8))).values())) == 8


def test_every_class_is_of_the_family_that_it_says() -> None:
    kinds = {type(example) for example in EXAMPLES.values()}
    for kind in kinds:
        for path in (f"lm_lab.strategies.{kind.__name__}", f"{kind.__module__}.{kind.__name__}"):
            assert family({"config": {"model": {"strategy": {"class_path": path}}}}) == kind.group
    assert set(GROUPS) | {OWN} == set(FAMILIES)


@pytest.mark.parametrize(
    "strategy", [{"class_path": "mine.LoRA"}, {"class_path": "lm_lab.prompting.Prompting"}, "lora", None]
)
def test_what_is_no_class_of_ours_is_of_no_family(strategy: object) -> None:
    assert family({"config": {"model": {"strategy": strategy}}}) == OWN
    assert family({"config": {}}) == family({}) == OWN
