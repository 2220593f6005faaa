"""Run folders of toy models, made by the handler that makes real ones."""

import json
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from medseg_ext.handlers.evaluation_report import EvaluationReport
from medseg_ext.runs.provenance import Provenance

HEIGHT_PX, WIDTH_PX = 24, 36
TRUTHS = {"a": (2, 2), "b": (5, 12), "c": (10, 20), "d": (1, 18)}  # upper left corner of a square of 10 px
UNET = {"a": 0, "b": 1, "c": 2, "d": 3}  # by how many px the model's square is shifted
SHIFTED = {"a": 1, "b": 3, "c": 2, "d": 5}


def square(top: int, left: int, *, side: int = 10) -> torch.Tensor:
    instances = torch.zeros(1, HEIGHT_PX, WIDTH_PX, dtype=torch.int32)
    instances[0, top : top + side, left : left + side] = 1
    return instances


def evaluate(
    folder: Path,
    shifts: dict[str, int],
    *,
    model="U-Net",
    data_set="DSB2018",
    truths=TRUTHS,
    side=10,
    curve=(),
    kind="fluorescence",
    groups=None,
    trained_on=None,
    weights=None,
    **options,
) -> Path:
    """Evaluate a toy model; the order of `shifts` is that of its images, and `groups` names those of some of them.

    Its weights are those of a bundle, which names what they were `trained_on`: by default the data set. Only if the
    content of their file is given, the evaluation keeps a record of them.
    """
    source = folder.parent / f"{folder.name}_source"
    (source / "configs").mkdir(parents=True)
    (source / "configs" / "metadata.json").write_text(json.dumps({"name": model, "data_set": trained_on or data_set}))
    (source / "dataset.json").write_text(json.dumps({"name": data_set}))
    Image.fromarray(np.full((HEIGHT_PX, WIDTH_PX, 3), 40, np.uint8)).save(source / "image.png")
    if curve:
        rows = [f"{epoch},1,0.5,{iou}" for epoch, iou in enumerate(curve, start=1)]
        (source / "docs").mkdir()
        (source / "docs" / "iou_curve.csv").write_text(
            "\n".join(["epoch,train_loss,train_iou,validation_iou", *rows]) + "\n"
        )
    if weights is not None:
        (file := source / "models" / "model.pt").parent.mkdir()
        file.write_bytes(weights)
        places = {"bundle_root": str(source), "output_dir": str(folder), "dataset_dir": str(source)}
        provenance = Provenance("evaluate", settings=places, ckpt_path=str(file), **places)
        options = {"facts": {"section": "testing", "checkpoint": str(file)}, "provenance": provenance, **options}
    image = MetaTensor(torch.zeros(3, HEIGHT_PX, WIDTH_PX), meta={"filename_or_obj": str(source / "image.png")})

    def step(engine, name):
        top, left = truths[name]
        predicted, true = square(top, left + shifts[name], side=side), square(top, left, side=side)
        engine.state.batch = [{"id": name, "image": image, "kind": kind, "group": (groups or {}).get(name, "")}]
        maps = {"pred_instances": predicted, "true_instances": true}
        return [{**maps, "pred_classes": (predicted > 0).byte(), "true_classes": (true > 0).byte()}]

    report = EvaluationReport(
        str(folder),
        **{
            "class_names": ["background", "nucleus"],
            "bundle_root": str(source),
            "dataset_dir": str(source),
            "training_dir": str(source / "models"),
            "facts": {"section": "testing"},
            **options,
        },
    )
    report.attach(engine := Engine(step))
    engine.run(list(shifts))
    return folder
