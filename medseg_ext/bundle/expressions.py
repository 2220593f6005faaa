"""Say whether an expression of a config is one that a bundle from elsewhere may have; it is read and never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from medseg_ext.bundle.allowlist import (
    HARMLESS_VALUES,
    UNWANTED_ARGUMENTS,
    fault_of_import,
    fault_of_name,
    has_risky_arguments,
)

IMPORTS = "imports"  # the key of a config that holds import statements
REFERENCES = "__local_refs"  # what MONAI makes of an @reference: an item of a dict of this name
Names = Mapping[str, frozenset[str]]
"""What the names of an expression may stand for, dotted; more than one where imports disagree."""

MONAI_NAMES: Names = {
    "monai": frozenset({"monai"}), "torch": frozenset({"torch"}), "np": frozenset({"numpy"}),
    "numpy": frozenset({"numpy"}),
}  # fmt: skip
BUILTINS = {
    "abs", "all", "any", "bool", "bytes", "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset",
    "hash", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "pow", "print",
    "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
}  # fmt: skip
# Attributes of objects through which one comes to frames and their names, or which write files or read code.
UNWANTED_ATTRIBUTES = {
    "format", "format_map", "mro", "tofile", "dump", "dumps", "load", "loads", "save", "to_pickle", "query", "system",
    "popen", "exec", "execfile", "register_class", "func_globals", "func_code", "from_file", "storage",
    "typed_storage", "untyped_storage", "set_", "ctypes", "get_state_dict",
}  # fmt: skip
UNWANTED_BEGINNINGS = ("_", "gi_", "cr_", "ag_", "f_", "tb_", "co_")
SWITCHES = ("benchmark", "deterministic", "enabled", "allow_tf32")  # of cuDNN, which many bundles set
MOST_CHARACTERS = 10_000
NODES = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict,
    ast.Subscript, ast.Slice, ast.Starred, ast.Name, ast.Attribute, ast.Call, ast.keyword, ast.ListComp, ast.SetComp,
    ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Lambda, ast.arguments, ast.arg, ast.JoinedStr,
    ast.FormattedValue, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context,
)  # fmt: skip


def fault_of_expression(text: str, names: Names) -> str | None:
    """Say why an expression may not be evaluated; None where it may.

    Args:
        text: without the `$`, and with references as MONAI writes them before it evaluates.
        names: those that are imported.

    >>> fault_of_expression("torch.device('cuda' if torch.cuda.is_available() else 'cpu')", MONAI_NAMES)
    >>> fault_of_expression("().__class__.__base__.__subclasses__()", MONAI_NAMES)
    'uses the attribute __subclasses__'
    """
    tree = _parse(text)
    if isinstance(tree, str):
        return tree
    return _Reader(tree, names).fault(tree)


def fault_of_reference(key: str) -> str | None:
    """Say why a reference may not stand: it would hand on modules, whose functions are then a word away.

    Args:
        key: of a config, with `::` between levels.
    """
    return "refers to imported modules" if key == "" or key.split("::")[0] in ("", IMPORTS) else None


def is_plain_name(text: str, names: Names) -> bool:
    """Say whether an expression is nothing but the name of something that is imported."""
    tree = _parse(text)
    chain = [] if isinstance(tree, str) else _chain(tree)
    return bool(chain) and chain[0] in names


def read_import(text: str) -> list[tuple[str, str, str | None]] | None:
    """Read an import statement.

    Returns:
        For each name that it imports: the name that expressions then have, what it stands for, dotted, and why it may
        not be imported; None where the text is no import statement to MONAI.

    >>> read_import("import torch.distributed as dist")
    [('dist', 'torch.distributed', None)]
    """
    try:
        first = next(iter(ast.parse(text).body), None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(first, ast.Import):
        imports = [(alias.asname or alias.name, alias.name, fault_of_import(alias.name)) for alias in first.names]
    elif isinstance(first, ast.ImportFrom):
        places = [(alias, f"{'.' * first.level}{first.module}.{alias.name}") for alias in first.names]
        imports = [
            (alias.asname or alias.name, place, fault_of_name(place) and fault_of_import(place))
            for alias, place in places
        ]
    else:
        return None
    hides = BUILTINS | {REFERENCES, "setattr"}
    return [
        (name, place, fault or (f"hides {name}" if name in hides or name.startswith("_") else None))
        for name, place, fault in imports
    ]


def _parse(text: str) -> ast.expr | str:
    """Parse an expression; returns why it cannot be."""
    if len(text) > MOST_CHARACTERS:
        return f"is longer than {MOST_CHARACTERS} characters"
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "is no expression that can be read"


def _chain(node: ast.expr) -> list[str]:
    """Give the names of `a.b.c`; none where it is something else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


