import csv

import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from medseg_ext.handlers import BestModel, IoUCurve, ResumableState


class Training:
    """An engine pair that steps through given losses and validation scores."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.network = torch.nn.Linear(1, 1)
        self.trainer = Engine(self.step)
        self.evaluator = Engine(lambda engine, batch: None)
        self.evaluator.state.key_metric_name = "foreground_iou"
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)

    def step(self, engine: Engine, batch: float) -> list[dict]:
        torch.nn.init.constant_(self.network.weight, engine.state.epoch)
        return [{"loss": torch.tensor(batch)}]

    def validate(self, trainer: Engine) -> None:
        trainer.state.metrics["foreground_iou"] = 0.5
        self.evaluator.state.metrics["foreground_iou"] = self.scores[trainer.state.epoch - 1]
        self.evaluator.fire_event(Events.EPOCH_COMPLETED)

    def run(self, max_epochs: int) -> None:
        self.trainer.run([1.0, 3.0], max_epochs=max_epochs)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    training = Training([0.5, 0.9, 0.7])
    BestModel(training.network, str(tmp_path / "out" / "model.pt")).attach(training.evaluator)
    training.run(3)
    assert torch.load(tmp_path / "out" / "model.pt", weights_only=True)["weight"].item() == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.pt"]


def test_the_curve_has_a_row_an_epoch_with_the_mean_loss(tmp_path):
    training = Training([0.25, 0.75])
    curve = IoUCurve(str(tmp_path))
    curve.attach(training.evaluator)
    curve.set_trainer(training.trainer)
    training.run(2)
    rows = list(csv.DictReader((tmp_path / "iou_curve.csv").open()))
    assert rows == [
        {"epoch": "1", "train_loss": "2", "train_iou": "0.5", "validation_iou": "0.25"},
        {"epoch": "2", "train_loss": "2", "train_iou": "0.5", "validation_iou": "0.75"},
    ]
    assert Image.open(tmp_path / "iou_curve.png").size == (768, 480)


def test_a_curve_without_a_trainer_says_so(tmp_path):
    training = Training([0.5])
    IoUCurve(str(tmp_path)).attach(training.evaluator)
    with pytest.raises(RuntimeError, match="set_trainer"):
        training.run(1)


def with_state(training: Training, folder, *, resume: bool) -> BestModel:
    best = BestModel(training.network, str(folder / "model.pt"))
    best.attach(training.evaluator)
    curve = IoUCurve(str(folder))
    curve.attach(training.evaluator)
    curve.set_trainer(training.trainer)
    parts = {"network": training.network, "trainer": training.trainer, "best": best, "curve": curve}
    ResumableState(parts, str(folder / "checkpoint.pt"), resume=resume).attach(training.trainer)
    return best


def test_a_resumed_training_does_not_replace_better_weights(tmp_path):
    with_state(first := Training([0.5, 0.9]), tmp_path, resume=False)
    first.run(2)
    best = with_state(second := Training([0.5, 0.9, 0.6]), tmp_path, resume=True)
    second.run(3)
    assert best.best == pytest.approx(0.9)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2
    assert second.network.weight.item() == 3
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["1", "2", "3"]


def test_a_new_training_starts_anew_beside_an_old_checkpoint(tmp_path):
    with_state(first := Training([0.9]), tmp_path, resume=False)
    first.run(1)
    with_state(second := Training([0.6]), tmp_path, resume=False)
    second.run(1)
    assert len(list(csv.DictReader((tmp_path / "iou_curve.csv").open()))) == 1


def test_resuming_without_a_checkpoint_names_the_file(tmp_path):
    with_state(training := Training([0.5]), tmp_path, resume=True)
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.pt.*without --resume"):
        training.run(1)


def test_resuming_a_finished_training_says_how_to_go_on(tmp_path):
    with_state(first := Training([0.5, 0.6]), tmp_path, resume=False)
    first.run(2)
    with_state(second := Training([0.5, 0.6]), tmp_path, resume=True)
    with pytest.raises(ValueError, match="--max_epochs above 2"):
        second.run(2)
