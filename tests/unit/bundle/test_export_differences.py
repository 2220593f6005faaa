"""Exported forms are set beside each other; the forms themselves are tested with the bundles."""

import torch

from medseg_ext.bundle.export_differences import FORMS, Result, as_row, compare, compare_forms


def result(logit, instances, classes):
    logits = None if logit is None else torch.full((3, 1, 4), logit)
    return Result(logits, torch.tensor([instances]), torch.tensor([classes]))


BASELINE = [result(1.0, [0, 1, 1, 2], [0, 1, 1, 1]), result(2.0, [0, 0, 0, 1], [0, 0, 0, 1])]


def test_differences_are_the_largest_logit_and_the_sums_of_pixels():
    ours = [result(1.5, [0, 1, 2, 2], [0, 1, 1, 2]), result(1.75, [1, 0, 0, 1], [1, 0, 0, 1])]
    found = compare(ours, BASELINE)
    assert (found.images, found.objects, found.pixels) == (2, 3, 8)
    assert (found.logits, found.instance_px, found.class_px) == (0.5, 2, 2)
    assert as_row("net", "onnx", found) == "| `net` | onnx | 2 | 3 | 0.5 | 2 of 8 | 2 |"


def test_a_form_that_hides_its_logits_is_compared_by_its_objects():
    found = compare([each._replace(logits=None) for each in BASELINE], BASELINE)
    assert (found.logits, found.instance_px) == (None, 0)
    assert "| hidden |" in as_row("net", "app", found)


def test_a_form_is_added_as_a_function_and_a_missing_one_has_a_row(tmp_path, capsys, monkeypatch):
    def same(bundle, images):
        yield from BASELINE

    for name in ("eager", "app"):
        monkeypatch.setitem(FORMS, name, same)
    found = dict(compare_forms(tmp_path, [], ["app", "onnx"]))
    assert found["app"].logits == 0
    assert found["onnx"] is None
    assert "model.onnx: not found" in capsys.readouterr().err
