"""The model cards of the collection are whole, alike, and name what exists."""

import json
import re
import shlex
from pathlib import Path

import pytest

from medseg_ext.pages.marked_parts import CLOSING, OPENING, check_sections, text_outside

ROOT = Path(__file__).parents[3]
BUNDLES = sorted(path.parents[1] for path in (ROOT / "bundles").glob("*/configs/metadata.json"))
SECTIONS = [
    "When not to use it",
    "Model overview",
    "Data",
    "Training configuration",
    "Performance",
    "Failure cases",
    "Commands",
    "License",
    "References",
]
MADE_BY_COMMANDS = (".ts",)  # what a command of a card writes into a bundle
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


def card_of(bundle):
    return (bundle / "docs" / "README.md").read_text(encoding="utf-8")


def commands_of(text):
    """Give each command as its words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(block.replace("\\\n", " ")) for block in blocks]


@every_bundle
def test_a_card_has_the_sections_in_their_order(bundle):
    assert re.findall(r"^## (.*)$", card_of(bundle), re.MULTILINE) == SECTIONS


@every_bundle
def test_every_file_that_a_command_names_is_there(bundle):
    commands = commands_of(card_of(bundle))
    assert len(commands) == 7  # preparation, training, resuming, several GPUs, evaluation, inference, export
    for words in commands:
        named = [path for word in words for path in re.findall(r"(?:bundles|data_scripts|scripts)/[^\s'\",]+", word)]
        assert named
        for path in named:
            assert (ROOT / path).is_file() or path.endswith(MADE_BY_COMMANDS), path


@every_bundle
def test_every_key_that_a_command_overrides_is_in_its_config(bundle):
    for words in commands_of(card_of(bundle)):
        if "monai.bundle" not in words or "run" not in words:
            continue
        run_id, files = words[words.index("run") + 1], words[words.index("--config_file") + 1]
        config = {}
        for file in re.findall(r"bundles/[^'\",\]]+", files):
            config |= json.loads((ROOT / file).read_text(encoding="utf-8"))
        keys = [word.removeprefix("--") for word in words[words.index("--config_file") + 2 :] if word.startswith("--")]
        assert {run_id, *keys} <= set(config), words


def test_commands_of_the_cards_differ_only_by_names():
    texts = set()
    for bundle in BUNDLES:
        text = card_of(bundle).split("## Commands\n")[1].split("\n## ")[0]
        texts.add(text.replace(bundle.name, "BUNDLE").replace(f"data/{bundle.name.partition('_')[0]}", "DATA"))
    assert len(texts) == 1


@every_bundle
def test_every_worst_image_is_explained(bundle):
    page = card_of(bundle)
    worst = re.findall(r"^\d\. `(\w+)`", page.split(OPENING.format("worst"))[1].split(CLOSING)[0], re.MULTILINE)
    assert len(worst) == 3
    failures = text_outside(page).split("## Failure cases\n")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`: \w", failures, re.MULTILINE) == worst


@every_bundle
def test_marked_parts_are_filled_and_their_pictures_are_there_and_small(bundle):
    kinds = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8")).get("kinds")
    names = ["metrics", *(["kinds"] if kinds else []), "elsewhere", "samples", "worst"]
    page = check_sections(bundle / "docs" / "README.md", names)
    assert all(page.split(OPENING.format(name))[1].split(CLOSING)[0].strip() for name in names)
    for picture in re.findall(r"!\[.*?\]\((\S+)\)", page):
        assert (bundle / "docs" / picture).stat().st_size < 400_000, picture


@pytest.mark.parametrize(
    ("page", "names", "pictures"),
    [
        ("README.md", ["found"], ["docs/found_objects.png"]),
        ("docs/results.md", ["results", "elsewhere", "models", "curves"], ["networks.png", "iou_curves.png"]),
    ],
)
def test_pictures_of_all_bundles_are_there_and_small(page, names, pictures):
    assert re.findall(r"!\[.*?\]\((\S+)\)", check_sections(ROOT / page, names)) == pictures
    assert all(((ROOT / page).parent / picture).stat().st_size < 1_000_000 for picture in pictures)
