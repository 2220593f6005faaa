"""Count the rooms of `medseg_ext`: files, lines, the largest file and the longest function of each, as Markdown."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "medseg_ext"


class Longest(NamedTuple):
    """Lines, and what has them."""

    lines: int
    name: str


def longest_function(file: Path) -> Longest:
    """Find the longest function of a file, its decorators and docstring counted."""
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
    sizes = ((node.end_lineno - node.lineno + 1, node.name) for node in functions if node.end_lineno)
    return max((Longest(lines, f"{file.name}: {name}") for lines, name in sizes), default=Longest(0, ""))


def main() -> None:
    """Print the table."""
    print("| room | files | lines | largest file | longest function |\n|---|---|---|---|---|")
    everything = []
    for room in sorted(path for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()):
        everything.append((f"`{room.name}/`", sorted(room.glob("*.py"))))
    everything.append(("modules beside them", sorted(PACKAGE.glob("*.py"))))
    everything.append(("all", [file for _, files in everything for file in files]))
    for name, files in everything:
        sizes = [Longest(len(file.read_text().splitlines()), file.name) for file in files]
        largest, function = max(sizes), max(map(longest_function, files))
        print(
            f"| {name} | {len(files)} | {sum(size.lines for size in sizes)} | {largest.name} ({largest.lines}) "
            f"| {function.name} ({function.lines}) |"
        )


if __name__ == "__main__":
    main()
