"""tools/trainings.txt says how every bundle was trained, in options that its config has."""

import json
import re
import subprocess
import sys
from pathlib import Path

import torch
from bundle_runs import run_bundle
from bundle_settings import BUNDLES, ROOT

LINES = [
    line.partition(":")
    for line in (ROOT / "tools" / "trainings.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_bundle_has_its_trainings():
    assert {name for name, _, _ in LINES} == {bundle.name for bundle in BUNDLES}


def test_options_are_keys_of_the_config_with_values():
    for name, _, options in LINES:
        words = options.split()
        if words[:1] in (["average"], ["start"], ["encoder"]):
            continue
        config = json.loads((ROOT / "bundles" / name / "configs" / "train.json").read_text())
        assert {word.removeprefix("--") for word in words[::2]} <= set(config), name
        assert len(words) % 2 == 0, name
        assert not any(word.startswith("--") for word in words[1::2]), name


def test_a_start_is_from_a_commit_and_comes_first():
    for bundle in BUNDLES:
        stages = [options.split() for name, _, options in LINES if name == bundle.name]
        starts = [number for number, words in enumerate(stages) if words[:1] in (["start"], ["encoder"])]
        assert starts in ([], [0]), bundle.name
        for number in starts:
            *of, commit = stages[number][1:]
            assert re.fullmatch(r"[0-9a-f]{7,40}", commit), bundle.name
            assert of in ([], [f"{bundle.name.partition('_')[0]}_unet"]), bundle.name


def test_a_start_from_the_encoder_of_a_unet_has_its_weights(tmp_path):
    unet = ROOT / "bundles" / "dsb2018_unet" / "models" / "model.pt"
    command = [sys.executable, ROOT / "tools" / "encoder_weights.py", "dsb2018_pspnet", unet, "--output"]
    for name in ("one", "other"):
        subprocess.run([*command, tmp_path / name / "model.pt"], check=True, capture_output=True)
    one, other = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("one", "other"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    encoder = [value for name, value in torch.load(unet, weights_only=True).items() if name.startswith("encoder.")]
    started = [value for name, value in one.items() if name.startswith("model.encoder.")]
    assert len(started) > 100
    assert all(torch.equal(value, wanted.to(value.dtype)) for value, wanted in zip(started, encoder, strict=False))


def test_an_average_is_of_two_trainings_before():
    for bundle in BUNDLES:
        stages = [options.split() for name, _, options in LINES if name == bundle.name]
        for number, words in enumerate(stages):
            if words[:1] == ["average"]:
                assert number >= 2
                assert 0 < float(words[1]) < 1
                assert len(words) == 2


def average_weights(bundle: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return run_bundle(bundle.name, *options, module="average_weights", cwd=ROOT / "tools")


def test_weights_are_averaged_by_their_share(tmp_path):
    bundle = ROOT / "bundles" / "dsb2018_unetplusplus"
    shipped = torch.load(bundle / "models" / "model.pt", weights_only=True)
    other = {name: 2 * value for name, value in shipped.items()}
    (tmp_path / "second").mkdir()
    torch.save(other, tmp_path / "second" / "model.pt")
    (tmp_path / "second" / "iou_curve.csv").write_text("epoch\n1\n")
    done = average_weights(
        bundle, bundle / "models" / "model.pt", tmp_path / "second" / "model.pt",
        "--share", 0.25, "--output", tmp_path / "mean" / "model.pt",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mean = torch.load(tmp_path / "mean" / "model.pt", weights_only=True)
    assert mean.keys() == shipped.keys()
    for name, value in shipped.items():
        expected = 1.25 * value.float() if value.is_floating_point() else other[name]
        torch.testing.assert_close(mean[name], expected, msg=name)
    assert (tmp_path / "mean" / "iou_curve.csv").is_file()


def test_weights_of_another_network_are_not_averaged(tmp_path):
    one, other = (ROOT / "bundles" / name for name in ("dsb2018_unetplusplus", "dsb2018_unet"))
    done = average_weights(
        one, *(bundle / "models" / "model.pt" for bundle in (one, other)),
        "--share", 0.5, "--output", tmp_path / "model.pt",
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*dsb2018_unet/models/model\.pt: .*another architecture.*\n", done.stderr)
    assert not (tmp_path / "model.pt").exists()
