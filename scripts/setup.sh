#!/usr/bin/env bash
# Make or update the environment in $VENV, from $PYTHON. `make setup` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${VENV:-.venv}
python=${PYTHON:-python3}
unfinished=$venv/.medseg-setup-unfinished
finished=$venv/.medseg-setup-done

say() { printf '== set-up: %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

check_version() { # the range of `requires-python`, said before a download fails on it
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        fail "Python 3.11, 3.12 or 3.13 is needed, but $1 is $("$1" -V 2>&1);" \
            "name another one, for example: make setup PYTHON=python3.12"
}

if [ -e "$unfinished" ]; then
    # From scratch: pip takes a package for installed even if it was interrupted while it copied its files.
    say "the last one was interrupted: starting anew"
    find "$venv" -mindepth 1 -maxdepth 1 ! -path "$unfinished" -exec rm -rf {} +
elif [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    fail "$venv holds something that is no virtual environment; name another folder: make setup VENV=folder"
fi

if [ -x "$venv/bin/python" ]; then
    check_version "$venv/bin/python"
else
    command -v "$python" >/dev/null || fail "$python: no such command; make setup PYTHON=... names a Python 3.11 to 3.13"
    check_version "$python"
fi

mkdir -p "$venv"
: >"$unfinished"
if [ ! -x "$venv/bin/python" ]; then
    say "1/4 virtual environment in $venv, $("$python" -V)"
    "$python" -m venv "$venv"
fi
python=$venv/bin/python

say "2/4 pip"
"$python" -m pip install --upgrade pip

say "3/4 dependencies (about 5 GB to download the first time, some minutes)"
"$python" -m pip install --editable ".[dev]"
"$python" -c 'import monai, torch, torchvision
print(f"   torch {torch.__version__}, torchvision {torchvision.__version__}, monai {monai.__version__},",
      f"on {torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU"}")'

say "4/4 Detectron2"
# It says itself what its absence means; all the rest works without it.
bash scripts/install_detectron2.sh "$python" || true

# Keeps the time of the start: an edit of pyproject.toml made meanwhile counts.
mv "$unfinished" "$finished"
say "done: $venv"
