"""Project files agree with one another."""

import re
import shutil
import subprocess
import tomllib
from inspect import signature
from pathlib import Path

import pytest
import yaml
from bundle_settings import BUNDLES
from monai.bundle import ConfigParser, ckpt_export, run

import medseg_ext

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {str(citation["version"]), medseg_ext.__version__} == {PROJECT["version"]}
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_set_up_takes_the_python_versions_that_the_package_takes():
    lowest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    script = (ROOT / "tools" / "setup.sh").read_text()
    assert f"(3, {lowest}) <= sys.version_info[:2] <= (3, {int(above) - 1})" in script


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_help_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+)", listed, re.MULTILINE) == targets


@pytest.mark.skipif(not (shutil.which("git") and (ROOT / ".git").exists()), reason="needs a clone")
def test_the_style_of_every_python_file_is_checked_whatever_git_ignores():
    folders = re.search(r"^CODE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    tracked = subprocess.check_output(["git", "ls-files", "*.py", "*.pyi", "*.ipynb"], cwd=ROOT, text=True).split()
    assert [file for file in tracked if Path(file).parts[0] not in folders] == []
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["respect-gitignore"] is False


def configs_of(bundle: Path) -> list[ConfigParser]:
    files = [bundle / "configs" / f"{name}.json" for name in ("train", "evaluate", "inference")]
    return [ConfigParser(ConfigParser.load_config_file(str(file))) for file in files]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_options_that_a_model_card_names_exist(bundle):
    card = (bundle / "docs" / "README.md").read_text()
    options = set(re.findall(r"--([a-zA-Z0-9_]+(?:#\w+)*)", card))
    assert "dataset_dir" in options
    of_other_commands = {"nproc_per_node", "groups"}  # torchrun's, the preparation's
    of_monai = set(signature(run).parameters) | set(signature(ckpt_export).parameters)
    configs = configs_of(bundle)
    rest = options - of_other_commands - of_monai
    assert [option for option in rest if not any(option in config for config in configs)] == []
