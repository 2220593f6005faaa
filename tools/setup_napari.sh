#!/usr/bin/env bash
# Make or update the environment in $VENV_NAPARI, from $PYTHON: that of setup.sh, and napari with Qt.
# `make test-napari` calls it. It is an environment of its own so that the other tests run without a window system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Detectron2, which is compiled for minutes, is not needed here.
export VENV=${VENV_NAPARI:-.venv-napari} EXTRAS=dev,napari DETECTRON2=${DETECTRON2:-skip}
bash tools/setup.sh

# The tests are skipped where napari is missing: one that cannot be imported must not pass for that.
"$VENV/bin/python" -c 'import napari, qtpy.QtWidgets' || {
    rm -f "$VENV/.medseg-setup-done"
    echo "error: napari does not work in $VENV, see above" >&2
    exit 1
}
