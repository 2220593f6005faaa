"""Say which callables a bundle from elsewhere may name.

A name is looked up only where it begins with a library of `MODULES`: nothing that a bundle brings is imported.
"""

from __future__ import annotations

import enum
import inspect
import pydoc
import re
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from monai.bundle import ComponentLocator
from monai.data import ImageReader, ImageWriter
from monai.inferers.merger import Merger


def _words(text: str) -> list[str]:
    return text.split()


# What networks, data, training and evaluation are built of.
MODULES = (
    "monai.transforms", "monai.losses", "monai.metrics", "monai.inferers", "monai.engines", "monai.handlers",
    "monai.networks.nets", "monai.networks.blocks", "monai.networks.layers", "monai.networks.schedulers", "monai.data",
    "monai.optimizers", "monai.visualize", "monai.utils.enums", "monai.apps.detection", "monai.apps.pathology",
    "monai.apps.reconstruction", "monai.apps.deepedit", "monai.apps.deepgrow.transforms",
    "monai.apps.deepgrow.interaction", "monai.apps.nuclick", "monai.apps.vista3d", "monai.apps.generation",
    "torch.nn", "torch.optim", "torch.utils.data", "torchvision.transforms", "torchvision.ops", "torchvision.models",
    "ignite.handlers", "ignite.metrics", "ignite.engine",
)  # fmt: skip
# Of those, by module or name: what fetches code, loads it, talks to a server, or writes text to a file of any name.
NOT_OF_MODULES = (
    "monai.losses.perceptual", "monai.networks.nets.transchex", "monai.data.torchscript_utils", "monai.data.csv_saver",
    "monai.data.nvimgcodec_pydicom_plugin", "monai.data.image_writer.register_writer", "monai.handlers.trt_handler",
    "monai.handlers.classification_saver", "monai.handlers.logfile_handler", "monai.handlers.mlflow_handler",
    "monai.handlers.clearml_handlers", "monai.transforms.utils_create_transform_ims", "torch.utils.data.datapipes",
    "ignite.handlers.mlflow_logger", "ignite.handlers.clearml_logger", "ignite.handlers.wandb_logger",
    "ignite.handlers.neptune_logger", "ignite.handlers.polyaxon_logger", "ignite.handlers.visdom_logger",
    "torch.nn.attention",
)  # fmt: skip
ROOMS = ("datasets", "handlers", "inferers", "losses", "networks", "objects", "runs", "tiling", "transforms")
OF_ROOMS = {  # what the configs here name beyond what those rooms offer to all
    "medseg_ext.bundle.config_files", "medseg_ext.bundle.end_with_failed_images",
    "medseg_ext.bundle.end_with_the_cause", "medseg_ext.bundle.find_bundle_root", "medseg_ext.bundle.given_overrides",
    "medseg_ext.bundle.refuse_unknown_overrides", "medseg_ext.bundle.settle", "medseg_ext.bundle.write_provenance",
    "medseg_ext.folder_lock.FolderLock", "medseg_ext.images.n_channels_read", "medseg_ext.networks.mask_rcnn.MaskRCNN",
    "medseg_ext.processes.join_processes", "medseg_ext.processes.local_rank",
}  # fmt: skip
TORCH = _words(
    "device dtype tensor as_tensor from_numpy zeros ones full empty zeros_like ones_like full_like arange linspace eye "
    "rand randn randint randperm stack cat concat split chunk argmax argmin argsort sort topk softmax log_softmax "
    "sigmoid tanh relu log exp sqrt abs pow clamp clip where sum mean std var max min maximum minimum round floor ceil "
    "any all isnan isfinite isin nan_to_num squeeze unsqueeze flatten reshape permute transpose flip roll norm dot "
    "matmul einsum manual_seed Generator Size Tensor no_grad inference_mode autocast set_float32_matmul_precision "
    "get_num_threads set_num_threads use_deterministic_algorithms compile channels_last channels_last_3d "
    "cuda.is_available cuda.device_count cuda.current_device cuda.set_device cuda.get_device_name cuda.manual_seed "
    "cuda.manual_seed_all cuda.empty_cache cuda.amp.GradScaler cuda.amp.autocast amp.GradScaler amp.autocast "
    "backends.mps.is_available backends.cudnn.is_available distributed.is_available distributed.is_initialized "
    "distributed.get_rank distributed.get_world_size distributed.barrier distributed.destroy_process_group "
    "utils.tensorboard.SummaryWriter"
)
NUMPY = _words(
    "array asarray zeros ones full empty zeros_like ones_like arange linspace eye stack concatenate vstack hstack mean "
    "std var sum prod min max amin amax argmin argmax median percentile quantile unique where clip abs exp log log2 "
    "log10 sqrt square power round rint floor ceil any all isnan isfinite nan_to_num transpose moveaxis expand_dims "
    "squeeze reshape ravel flip sort argsort cumsum diff dot histogram bincount count_nonzero nonzero pi inf nan e "
    "newaxis float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ random.seed"
)
PATHS = _words(
    "join basename dirname exists isfile isdir abspath realpath split splitext normpath relpath expanduser commonpath"
)
MATHS = _words("ceil floor sqrt log log2 log10 exp pow prod pi e inf nan isnan gcd hypot")
OTHERS = {
    "monai.utils.set_determinism", "monai.utils.misc.set_determinism", "monai.utils.ensure_tuple",
    "monai.utils.ensure_tuple_rep", "monai.utils.first", "monai.utils.convert_to_tensor",
    "monai.utils.convert_to_numpy",
    "monai.networks.utils.one_hot", "monai.networks.one_hot", "monai.networks.eval_mode", "monai.networks.train_mode",
    "monai.config.KeysCollection", "glob.glob", "glob.iglob", "os.sep", "os.cpu_count", "os.getcwd", "os.getenv",
    "os.listdir", "random.seed", "functools.partial",
    *(f"os.path.{name}" for name in PATHS), *(f"math.{name}" for name in MATHS),
    *(f"torch.{name}" for name in TORCH), *(f"numpy.{name}" for name in NUMPY),
}  # fmt: skip
# Whose import does nothing else; what is used of them is looked at where it is used.
IMPORTABLE = {
    "os", "os.path", "sys", "glob", "math", "json", "re", "random", "functools", "itertools", "collections", "pathlib",
    "datetime", "time", "copy", "logging", "typing", "numpy", "torch", "torch.distributed", "torch.cuda", "torch.amp",
    "torch.cuda.amp", "torch.backends", "torch.backends.cudnn", "torch.utils.tensorboard", "torch_tensorrt", "monai",
    "torchvision", "ignite", "medseg_ext", "monai.utils", "monai.networks", "monai.networks.utils", "monai.apps",
    "monai.config", "torch.utils",
}  # fmt: skip
# Arguments in whose texts MONAI looks for classes, wherever they are, and what these are to be.
CLASS_ARGUMENTS = {"reader": ImageReader, "writer": ImageWriter, "merger_cls": Merger}
# Arguments that let files run code; a false or true value is what leaves them harmless.
HARMLESS_VALUES = {"allow_pickle": False, "weights_only": True, "trust_remote_code": False}
UNWANTED_ARGUMENTS = {"_debug_", "pickle_module", "trust_repo"}
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)
NOT_LISTED = "is not among what medseg lets a bundle call"

