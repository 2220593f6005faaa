import json
from types import SimpleNamespace

import pytest

from medseg_ext.bundle.monai_command_line import end_with_failed_images, find_bundle_root, refuse_unknown_overrides
from medseg_ext.bundle.values import OverrideError
from medseg_ext.objects.result_folder import ResultFolder


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"max_epochs": 3, "optimizer": {"lr": 0.1}, "patch_size": [8, 8]}))
    return str(path)


def arguments(config, *words):
    return ["run", "training", "--config_file", config, *words]


@pytest.mark.parametrize(
    "words",
    [
        ["--max_epochs", "5"],
        ["--max_epochs=5"],
        ["--optimizer#lr", "0.5"],
        ["--optimizer::lr", "-0.5"],
        ["--patch_size", "[4,4]"],
        ["--run_id", "training", "--logging_file", "x.conf"],
    ],
)
def test_known_options_pass(config, words):
    refuse_unknown_overrides(arguments(config, *words))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--max_epoch", "5"], "did you mean --max_epochs"),
        (["--max_epoch=5"], "did you mean --max_epochs"),
        (["--optimizer#lrr", "5"], "optimizer#lrr"),
        (["--zzz", "1"], "the config has: max_epochs, optimizer, patch_size"),
    ],
)
def test_unknown_options_are_refused_with_a_hint(config, words, hint):
    with pytest.raises(OverrideError, match=hint):
        refuse_unknown_overrides(arguments(config, *words))


def test_keys_of_every_config_file_are_known(config, tmp_path):
    overlay = tmp_path / "evaluate.json"
    overlay.write_text(json.dumps({"split": "testing"}))
    refuse_unknown_overrides(["run", "--config_file", f"['{config}','{overlay}']", "--split", "training"])


def test_an_arguments_file_is_taken_into_account(config, tmp_path):
    defaults = tmp_path / "arguments.json"
    defaults.write_text(json.dumps({"config_file": config, "max_epoch": 5}))
    with pytest.raises(OverrideError, match="max_epochs"):
        refuse_unknown_overrides(["run", "training", "--args_file", str(defaults)])


@pytest.mark.parametrize("program", ["pytest", "/home/me/monai/tool.py", "/site-packages/monai/bundle/__main__.py"])
def test_other_programs_are_left_alone(monkeypatch, program):
    monkeypatch.setattr("sys.argv", [program, "--anything"])
    refuse_unknown_overrides()


@pytest.mark.parametrize(
    ("value", "root"),
    [
        ("bundles/net/configs/train.json", "bundles/net"),
        ("['bundles/net/configs/train.json','other/configs/evaluate.json']", "bundles/net"),
        ("configs/train.json", "."),
        ("/abs/net/configs/train.json", "/abs/net"),
        ("elsewhere/train.json", "."),
    ],
)
def test_the_bundle_is_found_by_its_config_file(value, root):
    assert find_bundle_root(["run", "--config_file", value]) == root
    assert find_bundle_root(["run", f"--config_file={value}"]) == root


def test_without_a_command_line_the_bundle_is_the_working_directory():
    assert find_bundle_root() == "."


@pytest.fixture
def results(tmp_path):
    images = SimpleNamespace(
        data=[],
        large=[],
        unreadable=[({"image": "/in/a.png", "id": "a"}, "is cut short")],
        page=0,
        channel=None,
        remarks={},
    )
    names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
    results = ResultFolder(tmp_path, images=images, **names)
    results.start()
    results.add({"image": "/in/b.png", "id": "b"}, {"objects": 3})
    return results


def test_failed_images_end_monais_command_line_with_the_first_of_them(monkeypatch, results, tmp_path):
    assert results.failed == [("a.png", "is cut short")]
    monkeypatch.setattr("sys.argv", ["/site-packages/monai/bundle/__main__.py", "run", "inference"])
    with pytest.raises(SystemExit) as end:
        end_with_failed_images(results)
    assert end.value.code == (
        f"error: 1 image could not be done, the others are; see {tmp_path}/summary.csv; the first: a.png: is cut short"
    )


def test_failed_images_end_no_other_program(results):
    end_with_failed_images(results)


def test_images_that_are_all_done_end_nothing(monkeypatch, results):
    results.add({"image": "/in/a.png", "id": "a"}, {"objects": 0})
    monkeypatch.setattr("sys.argv", ["/site-packages/monai/bundle/__main__.py", "run", "inference"])
    end_with_failed_images(results)
