#!/usr/bin/env bash
# Make or update the environment in $VENV_DEPLOY, from $PYTHON: that of setup.sh, and the MONAI Deploy App SDK.
# `make test-deploy` calls it. It is an environment of its own because the SDK installs itself into MONAI's folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export VENV=${VENV_DEPLOY:-.venv-deploy} EXTRAS=dev,deploy
bash tools/setup.sh

# The tests are skipped where the SDK is missing: one that cannot be imported must not pass for that.
"$VENV/bin/python" -c 'import monai.deploy.core, monai.deploy.operators' || {
    rm -f "$VENV/.medseg-setup-done"
    echo "error: the MONAI Deploy App SDK does not work in $VENV, see above" >&2
    exit 1
}
