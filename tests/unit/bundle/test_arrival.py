"""Paths and values arrive as they were typed, by each of the three ways into a bundle; wrong ones are refused."""

import json
import math
import shlex
from collections.abc import Callable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import Any

import fire.parser
import monai.bundle
import pytest
import torch
from arrivals import ARRIVED, by_monai, telling_bundle
from bundle_settings import BUNDLES, ROOT
from jsonschema import Draft202012Validator
from monai.bundle import create_workflow

from medseg_ext.bundle.causes import cause_of
from medseg_ext.bundle.keys import OWN_KEYS, type_text
from medseg_ext.bundle.monai_command_line import refuse_unknown_overrides
from medseg_ext.bundle.overrides import parse_overrides
from medseg_ext.bundle.settings import settle
from medseg_ext.bundle.trust import trusting
from medseg_ext.bundle.values import OverrideError, is_cut
from medseg_ext.bundle.verbatim import Verbatim
from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.cli.demo import steps
from medseg_ext.cli.main import build_parser, main
from medseg_ext.datasets.data_set_folder import FOLDER_OF_KEY, SECTIONS

ODD_NAMES = [
    # what MONAI's parser rewrites, looks up or evaluates
    "plate #1", "runA#2", "runs/try#2", "#", "a##b", "a::b", "a@#b", "50%#c", "50%", "100%::x", "%z", "%s %(prog)s %d",
    "$x", "$(rm x)", "${HOME}", "a$b", "$1+1", "@y", "@", "a@b.c", "@seed", "%seed", "$@seed", "a.json#b",
    # what Fire, Python, YAML or JSON read as something else than text
    "20251105", "007", "1e3", "1_000", "0x10", "3.14", ".5", "1.", "inf", "nan", "true", "True", "false", "null",
    "None", "~", "yes", "[a]", "[a, b]", "['a']", "{b}", "{b: c}", "{[a]}", "(c)", "a,b", "'quoted'", '"quoted"',
    "it's", "4\"", "a b", " a", "a ", "1 if 2", "b'x'", "f'{x}'", "lambda: 0", "a.b", "a-b", "a=b", "...", "*", "?",
    "a;b", "a&b", "a|b", "a\\b", "\\n", "a\nb", "a\tb", "\n", "<i>", "`id`", "!", "__import__('os')", "config.json",
    "a.yaml::b",
    # other scripts, what normalisation would change, and bytes that are no text
    "é", "e\u0301", "\ufb01le", "\u00aa", "細胞", "клетки", "🔬", "\u202eabc", "a\u00a0b", "caf\udce9",
    # lengths
    "a", "x" * 200, "#" * 100, "é" * 100,
]  # fmt: skip
DASHED_NAMES = ["-5", "-5a", "-out", "--out", "-", "--", "--resume", "--x=1", "-h", "--help", "-#1", "-\n"]
CONFIGS = ("train", "evaluate", "inference")


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """A telling bundle in a folder of an odd name."""
    return telling_bundle(ROOT / "bundles" / "dsb2018_unet", tmp_path_factory.mktemp("the #1 $net' [@%]") / "a::b#2")


@pytest.fixture(autouse=True)
def nothing_has_arrived(monkeypatch):
    ARRIVED.clear()
    items = [{"id": "a", **{key: f"{folder}/a.png" for key, folder in FOLDER_OF_KEY.items()}}]
    content = dict.fromkeys(SECTIONS, items)  # none is there
    monkeypatch.setattr("medseg_ext.datasets.data_set_folder.read_dataset_json", lambda folder: content)
    with trusting():  # their workflows name what remembers
        yield


def arrived() -> dict[str, Any]:
    assert len(ARRIVED) == 1
    return ARRIVED.pop()


def by_fours(names: list[str]) -> Iterator[list[str]]:
    """Yield the names, four at a time, so that one run tries four: 0.2 s each, most of it MONAI's."""
    for start in range(0, len(names), 4):
        yield (names[start:] + names)[:4]


def as_typed(name: str) -> str:
    """Write a path as one does where it would be an option."""
    return f"./{name}" if name.startswith("-") else name


def schemas_of(bundle: Path, config: str) -> dict[str, dict[str, Any]]:
    return json.loads((bundle / "configs" / f"{config}.json").read_text())["_desc_"]


