"""Share images out to training, validation and testing, with groups kept together."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from medseg_ext.data.groups import Group


def split_by_group(groups: Mapping[str, Group], *, fractions: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Choose the section of every image: at random, by whole groups, each cluster in proportion.

    The draw depends on nothing but seed and group names, so it is the same on every machine. Sections get
    their share of images as nearly as whole groups allow, and at least one group while there are enough.

    Args:
        groups: group of each image.
        fractions: share of each section; they sum to 1.
        seed: another number is another draw.
    Returns: section of each image.

    >>> groups = {f"image {n}": Group(f"mosaic {n // 2}") for n in range(20)}
    >>> sections = split_by_group(groups, fractions={"training": 0.8, "validation": 0.1, "testing": 0.1})
    >>> Counter(sections.values())
    Counter({'training': 16, 'validation': 2, 'testing': 2})
    >>> all(sections[f"image {n}"] == sections[f"image {n + 1}"] for n in range(0, 20, 2))
    True
    """
    size = Counter(group.name for group in groups.values())
    draw = {name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in size}
    wanted = [section for section in fractions if fractions[section] > 0]
    section_of: dict[str, str] = {}
    filled = Counter[str]()
    clusters = sorted(_by_cluster(groups).values(), key=lambda names: sum(size[name] for name in names))
    for names in clusters:
        share = {section: fractions[section] * sum(size[name] for name in names) for section in wanted}
        room = dict(share)
        if names is clusters[-1]:  # the largest cluster evens out what the others had to round
            room = {section: fractions[section] * len(groups) - filled[section] for section in wanted}
        for name in sorted(names, key=lambda name: (_bulk(size[name], share), draw[name])):
            section_of[name] = section = max(wanted, key=lambda candidate: (room[candidate], -filled[candidate]))
            room[section] -= size[name]
            filled[section] += size[name]
    for section in wanted:
        fullest = max(wanted, key=list(section_of.values()).count)
        spare = [name for name in section_of if section_of[name] == fullest]
        if not filled[section] and len(spare) > 1:
            section_of[min(spare, key=lambda name: (size[name], draw[name]))] = section
    return {image_id: section_of[group.name] for image_id, group in groups.items()}


def _bulk(size: int, share: Mapping[str, float]) -> int:
    """Order groups that would overfill a section before all others, the largest first, while there is room."""
    return -size if size > min(share.values()) else 0


def _by_cluster(groups: Mapping[str, Group]) -> dict[str, list[str]]:
    """List the groups of each cluster; a group of mixed images counts for its most frequent cluster."""
    clusters_of: dict[str, Counter[str]] = defaultdict(Counter)
    for group in groups.values():
        clusters_of[group.name][group.cluster] += 1
    by_cluster: dict[str, list[str]] = defaultdict(list)
    for name, clusters in clusters_of.items():
        by_cluster[min(clusters, key=lambda cluster: (-clusters[cluster], cluster))].append(name)
    return dict(sorted(by_cluster.items()))
