"""Mistakes on MONAI's command line end in one line with the remedy."""

import pytest
from bundle_runs import EVALUATE, INFERENCE, TRAIN, quick, run_bundle, run_in_a_process_of_its_own
from bundle_settings import BUNDLES, UNET
from PIL import Image


@pytest.mark.parametrize("config", [TRAIN, EVALUATE, INFERENCE])
def test_a_misspelt_option_is_refused_with_the_nearest_one(config):
    result = run_bundle("run", "--config_file", UNET / config, "--num_worker", 3)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == "error: --num_worker: no such key in the config; did you mean --num_workers?"
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_not_prepared_is_refused_by_name(tmp_path):
    (tmp_path / "photo.txt").write_text("no data set")
    out = tmp_path / "out"
    result = run_bundle(
        "training", "--config_file", UNET / TRAIN, "--dataset_dir", tmp_path, "--output_dir", out, *quick()
    )
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}")
    assert "medseg prepare" in last
    assert not out.exists()


def test_the_data_set_of_another_bundle_is_refused(a_bundle, sample_data_sets, tmp_path):
    other = next(folder for name, folder in sample_data_sets.items() if not a_bundle.name.startswith(name))
    result = run_bundle(
        "training", "--config_file", a_bundle / TRAIN, "--dataset_dir", other, "--output_dir", tmp_path, *quick()
    )
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {other} has the classes")


def test_a_batch_of_mixed_sizes_is_refused_with_the_remedy(a_bundle, tmp_path):
    for name, size in [("a", (96, 96)), ("b", (96, 64))]:
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    result = run_bundle(
        "run", "--config_file", a_bundle / INFERENCE, "--dataset_dir", tmp_path, "--output_dir", tmp_path / "out",
        "--dataloader#batch_size", 2, "--num_workers", 1, "--device", "cpu",
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: a batch must hold images of one size")
    assert "a.png" in last
    assert "set the dataloader's batch_size to 1" in last


def test_results_among_images_are_refused(tmp_path):
    Image.new("RGB", (96, 96)).save(tmp_path / "a.png")
    words = ["--dataset_dir", tmp_path, "--output_dir", f"{tmp_path}/.", "--device", "cpu"]
    result = run_bundle("run", "--config_file", UNET / INFERENCE, *words)
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path} is the folder of the image")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("workflow", ["train", "evaluate"])
@pytest.mark.parametrize("way", ["monai.bundle", "medseg_ext.cli"])
def test_missing_weights_are_named_in_one_line_and_nowhere_else(sample_data_sets, tmp_path, way, workflow):
    data, out, missing = sample_data_sets["dsb2018"], tmp_path / "out", tmp_path / "missing.pt"
    words = {
        "monai.bundle": ["--config_file", UNET / f"configs/{workflow}.json", "--dataset_dir", data],
        "medseg_ext.cli": [workflow, "--bundle", UNET, "--data", data],
    }[way]
    words += ["--output" if way == "medseg_ext.cli" else "--output_dir", out, "--ckpt_path", missing, *quick()]
    run = run_in_a_process_of_its_own if workflow == "evaluate" else run_bundle  # libraries tell things as they load
    result = run(*words, module=way)
    assert result.returncode != 0
    told = (result.stdout + result.stderr).splitlines()
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: {missing} does not exist; ")
    assert [line for line in told if "does not exist" in line or "Traceback" in line or "ERROR" in line] == [
        result.stderr.strip().splitlines()[-1]
    ]
    assert not [line for line in told if "nvImageCodec" in line]
    assert not (out / "metrics.json").exists()


def test_the_weights_of_another_bundle_are_refused(a_bundle, dataset_dir, tmp_path):
    other = next(each for each in BUNDLES if each.name.partition("_")[2] != a_bundle.name.partition("_")[2])
    result = run_bundle(
        "evaluate", "--config_file", a_bundle / EVALUATE, "--dataset_dir", dataset_dir,
        "--ckpt_path", other / "models" / "model.pt", "--output_dir", tmp_path, *quick(),
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {other / 'models' / 'model.pt'}: holds the weights of another architecture")
    assert "Traceback" not in result.stderr


def test_a_second_training_beside_one_whose_name_fire_would_cut_to_it_leaves_that_alone(sample_data_sets, tmp_path):
    (tmp_path / "runA").mkdir()
    (tmp_path / "runA" / "model.pt").write_text("of the first training")
    (tmp_path / "20251105").symlink_to(sample_data_sets["dsb2018"])
    words = ["--dataset_dir", 20251105, "--output_dir", "runA#2", "--max_epochs", 1, "--resume", "false", *quick()]
    result = run_bundle("training", "--config_file", UNET / TRAIN, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runA" / "model.pt").read_text() == "of the first training"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20251105", "runA", "runA#2"]
    assert (tmp_path / "runA#2" / "model.pt").is_file()


def test_a_wrong_value_is_refused_before_anything_is_read_or_written(tmp_path):
    words = ["--dataset_dir", "nowhere", "--output_dir", "run", "--resume", "perhaps"]
    result = run_bundle("training", "--config_file", UNET / TRAIN, *words, cwd=tmp_path)
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1] == "error: --resume perhaps: expected true or false or auto"
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
