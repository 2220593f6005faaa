"""Keep a docked widget narrow, whatever layers and bundles are called."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox

SHOWN_CHARACTERS = 16


def keep_narrow(*fields: Any) -> None:
    """Let fields with choices be narrower than their longest choice, which they show in full when they are opened."""
    for field in fields:
        field.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        field.native.setMinimumContentsLength(SHOWN_CHARACTERS)
