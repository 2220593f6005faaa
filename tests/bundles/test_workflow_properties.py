"""Every workflow of every bundle has what MONAI wants of it, by MONAI's own workflow class."""

import subprocess
import sys
from pathlib import Path

import pytest
from bundle_runs import EVALUATE, TRAIN
from bundle_settings import QUICK
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
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    script = tmp_path / "check.py"
    script.write_text(code)
    result = subprocess.run([*launcher, str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
