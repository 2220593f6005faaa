"""What a bundle from elsewhere may bring: attacks are listed and refused, usual configs are not."""

import json
import shutil

import pytest
from bundle_settings import ROOT

from medseg_ext.bundle.inspection import inspect_bundle
from medseg_ext.cli.main import main

BUNDLES = sorted(path.parents[1] for path in (ROOT / "bundles").glob("*/configs/metadata.json"))
IMPORTS = ["$import os", "$import torch", "$import monai"]


def bundle_of(folder, config, file="inference.json"):
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "configs" / file).write_text(text, encoding="utf-8")
    return folder


def faults_of(folder, config, file="inference.json"):
    return [code for code in inspect_bundle(bundle_of(folder, config, file)) if code.fault]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_bundles_of_this_collection_pass(bundle, capsys):
    assert main(["inspect", str(bundle)]) == 0
    assert "all among what medseg runs unasked" in capsys.readouterr().out


EXPRESSIONS = {
    "a module's function": "$os.system('id')",
    "a library's module": "$monai.utils.misc.subprocess.run('id')",
    "another of them": "$torch.os.system('id')",
    "numpy's modules": "$np.ctypeslib.ctypes.CDLL('x')",
    "built in": "$eval('1')",
    "built in, by a name": "$__import__('os').system('id')",
    "built in, in a dict": "$__builtins__['eval']('1')",
    "built in, as a value": "$[f('1') for f in [eval]]",
    "attributes by name": "$getattr(os, 'system')('id')",
    "an object's class": "$().__class__.__base__.__subclasses__()",
    "a frame": "$(x for x in [1]).gi_frame.f_builtins['eval']('1')",
    "a format": "$'{0.__class__}'.format(1)",
    "an f-string": "$f'{os.system(1)}'",
    "a lambda": "$(lambda: os.system('id'))()",
    "a walrus": "$(o := os)",
    "a hidden name": "$[os for os in [1]] + [os.system('id')]",
    "a hidden built-in": "$(lambda len: len)(1)",
    "a pickle": "$torch.load('x.pt')",
    "a safe pickle": "$torch.load('x.pt', weights_only=True)",
    "another's code": "$torch.hub.load('a/b', 'c')",
    "TorchScript": "$torch.jit.load('x.ts')",
    "an array with pickles": "$np.load('x.npy', allow_pickle=True)",
    "an opened file": "$open('x', 'w')",
    "a file by an array": "$@x.numpy().tofile('x')",
    "MONAI's own runner": "$monai.bundle.run(config_file='x.json')",
    "MONAI's own loader": "$monai.bundle.load('x')",
    "MONAI's own importer": "$monai.utils.optional_import('os', name='system')",
    "MONAI's own command": "$monai.utils.run_cmd(['id'])",
    "a download": "$monai.apps.download_url('http://x')",
    "a class that looks a class up": "$monai.transforms.LoadImage('os.system')",
    "an argument by a dict": "$monai.transforms.Resize(**@x)",
    "a constant's method": "$monai.networks.nets.FLEXUNET_BACKBONE.register_class('x.y')",
    "a module as a value": "$os",
    "an environment": "$os.environ.update(PATH='x')",
    "a group of processes": "$torch.distributed.init_process_group(init_method='tcp://x:1')",
    "another attribute set": "$setattr(torch.backends.cudnn, 'verbose', 1)",
    "all that was made": "$__local_refs['imports::0'].system('id')",
    "imported modules": "$@imports#0.system('id')",
    "all imported modules": "$[m for m in @imports]",
    "all that was made, in other letters": "$__\uff4cocal_refs['imports::0'].system('id')",
    "a file by a tensor": "$@x.untyped_storage().from_file('x', True, 9)",
    "a fetched pickle": "$[w.get_state_dict() for w in [torch.nn.ReLU]]",
    "the whole config": "$@['imports'][0].system('id')",
    "a reference as f-string": "$'@f {torch.os.system(1)}'",
    "nothing that parses": "$os.system('id'",
    "a line of many": "$1\nos.system('id')",
    "too long": "$" + "1+" * 6000 + "1",
    "too deep": "$" + "(" * 300 + "1" + ")" * 300,
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expressions_that_reach_for_more_are_refused(expression, tmp_path):
    config = {"imports": IMPORTS, "f": 1, "x": {"_target_": "monai.transforms.Resize", "spatial_size": 1}}
    (fault,) = faults_of(tmp_path, {**config, "evil": expression})
    assert (fault.file, fault.key, fault.kind) == ("configs/inference.json", "evil", "expression")


TARGETS = [
    "os.system", "subprocess.run", "builtins.eval", "eval", "exec", "posix.system", "functools.partial.func",
    "torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load", "torch.package.PackageImporter",
    "torch.utils.cpp_extension.load_inline", "torch.nn.functional.os.system", "numpy.load", "monai.bundle.run",
    "monai.bundle.scripts.load", "run", "ConfigParser", "monai.bundle.ConfigParser", "monai.utils.optional_import",
    "optional_import", "monai.utils.module.instantiate", "monai.utils.run_cmd", "monai.utils.misc.subprocess.run",
    "monai.apps.utils.download_url", "download_and_extract", "monai.data.load_net_with_metadata",
    "load_net_with_metadata", "monai.losses.PerceptualLoss", "monai.data.utils.pickle.loads", "monai.data.CSVSaver",
    "LogfileHandler", "MLFlowHandler", "monai.fl.client.MonaiAlgo", "monai.auto3dseg.utils.algo_from_pickle",
    "monai.apps.mmars.load_from_mmar", "monai.engines.utils.torch.load", "ignite.distributed.spawn",
    "ignite.handlers.clearml_logger.ClearMLLogger", "medseg_ext.cli.main.main", "medseg_ext.bundle.export_bundle",
    "medseg_ext.processes.subprocess.run", "scripts.evil", "evil", "torch.nn._reduction", "torch.nn.Module.__init__",
    "monai.transforms", "monai.transforms.utils.np.load", "", "os", "..os.system", "os .system", "\uff4fs.system",
    "@name", "%name", "$os.system", "$@x.name", "$'os.system'", "$eval", 5, None, ["os.system"], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_callables_that_are_not_listed_are_refused(target, tmp_path):
    config = {"imports": IMPORTS, "name": "text", "x": {"_target_": "StatsHandler", "name": "os.path"}}
    faults = faults_of(tmp_path, {**config, "evil": [{"a": {"_target_": target}}]})
    assert faults
    assert any(fault.key == "evil#0#a#_target_" for fault in faults) or faults[0].kind in ("file", "text")


PARTS = {
    "a mode": {"_target_": "Resize", "spatial_size": 1, "_mode_": "debug"},
    "a computed mode": {"_target_": "Resize", "spatial_size": 1, "_mode_": "$'de' + 'bug'"},
    "a breakpoint": {"_target_": "Resize", "spatial_size": 1, "_debug_": True},
    "a condition": {"_target_": "Resize", "spatial_size": 1, "_disabled_": "$os.system('id')"},
    "a requirement": {"_target_": "Resize", "spatial_size": 1, "_requires_": ["$os.system('id')"]},
    "a reader by name": {"_target_": "LoadImaged", "keys": "image", "reader": "os.system", "command": "id"},
    "a reader of MONAI's names": {"_target_": "LoadImaged", "keys": "image", "reader": "load_net_with_metadata"},
    "a reader by reference": {"_target_": "LoadImaged", "keys": "image", "reader": "@text"},
    "a reader in a list": {"_target_": "LoadImaged", "keys": "image", "reader": ["ITKReader", "os.system"]},
    "a computed reader": {"_target_": "LoadImaged", "keys": "image", "reader": "$'os' + '.system'"},
    "a reader of a callable": {"_target_": "LoadImage", "_mode_": "callable", "command": "id"},
    "a writer": {"_target_": "SaveImaged", "keys": "pred", "writer": "subprocess.run"},
    "a merger": {"_target_": "PatchInferer", "merger_cls": "subprocess.Popen"},
    "pickles": {"_target_": "NumpyReader", "allow_pickle": True},
    "pickles by reference": {"_target_": "NumpyReader", "allow_pickle": "@yes"},
    "pickles of a cache": {"_target_": "PersistentDataset", "data": [], "transform": None, "weights_only": False},
    "a name in an argument": {"_target_": "TorchVision", "name": "subprocess.run"},
    "a module in an argument": {"_target_": "Dataset", "data": ["$import os"]},
    "a class by an expression": {"_target_": "Dataset", "data": [], "transform": "$monai.transforms.LoadImage"},
    "another file": "%other.json::a",
    "another file, with #": "%/etc/other.yaml#a",
    "nothing there": "%nowhere",
    "without end": {"a": "%evil"},
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_arguments_and_macros_that_bring_code_are_refused(part, tmp_path):
    config = {"imports": IMPORTS, "text": "os.system", "yes": True, "evil": part}
    assert faults_of(tmp_path, config)


@pytest.mark.parametrize("macro", ["%other.json::a", "%nowhere"])
def test_a_macro_that_cannot_be_followed_hides_nothing(macro, tmp_path):
    faults = faults_of(tmp_path, {"a": macro, "evil": {"_target_": "os.system"}})
    assert "os.system" in {fault.what for fault in faults}


FILES = {
    "a key with a path": ("train.json", {"a": {"_target_": "Resize"}, "a#_target_": "os.system"}),
    "a key that is added": ("train.json", {"a": [], "+a": [{"_target_": "os.system"}]}),
    "a key that stands twice": ("train.json", '{"a": {"_target_": "Resize"}, "a": {"_target_": "os.system"}}'),
    "an odd key": ("train.json", {"": {" ": [[[{"_target_": "os.system"}]]]}}),
    "another config": ("other.yml", "a:\n  _target_: os.system\n"),
    "a merge of YAML": ("other.yaml", "b: &b {_target_: os.system}\na:\n  <<: *b\n"),
    "a tag of YAML": ("other.yaml", "a: !!python/object/apply:os.system ['id']\n"),
    "a circle of YAML": ("other.yaml", "a: &a [*a]\n"),
    "metadata": ("metadata.json", {"version": {"_target_": "os.system"}}),
    "an overlay": ("multi_gpu_inference.json", {"device": "$os.system('id')"}),
    "an import": ("train.json", {"imports": ["$import subprocess"]}),
    "an import of a function": ("train.json", {"imports": ["$from os import system"]}),
    "an import that hides": ("train.json", {"imports": ["$from os.path import join as len"]}),
    "an import of a main module": ("train.json", {"imports": ["$import monai.bundle.__main__"]}),
    "an import of what MONAI imports": ("train.json", {"imports": ["$from monai.data.utils import os as o"]}),
    "a broken file": ("train.json", "{"),
    "a handler of the log": ("logging.conf", "[handler_a]\nclass=handlers.SocketHandler\nargs=('x', 1)\n"),
    "a file of the log": ("logging.conf", "[handler_a]\nclass=FileHandler\nargs=('x.py',)\n"),
    "an argument of the log": ("logging.conf", "[handler_a]\nclass=StreamHandler\nargs=(eval('1'),)\n"),
    "an interpolation": ("logging.conf", "[handler_a]\nx=eval('1')\nclass=StreamHandler\nargs=(%(x)s,)\n"),
    "a class of the log": ("logging.conf", "[formatter_a]\nclass=os.system\n"),
}


@pytest.mark.parametrize(("file", "content"), FILES.values(), ids=FILES)
def test_whatever_file_of_the_configs_it_is_in(file, content, tmp_path):
    bundle_of(tmp_path, {"device": "cpu"})
    assert faults_of(tmp_path, content, file)


def test_an_import_under_two_names_counts_for_both(tmp_path):
    config = {"imports": ["$import os.path as x", "$import os as x"], "a": "$x.listdir('.')", "b": "$x.join('a', 'b')"}
    assert {fault.key for fault in faults_of(tmp_path, config)} == {"a", "b"}


def test_what_a_macro_brings_later_is_looked_at_as_well(tmp_path):
    imports = ["$import os", "%relative"]
    assert faults_of(tmp_path, {"imports": imports, "relative": "$@##imports#0.system('id')"})
    assert faults_of(tmp_path / "2", {"imports": imports, "x": "%relative", "relative": "$@#0.system('id')"})


@pytest.mark.parametrize("file", ["evil.py", "torch_tensorrt/__init__.py", "lib/x.so", "models/x.pyc", "evil.pth"])
def test_python_beside_the_configs_is_refused(file, tmp_path):
    path = bundle_of(tmp_path, {}) / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    (code,) = inspect_bundle(tmp_path)
    assert (code.file, code.kind) == (file, "Python")
    assert code.fault


def test_python_behind_links_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text("")
    bundle = bundle_of(tmp_path / "bundle", {})
    (bundle / "cv2").symlink_to(tmp_path / "elsewhere")
    (bundle / "round").symlink_to(bundle)
    assert [code.file for code in inspect_bundle(bundle)] == ["cv2/__init__.py"]


USUAL = {
    "imports": ["$import glob", "$import os", "$import numpy as np", "$import torch.distributed as dist",
                "$from monai.data.utils import list_data_collate", "$import ignite"],
    "bundle_root": ".",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "images": "$list(sorted(glob.glob(os.path.join(@bundle_root, 'images', '*.nii.gz'))))",
    "items": "$[{'image': i, 'label': l} for i, l in zip(@images, @images)]",
    "part": "$@items[: int(0.8 * len(@items))]",
    "network": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2, "in_channels": 3, "out_channels": "$1 + 1",
                "channels": [8, 16], "strides": [2], "act": ["PRELU", {"init": 0.2}], "norm": "BATCH"},
    "model": "$@network.to(@device).eval()",
    "loss": {"_target_": "DiceCELoss", "to_onehot_y": True, "softmax": True},
    "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 1e-3},
    "schedule": {"_target_": "torch.optim.lr_scheduler.StepLR", "optimizer": "@optimizer", "step_size": 3},
    "load": {"_target_": "Compose", "transforms": [
        {"_target_": "LoadImaged", "keys": ["image", "label"], "reader": "PILReader"},
        {"_target_": "LoadImaged", "keys": "image", "reader": ["itkreader", "monai.data.NibabelReader"]},
        {"_target_": "LoadImaged", "keys": "image", "reader": {"_target_": "monai.data.ITKReader"}},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "ScaleIntensityd", "keys": "image"},
        {"_target_": "Lambdad", "keys": "label", "func": "$lambda x: x > 0"},
        {"_target_": "RandFlipd", "keys": "image", "prob": 0.5, "spatial_axis": 0},
        {"_target_": "CastToTyped", "keys": "image", "dtype": "$np.float32"},
    ]},
    "data": {"_target_": "CacheDataset", "data": "@items", "transform": "@load", "cache_rate": 1.0},
    "saved": {"_target_": "PersistentDataset", "data": "@items", "transform": "@load", "cache_dir": "cache"},
    "loader": {"_target_": "DataLoader", "dataset": "@data", "batch_size": 2, "collate_fn": "$list_data_collate"},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96], "overlap": 0.5},
    "post": {"_target_": "Compose", "transforms": [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "AsDiscreted", "keys": ["pred", "label"], "argmax": [True, False], "to_onehot": 2},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "out", "writer": "ITKWriter"},
    ]},
    "metric": {"_target_": "MeanDice", "include_background": False,
               "output_transform": "$monai.handlers.from_engine(['pred', 'label'])"},
    "accuracy": {"_target_": "ignite.metrics.Accuracy",
                 "output_transform": "$monai.handlers.from_engine(['pred', 'label'])"},
    "early": {"_target_": "EarlyStopHandler", "patience": 3,
              "score_function": "$lambda engine: -engine.state.metrics['loss']"},
    "handlers": [
        {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
         "load_dict": {"model": "@network"}, "_disabled_": "$not os.path.exists(@bundle_root + '/models/model.pt')"},
        {"_target_": "StatsHandler", "iteration_log": False},
        {"_target_": "ValidationHandler", "validator": "@evaluator", "interval": 1},
        {"_target_": "CheckpointSaver", "save_dir": "out", "save_dict": {"model": "@network"}, "epoch_level": True},
    ],
    "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@loader",
                  "network": "@model", "inferer": "@inferer", "postprocessing": "@post", "val_handlers": "@handlers",
                  "key_val_metric": {"dice": "@metric"}, "amp": "$torch.cuda.is_available()"},
    "key": "$monai.utils.enums.CommonKeys.IMAGE",
    "shard": "$monai.data.partition_dataset(@items, num_partitions=dist.get_world_size())[dist.get_rank()]",
    "initialize": ["$monai.utils.set_determinism(seed=123)", "$dist.init_process_group(backend='nccl')",
                   "$torch.cuda.set_device(@device)", "$setattr(torch.backends.cudnn, 'benchmark', True)"],
    "run": ["$@evaluator.run()", '$print(f"done: {len(@items)}")'],
    "inference": "%run",
}  # fmt: skip


def test_a_usual_bundle_of_the_model_zoo_passes(tmp_path):
    bundle_of(tmp_path, {"name": "U-Net", "version": "0.1.0", "changelog": {"0.1.0": "first"}}, "metadata.json")
    assert faults_of(tmp_path, USUAL) == []


def test_an_edited_copy_of_ours_passes(tmp_path):
    bundle = shutil.copytree(BUNDLES[0], tmp_path / "copy", copy_function=shutil.copy)
    file = bundle / "configs" / "inference.json"
    content = json.loads(file.read_text())
    content["preprocessing"]["transforms"].append(
        {"_target_": "GaussianSmoothd", "keys": "image", "sigma": "$0.5 if @tta else 0.1"}
    )
    assert faults_of(bundle, content) == []


def test_the_table_shows_what_a_terminal_would_obey_and_says_no(tmp_path, capsys):
    bundle_of(tmp_path, {"a\x1b[2J": {"_target_": "os.system", "command": "\x1b]0;x\x07"}})
    assert main(["inspect", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "os.system   <- is not among what medseg lets a bundle call" in shown
    assert "unless you give --trust" in shown