_locator = ComponentLocator()


@cache
def fault_of_target(name: str) -> str | None:
    """Say why a `_target_` may not be called; None where it may.

    Args:
        name: dotted, or of a component of MONAI, which is looked up as MONAI does.

    >>> fault_of_target("Compose")
    >>> fault_of_target("os.system")
    'is not among what medseg lets a bundle call'
    """
    return next((fault for each in full_names(name) if (fault := fault_of_name(each))), None)


def full_names(target: str) -> list[str]:
    """List what a `_target_` may stand for: a component of MONAI is named without its module, which may be several."""
    modules = None if "." in target else _locator.get_component_module_name(target)
    return [f"{module}.{target}" for module in ([modules] if isinstance(modules, str) else modules or [])] or [target]


@cache
def fault_of_name(name: str) -> str | None:
    """Say why a dotted name may not be used; None where it may."""
    if not NAME.fullmatch(name):
        return "is no plain dotted name"
    if "." not in name:
        return NOT_LISTED
    if name in OTHERS or name in OF_ROOMS:
        return None
    if name.startswith("medseg_ext."):
        return None if _is_offered_by_a_room(name) else NOT_LISTED
    if not is_within(name, MODULES):
        is_kind = isinstance(getattr(torch, name.removeprefix("torch."), None), torch.dtype)
        return None if name.startswith("torch.") and is_kind else NOT_LISTED
    found = locate(name)
    return "is not there" if found is None else _fault_of_object(found)


