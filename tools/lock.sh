#!/usr/bin/env bash
# Write requirements.lock: one version of each package, of all extras and of the documentation, for Python 3.11 to 3.13
# on Linux, macOS and Windows: lock.sh PYTHON [--upgrade]. Versions stay, but with --upgrade, or where they no longer fit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${1:?usage: lock.sh PYTHON [--upgrade]}
shift
extras=()
# Not bioimageio, which wants an older pydantic than the others may.
for extra in all detectron2 deploy dev napari onnxruntime; do extras+=(--extra "$extra"); done
settings=$("$python" tools/uv_settings.py)
eval "$settings"
new=$(mktemp)
trap 'rm -f "$new"' EXIT
cp requirements.lock "$new" # what uv prefers
"$python" -m uv pip compile --quiet --universal --python-version 3.11 "${extras[@]}" --no-annotate --no-header \
    --output-file "$new" --group docs "$@" pyproject.toml
{
    echo "# One version of each package, for all extras but bioimageio; \`make lock\` writes it, \`make setup\` keeps to it."
    cat "$new"
} >requirements.lock
