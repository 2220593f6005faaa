"""Keys that a person may set: every one is described, and people can read it."""

import json
import subprocess
import sys

import pytest
from bundle_settings import BUNDLES, ROOT
from jsonschema import Draft202012Validator

from medseg_ext.bundle.keys import keys_of, read_keys, type_text

CONFIGS = [(bundle, config) for bundle in BUNDLES for config in ("train", "evaluate", "inference")]
EVERYWHERE = {
    "bundle_root", "dataset_dir", "output_dir", "ckpt_path", "device", "batch_size", "patch_size", "object_diameter_px",
    "num_workers", "amp", "compile", "seed",
}  # fmt: skip
IN_TRAINING = {
    "max_epochs", "learning_rate", "cache_rate", "val_interval", "early_stop_patience", "augmentation_strength",
    "ema_momentum", "resume", "overwrite",
}  # fmt: skip


def content_of(bundle, config):
    return json.loads((bundle / "configs" / f"{config}.json").read_text())


def is_computed(value):
    """Say whether a value, or a part of it, is no plain one but what MONAI evaluates or builds."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(is_computed, value.values()))
    if isinstance(value, list):
        return any(map(is_computed, value))
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


@pytest.mark.parametrize(("bundle", "config"), CONFIGS, ids=lambda value: getattr(value, "name", value))
def test_every_plain_value_of_a_config_is_described_and_satisfies_its_schema(bundle, config):
    content = content_of(bundle, config)
    described = content["_desc_"]
    plain = {name: value for name, value in content.items() if name != "_desc_" and not is_computed(value)}
    assert set(plain) - set(described) == {"rank"}  # the overlays of several GPUs set it
    for name, schema in described.items():
        Draft202012Validator.check_schema(schema)
        if name in plain:
            Draft202012Validator(schema).validate(plain[name])


@pytest.mark.parametrize(("bundle", "config"), CONFIGS, ids=lambda value: getattr(value, "name", value))
def test_the_keys_stand_first_and_in_the_order_of_their_descriptions(bundle, config):
    content = content_of(bundle, config)
    names = [key.name for key in read_keys(bundle / "configs" / f"{config}.json")]
    assert list(content)[: len(names) + 1] == ["_desc_", *names]
    assert set(names) >= EVERYWHERE | (IN_TRAINING if config == "train" else set())


@pytest.mark.parametrize(("bundle", "config"), CONFIGS, ids=lambda value: getattr(value, "name", value))
def test_a_description_is_a_sentence_that_monai_leaves_alone(bundle, config):
    for key in read_keys(bundle / "configs" / f"{config}.json"):
        assert key.description[0].isupper()
        assert key.description.endswith(".")
        assert not set("#@%$") & set(key.description)
        assert key.type != "anything"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 1}, "whole number, at least 1"),
        ({"type": "string", "format": "path"}, "path"),
        ({"type": ["string", "null"], "format": "path"}, "path or null"),
        ({"type": "boolean"}, "true or false"),
        ({"enum": ["tiff", "nifti"]}, "one of tiff, nifti"),
        ({"enum": [None, 18, 34]}, "one of 18, 34, or null"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}, "list of 2 whole numbers"),
        (
            {"type": ["string", "array"], "format": "path", "items": {"type": "string", "format": "path"}},
            "path or list of paths",
        ),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0 and at most 1"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "number, from 0 to 1"),
        ({"type": "array"}, "list"),
        (
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 32, "multipleOf": 32},
                "minItems": 2,
                "maxItems": 2,
            },
            "list of 2 multiples of 32, each at least 32",
        ),
        ({"type": ["string", "number"], "pattern": "^auto$", "exclusiveMinimum": 0}, "auto or number, above 0"),
        ({"type": "string", "pattern": "^(cpu|mps)$", "examples": ["cpu", "mps"]}, "text such as cpu or mps"),
        ({}, "anything"),
    ],
)
def test_a_type_is_said_in_words(schema, text):
    assert type_text(schema) == text


def test_a_default_is_text_and_what_is_computed_has_none():
    config = {"a": None, "b": True, "c": [1, 2], "d": "$x()", "e": {"_target_": "x"}}
    described = {"_desc_": {name: {"description": "It."} for name in config}, **config}
    assert [key.default for key in keys_of(described)] == ["null", "true", "[1, 2]", "", ""]


def test_a_config_without_descriptions_has_no_keys():
    assert keys_of({"lr": 1}) == []


def test_reading_keys_needs_the_standard_library_only():
    # By its file: this package's own __init__ is another matter.
    code = f"""
import importlib.util, sys
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("keys", {str(ROOT / "medseg_ext" / "bundle" / "keys.py")!r})
module = sys.modules["keys"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
foreign = {{name.partition(".")[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names - {{"keys"}}
assert not foreign, foreign
print(len(module.read_keys({str(BUNDLES[0] / "configs" / "inference.json")!r})))
"""
    result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 10