@cache
def has_risky_arguments(name: str) -> bool:
    """Say whether a callable takes arguments that are looked at only where it is a `_target_` with its own words."""
    found = locate(name) if is_within(name, MODULES) else None
    if not callable(found):
        return False
    try:
        parameters = inspect.signature(found).parameters.keys()
    except (TypeError, ValueError):  # of some that are written in C
        return False
    return bool(parameters & (CLASS_ARGUMENTS.keys() | HARMLESS_VALUES.keys() | UNWANTED_ARGUMENTS))


def fault_of_class_name(argument: str, name: str) -> str | None:
    """Say why a text may not be given as one of `CLASS_ARGUMENTS`; None where it may.

    >>> fault_of_class_name("reader", "ITKReader")
    >>> fault_of_class_name("reader", "load_net_with_metadata")
    'is no ImageReader of MONAI or medseg_ext'
    """
    wanted = CLASS_ARGUMENTS[argument]
    places = [f"monai.data.{name}", f"monai.inferers.{name}"] if "." not in name else [name]
    if argument == "reader" and "." not in name and NAME.fullmatch(name):
        if name.lower() in ("cucim", "openslide", "tifffile"):  # kinds of a `WSIReader`
            return None
        known = (kind for kind in dir(locate("monai.data")) if kind.lower() == name.lower())
        places += [f"monai.data.{kind}" for kind in known]
    for place in places:
        if fault_of_name(place) is None and isinstance(found := locate(place), type) and issubclass(found, wanted):
            return None
    return f"is no {wanted.__name__} of MONAI or medseg_ext"


def fault_of_import(module: str) -> str | None:
    """Say why a module may not be imported; None where it may."""
    if not NAME.fullmatch(module):
        return "is no plain dotted name"
    listed = module in IMPORTABLE or module in {f"medseg_ext.{room}" for room in ROOMS}
    if not listed and is_within(module, MODULES) and not is_within(module, NOT_OF_MODULES):
        found = locate(module)
        listed = isinstance(found, ModuleType) and found.__name__ == module
    return None if listed else "is not among what a bundle may import"


def is_within(name: str, modules: tuple[str, ...]) -> bool:
    """Say whether a dotted name is one of some modules, or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@cache
def locate(name: str) -> Any:
    """Look an object of a listed library up, as MONAI does; None where there is none."""
    try:
        return pydoc.locate(name)
    except pydoc.ErrorDuringImport:  # an optional dependency is missing
        return None


def _fault_of_object(found: Any) -> str | None:
    """Say why what a name stands for may not be used: a module may import what it likes from elsewhere."""
    if isinstance(found, ModuleType):
        return "is a module"
    if isinstance(found, BuiltinFunctionType):
        return None if (found.__module__ or "torch").startswith("torch") else NOT_LISTED
    weights = isinstance(found, enum.Enum) or (isinstance(found, type) and issubclass(found, enum.Enum))
    if weights and (type(found) if isinstance(found, enum.Enum) else found).__module__.startswith("torchvision.models"):
        return NOT_LISTED  # they fetch files
    if isinstance(found, type | FunctionType) or hasattr(found, "__wrapped__"):
        home = f"{found.__module__}.{getattr(found, '__qualname__', '')}"
        hidden = any(part.startswith("_") for part in str(found.__module__).split("."))
        fine = is_within(home, MODULES) and not is_within(home, NOT_OF_MODULES) and not hidden
        return None if fine else NOT_LISTED
    is_constant = isinstance(found, enum.Enum | bool | int | float | str)
    return None if is_constant else "is neither class, function nor constant"


def _is_offered_by_a_room(name: str) -> bool:
    room, _, offered = name.removeprefix("medseg_ext.").partition(".")
    if room not in ROOMS or offered.startswith("prepare_"):
        return False
    return offered in getattr(locate(f"medseg_ext.{room}"), "__all__", ())
