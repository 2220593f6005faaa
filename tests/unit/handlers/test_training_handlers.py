import csv
import json
import logging
import re
import shutil

import pytest
import torch
from bundle_settings import BUNDLES
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.optimizers import WarmupCosineSchedule
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.handlers.averaging import AveragedWeights
from medseg_ext.handlers.best_model import BestModel, StartValidation
from medseg_ext.handlers.checkpoint import ResumableState, refuse_to_replace
from medseg_ext.handlers.early_stop import EarlyStop
from medseg_ext.handlers.frozen_norms import FrozenNorms
from medseg_ext.handlers.iou_curve import IoUCurve
from medseg_ext.handlers.losses_by_name import LossesByName
from medseg_ext.handlers.time_left import TimeLeft
from medseg_ext.runs.provenance import Provenance
from medseg_ext.runs.training_curve import how_it_ended


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """Let the log speak: bundles' logging.conf, which other tests read, silences loggers that are there before."""
    for name in ("best_model", "checkpoint", "time_left"):
        monkeypatch.setattr(logging.getLogger(f"medseg_ext.handlers.{name}"), "disabled", False)


NO_OBJECTS = {"validation_pq": "nan", "validation_ap_50": "nan", "kept": "nan"}  # nor one that keeps weights


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
        return [{"loss": torch.tensor(batch) * engine.state.epoch}]

    def validate(self, trainer: Engine) -> None:
        trainer.state.metrics["foreground_iou"] = 0.5
        self.evaluator.state.metrics["foreground_iou"] = self.scores[trainer.state.epoch - 1]
        self.evaluator.state.epoch = trainer.state.epoch
        self.evaluator.fire_event(Events.EPOCH_COMPLETED)

    def run(self, max_epochs: int) -> None:
        self.trainer.run([1.0, 3.0], max_epochs=max_epochs)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    training = Training([0.5, 0.9, 0.7])
    BestModel(training.network, str(tmp_path / "out" / "model.pt")).attach(training.evaluator)
    training.run(3)
    assert torch.load(tmp_path / "out" / "model.pt", weights_only=True)["weight"].item() == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.pt"]


def test_the_first_of_equally_good_epochs_is_kept(tmp_path):
    training = Training([0.5, 0.5, 0.4])
    BestModel(training.network, str(tmp_path / "model.pt")).attach(training.evaluator)
    training.run(3)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 1


class FineTuning(Training):
    """One whose start is validated: it steps through given scores of the start and of the epochs, each by metric."""

    def __init__(self, scores: list[dict[str, float]], folder, **options: object) -> None:
        super().__init__([])
        self.of_validations = scores
        torch.nn.init.constant_(self.network.weight, 7)
        self.evaluator.state.key_metric_name = "pq"
        self.evaluator.run = self.validate_start
        self.best = BestModel(self.network, str(folder / "model.pt"), tie_metric="foreground_iou", guard_metric="ap_50")
        self.curve = IoUCurve(str(folder), best_model=self.best)
        self.curve.set_trainer(self.trainer)
        for handler in (self.best, self.curve):
            handler.attach(self.evaluator)
        self.best.set_trainer(self.trainer)
        parts = {"network": self.network, "trainer": self.trainer, "best": self.best, "curve": self.curve}
        ResumableState(parts, str(folder / "checkpoint.pt"), **options).attach(self.trainer)
        StartValidation(self.evaluator, self.best).attach(self.trainer)

    def validate_start(self, epoch: int) -> None:
        assert epoch == 0
        self.validate(self.trainer)

    def validate(self, trainer: Engine) -> None:
        epoch = self.evaluator.state.epoch = trainer.state.epoch
        self.evaluator.state.metrics = {"ap_50": 0.5, "foreground_iou": 0.5, **self.of_validations[epoch]}
        self.evaluator.fire_event(Events.EPOCH_COMPLETED)


def kept_weight(folder) -> float:
    return torch.load(folder / "model.pt", weights_only=True)["weight"].item()


