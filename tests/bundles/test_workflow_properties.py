"""Every workflow of every bundle has what MONAI wants of it, by MONAI's own workflow class."""

import socket
from pathlib import Path

import pytest
from bundle_runs import EVALUATE, TRAIN, run_bundle, run_in_a_process_of_its_own
from bundle_settings import QUICK, UNET
from monai.bundle import ConfigWorkflow

OVERLAID = [
    ([TRAIN, "configs/multi_gpu_train.json"], "train"),
    ([EVALUATE, "configs/multi_gpu_evaluate.json"], "infer"),
]


def workflow_id(value: object) -> str:
    return "+".join(Path(file).stem for file in value) if isinstance(value, list) else str(value)


def test_evaluation_laid_over_training_has_all_properties_of_monai(bundle, dataset_dir, tmp_path):
    """Each config alone is checked as MONAI's model zoo does, see test_hub.py."""
    settings = {**QUICK, "bundle_root": str(bundle), "dataset_dir": str(dataset_dir), "output_dir": str(tmp_path)}
    configs = [str(bundle / file) for file in (TRAIN, EVALUATE)]
    whole = ConfigWorkflow(config_file=configs, workflow_type="train", logging_file=False, **settings)
    whole.initialize()
    assert whole.check_properties() == []


@pytest.mark.parametrize(("files", "kind"), OVERLAID, ids=workflow_id)
def test_the_multi_gpu_overlays_have_all_properties_of_monai(a_bundle, dataset_dir, tmp_path, files, kind):
    # In a process of its own: a process group that was once initialised stays known to Ignite.
    options = {**QUICK, "bundle_root": str(a_bundle), "dataset_dir": str(dataset_dir), "output_dir": str(tmp_path)}
    configs = [str(a_bundle / file) for file in files]
    code = f"""
from monai.bundle import ConfigWorkflow
whole = ConfigWorkflow({configs}, workflow_type={kind!r}, logging_file=False, **{options})
whole.initialize()
assert whole.check_properties() == [], whole.check_properties()
whole.finalize()
"""
    (tmp_path / "check.py").write_text(code)
    if (a_bundle, files) == (UNET, OVERLAID[0][0]):
        words = ("--standalone", "--nproc_per_node=1", tmp_path / "check.py")
        result = run_in_a_process_of_its_own(*words, module="torch.distributed.run")
    else:  # what torchrun does for a process that is alone, without its seconds
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", **place}
        result = run_bundle(module="check", cwd=tmp_path, variables=alone)
    assert result.returncode == 0, result.stderr[-3000:]
