#!/usr/bin/env bash
# Make or update the environment in $VENV, from $PYTHON, with the project's extras $EXTRAS. `make setup` calls it.
#
#   TORCH=default         PyTorch from the package index; on Linux that is a build for CUDA
#   TORCH=cpu             without CUDA, from PyTorch's own index
#   TORCH=https://...     from another index, such as https://download.pytorch.org/whl/cu126
#   INSTALLER=, LOCK=     see install_packages.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${VENV:-.venv}
python=${PYTHON:-python3}
unfinished=$venv/.medseg-setup-unfinished
finished=$venv/.medseg-setup-done
began=$venv/.medseg-setup-began

say() { printf '== set-up: %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

case ${TORCH:-default} in
default) torch_index= ;;
cpu) torch_index=https://download.pytorch.org/whl/cpu ;;
http:* | https:* | file:*) torch_index=$TORCH ;;
*) fail "TORCH must be default, cpu or the address of a package index, got $TORCH" ;;
esac

# Stop where TORCH=cpu got another PyTorch, before what that needs is installed as well.
refuse_cuda() {
    [ "${TORCH:-default}" != cpu ] || "$python" -c 'import runpy, sys
from importlib.util import find_spec
version = runpy.run_path(find_spec("torch").submodule_search_locations[0] + "/version.py")
sys.exit(version["cuda"] is not None)' ||
        fail "$venv has a PyTorch for CUDA, from an earlier set-up or another index; remove it: rm -r $venv"
}

anew=true
if [ -e "$unfinished" ]; then
    running=$(cat "$unfinished")
    if [ -n "$running" ] && kill -0 "$running" 2>/dev/null; then
        fail "$venv is being set up already, by process $running; wait for it (if that is something else: rm $unfinished)"
    fi
    # pip may take a package for installed though it was killed while it copied its files: none of them is kept.
    say "the last one was interrupted: starting anew"
elif [ -x "$venv/bin/python" ]; then
    anew=false
    python=$venv/bin/python
elif [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv holds something that is no virtual environment; name another folder: make setup VENV=folder"
fi

command -v "$python" >/dev/null || fail "$python: no such command; name a Python 3.11 to 3.13: make setup PYTHON=command"
# The range of `requires-python`; pip would refuse another version only after minutes.
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "Python 3.11 to 3.13 is needed, but $python is $("$python" -V 2>&1);" \
        "name another one, for example: make setup PYTHON=python3.12"

if [ "$anew" = true ]; then
    mkdir -p "$venv"
    echo $$ >"$unfinished" # only here: an environment that somebody else made is never emptied
    say "1/4 virtual environment in $venv, $("$python" -V)"
    find "$venv" -mindepth 1 -maxdepth 1 ! -name .medseg-setup-unfinished -exec rm -rf {} +
    "$python" -m venv "$venv"
    python=$venv/bin/python
fi
: >"$began"

say "2/4 pip and uv"
"$python" -m pip install --upgrade pip
if [ "${INSTALLER:-auto}" != pip ]; then
    INSTALLER=pip bash tools/install_packages.sh "$python" uv || say "no uv for this machine: pip does it, more slowly"
fi

say "3/4 dependencies (minutes; 7 GB on disk, where PyTorch is not for CUDA 3)"
if [ -n "$torch_index" ]; then
    # Alone: that index has few other packages, and not of all versions.
    bash tools/install_packages.sh "$python" --no-deps --index-url "$torch_index" torch torchvision ||
        fail "no torch and torchvision of the wanted versions from $torch_index, see above"
    refuse_cuda
fi
bash tools/install_packages.sh "$python" --editable ".[${EXTRAS:-dev}]"
# Also shows that torch and torchvision are matched builds: if not, the import fails.
"$python" -c 'import monai, torch, torchvision
print(f"   torch {torch.__version__}, torchvision {torchvision.__version__}, monai {monai.__version__}")'
refuse_cuda # as a package may have brought another PyTorch

say "4/4 Detectron2"
# The script says what its absence means; all the rest works without it.
bash tools/install_detectron2.sh "$python" || true

rm -f "$unfinished"
mv "$began" "$finished" # with the time of the beginning: an edit of pyproject.toml made meanwhile counts
say "done: $venv"
