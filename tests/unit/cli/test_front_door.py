"""One front door: what each command tells of itself, and that it does what MONAI's own command line does."""

import importlib
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from bundle_settings import BUNDLES, QUICK, ROOT
from monai.bundle import ConfigWorkflow

from medseg_ext.bundle.export_differences import BASELINE, FORMS
from medseg_ext.bundle.keys import OWN_KEYS, read_keys
from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.cli import verify
from medseg_ext.cli.main import COMMANDS, main

UNET = ROOT / "bundles" / "dsb2018_unet"
QUICK_WORDS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value).replace(" ", ""))]
HEAVY = {"torch", "torchvision", "monai", "ignite", "transformers", "matplotlib", "skimage", "scipy", "numpy", "yaml"}


def modules_after(code: str) -> set[str]:
    """Name the modules that are loaded after some code, in a process of its own."""
    shown = f"{code}\nimport sys\nprint('loaded:', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", shown], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.rpartition("loaded:")[2].split())


def test_a_preparation_loads_no_framework_in_any_of_its_processes():
    loaded = modules_after("import medseg_ext.datasets.layouts, medseg_ext.datasets.write_images")
    assert loaded & {"torch", "monai", "ignite", "transformers", "matplotlib", "scipy.stats"} == set()


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["export", "--help"], ["segment", "--help"], ["train", "--outptu", "x"]]
)
def test_help_and_mistakes_load_no_library(words):
    loaded = modules_after(
        f"from medseg_ext.cli.main import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    )
    assert "medseg_ext" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(
    "words",
    [
        "segment nowhere --bundle dsb2018_unet",
        "segment . --bundle nobody",
        "segment . --bundle dsb2018_unet --outptu x",
        "evaluate --bundle dsb2018_unet --data nowhere --output x",
        "evaluate --bundle dsb2018_unet --data . --output x --ttta True",
        "compare nowhere",
        "card nowhere nowhere",
        "export nowhere --output x",
        "inspect nowhere",
    ],
)
def test_mistakes_on_the_command_line_are_told_before_a_framework_is_loaded(words):
    loaded = modules_after(f"from medseg_ext.cli.main import main\nassert main({words.split()!r}) == 2")
    assert loaded & {"torch", "monai", "ignite", "transformers"} == set()


def test_a_misspelt_option_is_told_by_one_that_is_taken(tmp_path, capsys):
    assert main(["segment", str(tmp_path), "--bundle", "dsb2018_unet", "--outptu", "x"]) == 2
    assert "did you mean --output?" in capsys.readouterr().err


def test_whoever_asks_for_no_bundle_is_told_what_each_finds_and_which_to_begin_with(capsys):
    assert main(["segment", "."]) == 2
    told = capsys.readouterr().err
    assert "Segmentation of cell nuclei" in told
    for data_set in ("dsb2018", "segpc2021"):
        assert (
            len([line for line in told.splitlines() if data_set in line and "recommended to begin with" in line]) == 1
        )


def test_metrics_load_pytorch_and_no_other_framework():
    assert modules_after("import medseg_ext.metrics") & {
        "torchvision", "transformers", "ignite", "matplotlib", "monai", "torch",
    } == {"torch"}  # fmt: skip


def test_help_lists_every_command_with_a_sentence(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in listed
        assert importlib.import_module(f"medseg_ext.cli.{command}").__doc__.startswith(f"`medseg {command}`: ")


@pytest.mark.parametrize(
    ("command", "config"), [("train", "train"), ("evaluate", "evaluate"), ("segment", "inference")]
)
def test_help_of_a_workflow_lists_the_keys_of_the_named_bundle(command, config, capsys):
    for bundle in BUNDLES:
        with pytest.raises(SystemExit):
            main([command, "--bundle", bundle.name, "--help"])
        told = " ".join(capsys.readouterr().out.split())
        for key in read_keys(bundle / "configs" / f"{config}.json"):
            if key.name in OWN_KEYS:
                continue
            assert f"--{key.name} {key.description} ({key.type}" in told
            if key.default:
                assert f"default {' '.join(key.default.split())})" in told


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_keys_that_are_given_by_options_are_refused_with_the_option(command, tmp_path, capsys):
    words = [command, "--bundle", "dsb2018_unet", "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main([*words, "--output_dir", "elsewhere"]) == 2
    assert "--output_dir: give --data, --bundle and --output instead" in capsys.readouterr().err
    assert main([*words, "--max_epoch", "1"]) == 2
    assert "error: --max_epoch: no such key in the config" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_training_and_its_evaluation_are_those_of_monais_own_workflow(sample_data_sets, tmp_path):
    data, options = sample_data_sets["dsb2018"], ["--max_epochs", "1", *QUICK_WORDS]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    on_the_data = ["--bundle", str(UNET), "--data", str(data)]
    assert main(["train", "--from", "scratch", *on_the_data, "--output", str(ours), *options]) == 0
    weights = ours / "model.pt"
    words = ["--ckpt_path", str(weights), *QUICK_WORDS]
    assert main(["evaluate", *on_the_data, "--output", str(ours / "evaluation"), *words]) == 0
    for config, kind, further in (
        ("train", "train", {"max_epochs": 1, "output_dir": str(theirs)}),
        ("evaluate", "infer", {"ckpt_path": str(weights), "output_dir": str(theirs / "evaluation")}),
    ):
        settings = {**QUICK, **further, "bundle_root": str(UNET), "dataset_dir": str(data)}
        file = str(UNET / "configs" / f"{config}.json")
        workflow = ConfigWorkflow(file, workflow_type=kind, logging_file=False, **settings)
        workflow.initialize()
        workflow.run()
    own, other = (torch.load(folder / "model.pt", weights_only=True) for folder in (ours, theirs))
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    own, other = (json.loads((folder / "evaluation" / "metrics.json").read_text()) for folder in (ours, theirs))
    assert own == other


def test_processes_of_torchrun_get_the_overlay_for_several(monkeypatch, tmp_path):
    class Recorded:
        def __init__(self, config_file, **settings):
            configs.append(config_file)

        def initialize(self):
            """Do nothing, as the others."""

        run = finalize = initialize

    configs = []
    monkeypatch.setattr("medseg_ext.bundle.workflow.ConfigWorkflow", Recorded)
    for workflow in ("train", "evaluate", "inference"):
        monkeypatch.delenv("LOCAL_RANK", raising=False)
        run_workflow(UNET, workflow, {})
        monkeypatch.setenv("LOCAL_RANK", "0")
        run_workflow(UNET, workflow, {})
    single, several = configs[::2], configs[1::2]
    assert single == [str(UNET / "configs" / f"{name}.json") for name in ("train", "evaluate", "inference")]
    overlays = [str(UNET / "configs" / f"multi_gpu_{name}.json") for name in ("train", "evaluate")]
    assert several == [[single[0], overlays[0]], [single[1], overlays[1]], single[2]]


@pytest.mark.parametrize("verbose", [False, True])
def test_warnings_and_logs_are_shown_when_asked_for(monkeypatch, recwarn, caplog, verbose):
    class Talking:
        def __init__(self, *arguments, **settings):
            """Take what a workflow takes."""

        def initialize(self):
            warnings.warn("of a library", UserWarning, stacklevel=1)
            logging.getLogger("monai").error("of MONAI")

        def run(self):
            """Do nothing, as the last."""

        finalize = run

    monkeypatch.setattr("medseg_ext.bundle.workflow.ConfigWorkflow", Talking)
    run_workflow(UNET, "inference", {}, with_log=verbose, with_warnings=verbose)
    assert [str(each.message) for each in recwarn if "library" in str(each.message)] == ["of a library"] * verbose
    assert [record.message for record in caplog.records] == ["of MONAI"] * verbose


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "medseg_ext.cli", "train", "--help"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_every_form_that_verify_offers_can_be_compared():
    assert set(verify.FORMS) == set(FORMS) - {BASELINE}


ROOMS = sorted(path.parent for path in (ROOT / "medseg_ext").glob("*/__init__.pyi"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_public_name_of_a_room_can_be_had_from_it(room: Path):
    module = importlib.import_module(f"medseg_ext.{room.name}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
