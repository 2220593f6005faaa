"""The lock fits what pyproject.toml asks for."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONTENT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = CONTENT["project"], CONTENT["dependency-groups"]
NOT_LOCKED = {"bioimageio"}  # see tools/lock.sh
LOCKED = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]
ASKED_FOR = [
    (extra, Requirement(line))
    for extra, lines in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"], **GROUPS}.items()
    for line in lines
    if extra not in NOT_LOCKED
]


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


@pytest.mark.parametrize(("extra", "asked"), ASKED_FOR, ids=[f"{extra}-{asked.name}" for extra, asked in ASKED_FOR])
def test_each_dependency_has_a_locked_version_within_its_range(extra, asked):
    if canonicalize_name(asked.name) == PROJECT["name"]:
        assert asked.extras <= PROJECT["optional-dependencies"].keys()
        return
    versions = [version_of(each) for each in LOCKED if canonicalize_name(each.name) == canonicalize_name(asked.name)]
    assert versions, f"{asked.name} is not locked: make lock"
    assert all(asked.specifier.contains(version) for version in versions), f"{asked} and {versions}: make lock"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    "system", [("linux", "Linux", "x86_64"), ("darwin", "Darwin", "arm64"), ("win32", "Windows", "AMD64")]
)
def test_a_machine_gets_one_version_of_a_package(python, system):
    names = ("sys_platform", "platform_system", "platform_machine")
    machine = {"python_version": python, "python_full_version": f"{python}.0", **dict(zip(names, system, strict=True))}
    applicable = [each.name for each in LOCKED if each.marker is None or each.marker.evaluate(machine)]
    assert len(applicable) == len(set(applicable))
    assert {"torch", "monai", "torchvision"} <= set(applicable)


@pytest.mark.parametrize("file", sorted((ROOT / "bundles").glob("*/configs/metadata.json")), ids=lambda f: f.parts[-3])
def test_a_bundle_names_the_versions_that_are_locked_and_so_tested(file):
    metadata = json.loads(file.read_text())
    named = {
        "torch": metadata["pytorch_version"],
        "monai": metadata["monai_version"],
        "numpy": metadata["numpy_version"],
    }
    named |= metadata["required_packages_version"]
    locked = {canonicalize_name(each.name): version_of(each) for each in LOCKED}
    wrong = {
        name: version for name, version in named.items() if locked.get(canonicalize_name(name), version) != version
    }
    assert not wrong, "write the version of requirements.lock into bundles/_base, then make render"
