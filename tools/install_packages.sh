#!/usr/bin/env bash
# Install packages for the given Python, as `pip install` does: install_packages.sh PYTHON ARGUMENT...
#
#   INSTALLER=auto   by uv where that Python has it, else by pip; also uv, pip
#   LOCK=file        the versions (default requirements.lock); none takes the newest that pyproject.toml allows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${1:?usage: install_packages.sh PYTHON ARGUMENT...}
shift
installer=${INSTALLER:-auto}
lock=${LOCK:-requirements.lock}

case $installer in
auto | uv | pip) ;;
*)
    echo "error: INSTALLER must be auto, uv or pip, got $installer" >&2
    exit 2
    ;;
esac
if [ "$lock" != none ]; then
    [ -f "$lock" ] || {
        echo "error: LOCK=$lock: no such file; leave LOCK out for requirements.lock, or give LOCK=none for the newest" >&2
        exit 2
    }
    set -- --constraint "$lock" "$@"
fi

by_uv() {
    local settings quiet=()
    settings=$("$python" tools/uv_settings.py)
    eval "$settings"
    [ "${PIP_QUIET:-0}" = 0 ] || quiet=(--quiet)
    "$python" -m uv pip install ${quiet[@]+"${quiet[@]}"} --python "$python" "$@"
}

if [ "$installer" = uv ]; then
    by_uv "$@"
elif [ "$installer" = auto ] && "$python" -m uv --version >/dev/null 2>&1; then
    by_uv "$@" || {
        echo "   uv could not, see above; pip tries it"
        "$python" -m pip install "$@"
    }
else
    "$python" -m pip install "$@"
fi
