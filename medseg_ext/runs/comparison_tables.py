"""Write a comparison of runs as CSV or Markdown."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from medseg_ext.metrics.bootstrap import LEAST_GROUPS, Interval
from medseg_ext.runs.run_comparison import HEADLINE, DataSetComparison, Score
from medseg_ext.tables import to_csv

COLUMNS = (
    "data_set",
    "run",
    "metric",
    "value",
    "low",
    "high",
    "difference_to_best",
    "difference_low",
    "difference_high",
    "best_run",
    "images",
)
TOO_FEW = "too few images"
OBJECTS = "Objects, found where a predicted one overlaps with a true one with an IoU of at least 0.5:"
NOTES = (
    "Intervals: 95 % bootstrap over the groups of images of the evaluation (those of one mosaic, slide or patient are "
    "drawn together, and an image without a group by itself); they say nothing of another training of the model. Below "
    f"{LEAST_GROUPS} groups there are {TOO_FEW} for one.",
    "Differences: value minus that of the best run of the metric, from a bootstrap paired over the same groups. A mean "
    "over images is compared only over those where it is defined for both runs: then the difference is not that of the "
    "two values shown, and may be above 0. * marks those whose interval lies below 0. The best run is chosen on the "
    "same images, and the many comparisons are not corrected for.",
)


def score_text(interval: Interval, *, with_bounds: bool = True) -> str:
    """Write a score, with its interval or without.

    >>> score_text(Interval(0.857, 0.829, 0.881))
    '0.857 (0.829 to 0.881)'
    >>> score_text(Interval(0.5, math.nan, math.nan)), score_text(Interval(math.nan, math.nan, math.nan))
    ('0.500 (too few images)', '-')
    """
    if math.isnan(interval.value):
        return "-"
    return f"{interval.value:.3f}{bounds_text(interval) if with_bounds else ''}"


def difference_text(score: Score, *, with_bounds: bool = True) -> str:
    """Write the difference to the best run, marked where its interval lies below 0; empty for the best run itself.

    >>> difference_text(Score(Interval(0.8, 0.7, 0.9), 9, "other", Interval(-0.02, -0.031, -0.01)))
    '-0.020 (-0.031 to -0.010)*'
    """
    if score.difference is None or math.isnan(score.difference.value):
        return ""
    bounds = bounds_text(score.difference, signed=True) if with_bounds else ""
    return f"{_signed(score.difference.value)}{bounds}{'*' if score.is_surely_lower else ''}"


def bounds_text(interval: Interval, *, signed: bool = False) -> str:
    """Write the bounds of an interval in brackets, after a blank, or that there are too few images for it."""
    if math.isnan(interval.low):
        return f" ({TOO_FEW})"
    low, high = (_signed(bound) if signed else f"{bound:.3f}" for bound in interval[1:])
    return f" ({low} to {high})"


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return text if float(text) else "0.000"


def best_shown(scores: Mapping[str, Score]) -> str:
    """Name the best of several runs by one metric; empty where another one's score reads the same."""
    shown = {name: score_text(score.interval, with_bounds=False) for name, score in scores.items()}
    best = next(iter(scores.values())).best_run
    return best if len(scores) > 1 and best and list(shown.values()).count(shown[best]) == 1 else ""


def without_intervals(comparisons: Sequence[DataSetComparison]) -> list[str]:
    """Say in lines which data sets have too few images for intervals; their scores are written without."""
    return [
        f"{comparison.data_set}: {TOO_FEW} for intervals ({comparison.n_groups} "
        f"group{'' if comparison.n_groups == 1 else 's'}, below {LEAST_GROUPS}), and figures of others may differ much."
        for comparison in comparisons
        if not comparison.has_intervals
    ]


def comparison_csv(comparisons: Sequence[DataSetComparison]) -> bytes:
    """Format a comparison as CSV, one row for each data set, run and metric; undefined is an empty cell."""
    return to_csv(COLUMNS, _rows(comparisons))


