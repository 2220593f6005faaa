"""Every bundle is what MONAI's model zoo accepts."""

import json
import shutil

import pytest
from bundle_settings import ROOT
from monai.bundle import verify_metadata

from medseg_ext.bundle.zoo_checks import CHECKS, SCHEMA, ZooCheckError, check_files, check_properties, check_version
from medseg_ext.cli.main import main


@pytest.mark.parametrize("check", CHECKS)
def test_a_bundle_is_what_the_zoo_accepts(bundle, check):
    CHECKS[check](bundle)


def test_the_schema_refuses_metadata_without_a_tensor_format(metadata, tmp_path):
    del metadata["network_data_format"]["outputs"]["pred"]["dtype"]
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="dtype"):
        verify_metadata(meta_file=str(broken), filepath=str(SCHEMA), create_dir=False)


def test_a_missing_file_and_a_version_without_its_changes_are_named(tmp_path):
    folder = shutil.copytree(ROOT / "bundles" / "dsb2018_unet", tmp_path / "copy")
    check_files(folder)
    (folder / "LICENSE").unlink()
    with pytest.raises(ZooCheckError, match=r"copy: lacks LICENSE$"):
        check_files(folder)
    file = folder / "configs" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": "9.9.9"}))
    with pytest.raises(ZooCheckError, match=r"metadata\.json: version 9\.9\.9"):
        check_version(folder)


def test_a_missing_property_is_named(tmp_path):
    folder = shutil.copytree(ROOT / "bundles" / "dsb2018_unet", tmp_path / "copy")
    file = folder / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["windows"] = config.pop("inferer")
    config["evaluator"]["inferer"] = "@windows"
    file.write_text(json.dumps(config))
    with pytest.raises(ZooCheckError, match=r"inference\.json: lacks a property: .*inferer"):
        check_properties(folder)


def test_the_command_fails_with_each_check_that_an_empty_folder_fails(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert f"{tmp_path.name}: files: {tmp_path}: lacks LICENSE, configs/metadata.json" in output
    assert [line.split(": ")[1] for line in output.splitlines() if line.startswith(tmp_path.name)] == list(CHECKS)
    assert "passed" not in output
