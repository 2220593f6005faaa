"""What `make audit` says; pip-audit itself is not tried, as it asks the index."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import audit

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "detectron2", "skip_reason": "Dependency not found on PyPI"}
FAULTY = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["11.3"]}]}


def report(*packages):
    return audit.report(json.dumps({"dependencies": packages}), "")


def test_faults_are_named_with_the_version_that_mends_them():
    assert report(CLEAN, FAULTY) == (
        ["pillow 1.0: PYSEC-1, mended in 11.3", "2 packages looked up, 1 known faults"],
        1,
    )
    assert report(CLEAN, UNKNOWN)[1] == 0


def test_without_a_network_it_says_that_nothing_was_looked_up():
    for found, errors in ((json.dumps({"dependencies": [UNKNOWN]}), ""), ("", "ConnectionError: pypi.org\n")):
        (line,), status = audit.report(found, errors)
        assert "cannot be reached from here" in line
        assert status == 2