def test_the_front_door_hands_on_every_odd_name(telling, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data, output, weights, title in by_fours(ODD_NAMES + DASHED_NAMES):
        Path(weights).parent.mkdir(exist_ok=True)
        with Path(weights).open("wb") as file:  # PyTorch takes no path such as .5
            torch.save({}, file)
        words = ["--data", as_typed(data), "--output", as_typed(output), f"--ckpt_path={weights}", f"--title={title}"]
        assert main(["evaluate", "--bundle", str(telling), *words]) == 0, capsys.readouterr().err
        values = arrived()
        paths = (values["dataset_dir"], values["output_dir"], values["ckpt_path"])
        assert paths == tuple(str(Path(name)) for name in (data, output, weights))
        assert values["title"] == title
        assert values["bundle_root"] == str(telling)


def test_segment_hands_on_every_odd_name_and_the_weights_of_its_bundle(telling):
    images = [as_typed(name) for name in ODD_NAMES + DASHED_NAMES]
    options = build_parser().parse_args(["segment", *images, "--bundle", str(telling), "--output=#2 $x"])
    run_workflow(telling, "inference", {"dataset_dir": options.images, "output_dir": options.output})
    values = arrived()
    assert values["dataset_dir"] == [str(Path(name)) for name in ODD_NAMES + DASHED_NAMES]
    assert values["output_dir"] == "#2 $x"
    assert values["ckpt_path"] == str(telling / "models" / "model.pt")


def test_monais_command_line_hands_on_every_odd_name_that_is_no_expression(telling, monkeypatch):
    config = str(telling / "configs" / "evaluate.json")
    names = [name for name in ODD_NAMES if name[0] not in "$@%" and name != "{[a]}"]  # of which Fire makes an error
    for data, output, weights, title in by_fours(names):
        words = [f"--dataset_dir={data}", "--output_dir", output, "--ckpt_path", weights, f"--title={title}"]
        by_monai(monkeypatch, "--config_file", config, *words)
        values = arrived()
        keys = ("dataset_dir", "output_dir", "ckpt_path", "title")
        assert tuple(values[key] for key in keys) == (data, output, weights, title)


def test_monais_command_line_evaluates_expressions_and_finds_the_bundle(telling, monkeypatch):
    config = str(telling / "configs" / "evaluate.json")
    monkeypatch.chdir(telling)
    words = ["--batch_size", "$@num_workers + 1", "--num_workers", 6, "--object_diameter_um", "@working_diameter_px"]
    by_monai(monkeypatch, "--config_file", config, "--bundle_root", "my#net", *words)
    values = arrived()
    assert (values["batch_size"], values["object_diameter_um"]) == (7, 23)
    assert (values["bundle_root"], values["ckpt_path"]) == ("my#net", "my#net/models/model.pt")


def test_python_hands_on_paths_and_texts_that_are_objects(telling):
    config = str(telling / "configs" / "evaluate.json")
    for data, output, weights in zip(*[iter(ODD_NAMES)] * 3, strict=False):
        paths = {"dataset_dir": Path(data), "output_dir": Path(output), "ckpt_path": Path(weights)}
        texts = {"title": Verbatim(data), "class_names": [Verbatim(data), Verbatim(f"{output} 2")]}
        workflow = create_workflow(config_file=config, workflow_type="infer", bundle_root=telling, **paths, **texts)
        workflow.run()
        expected = {key: str(path) for key, path in paths.items()}
        expected |= {"title": data, "class_names": [data, f"{output} 2"]}
        assert {key: value for key, value in arrived().items() if key in expected} == expected


@pytest.mark.parametrize(
    ("key", "value", "told", "remedy"),
    [
        ("dataset_dir", "plate#2", "plate::2", "pathlib.Path"),
        ("dataset_dir", "/data/a::b", "/data/a::b", "pathlib.Path"),
        ("title", "plate #2", "plate ::2", "medseg_ext.bundle.Verbatim"),
        ("title", "a::b", "a::b", "medseg_ext.bundle.Verbatim"),
        ("class_names", ["background", "a#b"], "a::b", "medseg_ext.bundle.Verbatim"),
    ],
)
@pytest.mark.parametrize("start", [create_workflow, monai.bundle.run])
def test_python_is_refused_strings_that_were_rewritten(telling, start, key, value, told, remedy):
    config = str(telling / "configs" / "evaluate.json")
    with pytest.raises(RuntimeError) as caught:  # MONAI's, from ours
        start(config_file=config, bundle_root=telling, **{key: value})
    cause = cause_of(caught.value)
    assert isinstance(cause, OverrideError)
    assert str(cause).startswith(f"{key} {told}: expected ")
    assert f"; give another one as a {remedy}, or in a config as " in str(cause)
    assert not ARRIVED


# The paths that a command takes to no config.
PATHS_OF_COMMANDS = {
    "segment": ["{}", "--output={}"],
    "prepare": ["{}", "{}", "--test={}", "--groups={}", "--splits-from={}", "--test-solution={}"],
    "check": ["{}", "--output={}"],
    "train": ["--bundle={}", "--data={}", "--output={}"],
    "evaluate": ["--bundle={}", "--data={}", "--output={}"],
    "compare": ["{}", "{}", "--output={}"],
    "ship": ["{}", "{}"],
    "card": ["{}", "{}"],
    "export": ["{}", "--output={}"],
    "verify": ["{}", "--images={}"],
    "pack": ["{}", "--data={}", "--output={}"],
    "sample": ["{}"],
    "demo": ["--target={}"],
    "render": ["--bundles={}"],
}


def test_every_command_takes_every_odd_name_as_it_is():
    parser = build_parser()
    for command, words in PATHS_OF_COMMANDS.items():
        for name in ODD_NAMES + DASHED_NAMES:
            is_end = name == "--"  # of all options, also after a =
            typed = [word.replace("{}", name if "=" in word and not is_end else as_typed(name)) for word in words]
            options = vars(parser.parse_args([command, *typed]))
            values = chain.from_iterable(each if isinstance(each, list) else [each] for each in options.values())
            taken = [each for each in values if isinstance(each, (str, Path)) and Path(each) == Path(name)]
            assert len(taken) == len(words), (command, name)


def test_the_demos_words_lead_into_its_folder():
    parser = build_parser()
    for name in ODD_NAMES + DASHED_NAMES:
        for _, words in steps(Path(name), epochs=1):
            read = vars(parser.parse_known_args(shlex.split(words))[0])
            paths = [Path(value) for key, value in read.items() if isinstance(value, Path) or key == "output"]
            assert paths
            assert all(path.is_relative_to(Path(name)) for path in paths), (words, paths)


# Of every type in a schema, values that it does not take, as they are typed; and as they come from Python.
WRONG_WORDS = [
    "", "0", "-1", "0.5", "1e9999", "nan", "True", "none", "wrong", "5#5", "[]", "[1]", "[0, -1]", "[[]]", "{a: 1}",
    "[1, a]", "a#b", "'", "[1,2,3]", "1,000,000",
]  # fmt: skip
WRONG_VALUES = [
    0, -1, 0.5, float("nan"), float("inf"), True, None, "wrong", "false", "5", [], [1], [0, -1], {"a": 1}, [None],
    (1, 2, 3), object(),
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_wrong_words_for_every_key_are_refused_in_one_line_by_both_command_lines(bundle, config, monkeypatch):
    schemas = schemas_of(bundle, config)
    for (key, schema), word in product(schemas.items(), WRONG_WORDS):
        monkeypatch.setattr("sys.argv", ["/lib/monai/bundle/__main__.py", "run", f"--{key}={word}"])
        told = refusal(settle, {key: None, "bundle_root": "."}, schemas={key: schema}, resolved={})
        if key not in OWN_KEYS:
            assert told == refusal(parse_overrides, [f"--{key}={word}"], schemas, remedy="")
        assert told in (None, f"--{key} {word or repr(word)}: expected {type_text(schema)}")
        assert told is None or "\n" not in told


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_python_may_give_what_the_schema_takes_and_nothing_else(bundle, config):
    for (key, schema), value in product(schemas_of(bundle, config).items(), WRONG_VALUES):
        told = refusal(settle, {"bundle_root": ".", key: value}, schemas={key: schema}, resolved={})
        plain = list(value) if isinstance(value, tuple) else value
        is_finite = not isinstance(value, float) or math.isfinite(value)
        assert (told is None) == (is_finite and Draft202012Validator(schema).is_valid(plain)), (key, value)
        assert told in (None, f"{key} {value!r}: expected {type_text(schema)}")


def refusal(function: Callable, *arguments: Any, **options: Any) -> str | None:
    """Give the message with which a function refuses its arguments."""
    try:
        function(*arguments, **options)
    except OverrideError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("word", "value"), [("false", False), ("False", False), ("true", True), ("TRUE", True)])
def test_false_is_false_however_it_is_written(telling, monkeypatch, word, value):
    train = ["--config_file", telling / "configs" / "train.json"]
    by_monai(monkeypatch, *train, "--resume", word, f"--compile={word}", "--noamp", "--pretrained")
    values = arrived()
    assert [values[key] for key in ("resume", "compile", "amp", "pretrained")] == [value, value, False, True]
    words = ["--data", "data", "--output", "out", "--resume", word, f"--compile={word}"]
    assert main(["train", "--bundle", str(telling), *words]) == 0
    values = arrived()
    assert [values[key] for key in ("resume", "compile")] == [value, value]


def test_null_is_null_on_monais_command_line_which_drops_it(telling, monkeypatch):
    by_monai(monkeypatch, "--config_file", telling / "configs" / "train.json", "--seed", "None")
    assert arrived()["seed"] is None


def absent(device: str) -> str:
    kind = device.partition(":")[0]
    count = torch.cuda.device_count() if kind == "cuda" else 0
    has = {0: f"no {kind} device", 1: f"only {kind}:0"}.get(count, f"only {kind}:0 to {kind}:{count - 1}")
    remedy = "give another one, such as cpu, or leave --device out"
    return f"--device {device}: PyTorch {torch.__version__} finds {has} on this machine; {remedy}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--patch_size", "512"], "--patch_size 512: expected list of 2 multiples of 32, each at least 32"),
        (["--batch_size", "0"], "--batch_size 0: expected whole number, at least 1"),
        (["--working_diameter_px", "none"], "--working_diameter_px none: expected number, above 0"),
        (["--tta", "maybe"], "--tta maybe: expected true or false"),
        (["--device", "gpu"], "--device gpu: expected text such as cpu or cuda:0"),
        (["--device", "cuda:64"], absent("cuda:64")),
        (["--device", "npu"], absent("npu")),
        (["--object_diameter_px", "-3"], "--object_diameter_px -3: expected auto or number, above 0"),
        (
            ["--decoder#seed_prominence", "few"],
            "--decoder#seed_prominence few: expected number, as the config's own 0.15",
        ),
        (
            ["--decoder#min_area_px", "few"],
            "--decoder#min_area_px few: expected number, as the config's own $0.1 * @working_diameter_px ** 2",
        ),
    ],
)
def test_wrong_values_are_told_with_key_value_and_what_is_expected(telling, monkeypatch, capsys, words, told):
    assert main(["evaluate", "--bundle", str(telling), "--data", "data", "--output", "out", *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {told}"
    with pytest.raises(RuntimeError) as caught:
        by_monai(monkeypatch, "--config_file", telling / "configs" / "evaluate.json", *words)
    assert str(cause_of(caught.value)) == told
    assert not ARRIVED


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--decoder#_target_", "a#b"], "--decoder#_target_ a#b: "),
        (["--decoder#_target_", "./a#b"], "--decoder#_target_ ./a#b: MONAI's parser makes :: of #"),
        (["--logging_file", "log#2"], "--logging_file log#2: "),
        (["--output_dir"], "--output_dir True: expected path"),
        (["--output_dir", "-out"], "--out: no such key"),
    ],
)
def test_what_monais_command_line_changes_and_nothing_can_mend_is_refused(telling, monkeypatch, words, told):
    typed = ["run", "--config_file", str(telling / "configs" / "evaluate.json"), *words]
    monkeypatch.setattr("sys.argv", ["/lib/monai/bundle/__main__.py", *typed])
    schemas = {"output_dir": {"type": "string", "format": "path"}}
    refused = refusal(refuse_unknown_overrides) or refusal(settle, {"output_dir": "eval"}, schemas=schemas, resolved={})
    assert str(refused).startswith(told)


@pytest.mark.parametrize(
    "word", ["a#b", "plate #1", "'a' # b", "[1, 2] # c", "12#3", "a # b\n", "a#", "None#", "{a: 1}#2"]
)
def test_words_that_fire_cuts_are_known(word):
    assert is_cut(word)
    assert fire.parser.DefaultParseValue(word) != word


@pytest.mark.parametrize("word", ["./a#b", "'a#b'", "runs/try#2", "#", "['a#b']", "ab", "a b#c"])
def test_words_that_fire_leaves_whole_are_known(word):
    assert not is_cut(word)
    assert str(fire.parser.DefaultParseValue(word)).count("#") == word.count("#")
