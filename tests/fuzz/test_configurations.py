"""Strange configurations end in a run, or in one line and exit code 2."""

from pathlib import Path

import pytest
import yaml
from configurations import ADAPT, OWN_TEXTS, PRETRAIN, Tree, at_home, other, strange
from endings import ends
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged
from slow import EXAMPLES

from lm_lab.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")
BOTH = pytest.mark.parametrize(("command", "config"), [("adapt", ADAPT), ("pretrain", PRETRAIN)])


@BOTH
def test_what_is_not_strange_runs(command: str, config: Tree, folders: dict[str, Path], quietly: None) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(at_home(config, folders["bert"])))
    assert main([command, "fit", "--config=config.yaml"]) == 0


@EXAMPLES
@BOTH
@given(data=st.data())
def test_configurations_with_anything_changed(
    command: str,
    config: Tree,
    folders: dict[str, Path],
    quietly: None,
    capfd: pytest.CaptureFixture[str],
    data: st.DataObject,
) -> None:
    found = strange(at_home(config, folders["bert"]), data)
    Path("config.yaml").write_text(yaml.safe_dump(found))
    ends([command, "fit", "--config=config.yaml"], capfd)


@EXAMPLES
@BOTH
@given(data=st.data())
def test_other_classes_with_any_settings(
    command: str,
    config: Tree,
    folders: dict[str, Path],
    quietly: None,
    capfd: pytest.CaptureFixture[str],
    data: st.DataObject,
) -> None:
    Path("own.csv").write_text(OWN_TEXTS)
    found = other(at_home(config, folders[data.draw(st.sampled_from(sorted(folders)))]), data)
    if data.draw(st.booleans()):
        found = strange(found, data)
    Path("config.yaml").write_text(yaml.safe_dump(found))
    ends([command, "fit", "--config=config.yaml"], capfd)


@EXAMPLES
@given(data=st.data())
def test_texts_that_are_no_configurations(
    folders: dict[str, Path], quietly: None, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    text = yaml.safe_dump(at_home(ADAPT, folders["bert"])).encode()
    Path("config.yaml").write_bytes(damaged(text, data))
    ends(["adapt", "fit", "--config=config.yaml", "--trainer.max_steps=1"], capfd)  # what is cut off may be the end
