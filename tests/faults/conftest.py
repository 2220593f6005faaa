"""Where the commands are forked from."""

import os

import pytest
from bundle_settings import ROOT
from fork_server import ForkServer

IMPORTED = (
    "medseg_ext.bundle.export", "medseg_ext.bundle.segmentation", "medseg_ext.bundle.workflow", "medseg_ext.cli.main",
    "medseg_ext.datasets.coco", "medseg_ext.datasets.imagej_rois", "medseg_ext.datasets.own_data",
    "medseg_ext.datasets.dsb2018", "medseg_ext.datasets.segpc2021", "medseg_ext.handlers.checkpoint",
    "medseg_ext.inferers.size_normalised", "medseg_ext.pages.comparison_page", "medseg_ext.pages.evaluation_page",
    "medseg_ext.runs.run_comparison", "medseg_ext.tiling.large_images", "monai.bundle", "monai.engines",
    "monai.handlers", "monai.networks.nets", "monai.transforms", "imagecodecs", "itk", "jsonschema", "nibabel",
    "pydicom", "torch.utils.tensorboard", "transformers",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    server = ForkServer(tmp_path_factory.mktemp("server"), IMPORTED, environment)
    yield server
    server.close()
