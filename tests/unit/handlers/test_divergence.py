import logging

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.handlers import StatsHandler

from medseg_ext.datasets.epoch_batches import EpochBatches
from medseg_ext.errors import DataError, DivergenceError, NotFiniteError
from medseg_ext.handlers.best_model import BestModel
from medseg_ext.handlers.checkpoint import ResumableState
from medseg_ext.handlers.divergence import StopWhenDiverged

IMAGES = [{"id": f"image {number}"} for number in range(6)]


class Scale(torch.nn.Module):
    """Its loss is the mean of its images times its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.weight * image


class Loader:
    """Batches of two, in each of which an image is its number; some epochs and steps have another."""

    def __init__(self, batches: EpochBatches, others: dict[tuple[int, int], float]) -> None:
        self.batches, self.others, self.epoch = batches, others, 0

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        self.epoch += 1
        for step, batch in enumerate(self.batches, start=1):
            image = torch.tensor([float(draw.image) for draw in batch]).view(2, 1, 1, 1)
            yield {"image": image * self.others.get((self.epoch, step), 1.0), "label": image}


def training(folder, *, rate: float = 0.01, others: dict[tuple[int, int], float] | None = None, loss=None):
    batches, network = EpochBatches(6, batch_size=2), Scale()
    stop = StopWhenDiverged(network=network, batches=batches, images=IMAGES, output_dir=str(folder))
    trainer = SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=3, train_data_loader=Loader(batches, others or {}), network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=rate),
        loss_function=loss or (lambda prediction, label: (prediction - label).square().mean()),
        train_handlers=[stop, StatsHandler(name="train", output_transform=lambda output: output[0]["loss"])],
    )  # fmt: skip
    ResumableState({"network": network, "trainer": trainer}, str(folder / "checkpoint.pt")).attach(trainer)
    return trainer, network, batches


def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_images(tmp_path, caplog):
    trainer, network, batches = training(tmp_path, others={(2, 2): float("nan")})
    with caplog.at_level(logging.INFO), pytest.raises(DivergenceError) as caught:
        trainer.run()
    first, second = (IMAGES[draw.image]["id"] for draw in batches.whole_batch(1))
    assert str(caught.value) == (
        f"the training diverges: the loss is nan, in epoch 2, step 2 of 3, with the images {first}, {second}: give a "
        f"--learning_rate below 0.01, or look at these images; {tmp_path / 'checkpoint.pt'} has the state before: "
        "--resume True goes on from it"
    )
    assert torch.isfinite(network.weight)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["trainer"]["iteration"] == 3
    assert not any(record.exc_info for record in caplog.records)


def test_a_runaway_stops_and_nothing_of_it_is_kept(tmp_path):
    trainer, network, _ = training(tmp_path, rate=1e30)
    torch.nn.init.constant_(network.weight, 2.0)
    with pytest.raises(DivergenceError, match="the loss is inf, in epoch 1, step"):
        trainer.run()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]["weight"].item() == 2


def test_weights_that_are_not_finite_stop_at_the_end_of_an_epoch_before_its_validation(tmp_path):
    def loss(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Of a gradient that is infinite in the last step of the second epoch."""
        mean = prediction.mean()
        return Infinite.apply(mean) if trainer.state.iteration == 6 else mean

    trainer, _, _ = training(tmp_path, loss=loss)
    validated = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validated.append(engine.state.epoch))
    with pytest.raises(DivergenceError, match="weight is not finite, in epoch 2, step 3 of 3"):
        trainer.run()
    assert validated == [1]


class Infinite(torch.autograd.Function):
    @staticmethod
    def forward(context, loss):
        return loss.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


@pytest.mark.parametrize("error", [FloatingPointError("Predicted boxes hold NaN."), NotFiniteError("gives NaN")])
def test_what_a_network_says_itself_gets_the_images_too(tmp_path, error):
    def loss(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("wrapped") from error

    trainer, _, _ = training(tmp_path, loss=loss)
    message = str(error).rstrip(".")
    with pytest.raises(DivergenceError, match=rf"diverges: {message}, in epoch 1, step 1 of 3, with the images image"):
        trainer.run()


def test_other_errors_stay_what_they_are(tmp_path):
    def fail(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        raise DataError("a.png is cut short")

    with pytest.raises(DataError, match=r"^a\.png is cut short$"):
        training(tmp_path, loss=fail)[0].run()

    def fail_otherwise(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        raise KeyError("x")

    with pytest.raises(KeyError):
        training(tmp_path, loss=fail_otherwise)[0].run()


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    network = Scale()
    torch.nn.init.constant_(network.weight, float("nan"))
    best = BestModel(network, str(tmp_path / "model.pt"))
    trainer, _, _ = training(tmp_path)
    trainer.state.key_metric_name, trainer.state.metrics = "foreground_iou", {"foreground_iou": 0.9}
    trainer.state.epoch = 1
    with pytest.raises(DivergenceError, match=r"weight is not finite, so that .*model\.pt is left as it is"):
        best(trainer)
    assert not list(tmp_path.iterdir())
