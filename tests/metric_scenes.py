"""Scenes of predicted and true label maps, in numpy alone, so that other packages can score them where torch is not.

RandomState, since numpy keeps its stream the same for ever.
"""

import numpy as np

Scene = tuple[np.ndarray, np.ndarray]


def draw_disc(label_map: np.ndarray, center: np.ndarray, radius: float, label: int) -> None:
    rows, columns = np.ogrid[: label_map.shape[0], : label_map.shape[1]]
    label_map[(rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2] = label


def random_scene(seed: int) -> Scene:
    """True discs, and a prediction that moves, drops, cuts, merges and invents some; (72, 104), ids with gaps."""
    random = np.random.RandomState(seed)
    pred, true = np.zeros((72, 104), np.int32), np.zeros((72, 104), np.int32)
    for number in range(1, 13):
        center, radius, event = random.uniform((0, 0), (72, 104)), random.uniform(5, 12), random.choice(6)
        draw_disc(true, center, radius, 3 * number)
        if event == 0:
            continue
        moved = center + random.uniform(-1, 1, size=2) * (0.25 * radius)
        draw_disc(pred, moved, radius * random.uniform(0.8, 1.2), 5 * number)
        if event == 1:
            rows, columns = np.nonzero(pred == 5 * number)
            cut = columns > moved[1] + random.uniform(-4, 4)
            pred[rows[cut], columns[cut]] = 5 * number + 1
        if event == 2:
            pred[pred == 5 * number] = 5
        if event == 3:
            draw_disc(pred, random.uniform((0, 0), (72, 104)), 4, 5 * number + 2)
    return pred, true


def tied_scene(seed: int) -> Scene:
    """Bars of 4 x 8 px of which prediction, truth, both or none are cut into halves: many IoUs are exactly 0.5."""
    random = np.random.RandomState(seed)
    pred, true = np.zeros((24, 80), np.int32), np.zeros((24, 80), np.int32)
    for number in range(60):
        row, column = 4 * (number // 10), 8 * (number % 10)
        for label_map in (pred, true):
            form = random.choice(4)
            label_map[row : row + 4, column : column + 8] = 2 * number + 1 if form else 0
            if form == 1:
                label_map[row : row + 2, column : column + 8] = 2 * number + 2
            if form == 2:
                label_map[row : row + 4, column : column + 4] = 2 * number + 2
    return pred, true


SCENES = {
    **{f"random_{seed}": random_scene(seed) for seed in range(8)},
    **{f"tied_{seed}": tied_scene(seed) for seed in range(4)},
}
