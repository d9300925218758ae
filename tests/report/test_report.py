import base64
import csv
import gzip
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from fake_results import TASKS, at, pick, write_results

from lm_lab.errors import UsageError
from lm_lab.report.comparisons import compare
from lm_lab.report.figures import AXES, references
from lm_lab.report.headline import headline
from lm_lab.report.losses import pictures
from lm_lab.report.page import terminal_table, write_report
from lm_lab.report.table import all_points, baseline_scores, best
from lm_lab.report.text import percent
from lm_lab.results.coordinates import Coordinates
from lm_lab.results.predictions import Predictions, read_predictions
from lm_lab.results.records import AVERAGE, Baseline, read_records, read_suite, save_baselines, write_record

DRAWS = 200


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    return write_report(finished, tmp_path_factory.mktemp("page"), draws=DRAWS)


def embedded(page, name):
    block = re.search(rf'id="{name}">([^<]+)<', page.read_text()).group(1)
    return gzip.decompress(base64.b64decode(block)).decode()


def test_the_page_is_small_and_loads_nothing(page):
    text = page.read_text()
    assert page.stat().st_size < 3_000_000
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert "@import" not in text
    assert "url(" not in text
    assert "plotly.js v" in embedded(page, "plotly")[:200]


def test_the_pages_figures_hold_the_points(page, points):
    figures = json.loads(embedded(page, "figures"))
    assert set(figures) == {"cola", "mrpc", "sst2", "stsb", AVERAGE}
    for task, figure in figures.items():
        assert set(figure["axes"]) == set(AXES)
        place, lora = next((i, t) for i, t in enumerate(figure["traces"]) if t["name"] == "lora")
        expected = [pick(points, "lora", task, size) for size in (2, 8, 32)]
        assert figure["axes"]["parameters"]["x"][place] == [p.trained() for p in expected]
        assert figure["axes"]["memory"]["x"][place] == [p.peak_bytes for p in expected]
        assert lora["y"] == pytest.approx([100 * p.mean for p in expected], abs=1e-3)
        assert lora["error_y"]["array"] == pytest.approx([100 * (p.interval.high - p.mean) for p in expected], abs=1e-3)


def test_the_table_marks_the_best_and_what_cannot_be_told_from_it(points):
    marked = best(points)
    assert (pick(points, "lora", AVERAGE, 32).key, AVERAGE) in marked
    assert (pick(points, "probe", AVERAGE).key, AVERAGE) not in marked
    assert not any(key.backbone == "bert-random" for key, _ in marked)


def test_the_terminal_table_has_a_row_a_strategy(finished, points):
    table = terminal_table(finished)
    row = next(line for line in table.splitlines() if line.startswith("lora, rank 8"))
    point = pick(points, "lora", "sst2", 8)
    assert f"{100 * point.mean:.1f} ± {100 * point.interval.half:.1f}" in row
    assert "0.43%" in row
    assert "2 diverged" in table
    assert "\x1b" not in table


def test_the_csv_files_hold_every_point_and_cell(page, points, finished):
    with open(page.with_name("results.csv")) as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(points)
    assert float(rows[0]["mean"]) == points[0].mean
    with open(page.with_name("cells.csv")) as stream:
        cells = list(csv.DictReader(stream))
    assert len(cells) == len(read_records(finished))
    assert [row["reason"] for row in cells if row["status"] == "diverged"] == ["loss became nan at step 41"] * 2


def test_comparisons_are_of_the_recorded_scores(finished, points):
    found, problems = compare(finished, points, read_records(finished), draws=DRAWS)
    assert problems == []
    for c in found:
        full = pick(points, "full", c.task, control=c.key.backbone == "bert-random")
        mine = next(p for p in points if p.key == c.key and p.task == c.task)
        assert c.difference.estimate == pytest.approx(mine.mean - full.mean, abs=1e-9)
        assert c.difference.low <= c.difference.estimate <= c.difference.high
        assert c.p_holm >= c.difference.p
    assert not any(c.key["strategy"] == "full" for c in found)
    probe = next(c for c in found if c.key == pick(points, "probe", AVERAGE).key and c.task == AVERAGE)
    assert probe.difference.high < 0


