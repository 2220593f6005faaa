"""A training calibrates scores to its validation images, for the weights that it keeps."""

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from process_groups import run_joined

from medseg_ext.handlers.best_model import BestModel
from medseg_ext.handlers.score_calibration import FittedScores
from medseg_ext.metrics import ScoreCalibration, fit_calibration

SIZE = 30


def image_of(number: int, *, shift: float = 0.0) -> dict[str, torch.Tensor]:
    """Objects in one row, of which the first half are right, with scores around .8."""
    rng = np.random.default_rng(number)
    pred = torch.arange(1, SIZE + 1, dtype=torch.int32)[None, None]
    true = torch.where(pred <= SIZE // 2, pred, 0)
    scores = torch.from_numpy(np.clip(rng.normal(0.8 + shift, 0.1, SIZE), 0, 1).astype(np.float32))
    return {"pred_instances": pred, "true_instances": true, "pred_scores": scores}


def validate(folder, numbers, *, qualities=(0.5,), shifts=(0.0,)) -> None:
    """Validate after each epoch, with scores that a shift moves."""

    def step(engine, number):
        engine.state.batch = [{"id": str(number)}]
        return [image_of(number, shift=shifts[engine.state.epoch - 1])]

    network = torch.nn.Linear(1, 1)
    best = BestModel(network, str(folder / "model.pt"))
    evaluator = Engine(step)
    evaluator.state.key_metric_name = "pq"

    @evaluator.on(Events.EPOCH_COMPLETED)
    def score(engine):
        engine.state.metrics["pq"] = qualities[engine.state.epoch - 1]

    best.attach(evaluator)
    FittedScores(best, str(folder)).attach(evaluator)
    evaluator.run(numbers, max_epochs=len(qualities))


def expected(numbers, shift=0.0) -> ScoreCalibration:
    scores = np.concatenate([image_of(number, shift=shift)["pred_scores"].numpy() for number in numbers])
    return fit_calibration(scores, np.tile(np.arange(SIZE) < SIZE // 2, len(numbers)))


def test_the_fit_is_of_the_validation_that_is_kept(tmp_path):
    validate(tmp_path, range(5), qualities=(0.4, 0.6, 0.5), shifts=(0.0, 0.05, -0.1))
    assert ScoreCalibration.read(tmp_path) == expected(range(5), 0.05) != expected(range(5), -0.1)
    assert json.loads((tmp_path / "score_calibration.json").read_text())["objects"] == 5 * SIZE


def test_too_few_objects_leave_scores_as_they_are(tmp_path):
    validate(tmp_path, range(3))
    assert ScoreCalibration.read(tmp_path) == ScoreCalibration()


SHARES = [[0, 1, 2], [2, 3, 4]]  # one image comes twice, as a sampler fills its shares up


def _validate_share(rank, folder):
    validate(folder, SHARES[rank])


@pytest.mark.slow
def test_two_processes_fit_to_all_images_each_once(tmp_path):
    run_joined(_validate_share, tmp_path)
    assert ScoreCalibration.read(tmp_path) == expected(range(5))
