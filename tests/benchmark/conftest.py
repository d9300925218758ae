import shutil
from pathlib import Path

import pytest
from fake_results import write_results

from lm_lab.benchmark.report_table import all_points
from lm_lab.benchmark.results import read_records, read_suite


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A whole suite's results; tests read it and do not write into it."""
    return write_results(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def points(finished):
    return all_points(read_records(finished), read_suite(finished))


@pytest.fixture
def results(finished, tmp_path) -> Path:
    """A copy of the results that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "results"))
