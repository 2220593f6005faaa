"""Data loaders work where processes are spawned and not forked, as on macOS and Windows: transforms are pickled."""

import csv
import os
import subprocess
import sys

import pytest
from bundle_runs import EVALUATE, INFERENCE, TRAIN, quick, run_in_a_process_of_its_own
from bundle_settings import BUNDLES, ROOT
from monai.bundle import ConfigParser
from monai.data import DataLoader
from torch.utils.data import ConcatDataset, Subset

DATASETS = {TRAIN: ("train#dataset", "validate#dataset"), EVALUATE: ("dataset",), INFERENCE: ("dataset",)}


def test_a_spawned_worker_does_the_preprocessing_of_every_bundle(sample_data_sets):
    datasets, names = [], []
    for bundle in BUNDLES:
        folder = sample_data_sets[bundle.name.partition("_")[0]]
        for config, keys in DATASETS.items():
            parser = ConfigParser(ConfigParser.load_config_file(str(bundle / config)))
            parser["dataset_dir"] = str(min((folder / "images").iterdir()) if config == INFERENCE else folder)
            parser["num_workers"] = 0
            if config == TRAIN:
                parser["cache_rate"], parser["augmentation_strength"] = 0.0, 10.0  # each change at random is made
            datasets += [Subset(parser.get_parsed_content(key), [0]) for key in keys]
            names += [f"{bundle.name} {config} {key}" for key in keys]
    loader = DataLoader(ConcatDataset(datasets), batch_size=1, num_workers=1, multiprocessing_context="spawn")
    for name, batch in zip(names, loader, strict=True):
        assert batch["image"].shape[:2] == (1, 3), name
        assert batch["image"].isfinite().all(), name


@pytest.mark.slow
def test_a_bundle_trains_and_segments_where_processes_are_spawned(a_bundle, dataset_dir, tmp_path):
    path = os.pathsep.join([str(ROOT / "tests" / "spawned"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    asked = [sys.executable, "-c", "import multiprocessing; print(multiprocessing.get_start_method())"]
    assert subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout == "spawn\n"
    result = run_in_a_process_of_its_own(
        "training", "--config_file", a_bundle / TRAIN, "--dataset_dir", dataset_dir, "--output_dir", tmp_path / "run",
        *quick(max_epochs=2, val_interval=1, num_workers=2), variables={"PYTHONPATH": path},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(list(csv.DictReader((tmp_path / "run" / "iou_curve.csv").open()))) == 2
    result = run_in_a_process_of_its_own(
        "inference", "--config_file", a_bundle / INFERENCE, "--dataset_dir", dataset_dir / "images",
        "--output_dir", tmp_path / "objects", *quick(num_workers=2), variables={"PYTHONPATH": path},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