def comparison_markdown(
    comparisons: Sequence[DataSetComparison],
    *,
    curves: Mapping[str, str],
    without_curve: Mapping[str, Sequence[str]],
    pictures: Mapping[str, Mapping[str, str]],
    rule: str,
) -> str:
    """Format a comparison as Markdown.

    Args:
        comparisons: one a data set.
        curves: file of the curves of a data set, relative to the page.
        without_curve: of each data set, lines on what is not drawn.
        pictures: of each data set, the files of example images, relative to the page, and their captions.
        rule: how the images were chosen.
    """
    lines = ["# Comparison of runs", "", f"`{HEADLINE}`, in brackets the 95 % interval:", ""]
    header = ["model"]
    for comparison in comparisons:
        header.append(f"{markdown_text(comparison.data_set)} ({len(comparison.ids)} images)")
    lines += _summary_table(header, headline_rows(comparisons))
    for line in without_intervals(comparisons):
        lines += ["", markdown_text(line)]
    lines += ["", OBJECTS, "", *_summary_table(header, object_rows(comparisons))]
    for comparison in comparisons:
        lines += ["", f"## {markdown_text(comparison.data_set)}", ""]
        if comparison.data_set in curves:
            lines += [f"![IoU during training]({quote(curves[comparison.data_set])})", ""]
        for line in without_curve[comparison.data_set]:
            lines += [markdown_text(line), ""]
        lines += markdown_table(["metric", *map(markdown_text, comparison.runs)], _metric_rows(comparison))
        lines += ["", rule]
        for file, caption in pictures[comparison.data_set].items():
            lines += ["", markdown_text(caption), "", f"![{markdown_text(caption)}]({quote(file)})"]
    lines += ["", "## Definitions", ""]
    lines += [
        f"- {code_text(name)}: {markdown_text(description)}"
        for name, description in definitions_of(comparisons).items()
    ]
    lines += ["", "## Notes", "", *(f"- {note}" for note in NOTES)]
    return "\n".join(lines) + "\n"


def headline_rows(comparisons: Sequence[DataSetComparison]) -> list[list[str]]:
    """List for each run name its headline score on each data set; empty where it was not evaluated on one."""

    def text(comparison: DataSetComparison, name: str) -> str:
        return score_text(comparison.scores[HEADLINE][name].interval, with_bounds=comparison.has_intervals)

    return _summary_rows(comparisons, text)


def object_rows(comparisons: Sequence[DataSetComparison]) -> list[list[str]]:
    """List for each run name which objects it found on each data set; empty where it was not evaluated on one."""

    def text(comparison: DataSetComparison, name: str) -> str:
        objects = comparison.runs[name].objects
        found = f"{objects['found']} of {objects['true']} found"
        return f"{found}, {objects['missed']} missed, {objects['spurious']} spurious"

    return _summary_rows(comparisons, text)


def _summary_rows(
    comparisons: Sequence[DataSetComparison], text: Callable[[DataSetComparison, str], str]
) -> list[list[str]]:
    names = dict.fromkeys(name for comparison in comparisons for name in comparison.runs)
    return [
        [name, *(text(comparison, name) if name in comparison.runs else "" for comparison in comparisons)]
        for name in names
    ]


def _summary_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return markdown_table(header, [[markdown_text(cell) for cell in row] for row in rows])


def definitions_of(comparisons: Sequence[DataSetComparison]) -> dict[str, str]:
    """Describe every metric of any of the data sets."""
    return {
        name: definition.description
        for comparison in comparisons
        for name, definition in comparison.definitions.items()
    }


def _rows(comparisons: Sequence[DataSetComparison]) -> Iterator[dict[str, Any]]:
    for comparison in comparisons:
        for metric, scores in comparison.scores.items():
            for name, score in scores.items():
                numbers = [*score.interval, *(score.difference or (None, None, None))]
                yield dict(
                    zip(
                        COLUMNS,
                        [comparison.data_set, name, metric, *numbers, score.best_run, score.images],
                        strict=True,
                    )
                )


def _metric_rows(comparison: DataSetComparison) -> Iterator[list[str]]:
    for metric, scores in comparison.scores.items():
        cells = []
        best = best_shown(scores)
        for name, score in scores.items():
            text = score_text(score.interval, with_bounds=comparison.has_intervals)
            difference = difference_text(score, with_bounds=comparison.has_intervals)
            cells.append(f"**{text}**" if name == best else f"{text}<br>{difference}" if difference else text)
        yield [code_text(metric), *cells]


def markdown_text(text: str) -> str:
    r"""Write a text, such as the name of a file, so that Markdown shows it and takes nothing in it for HTML or a link.

    >>> print(markdown_text("<img src=x> [a](b) _c"))
    &lt;img src=x&gt; \[a\](b) _c
    """
    plain = " ".join(text.split()) if not text.isprintable() else text
    return re.sub(r"([\\\[\]`])", r"\\\1", html.escape(plain, quote=False))


def code_text(text: str) -> str:
    r"""Write a text as code in Markdown, where nothing has a meaning but the accent that ends it.

    >>> print(code_text("<b>`x`"))
    `<b>'x'`
    """
    plain = " ".join(text.split()) if not text.isprintable() else text
    return f"`{plain.replace('`', chr(39))}`"


def markdown_table(header: Sequence[str], rows: Iterator[list[str]] | Sequence[Sequence[str]]) -> list[str]:
    r"""Write a table in Markdown, one line a row.

    >>> markdown_table(["a", "b"], [["1", "2|3"]])
    ['| a | b |', '| --- | --- |', '| 1 | 2\\|3 |']
    """
    table = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
