import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg_ext.metrics import ScoreCalibration
from medseg_ext.objects.detections import decode_detections
from medseg_ext.transforms.decoders import DecodeDetectionsd

CALIBRATION = {"score_temperature": 1.5, "score_bias": -0.4}


def output_of(numbers: np.ndarray, scores: dict[int, float], inner: np.ndarray | None = None) -> torch.Tensor:
    """The dense output of a network: objects by number, their scores, their inner parts."""
    score = np.zeros(numbers.shape)
    for number, value in scores.items():
        score[numbers == number] = value
    channels = [numbers, 1 - score]
    channels += [score] if inner is None else [score * (1 - 0.9 * inner), score * 0.9 * inner]
    return torch.from_numpy(np.stack(channels).astype(np.float32))


def three_objects() -> np.ndarray:
    numbers = np.zeros((24, 40), np.int64)
    numbers[2:10, 2:10], numbers[2:10, 10:18], numbers[14:22, 20:36] = 1, 2, 3
    return numbers


def test_objects_are_taken_as_they_are():
    numbers = three_objects()
    objects = decode_detections(output_of(numbers, {1: 0.9, 2: 0.8, 3: 0.5}))
    assert torch.equal(objects.instances[0], torch.from_numpy(numbers).int())
    assert torch.equal(objects.classes[0], torch.from_numpy(numbers > 0).to(torch.uint8))
    torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.8, 0.5]))
    assert objects.instances.dtype == torch.int32
    assert objects.classes.dtype == torch.uint8
    assert objects.scores.dtype == torch.float32


def test_improbable_objects_are_dropped_and_the_rest_renumbered():
    objects = decode_detections(output_of(three_objects(), {1: 0.9, 2: 0.3, 3: 0.6}), score_threshold=0.5)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.6]))
    assert objects.instances[0, 16, 30] == 2
    assert ((objects.classes > 0) == (objects.instances > 0)).all()


def test_objects_below_the_least_area_are_dropped():
    numbers = three_objects()
    numbers[0, 30:33] = 4
    output = output_of(numbers, {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.99})
    assert decode_detections(output, min_area_px=4).scores.shape == (3,)
    assert decode_detections(output, min_area_px=3).scores.shape == (4,)


def test_an_empty_output_has_no_objects():
    objects = decode_detections(output_of(np.zeros((8, 9), np.int64), {}))
    assert objects.instances.shape == (1, 8, 9)
    assert objects.instances.max() == objects.classes.max() == 0
    assert objects.scores.shape == (0,)


def test_inner_parts_have_the_last_class():
    numbers = three_objects()
    inner = np.zeros(numbers.shape)
    inner[4:8, 4:8] = 1
    objects = decode_detections(output_of(numbers, {1: 0.9, 2: 0.9, 3: 0.9}, inner))
    assert (objects.classes[0].numpy() == (numbers > 0).astype(int) + inner).all()


def test_objects_get_the_size_that_is_asked_for():
    numbers = three_objects()
    inner = np.zeros(numbers.shape)
    inner[4:8, 4:8] = 1
    objects = decode_detections(output_of(numbers, {1: 0.9, 2: 0.8, 3: 0.7}, inner), size=(48, 80))
    assert (objects.instances[0].numpy() == numbers.repeat(2, axis=0).repeat(2, axis=1)).all()
    assert ((objects.classes > 0) == (objects.instances > 0)).all()
    torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.8, 0.7]))
    assert (objects.classes[0, 9:15, 9:15] == 2).all()


def test_objects_lost_in_a_smaller_size_leave_no_gap():
    numbers = three_objects()
    numbers[0, 1:39] = 4
    numbers[numbers == 3] = 5
    objects = decode_detections(output_of(numbers, {1: 0.9, 2: 0.8, 4: 0.95, 5: 0.7}), size=(6, 10))
    assert objects.instances.unique().tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.8, 0.7]))


