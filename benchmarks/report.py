"""Turn measurements into entries of a JSON file, and these into Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.measured import Measured, times_faster, times_less_memory
from benchmarks.rows import OURS, Row


def entry_of(row: Row, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Describe a row and what was measured of it, as JSON."""
    present = {name: each for name, each in measured.items() if not each.absent}
    judged = [aim.judge(row, present) for aim in row.aims]
    return {
        "name": row.name,
        "what": row.what,
        "device": row.device,
        "unit": row.unit,
        "left_out": row.left_out,
        "contenders": {
            name: _described(each, present[OURS], row) if name in present else {"absent": each.absent}
            for name, each in measured.items()
        },
        "aims": [verdict._asdict() for verdict in judged if verdict is not None],
    }


def _described(measured: Measured, ours: Measured, row: Row) -> dict[str, Any]:
    return {
        "seconds": measured.seconds(row.device)._asdict(),
        "wall_seconds": measured.seconds("wall").median,
        "seconds_a_unit": measured.seconds_a_unit(row.device),
        "amount": measured.amount,
        "memory_mb": measured.memory_mb(),
        "rounds": len(measured.rounds),
        "times_ours": None if measured is ours else times_faster(ours, measured, row.device)._asdict(),
        "memory_times_ours": None if measured is ours else times_less_memory(ours, measured),
        "result": next(iter(measured.rounds.values())).result,
    }


def markdown(results: Mapping[str, Any]) -> str:
    """Write the results as tables: the aims of each row, and what each contender took."""
    lines = [
        "| row | aim | found | reached |",
        "|---|---|---|---|",
        *(
            f"| {_title(row)} | {aim['aim']} | {aim['found']} | {'yes' if aim['holds'] else '**no**'} |"
            for row in results["rows"]
            for aim in row["aims"]
        ),
        "",
        "| row | who | time | time / ours (quartiles) | memory, MB |",
        "|---|---|---|---|---|",
        *(
            f"| {_title(row)} | {name} | {_cells(contender, row)} |"
            for row in results["rows"]
            for name, contender in row["contenders"].items()
        ),
        "",
        *(f"- `{_title(row)}`: {row['what']}. {row['left_out']}".rstrip() for row in results["rows"]),
    ]
    return "\n".join(lines)


def _title(row: Mapping[str, Any]) -> str:
    return row["name"] if row["device"] == "cpu" else f"{row['name']}, GPU"


def _cells(contender: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if "absent" in contender:
        return f"absent: {contender['absent']} | | "
    ratio = contender["times_ours"]
    unit = f"/{row['unit']}" if contender["amount"] else ""
    cells = (
        f"{_seconds(contender['seconds_a_unit'])}{unit}",
        f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})" if ratio else "",
        f"{contender['memory_mb']:.0f}",
    )
    return " | ".join(cells)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