class _Reader:
    """Reads an expression, node by node."""

    def __init__(self, tree: ast.expr, names: Names) -> None:
        self.names = names
        nodes = list(ast.walk(tree))
        self.local = {node.arg for node in nodes if isinstance(node, ast.arg)}
        self.local |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}

    def fault(self, node: ast.AST) -> str | None:
        """Say why a part may not be evaluated; None where it may."""
        if not isinstance(node, NODES):
            return f"has {type(node).__name__}, which medseg does not read"
        if self.local & (self.names.keys() | BUILTINS | {REFERENCES, "setattr"}):
            return f"gives {min(self.local)} another meaning"
        special = getattr(self, f"_fault_of_{type(node).__name__.lower()}", None)
        return special(node) if special else self._fault_of_parts(node)

    def _fault_of_parts(self, node: ast.AST) -> str | None:
        return next((fault for part in ast.iter_child_nodes(node) if (fault := self.fault(part))), None)

    def _fault_of_name(self, node: ast.Name) -> str | None:
        if node.id in self.local or node.id in BUILTINS:
            return None
        return self._fault_of_chain([node.id])

    def _fault_of_attribute(self, node: ast.Attribute) -> str | None:
        chain = _chain(node)
        if chain and chain[0] not in self.local and chain[0] not in BUILTINS:
            return self._fault_of_chain(chain)
        if node.attr in UNWANTED_ATTRIBUTES or node.attr.startswith(UNWANTED_BEGINNINGS):
            return f"uses the attribute {node.attr}"
        return self.fault(node.value)

    def _fault_of_chain(self, chain: list[str]) -> str | None:
        for place in self._places(chain):
            fault = fault_of_name(place)
            if fault is None and has_risky_arguments(place):
                fault = "is looked at as a _target_ alone"
            if fault:
                return f"{'.'.join(chain)} {fault}"
        return None if chain[0] in self.names else f"{chain[0]} is no name that medseg lets a bundle use"

    def _places(self, chain: list[str]) -> list[str]:
        roots = self.names.get(chain[0], ()) if chain else ()
        return [".".join([root, *chain[1:]]) for root in sorted(roots)]

    def _fault_of_subscript(self, node: ast.Subscript) -> str | None:
        if isinstance(node.value, ast.Name) and node.value.id == REFERENCES:
            key = node.slice.value if isinstance(node.slice, ast.Constant) else None
            return fault_of_reference(key) if isinstance(key, str) else "reads all that the config has made"
        if self._places(_chain(node.value)) == ["os.environ"]:
            return self.fault(node.slice)
        return self._fault_of_parts(node)

    def _fault_of_call(self, node: ast.Call) -> str | None:
        if not isinstance(node.func, ast.Name | ast.Attribute | ast.Subscript):
            return f"calls what {type(node.func).__name__} gives"
        for keyword in node.keywords:
            if fault := _fault_of_keyword(keyword):
                return fault
        chain = _chain(node.func)
        places = self._places(chain)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if chain == ["setattr"] and not self._is_switch(node):
            return "sets an attribute"
        known = chain == ["setattr"] or places == ["os.environ.get"]
        if places == ["torch.distributed.init_process_group"]:
            if not all(isinstance(each, ast.Constant) and each.value in ("nccl", "gloo") for each in arguments):
                return "joins processes otherwise than by the environment"
            known = True
        if chain == ["setattr"]:
            return None
        parts: list[ast.AST] = [*([] if known else [node.func]), *arguments]
        return next((fault for part in parts if (fault := self.fault(part))), None)

    def _is_switch(self, node: ast.Call) -> bool:
        """Say whether a call is `setattr(torch.backends.cudnn, 'benchmark', True)` or the like."""
        constants = [each.value for each in node.args[1:] if isinstance(each, ast.Constant)]
        place = self._places(_chain(node.args[0])) if len(node.args) == 3 else []
        return (
            place == ["torch.backends.cudnn"]
            and len(constants) == 2
            and constants[0] in SWITCHES
            and isinstance(constants[1], bool)
        )


def _fault_of_keyword(keyword: ast.keyword) -> str | None:
    if keyword.arg is None:
        return "gives arguments whose names it does not say"
    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else ...
    harmful = keyword.arg in (*UNWANTED_ARGUMENTS, "file") or value is not HARMLESS_VALUES.get(keyword.arg, value)
    return f"gives the argument {keyword.arg}" if harmful else None
