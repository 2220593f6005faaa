"""Say what a check of a data set found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from medseg_ext.files import as_text
from medseg_ext.tables import to_csv

GRAVE, LOOK, NOTE = "grave", "look", "note"
GRAVITIES = (GRAVE, LOOK, NOTE)
NAMED = 3  # cases that the table names
CSV_COLUMNS = ("gravity", "problem", "images", "sections", "detail", "objects")


class Case(NamedTuple):
    """One place where something was found.

    Attributes:
        ids: the images, one or a pair; or none, of what is no image's.
        sections: those that each stands in.
        detail: what is special here; may be empty.
        objects: numbers of the objects of the first image that are meant.
    """

    ids: tuple[str, ...]
    sections: tuple[str, ...]
    detail: str = ""
    objects: tuple[int, ...] = ()

    def __str__(self) -> str:
        names = " and ".join(f"{each} ({section})" for each, section in zip(self.ids, self.sections, strict=True))
        return as_text(": ".join(part for part in (names, self.detail) if part))


class Finding(NamedTuple):
    """All cases of one problem.

    Attributes:
        gravity: of `GRAVITIES`: results cannot be trusted; a person should look; to be known.
        problem: what is wrong.
        remedy: what to do.
        cases: where, the worst first.
    """

    gravity: str
    problem: str
    remedy: str
    cases: Sequence[Case]


class Findings(NamedTuple):
    """What a check found.

    Attributes:
        name: of the data set.
        images: how many were looked at.
        objects: likewise.
        findings: the gravest first, in each the most cases first.
    """

    name: str
    images: int
    objects: int
    findings: Sequence[Finding]

    @property
    def is_grave(self) -> bool:
        """Whether anything grave was found."""
        return any(each.gravity == GRAVE for each in self.findings)


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Leave out findings without a case, and put the gravest first, then those of most cases."""
    there = [each for each in findings if each.cases]
    return sorted(there, key=lambda each: (GRAVITIES.index(each.gravity), -len(each.cases), each.problem))


def findings_table(found: Findings) -> str:
    """Lay out what was found as text."""
    lines = [f"{as_text(found.name)}: {found.images} images, {found.objects} objects"]
    lines += [] if found.findings else ["nothing found"]
    for finding in found.findings:
        objects = sum(len(case.objects) for case in finding.cases)
        images = f"{len(finding.cases)} image{'' if len(finding.cases) == 1 else 's'}"
        where = f" (in {images})" if objects else ""
        lines.append(f"{finding.gravity:<6}{objects or len(finding.cases):>6}  {finding.problem}{where}")
        lines += [f"{'':14}{case}" for case in finding.cases[:NAMED]]
        if len(finding.cases) > NAMED:
            lines.append(f"{'':14}... and {len(finding.cases) - NAMED} more")
        lines.append(f"{'':14}-> {finding.remedy}")
    return "\n".join(lines)


def findings_csv(found: Findings) -> bytes:
    """Format all cases as CSV, one a row."""
    return to_csv(CSV_COLUMNS, _rows(found))


def _rows(found: Findings) -> Iterator[dict[str, Any]]:
    for finding in found.findings:
        for case in finding.cases:
            yield {
                "gravity": finding.gravity,
                "problem": finding.problem,
                "images": as_text(" ".join(case.ids)),
                "sections": " ".join(case.sections),
                "detail": as_text(case.detail),
                "objects": " ".join(map(str, case.objects)),
            }