def test_the_least_area_is_meant_at_the_network_s_size():
    numbers = np.zeros((40, 40), np.int64)
    numbers[10:14, 10:14] = 1
    assert decode_detections(output_of(numbers, {1: 0.9}), size=(120, 120), min_area_px=30).instances.max() == 0
    assert decode_detections(output_of(numbers, {1: 0.9}), size=(20, 20), min_area_px=16).instances.max() == 1


def test_numbers_may_be_off_by_a_little_and_large():
    numbers = three_objects() * 3001  # neighbours of such numbers are no numbers of half precision
    output = output_of(numbers, {3001: 0.9, 6002: 0.8, 9003: 0.7})
    output[0, :, ::2] -= 0.01
    output[0, :, 1::2] += 0.01
    for size, times in (((24, 40), 1), ((48, 80), 2)):
        objects = decode_detections(output, size=size)
        enlarged = three_objects().repeat(times, axis=0).repeat(times, axis=1)
        assert (objects.instances[0].numpy() == enlarged).all()
        torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.8, 0.7]))


def test_the_edge_of_an_inner_part_lies_where_it_lay_in_the_output():
    """Enlarged four times, the inner part wins from 5/9 of the way from centre to centre: from the pixel's edge on."""
    numbers = np.ones((24, 24), np.int64)
    inner = np.zeros(numbers.shape)
    inner[4:8, 4:8] = 1
    classes = decode_detections(output_of(numbers, {1: 0.9}, inner), size=(96, 96)).classes[0].numpy()
    expected = np.where((np.arange(96) >= 16) & (np.arange(96) < 32), 2, 1)
    np.testing.assert_array_equal(classes[24], expected)
    np.testing.assert_array_equal(classes[:, 24], expected)


def test_without_a_least_area_and_score_all_objects_are_kept_and_the_background_is_none():
    numbers = three_objects()
    numbers[numbers == 2] = 0  # a number that no pixel has
    objects = decode_detections(output_of(numbers, {1: 0.9, 3: 0.0}), score_threshold=0.0, min_area_px=0)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    torch.testing.assert_close(objects.scores, torch.tensor([0.9, 0.0]))


def test_the_transform_hands_its_options_over():
    output = output_of(three_objects(), {1: 0.9, 2: 0.2, 3: 0.7})
    for options, scores in (
        ({}, [0.9, 0.7]),
        ({"score_threshold": 0.1}, [0.9, 0.2, 0.7]),
        ({"min_area_px": 65}, [0.7]),
    ):
        found = DecodeDetectionsd(**options)({"pred": output})["pred_scores"]
        torch.testing.assert_close(found, torch.tensor(scores))


def test_a_calibration_changes_scores_and_no_object():
    output = output_of(three_objects(), {1: 0.9, 2: 0.55, 3: 0.5})
    raw, calibrated = (DecodeDetectionsd(**options)({"pred": output}) for options in ({}, CALIBRATION))
    assert torch.equal(calibrated["pred_instances"], raw["pred_instances"])  # also where a score falls below 0.5
    assert torch.equal(calibrated["pred_classes"], raw["pred_classes"])
    expected = ScoreCalibration(1.5, -0.4)(raw["pred_scores"].numpy())
    np.testing.assert_array_equal(calibrated["pred_scores"], expected)
    assert calibrated["pred_scores"].dtype == torch.float32


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 8, 8\)"):
        decode_detections(torch.zeros(2, 8, 8))


def test_the_transform_restores_the_size_of_the_file():
    image = MetaTensor(torch.zeros(3, 24, 40), meta={"spatial_shape": np.array([48, 80])})
    output = output_of(three_objects(), {1: 0.9, 2: 0.2, 3: 0.7})
    result = DecodeDetectionsd(score_threshold=0.1)({"image": image, "pred": output})
    assert result["pred_instances"].shape == result["pred_classes"].shape == (1, 48, 80)
    assert result["pred_scores"].shape == (3,)
