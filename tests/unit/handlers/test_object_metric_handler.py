import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MetricsSaver

from medseg_ext.handlers.object_metric_handler import ObjectMetricHandler


def item(*, column=6, rows=20):
    """One decollated item: a square of 10 x 10 px at `column`, predicted at column 6."""
    pred, true = (torch.zeros(1, rows, 40, dtype=torch.int32) for _ in range(2))
    pred[:, 4:14, 6:16] = 3
    true[:, 4:14, column : column + 10] = 8
    pred_classes, true_classes = (pred > 0).byte(), (true > 0).byte()
    return {"pred_instances": pred, "true_instances": true, "pred_classes": pred_classes, "true_classes": true_classes}


def run(handler, batches, name="score"):
    engine = Engine(lambda engine, batch: batch)
    handler.attach(engine, name)
    return engine.run(batches)


def test_the_score_of_all_batches_is_reported_as_a_number():
    state = run(ObjectMetricHandler("foreground_iou"), [[item()], [item(column=11), item(column=11)]])
    assert state.metrics == {"score": pytest.approx((1 + 1 / 3 + 1 / 3) / 3)}
    assert isinstance(state.metrics["score"], float)


def test_the_images_own_scores_are_kept():
    state = run(ObjectMetricHandler("foreground_iou"), [[item(), item(column=11)]])
    assert state.metric_details["score"].tolist() == [[1], [pytest.approx(1 / 3)]]


def test_metrics_saver_writes_one_row_an_image(tmp_path):
    engine = Engine(lambda engine, batch: batch)
    ObjectMetricHandler("map").attach(engine, "map")
    MetricsSaver(save_dir=str(tmp_path), metrics="*", metric_details="*").attach(engine)
    engine.run([[item(), item(column=30)]])
    rows = (tmp_path / "map_raw.csv").read_text().split()
    assert rows == ["filename,class0,mean", "None,1.0000,1.0000", "None,0.0000,0.0000"]


def test_an_image_that_comes_again_counts_once():
    """As a sampler fills up the shares of several processes; without an id images cannot be told apart."""

    def score(*names: str | None) -> float:
        batches = [[{} if name is None else {"id": name}] for name in names]
        shown = iter([item(), item(column=11), item(column=11)])
        engine = Engine(lambda engine, batch: [next(shown)])
        ObjectMetricHandler("foreground_iou").attach(engine, "score")
        return engine.run(batches).metrics["score"]

    assert score("a", "b", "b") == pytest.approx((1 + 1 / 3) / 2)
    assert score("a", "b", "c") == score(None, None, None) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)


def test_each_epoch_starts_anew():
    engine = Engine(lambda engine, batch: [item(column=6 if engine.state.epoch == 2 else 11)])
    ObjectMetricHandler("foreground_iou").attach(engine, "score")
    seen = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(engine.state.metrics["score"]))
    engine.run([0, 0], max_epochs=2)
    assert seen == [pytest.approx(1 / 3), 1]


def test_images_of_a_batch_may_differ_in_size():
    assert run(ObjectMetricHandler("ap_50"), [[item(), item(rows=30)]]).metrics["score"] == 1


def test_metrics_of_classes_read_the_class_maps():
    handler = ObjectMetricHandler("class_iou_nucleus", class_names=["background", "nucleus"])
    assert run(handler, [[item(column=11)]]).metrics["score"] == pytest.approx(1 / 3)


def test_metrics_of_objects_need_no_class_maps():
    instances_only = {key: value for key, value in item().items() if "instances" in key}
    assert run(ObjectMetricHandler("pq"), [[instances_only]]).metrics["score"] == 1


def test_predictions_come_first_and_the_truth_second():
    """The official SegPC score asks what each true object has: a second prediction costs nothing."""
    one = item()
    one["pred_instances"][:, 4:14, 25:35] = 5
    assert run(ObjectMetricHandler("segpc_miou"), [[one]]).metrics["score"] == 1
    swapped = {"pred_instances": one["true_instances"], "true_instances": one["pred_instances"]}
    assert run(ObjectMetricHandler("segpc_miou"), [[swapped]]).metrics["score"] == pytest.approx(1 / 2)


def test_another_output_transform_replaces_the_keys():
    handler = ObjectMetricHandler("dice", output_transform=lambda output: ([output["a"]], [output["b"]]))
    label_map = item()["true_instances"]
    assert run(handler, [{"a": label_map, "b": label_map}]).metrics["score"] == 1


def test_shapes_that_differ_are_named():
    wrong = {**item(), "pred_instances": torch.zeros(1, 10, 20, dtype=torch.int32)}
    with pytest.raises(ValueError, match=r"got \(1, 10, 20\) and \(1, 20, 40\)"):
        run(ObjectMetricHandler("pq"), [[wrong]])


def test_maps_of_floats_are_named():
    wrong = {**item(), "pred_instances": torch.zeros(1, 20, 40)}
    with pytest.raises(TypeError, match="pred_instances must be a label map of an integer type"):
        run(ObjectMetricHandler("pq"), [[wrong]])


def test_missing_keys_are_named():
    with pytest.raises(KeyError, match="the metric reads 'pred_instances' from each item"):
        run(ObjectMetricHandler("pq"), [[{"true_instances": item()["true_instances"]}]])


def test_an_output_that_was_not_decollated_is_refused():
    with pytest.raises(TypeError, match="must be a list of decollated items, got dict"):
        run(ObjectMetricHandler("pq"), [item()])


@pytest.fixture
def batches():
    """Two batches of two images whose one object the identity network finds."""
    image = item()["true_instances"].float()
    return [{"image": image.repeat(2, 1, 1, 1), "instances": item()["true_instances"].repeat(2, 1, 1, 1)}] * 2


def prepare_batch(batch, device=None, non_blocking=False, **kwargs):
    return batch["image"].to(device), batch["instances"].to(device)


def decode(output):
    """Stand for a decoder: the network's output and the label are the label maps themselves."""
    # MONAI's engines keep under `output` only keys that the batch lacks, so `instances` could not be read there.
    return {"pred_instances": output["pred"].detach().round().int(), "true_instances": output["label"]}


def test_an_evaluator_takes_it_as_its_key_metric(batches):
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches,
        network=torch.nn.Identity(),
        prepare_batch=prepare_batch,
        postprocessing=decode,
        key_val_metric={"foreground_iou": ObjectMetricHandler("foreground_iou")},
        additional_metrics={"pq": ObjectMetricHandler("pq")},
    )
    evaluator.run()
    assert evaluator.state.metrics == {"foreground_iou": 1, "pq": 1}
    assert evaluator.state.best_metric == 1


def test_a_trainer_takes_it_as_its_key_metric(batches):
    network = torch.nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(1), network.bias.fill_(0)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=lambda pred, truth: (pred - truth).square().mean(),
        prepare_batch=prepare_batch,
        postprocessing=decode,
        key_train_metric={"foreground_iou": ObjectMetricHandler("foreground_iou")},
    )
    trainer.run()
    assert trainer.state.metrics["foreground_iou"] == 1


def test_a_config_can_name_it():
    config = {"metric": {"_target_": "medseg_ext.handlers.ObjectMetricHandler", "name": "map"}}
    handler = ConfigParser(config).get_parsed_content("metric")
    assert run(handler, [[item()]]).metrics["score"] == 1


def test_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match="metric must be one of foreground_iou"):
        ObjectMetricHandler("iou")