def test_predictions_that_disagree_with_their_record_are_not_used(results):
    records = read_records(results)
    record = next(r for r in records if at(r)["strategy"] == "lora" and at(r)["task"] == "sst2")
    table = read_predictions(results, record["id"])
    write_record(results, record, table._replace(prediction=1 - table.prediction))
    points = all_points(records, read_suite(results))
    used = record["id"] in {cell for p in points for cell in p.cells}
    _, problems = compare(results, points, records, draws=20)
    assert used == bool(problems)
    winner = next(p for p in points if p.key["strategy"] == "lora" and p.task == "sst2").cells[0]
    (results / "predictions" / f"{winner}.parquet").unlink()
    found, problems = compare(results, points, records, draws=20)
    assert any("no readable predictions" in problem for problem in problems)
    assert any(c.task == "sst2" for c in found)


def test_two_validation_sets_are_scored_apart(tmp_path, results):
    """MNLI's score is the mean of its two sets' accuracies, not the accuracy of both together."""
    records = [r for r in read_records(results) if at(r)["task"] == "sst2" and r["status"] == "done"]
    for record in records:
        table = read_predictions(results, record["id"])
        rows = table.split == "validation"
        names = ["validation_matched"] * 300 + ["validation_mismatched"] * (rows.sum() - 300)
        split = table.split.astype("U30")
        split[rows] = names
        right = (table.prediction == table.label)[rows]
        scores = {"accuracy_matched": right[:300].mean(), "accuracy_mismatched": right[300:].mean()}
        record["scores"]["validation"] = {name: float(value) for name, value in scores.items()}
        record["score"]["validation"] = float(sum(scores.values()) / 2)
        write_record(tmp_path, record, Predictions(split, *table[1:]))
    points = all_points(records, {})
    found, problems = compare(tmp_path, points, records, draws=50)
    assert problems == []
    lora = next(c for c in found if c.key["strategy"] == "lora" and c.task == "sst2")
    full = pick(points, "full", "sst2")
    mine = next(p for p in points if p.key == lora.key and p.task == "sst2")
    assert lora.difference.estimate == pytest.approx(mine.mean - full.mean)


def test_the_headline_names_the_cheapest_within_a_point_of_full_fine_tuning(finished, points):
    found, _ = compare(finished, points, read_records(finished), draws=DRAWS)
    text = " ".join(headline(points, found))
    close = [c for c in found if c.task == AVERAGE and c.key.backbone == "minilm-l3" and c.difference.estimate >= -0.01]
    cheapest = min(
        (next(p for p in points if p.key == c.key and p.task == AVERAGE) for c in close), key=lambda p: p.trained()
    )
    assert f"{cheapest.key['strategy']}, {cheapest.key.knob} {cheapest.key.size}" in text
    assert percent(cheapest.share) in text
    assert "bert-random" not in text


def test_the_headline_says_nothing_of_times_on_several_machines(finished):
    records = read_records(finished)
    found, _ = compare(finished, all_points(records, read_suite(finished)), records, draws=20)
    assert "% of the time" in " ".join(headline(all_points(records, read_suite(finished)), found))
    for record in records:
        if (at(record)["strategy"], at(record)["task"]) == ("full", "mrpc"):
            record["hardware"] = record["hardware"] | {"cpu": "another CPU"}
    elsewhere = " ".join(headline(all_points(records, read_suite(finished)), found))
    assert "% of the parameters and stores" in elsewhere
    assert "of the time" not in elsewhere


