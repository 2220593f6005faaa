"""scripts/trainings.txt says how every bundle was trained, in options that its config has."""

import json

from bundle_settings import BUNDLES, ROOT

LINES = [
    line.partition(":")
    for line in (ROOT / "scripts" / "trainings.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_bundle_has_its_trainings():
    assert {name for name, _, _ in LINES} == {bundle.name for bundle in BUNDLES}


def test_options_are_keys_of_the_config_with_values():
    for name, _, options in LINES:
        words = options.split()
        config = json.loads((ROOT / "bundles" / name / "configs" / "train.json").read_text())
        assert {word.removeprefix("--") for word in words[::2]} <= set(config), name
        assert len(words) % 2 == 0, name
        assert not any(word.startswith("--") for word in words[1::2]), name