@pytest.mark.parametrize(
    ("epochs", "kept"),
    [
        ([{"pq": 0.4}, {"pq": 0.6}, {"pq": 0.5}], 7),  # nothing beats the start
        ([{"pq": 0.6}, {"pq": 0.7}, {"pq": 0.8}], 3),
        ([{"pq": 0.7, "ap_50": 0.49}, {"pq": 0.65}, {"pq": 0.6}], 2),  # better by one measure, and worse by another
        ([{"pq": 0.6}, {"pq": 0.6, "foreground_iou": 0.6}, {"pq": 0.6, "foreground_iou": 0.4}], 2),
        ([{"pq": float("nan")}, {"pq": 0.59, "foreground_iou": 0.9}, {"pq": 0.6}], 7),
    ],
)
def test_nothing_is_kept_that_finds_objects_worse_than_the_start(tmp_path, caplog, epochs, kept):
    training = FineTuning([{"pq": 0.6}, *epochs], tmp_path)
    with caplog.at_level("INFO", "medseg_ext"):
        training.run(3)
    assert kept_weight(tmp_path) == kept
    told = (
        "started from were the best on the validation images, so they are kept: pq"
        if kept == 7
        else f"kept are the weights of epoch {kept}: pq"
    )
    assert told in training.best.result
    assert training.best.result in caplog.text
    rows = list(csv.DictReader((tmp_path / "iou_curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    kept_epoch = kept % 7
    assert [row["epoch"] for row in rows if row["kept"] == "1"] == [str(kept_epoch)]
    sentence = how_it_ended(tmp_path / "iou_curve.csv")
    assert f"weights of epoch {kept_epoch} of 3" in sentence if kept_epoch else "started from were the best" in sentence


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_fine_tuning_knows_its_start_and_does_not_validate_it_again(tmp_path, after):
    first = interrupted(FineTuning([{"pq": 0.6}, {"pq": 0.4}], tmp_path), after=after)
    with pytest.raises(MemoryError):
        first.run(3)
    assert kept_weight(tmp_path) == 7
    second = FineTuning([{}, {"pq": 0.4}, {"pq": 0.5}, {"pq": 0.6}], tmp_path, resume=True)
    second.run(3)
    assert kept_weight(tmp_path) == 7
    assert second.best.start["pq"] == 0.6
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["0", "1", "2", "3"]


def test_a_fine_tuning_that_fails_at_its_first_step_leaves_an_earlier_training_as_it_was(tmp_path):
    FineTuning([{"pq": 0.1}, {"pq": 0.2}], tmp_path).run(1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    failing = interrupted(FineTuning([{"pq": 0.9}], tmp_path, overwrite=True), after=0)
    with pytest.raises(MemoryError):
        failing.run(1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_time_that_is_left_is_told_after_every_epoch_but_the_last(caplog):
    training = Training([0.5] * 3)
    TimeLeft().attach(training.trainer)
    with caplog.at_level("INFO", "medseg_ext"):
        training.run(3)
    told = [record.getMessage() for record in caplog.records if record.name.endswith("time_left")]
    assert told == ["epoch 1 of 3: about 1 min left", "epoch 2 of 3: about 1 min left"]


def test_frozen_norms_keep_their_statistics_and_learn_their_scale():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in network[1].named_buffers()}
    FrozenNorms(network).attach(Engine(lambda *_: None))
    network.train()
    network(torch.rand(2, 1, 4, 4)).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in network[1].named_buffers())
    assert network[1].weight.grad is not None


@pytest.fixture
def process_group(tmp_path):
    """One process, that takes itself for one of several."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_weights_of_a_network_wrapped_for_several_processes_fit_the_bare_one(tmp_path, process_group):
    training, bare = Training([0.5]), torch.nn.Linear(1, 1)
    wrapped = torch.nn.parallel.DistributedDataParallel(training.network)
    BestModel(wrapped, str(tmp_path / "model.pt")).attach(training.evaluator)
    ResumableState({"network": wrapped}, str(tmp_path / "checkpoint.pt")).attach(training.trainer)
    training.run(1)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for state in (torch.load(tmp_path / "model.pt", weights_only=True), checkpoint["network"]):
        bare.load_state_dict(state)
        assert bare.weight.item() == 1


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg_ext.processes.process_rank", lambda: 1)
    best = with_state(training := Training([0.5, 0.9]), tmp_path / "out", resume=False)
    training.run(2)
    assert best.best == {"epoch": 2, "foreground_iou": 0.9}
    assert not (tmp_path / "out").exists()


def averaged(training: Training, folder, momentum: float, *, resume: bool = False) -> AveragedWeights:
    average = AveragedWeights(training.network, momentum)
    average.attach(training.trainer)
    BestModel(average.network, str(folder / "model.pt")).attach(training.evaluator)
    parts = {"network": training.network, "trainer": training.trainer, "average": average}
    ResumableState(parts, str(folder / "checkpoint.pt"), resume=resume).attach(training.trainer)
    return average


def test_the_kept_weights_are_the_moving_average_from_the_first_ones_on(tmp_path):
    training = Training([0.5, 0.9])
    average = averaged(training, tmp_path, 0.25)
    torch.nn.init.constant_(training.network.weight, 9.0)  # as a loader of weights does when training starts
    training.run(2)  # two steps to 1, two to 2
    kept = torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item()
    assert kept == pytest.approx(((9 * 0.75 + 0.25) * 0.75 + 0.25) * 0.75**2 + 2 * (0.25 * 0.75 + 0.25))
    assert average.network.weight.item() == pytest.approx(kept)
    assert not average.network.training
    assert training.network.weight.item() == 2


def test_a_resumed_training_goes_on_with_its_average(tmp_path):
    averaged(whole := Training([0.5, 0.9]), tmp_path / "whole", 0.25)
    averaged(first := Training([0.5]), tmp_path / "parts", 0.25)
    first.network.load_state_dict(whole.network.state_dict())
    whole.run(2)
    first.run(1)
    average = averaged(second := Training([0.5, 0.9]), tmp_path / "parts", 0.25, resume=True)
    second.run(2)
    torch.testing.assert_close(
        dict(average.network.state_dict()), torch.load(tmp_path / "whole" / "model.pt", weights_only=True)
    )


def test_a_resumed_training_that_kept_no_average_is_averaged_from_there_on(tmp_path):
    averaged(first := Training([0.5]), tmp_path, 1.0)
    first.run(1)  # to 1
    average = averaged(second := Training([0.5, 0.9]), tmp_path, 0.25, resume=True)
    torch.nn.init.constant_(second.network.weight, 9.0)
    second.run(2)  # two steps to 2
    assert average.network.weight.item() == pytest.approx((1 * 0.75 + 2 * 0.25) * 0.75 + 2 * 0.25)


def test_an_average_that_is_wanted_no_longer_is_left(tmp_path):
    averaged(first := Training([0.5]), tmp_path, 0.25)
    first.run(1)
    average = averaged(second := Training([0.5, 0.9]), tmp_path, 1.0, resume=True)
    second.run(2)
    assert average.network.weight.item() == 2


def test_a_checkpoint_that_lacks_a_part_is_refused_before_anything_is_loaded(tmp_path):
    first = Training([0.5])
    ResumableState({"network": first.network, "trainer": first.trainer}, str(tmp_path / "checkpoint.pt")).attach(
        first.trainer
    )
    first.run(1)
    averaged(second := Training([0.5, 0.9]), tmp_path, 0.25, resume=True)
    torch.nn.init.constant_(second.network.weight, 9.0)
    with pytest.raises(DataError, match=r"checkpoint\.pt: holds no average, .* train anew without --resume"):
        second.run(2)
    assert second.network.weight.item() == 9


def test_a_momentum_of_one_is_the_network_itself(tmp_path):
    training = Training([0.5])
    average = averaged(training, tmp_path, 1.0)
    assert average.network is training.network
    training.run(1)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"] == {}


@pytest.mark.parametrize("momentum", [0.0, -0.1, 1.5, None, "0.1"])
def test_another_momentum_is_refused(momentum):
    with pytest.raises(DataError, match=f"ema_momentum is {momentum!r}; it must be above 0 and at most 1"):
        AveragedWeights(torch.nn.Linear(1, 1), momentum)


def test_the_curve_has_a_row_an_epoch_with_the_mean_loss_of_that_epoch(tmp_path):
    """Losses of 1 and 3 in the first epoch, of 2 and 6 in the second."""
    training = Training([0.25, 0.75])
    curve = IoUCurve(str(tmp_path))
    curve.attach(training.evaluator)
    curve.set_trainer(training.trainer)
    training.run(2)
    rows = list(csv.DictReader((tmp_path / "iou_curve.csv").open()))
    assert rows == [
        {"epoch": "1", "train_loss": "2", "train_iou": "0.5", "validation_iou": "0.25", **NO_OBJECTS},
        {"epoch": "2", "train_loss": "4", "train_iou": "0.5", "validation_iou": "0.75", **NO_OBJECTS},
    ]
    assert Image.open(tmp_path / "iou_curve.png").size == (768, 480)


def test_what_a_trainer_does_not_measure_is_undefined(tmp_path):
    training = Training([0.25])
    curve = IoUCurve(str(tmp_path), metric="dice")
    curve.attach(training.evaluator)
    curve.set_trainer(training.trainer)
    training.evaluator.state.metrics["dice"] = 0.25
    training.run(1)
    (row,) = csv.DictReader((tmp_path / "iou_curve.csv").open())
    assert row == {"epoch": "1", "train_loss": "2", "train_iou": "nan", "validation_iou": "0.25", **NO_OBJECTS}


def test_a_curve_without_a_trainer_says_so(tmp_path):
    training = Training([0.5])
    IoUCurve(str(tmp_path)).attach(training.evaluator)
    with pytest.raises(RuntimeError, match="set_trainer"):
        training.run(1)


def warnings_in(caplog) -> list[str]:
    """What this package warned of; what it told beside it depends on the level that is set elsewhere."""
    own = [record for record in caplog.records if record.name.startswith("medseg_ext")]
    return [record.getMessage() for record in own if record.levelno >= logging.WARNING]


def with_state(training: Training, folder, **options: object) -> BestModel:
    best = BestModel(training.network, str(folder / "model.pt"))
    best.attach(training.evaluator)
    curve = IoUCurve(str(folder))
    curve.attach(training.evaluator)
    curve.set_trainer(training.trainer)
    parts = {"network": training.network, "trainer": training.trainer, "best": best, "curve": curve}
    ResumableState(parts, str(folder / "checkpoint.pt"), **options).attach(training.trainer)
    return best


def test_a_resumed_training_does_not_replace_better_weights(tmp_path):
    with_state(first := Training([0.5, 0.9]), tmp_path, resume=False)
    first.run(2)
    best = with_state(second := Training([0.5, 0.9, 0.6]), tmp_path, resume=True)
    second.run(3)
    assert best.best == {"epoch": 2, "foreground_iou": 0.9}
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2
    assert second.network.weight.item() == 3
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["1", "2", "3"]


FILES = {"model.pt", "checkpoint.pt", "iou_curve.csv", "iou_curve.png"}


def test_a_training_that_overwrites_begins_anew(tmp_path):
    with_state(first := Training([0.9, 0.9]), tmp_path)
    first.run(2)
    with_state(second := Training([0.6]), tmp_path, overwrite=True)
    second.run(1)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 1
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["1"]


def test_files_of_two_trainings_never_stand_side_by_side(tmp_path):
    """The second one is interrupted before its first validation."""
    with_state(first := Training([0.9]), tmp_path)
    first.run(1)
    second = Training([])
    second.validate = lambda trainer: None
    second.trainer = Engine(second.step)
    with_state(second, tmp_path, overwrite=True)
    second.run(1)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt"}


def test_an_earlier_training_outlives_one_that_fails_at_its_first_step(tmp_path):
    with_state(first := Training([0.9]), tmp_path)
    first.run(1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = Training([0.6])
    second.trainer = Engine(fail_for_want_of_memory)
    with_state(second, tmp_path, overwrite=True)
    with pytest.raises(MemoryError):
        second.run(1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def fail_for_want_of_memory(engine: Engine, batch: float) -> None:
    raise MemoryError


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_an_earlier_training_left_is_not_replaced_unless_told(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{tmp_path} holds {name} .*--resume True.*another folder.*--overwrite True"):
        refuse_to_replace(str(tmp_path))
    refuse_to_replace(str(tmp_path), resume=True)
    refuse_to_replace(str(tmp_path), overwrite=True)


def test_a_folder_without_a_training_is_taken(tmp_path):
    (tmp_path / "notes.txt").touch()
    refuse_to_replace(str(tmp_path))
    refuse_to_replace(str(tmp_path / "new"))


def test_going_on_and_replacing_exclude_each_other(tmp_path):
    with pytest.raises(DataError, match="give one of them"):
        refuse_to_replace(str(tmp_path), resume=True, overwrite=True)


def interrupted(training: Training, *, after: int) -> Training:
    """Let a training fail when it has done so many steps."""
    step = training.step

    def step_or_fail(engine: Engine, batch: float) -> list[dict]:
        if engine.state.iteration > after:
            raise MemoryError
        return step(engine, batch)

    training.trainer._process_function = step_or_fail
    return training


def test_from_its_first_step_on_a_training_can_be_resumed(tmp_path):
    with_state(first := interrupted(Training([]), after=1), tmp_path)
    torch.nn.init.constant_(first.network.weight, 9.0)
    with pytest.raises(MemoryError):
        first.run(2)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt"}
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (state["trainer"]["iteration"], state["network"]["weight"].item()) == (0, 9)
    with_state(second := Training([0.5, 0.9]), tmp_path, resume=True)
    second.run(2)
    assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["1", "2"]


def test_a_training_that_fails_at_its_first_step_leaves_nothing(tmp_path):
    with_state(training := interrupted(Training([]), after=0), tmp_path)
    with pytest.raises(MemoryError):
        training.run(1)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def restarted(monkeypatch):
    """As if torchrun had started this process again, after one of several had failed."""

    def set_count(count: int) -> None:
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(count))

    set_count(0)
    return set_count


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_training_that_torchrun_starts_again_goes_on_where_it_stopped(tmp_path, restarted, options):
    with_state(earlier := Training([0.9, 0.9, 0.9]), tmp_path / "earlier")
    earlier.run(3)
    if options:
        shutil.copytree(tmp_path / "earlier", tmp_path / "out")
    refuse_to_replace(str(tmp_path / "out"), **options)
    with_state(
        first := interrupted(Training([0.5] * 4), after=7 if options.get("resume") else 3), tmp_path / "out", **options
    )
    with pytest.raises(MemoryError):
        first.run(4)
    restarted(1)
    refuse_to_replace(str(tmp_path / "out"), **options)
    with_state(second := Training([0.5] * 4), tmp_path / "out", **options)
    second.run(4)
    rows = list(csv.DictReader((tmp_path / "out" / "iou_curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0]["validation_iou"] == ("0.9" if options.get("resume") else "0.5")


@pytest.mark.parametrize("begins", [0, 1])
def test_one_that_was_to_replace_an_earlier_one_does_so_still(tmp_path, restarted, begins):
    """It failed at its first step, or before all: torchrun is not to go on with the earlier one, which is there."""
    with_state(earlier := Training([0.9]), tmp_path)
    earlier.run(1)
    restarted(begins)
    refuse_to_replace(str(tmp_path), overwrite=True)
    with_state(first := interrupted(Training([]), after=0), tmp_path, overwrite=True)
    with pytest.raises(MemoryError):
        first.run(2)
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, ".overwrite_pending", ".torchrun"}
    restarted(begins + 1)
    refuse_to_replace(str(tmp_path), overwrite=True)
    with_state(second := Training([0.5, 0.5]), tmp_path, overwrite=True)
    second.run(2)
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, ".torchrun"}
    assert [row["validation_iou"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == ["0.5", "0.5"]


@pytest.mark.parametrize("options", [{}, {"resume": "auto"}])
def test_one_that_was_refused_is_refused_again_when_torchrun_tries_once_more(tmp_path, restarted, monkeypatch, options):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "earlier")
    refuse_to_replace(str(tmp_path))
    (tmp_path / "model.pt").touch()
    restarted(1)
    refuse_to_replace(str(tmp_path), **options)  # its own
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "later")
    for count in (0, 1, 2):
        restarted(count)
        with pytest.raises(DataError, match=r"holds model\.pt of an earlier training"):
            refuse_to_replace(str(tmp_path), **options)


def test_one_that_finds_nothing_to_resume_does_not_either_when_torchrun_tries_once_more(tmp_path, restarted):
    for count in (0, 1):
        restarted(count)
        refuse_to_replace(str(tmp_path), resume=True)
        with_state(training := Training([0.5]), tmp_path, resume=True)
        with pytest.raises(FileNotFoundError):
            training.run(1)


def test_one_that_had_ended_has_nothing_left_to_do(tmp_path, restarted):
    with_state(first := Training([0.5]), tmp_path)
    first.run(1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    restarted(2)
    with_state(second := Training([]), tmp_path)
    second.run(1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_without_a_checkpoint_names_the_file(tmp_path):
    with_state(training := Training([0.5]), tmp_path, resume=True)
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.pt.*without --resume"):
        training.run(1)


def test_one_command_can_be_given_again_and_again(tmp_path):
    """As a scheduler of jobs does: it begins, goes on, and has nothing left to do."""
    for number, (after, expected) in enumerate(
        [(3, ["1"]), (5, ["1", "2"]), (99, ["1", "2", "3"]), (0, ["1", "2", "3"])]
    ):
        refuse_to_replace(str(tmp_path), resume="auto")
        with_state(training := interrupted(Training([0.5, 0.6, 0.7]), after=after), tmp_path, resume="auto")
        if number < 2:
            with pytest.raises(MemoryError):
                training.run(3)
        else:
            training.run(3)
        assert [row["epoch"] for row in csv.DictReader((tmp_path / "iou_curve.csv").open())] == expected


def test_going_on_blindly_replaces_no_weights_without_a_checkpoint(tmp_path):
    (tmp_path / "model.pt").touch()
    with pytest.raises(DataError, match=r"holds model\.pt .* but no checkpoint\.pt to go on from: give another folder"):
        refuse_to_replace(str(tmp_path), resume="auto")


def test_a_training_that_goes_on_with_other_settings_says_which(tmp_path, caplog):
    settings = {"seed": 0, "patch_size": [64, 64], "learning_rate": 0.001, "max_epochs": 1, "num_workers": 2}
    with_state(first := Training([0.5]), tmp_path, settings=settings)
    first.run(1)
    other = settings | {"seed": 1, "patch_size": [64, 96], "learning_rate": 0.01, "max_epochs": 2, "num_workers": 0}
    with_state(second := Training([0.5, 0.6]), tmp_path, resume=True, settings=other)
    with caplog.at_level("WARNING", "medseg_ext"):
        second.run(2)
    assert warnings_in(caplog) == [
        "resumed with another --learning_rate: it was 0.001, and is 0.01",
        "resumed with another --patch_size: it was [64, 64], and is [64, 96]",
        "resumed with another --seed: it was 0, and is 1",
    ]


def test_a_part_of_the_config_that_is_given_otherwise_or_no_more_is_told(tmp_path, caplog):
    settings = dict.fromkeys(("bundle_root", "dataset_dir", "output_dir"), str(tmp_path))

    def provenance(**given: object) -> Provenance:
        return Provenance("train", settings, tmp_path, tmp_path, tmp_path, given={"seed": 1, **given})

    begun = provenance(**{"optimizer#weight_decay": 0.5, "loss#weight": 2, "loss#smooth": 1})
    with_state(first := Training([0.5]), tmp_path, settings={"seed": 1}, provenance=begun)
    first.run(1)
    gone_on = provenance(**{"optimizer#weight_decay": 0.1, "loss#smooth": 1})
    with_state(second := Training([0.5, 0.6]), tmp_path, resume=True, settings={"seed": 1}, provenance=gone_on)
    with caplog.at_level("WARNING", "medseg_ext"):
        second.run(2)
    assert warnings_in(caplog) == [
        "resumed with another --loss#weight: it was 2, and is not given",
        "resumed with another --optimizer#weight_decay: it was 0.5, and is 0.1",
    ]
    assert len(json.loads((tmp_path / "provenance_train.json").read_text())["earlier"]) == 1


def data_and_settings(folder, *, content: str = "{}") -> dict[str, str | None]:
    """Make a data set folder and a file of settings, and name both."""
    folder.mkdir()
    for name in ("dataset.json", "detector.yaml"):
        (folder / name).write_text(content)
    return {"dataset_dir": str(folder), "detectron2_config": str(folder / "detector.yaml")}


@pytest.mark.parametrize("content", ["{}", '{"name": "another"}'])
def test_data_elsewhere_are_others_if_they_say_so_of_themselves(tmp_path, caplog, content):
    (tmp_path / "run").mkdir()
    with_state(first := Training([0.5]), tmp_path / "run", settings=data_and_settings(tmp_path / "one"))
    first.run(1)
    (tmp_path / "run").rename(tmp_path / "moved")
    other = data_and_settings(tmp_path / "other", content=content)
    with_state(second := Training([0.5, 0.6]), tmp_path / "moved", resume=True, settings=other)
    with caplog.at_level("WARNING", "medseg_ext"):
        second.run(2)
    expected = [f"resumed with another --{key}: {path} is not what it was" for key, path in other.items()]
    told = warnings_in(caplog)
    assert told == ([] if content == "{}" else expected)


def test_every_key_of_a_training_is_free_or_told(tmp_path, caplog):
    """The free ones say where things lie, what computes, how long, or with which weights it began."""
    keys = {key for bundle in BUNDLES for key in json.loads((bundle / "configs/train.json").read_text())["_desc_"]}
    with_state(first := Training([0.5]), tmp_path, settings=dict.fromkeys(keys, "before"))
    first.run(1)
    with_state(second := Training([0.5, 0.6]), tmp_path, resume=True, settings=dict.fromkeys(keys, "now"))
    with caplog.at_level("WARNING", "medseg_ext"):
        second.run(2)
    told = {match[1] for text in warnings_in(caplog) if (match := re.search(r"another --(\w+)", text))}
    assert keys - told == {
        "bundle_root", "cache_rate", "ckpt_path", "compile", "detectron2_weights", "device", "early_stop_patience",
        "encoder_weights", "gradient_checkpointing", "max_epochs", "num_workers", "object_name", "output_dir",
        "overwrite", "pretrained", "resume", "title",
    }  # fmt: skip


def test_resuming_a_finished_training_says_how_to_go_on(tmp_path):
    with_state(first := Training([0.5, 0.6]), tmp_path, resume=False)
    first.run(2)
    with_state(second := Training([0.5, 0.6]), tmp_path, resume=True)
    with pytest.raises(ValueError, match="--max_epochs above 2"):
        second.run(2)


def stopping(folder, scores: list[float], *, patience: int = 2, resume: bool = False) -> tuple[Training, EarlyStop]:
    training = Training(scores)
    stop = EarlyStop(patience, lambda evaluator: evaluator.state.metrics["foreground_iou"])
    stop.set_trainer(training.trainer)
    stop.attach(training.evaluator)
    parts = {"network": training.network, "trainer": training.trainer, "early_stop": stop}
    ResumableState(parts, str(folder / "checkpoint.pt"), resume=resume).attach(training.trainer)
    return training, stop


def test_a_resumed_training_stops_as_early_as_one_that_was_not_interrupted(tmp_path):
    scores = [0.5, 0.9, 0.8, 0.7, 0.6, 0.5]
    whole, _ = stopping(tmp_path / "whole", scores)
    whole.run(6)
    assert whole.trainer.state.epoch == 4
    interrupted(first := stopping(tmp_path / "parts", scores)[0], after=7)
    with pytest.raises(MemoryError):
        first.run(6)
    second, _ = stopping(tmp_path / "parts", scores, resume=True)
    second.run(6)
    assert second.trainer.state.epoch == 4


def test_a_training_that_stopped_early_says_how_to_go_on(tmp_path):
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    stopping(tmp_path, scores)[0].run(5)
    with pytest.raises(DataError, match=r"stopped early, after 3 epochs; give a larger --early_stop_patience to go on"):
        stopping(tmp_path, scores, resume=True)[0].run(5)
    longer, _ = stopping(tmp_path, scores, patience=3, resume=True)
    longer.run(5)
    assert longer.trainer.state.epoch == 4


def scheduled(folder, *, max_epochs: int, batches: int, resume: bool) -> tuple[Engine, list[float]]:
    """Train on a cosine and note the learning rate of every epoch."""
    network = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    schedule = WarmupCosineSchedule(optimizer, warmup_steps=1, t_total=max_epochs)
    rates: list[float] = []
    trainer = Engine(lambda engine, batch: optimizer.step())
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: schedule.step())
    parts = {"network": network, "optimizer": optimizer, "lr_scheduler": schedule, "trainer": trainer}
    ResumableState(parts, str(folder / "checkpoint.pt"), resume=resume).attach(trainer)
    trainer.run(range(batches), max_epochs=max_epochs)
    return trainer, rates


def test_a_longer_resumed_training_has_the_learning_rates_of_a_long_one(tmp_path):
    _, whole = scheduled(tmp_path / "whole", max_epochs=8, batches=2, resume=False)
    scheduled(tmp_path / "parts", max_epochs=4, batches=2, resume=False)
    _, rest = scheduled(tmp_path / "parts", max_epochs=8, batches=2, resume=True)
    assert rest == pytest.approx(whole[4:])


def test_a_resumed_training_has_the_options_of_its_own_optimiser_and_goes_on_with_its_moments(tmp_path):
    def optimiser_of(training: Training, *, resume: bool, **options: float) -> torch.optim.Optimizer:
        optimiser = torch.optim.AdamW(training.network.parameters(), **options)
        parts = {"network": training.network, "optimizer": optimiser, "trainer": training.trainer}
        parts["lr_scheduler"] = WarmupCosineSchedule(optimiser, warmup_steps=0, t_total=4)
        ResumableState(parts, str(tmp_path / "checkpoint.pt"), resume=resume).attach(training.trainer)
        return optimiser

    first = Training([0.5])
    optimiser = optimiser_of(first, resume=False, lr=0.1, weight_decay=0.01)
    sum(weight.sum() for weight in first.network.parameters()).backward()
    optimiser.step()
    first.run(1)
    second = Training([0.5, 0.6])
    resumed = optimiser_of(second, resume=True, lr=0.2, weight_decay=0.5)
    second.run(2)
    group = resumed.param_groups[0]
    assert (group["initial_lr"], group["lr"], group["weight_decay"]) == (0.2, 0.2, 0.5)
    assert [state["exp_avg"].tolist() for state in resumed.state.values()] == [
        state["exp_avg"].tolist() for state in optimiser.state.values()
    ]
    assert all(any(weight is own for own in group["params"]) for weight in second.network.parameters())


def test_a_resumed_training_may_have_another_number_of_batches(tmp_path):
    scheduled(tmp_path, max_epochs=2, batches=3, resume=False)
    trainer, rates = scheduled(tmp_path, max_epochs=5, batches=7, resume=True)
    assert len(rates) == 3
    assert trainer.state.iteration == 5 * 7


class TwoLosses(torch.nn.Module):
    """A network that returns its losses in training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss_a": image.mean() + 0 * self.weight.sum(), "loss_b": 10 * image.mean()}


def losses_trainer(network: torch.nn.Module) -> SupervisedTrainer:
    loader = [{"image": torch.full((2, 1, 4, 4), value), "label": torch.zeros(2, 1, 4, 4)} for value in (1.0, 3.0)]
    return SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=2, train_data_loader=loader, network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1), train_handlers=[LossesByName()],
        loss_function=lambda losses, label: sum(losses.values()) if isinstance(losses, dict) else losses.mean(),
    )  # fmt: skip


def test_every_loss_is_a_metric_with_its_mean_over_the_epoch():
    trainer = losses_trainer(TwoLosses())
    seen = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(dict(engine.state.metrics)))
    trainer.run()
    # The second epoch starts anew: means of 1 and 3, not of all four.
    assert [(each["loss_a"], each["loss_b"]) for each in seen] == [(1, 10), (2, 20)] * 2
    assert [item["loss"] for item in trainer.state.output] == [33, 33]
    assert not any("pred" in item for item in trainer.state.output)


def test_the_sums_of_losses_hold_no_graph():
    """Else the activations of every iteration would stay in memory to the end of the epoch."""
    engine, handler = Engine(lambda *_: None), LossesByName()
    engine.state.output = {"pred": (losses := TwoLosses()(torch.ones(1, 1, 4, 4)))}
    assert losses["loss_a"].requires_grad
    handler.collect(engine)
    assert not any(each.requires_grad for each in handler._sums.values())


def test_a_network_without_named_losses_is_refused():
    with pytest.raises(TypeError, match="expected a dict of losses, got Tensor"):
        losses_trainer(torch.nn.Conv2d(1, 1, 1)).run()