def test_the_headline_counts_the_tasks_of_the_average_alone(finished):
    records = [r for r in read_records(finished) if (at(r)["task"], at(r)["strategy"]) != ("stsb", "bitfit")]
    assert "on the average of 3 tasks" in headline(all_points(records, read_suite(finished)), [])[0]


def test_one_task_has_no_average(tmp_path, finished):
    for record in (r for r in read_records(finished) if at(r)["task"] == "sst2" and r["status"] == "done"):
        write_record(tmp_path, record, read_predictions(finished, record["id"]))
    shutil.copy(finished / "suite.json", tmp_path)
    save_baselines(tmp_path, {"sst2": Baseline(what="majority", score=0.5, data="")})
    points = all_points(read_records(tmp_path), read_suite(finished))
    assert {point.task for point in points} == {"sst2"}
    assert headline(points, [])[0].endswith(" on sst2.")
    assert "average" not in terminal_table(tmp_path)
    text = write_report(tmp_path, draws=20).read_text()
    assert "average is over" not in text
    assert 'data-task="average"' not in text


def test_without_full_fine_tuning_nothing_is_claimed(results):
    records = [r for r in read_records(results) if at(r)["strategy"] != "full"]
    points = all_points(records, read_suite(results))
    assert not references(points)
    found, _ = compare(results, points, records, draws=20)
    assert found == []
    assert "no finished full fine-tuning to compare with" in headline(points, found)[0]


def test_an_unfinished_run_says_what_is_missing(results):
    for path in sorted((results / "cells").iterdir())[::4]:
        path.unlink()
    (results / "cells" / "torn.json").write_text('{"id": ')
    text = write_report(results, draws=20).read_text()
    assert "This run is not finished" in text
    assert "65 not run yet" in text
    assert "lack seeds" in text
    assert "torn.json: cannot be read" in text


def test_a_run_without_a_finished_cell_has_a_page(results):
    shutil.rmtree(results / "cells")
    text = write_report(results, draws=20).read_text()
    assert "No cell has finished yet" in text
    assert "260 not run yet" in text
    assert 'id="plotly">' not in text
    assert "0 of 260 cells done" in terminal_table(results)


def test_the_baseline_has_a_row(results):
    save_baselines(results, {task: Baseline(what=f"<{task}>", score=0.5, data="") for task in ("cola", "sst2")})
    header, *body = terminal_table(results).splitlines()
    row = next(line for line in body if line.startswith("baseline"))
    assert re.split("  +", row) == ["baseline", "50.0", "–", "50.0", "–", "–", "–", "–"]
    assert re.split("  +", header)[1:6] == ["cola", "mrpc", "sst2", "stsb", "average"]
    assert body[-1] == "baselines: cola: <cola>; sst2: <sst2>"
    text = write_report(results, draws=20).read_text()
    assert "baselines: cola: &lt;cola&gt;; sst2: &lt;sst2&gt;." in text


def test_the_average_of_baselines_takes_all_of_its_tasks(finished, points):
    scores = zip(TASKS, (0.1, 0.2, 0.3, 0.6), strict=True)
    known = {task: Baseline(what="", score=score, data="") for task, score in scores}
    assert baseline_scores(points, known)[AVERAGE] == pytest.approx(0.3)
    del known["cola"]
    assert AVERAGE not in baseline_scores(points, known)


def test_text_from_records_cannot_become_markup(results):
    record = next(r for r in read_records(results) if r["status"] == "diverged")
    attack = "</script><script>alert(1)</script>"
    write_record(results, {**record, "reason": attack, "traceback": attack, "command": attack})
    text = write_report(results, draws=20).read_text()
    assert attack not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_same_results_give_the_same_page(results):
    assert write_report(results, draws=20).read_bytes() == write_report(results, draws=20).read_bytes()


def test_the_page_lists_failures_and_provenance(page):
    text = page.read_text()
    for expected in ("loss became nan at step 41", "dsst20f3", "c17171a0", "torch 2.13.0", "an 8-core CPU"):
        assert expected in text


