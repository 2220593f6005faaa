import math

import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from monai.metrics import DiceMetric, MeanIoU
from torchmetrics.segmentation import MeanIoU as TorchmetricsMeanIoU

from medseg_ext.metrics.definitions import metric_named, metrics_for
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.ratios import mean_ratio
from medseg_ext.metrics.summary import image_statistics, stack_statistics

CLASSES = ["background", "cytoplasm", "nucleus"]


def class_map(instances):
    """Odd objects are of class 1, even ones of class 2."""
    return torch.where(instances > 0, 2 - instances % 2, 0).byte()


def score_set(*pairs, class_names=CLASSES):
    definitions = metrics_for(class_names)
    images = [compare_image(pred, true, class_map(pred), class_map(true)) for pred, true in pairs]
    statistics = stack_statistics([image_statistics(image, definitions) for image in images])
    return {name: float(definitions[name].reduce(rows)) for name, rows in statistics.items()}


ALL_SCENES = [scene(name) for name in SCENES if name.startswith("random")]


def test_a_shifted_square_scores_as_worked_by_hand():
    scores = score_set((square(column=11), square()))
    assert scores["foreground_iou"] == scores["foreground_iou_pooled"] == pytest.approx(1 / 3)
    assert scores["dice"] == pytest.approx(1 / 2)
    assert scores["ap_50"] == scores["map"] == scores["pq"] == scores["rq"] == 0
    assert math.isnan(scores["sq"])
    assert scores["aji"] == scores["segpc_miou"] == pytest.approx(1 / 3)


def test_a_halved_square_scores_as_worked_by_hand():
    scores = score_set((halved_square(), square()))
    assert scores["foreground_iou"] == scores["dice"] == 1
    assert scores["ap_50"] == scores["ap_50_per_image"] == 1 / 2
    assert scores["ap_55"] == 0
    assert scores["map"] == pytest.approx(1 / 20)


def test_pooling_weighs_by_size_and_averaging_does_not():
    """IoU 1/3 of 150 px, and IoU 1 of 100 px: 150 / 250, against (1/3 + 1) / 2."""
    pairs = [(square(column=11), square()), (square(), square())]
    scores = score_set(*pairs)
    assert scores["foreground_iou_pooled"] == pytest.approx(150 / 250)
    assert scores["foreground_iou"] == pytest.approx(2 / 3)
    assert scores["ap_50"] == pytest.approx(1 / 3)
    assert scores["ap_50_per_image"] == pytest.approx(1 / 2)


def test_a_mean_is_over_the_ratios_of_an_image_first():
    """Ratios 1 and 0 / 0 of one image, 0 and 1/2 of another: (1 + 1/4) / 2, and not (1/2 + 1/2) / 2."""
    terms = torch.tensor([[2.0, 0.0, 2.0, 0.0], [0.0, 1.0, 2.0, 2.0]])
    assert mean_ratio(terms) == (1 + 1 / 4) / 2
    assert mean_ratio(terms, empty=1.0) == (1 + 1 / 4) / 2
    assert mean_ratio(terms, empty=0.0) == (1 / 2 + 1 / 4) / 2


def test_an_image_rightly_empty_is_a_correct_answer_of_the_mean_without_weight_in_the_pool():
    with_empty = score_set((square(column=11), square()), (empty(), empty()))
    for name in ("foreground_iou", "dice", "class_iou_cytoplasm", "ap_50_per_image", "map_per_image"):
        alone = score_set((square(column=11), square()))[name]
        assert with_empty[name] == pytest.approx((alone + 1) / 2), name
    assert with_empty["foreground_iou_pooled"] == pytest.approx(1 / 3)
    assert with_empty["aji"] == with_empty["aji_per_image"] == pytest.approx(1 / 3)


def test_one_side_empty_scores_zero():
    undefined = {"sq", "mean_matched_iou", "segpc_miou"}
    for pair in ((empty(), square()), (square(), empty())):
        scores = score_set(pair, class_names=None)
        assert {name: score for name, score in scores.items() if score != 0}.keys() <= undefined


def test_foreground_iou_and_dice_are_those_of_monai():
    """MONAI averages over images likewise where no image is empty."""
    scores = score_set(*ALL_SCENES)
    foregrounds = [((pred > 0)[None, None].float(), (true > 0)[None, None].float()) for pred, true in ALL_SCENES]
    for name, oracle in {"foreground_iou": MeanIoU(), "dice": DiceMetric()}.items():
        for pair in foregrounds:
            oracle(*pair)
        assert scores[name] == pytest.approx(oracle.aggregate().item(), rel=1e-5), name


def test_class_iou_is_that_of_torchmetrics():
    """All three classes occur in each scene, so that empty cases, where the two differ, do not arise."""
    oracle = TorchmetricsMeanIoU(num_classes=3, per_class=True, input_format="index")
    for pred, true in ALL_SCENES:
        oracle.update(class_map(pred).long()[None], class_map(true).long()[None])
    theirs = oracle.compute().tolist()
    scores = score_set(*ALL_SCENES)
    assert [scores[f"class_iou_{name}"] for name in CLASSES] == pytest.approx(theirs, rel=1e-5)
    assert scores["class_iou"] == pytest.approx(sum(theirs) / 3, rel=1e-5)


def test_a_class_that_never_occurs_is_left_out_of_the_pooled_mean():
    scores = score_set((square(column=11), square()))
    assert math.isnan(scores["class_iou_nucleus_pooled"])
    background = 450 / 550
    assert scores["class_iou_pooled"] == pytest.approx((background + 1 / 3) / 2)
    assert scores["class_iou"] == pytest.approx((background + 1 / 3 + 1) / 3)


def test_the_product_of_pooled_quality_and_recognition_is_pooled_panoptic_quality():
    scores = score_set(*ALL_SCENES)
    assert scores["pq_pooled"] == pytest.approx(scores["mean_matched_iou"] * scores["rq_pooled"])


def test_a_class_without_name_is_refused():
    with pytest.raises(ValueError, match=r"classes must be in \[0, 1\], got 2"):
        score_set((halved_square(), square()), class_names=["background", "cell"])


def test_metrics_of_classes_say_that_they_need_class_maps():
    definitions = {"class_iou": metric_named("class_iou", CLASSES)}
    with pytest.raises(ValueError, match="needs the predicted and the true class map"):
        image_statistics(compare_image(square(), square()), definitions)


def test_class_names_that_collide_are_refused():
    with pytest.raises(ValueError, match="class names must be unique"):
        metrics_for(["background", "cell", "cell"])
    with pytest.raises(ValueError, match="none may be 'pooled'"):
        metrics_for(["background", "pooled"])


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"metric must be one of foreground_iou, .*got 'class_iou'; .* need class_names"
    ):
        metric_named("class_iou")


def test_names_and_descriptions_are_unique():
    definitions = metrics_for(CLASSES)
    assert [definition.name for definition in definitions.values()] == list(definitions)
    assert len({definition.description for definition in definitions.values()}) == len(definitions)
