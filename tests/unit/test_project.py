"""Project files agree with one another."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import medseg_ext

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {str(citation["version"]), medseg_ext.__version__} == {PROJECT["version"]}
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_set_up_takes_the_python_versions_that_the_package_takes():
    lowest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    script = (ROOT / "scripts" / "setup.sh").read_text()
    assert f"(3, {lowest}) <= sys.version_info[:2] <= (3, {int(above) - 1})" in script


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_help_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+)", listed, re.MULTILINE) == targets