def test_a_folder_without_results_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no suite.json"):
        write_report(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser: apt-get install chromium")
def test_a_browser_draws_the_page_without_a_network(page):
    options = ["--headless", "--no-sandbox", "--virtual-time-budget=8000", "--dump-dom"]
    command = ["chromium", *options, f"file://{page}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert text.count('class="plot js-plotly-plot"') == len(AXES)
    assert 'id="static"' not in text


def test_a_mix_of_layers_is_drawn_a_bar_a_layer(tmp_path):

    from lm_lab.report.layers import bars

    root = write_results(tmp_path / "results", seeds=2)
    page = (write_report(root, draws=50)).read_text()
    assert "What a mix gives to each layer" not in page
    for path in (root / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        if at(record)["strategy"] == "probe" and record["status"] == "done":
            path.write_text(json.dumps(record | {"layer_weights": [0.1, 0.2, 0.7]}))
    page = (write_report(root, draws=50)).read_text()
    assert "What a mix gives to each layer" in page
    assert page.count("<title>layer 2: 0.700</title>") >= 4  # each task
    drawn = bars([[0.25, 0.75], [0.75, 0.25]])
    assert drawn.count("<rect") == 2
    assert drawn.count("<circle") == 4
    assert "embeddings: 0.500" in drawn


def test_training_losses_of_pretrained_and_random_weights_are_drawn(results):
    for path in (results / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        level = 2.0 if record["cell"]["control"] else 1.0
        history = [{"step": step, "loss": level + 0.1 * record["cell"]["seed"]} for step in range(1, 11)]
        path.write_text(json.dumps(record | {"history": history}))
    text = write_report(results, draws=50).read_text()
    section = text.split("<h2>Training loss of full fine-tuning")[1].split("</section>")[0]
    lines = re.findall(r'<polyline points="([^"]*)"', section)
    assert [len(line.split()) for line in lines] == [10] * 8
    assert section.count("minilm-l3, 1.10<") == 4  # the mean of three seeds
    assert section.count("bert-random, 2.10<") == section.count("stroke-dasharray") == 4
    names = re.findall(r">([\w-]+), [\d.]+<", section)
    assert names == ["bert-random", "minilm-l3"] * 4  # as the lines end, from the top


def test_many_training_losses_have_a_panel_each(points, finished):
    full = [p for p in points if p.key["strategy"] == "full" and p.task == "sst2"]
    many = [replace(p, key=Coordinates({**p.key, "backbone": f"{p.key.backbone} {n}"})) for p in full for n in range(6)]
    drawn = pictures(many, read_records(finished))["sst2"]
    svg = ET.fromstring(drawn)
    panels = [g for g in svg if g.get("transform")]
    assert len(panels) == len({g.get("transform") for g in panels}) == 12
    names = [g.find("{http://www.w3.org/2000/svg}text").text for g in panels]
    assert [name.startswith("minilm-l3") for name in names] == [True] * 6 + [False] * 6  # controls last
    (shared,) = svg.iter("{http://www.w3.org/2000/svg}defs")
    assert len(shared[0].findall("{http://www.w3.org/2000/svg}polyline")) == 12
    assert {g[0].get("href") for g in panels} == {"#" + shared[0].get("id")}


def test_one_backbone_has_no_training_losses_to_compare(results):
    for path in (results / "cells").glob("*.json"):
        if json.loads(path.read_text())["cell"]["control"]:
            path.unlink()
    assert "Training loss of full fine-tuning" not in write_report(results, draws=50).read_text()


def test_a_page_shows_no_secret_that_an_old_record_holds(results):
    path = next((results / "cells").iterdir())
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"command": "lm-lab bench run s.yaml --api_key=abc123"}))
    page = write_report(results, draws=20).read_text()
    assert "--api_key=***" in page
    assert "abc123" not in page
