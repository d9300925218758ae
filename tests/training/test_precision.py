import pytest

from lm_lab.training.machine import precision


@pytest.mark.parametrize("wanted", ["bf16-mixed", "bf16-true"])
def test_bf16_is_never_emulated(monkeypatch, wanted):
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    assert precision.usable(wanted) == "32-true"
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: True)
    assert precision.usable(wanted) == wanted


@pytest.mark.parametrize("wanted", [None, 32, "32-true", "16-mixed"])
def test_other_precisions_stay(monkeypatch, wanted):
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    assert precision.usable(wanted) == wanted


def test_this_machine_answers():
    assert precision.has_fast_bf16() in {True, False}


def test_the_command_line_says_so(monkeypatch):
    from lm_lab.config.adapting import build
    from lm_lab.config.imports import restrict

    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    config = {
        "model": {"backbone": {"source": "no-weights"}, "strategy": {"class_path": "LinearProbe"}},
        "data": {"class_path": "GLUE", "init_args": {"task": "rte", "source": "microworld"}},
        "trainer": {"precision": "bf16-mixed", "accelerator": "cpu", "logger": False},
    }
    restrict()
    # the model is built after the warning
    said = pytest.warns(UserWarning, match="no bf16 instructions: running in 32-true")
    with said, pytest.raises(Exception, match="no-weights"):
        build(config, run=False)
