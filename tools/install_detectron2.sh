#!/usr/bin/env bash
# Install Detectron2 for the given Python: install_detectron2.sh PYTHON. Fails, and says what that means, if it can't.
#
#   DETECTRON2=auto      from the official source where there are git, a compiler and the repository, else the wheel
#   DETECTRON2=source    only from source
#   DETECTRON2=wheel     only the pinned wheel
#   DETECTRON2=skip      leave it out
#   DETECTRON2_GIT=url   a mirror of the official source
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${1:?usage: install_detectron2.sh PYTHON}
route=${DETECTRON2:-auto}
url=${DETECTRON2_GIT:-https://github.com/facebookresearch/detectron2}
export GIT_TERMINAL_PROMPT=0

say() { printf '   %s\n' "$*"; }

explain_absence() {
    cat <<TEXT
!! Detectron2 is not installed: $1.
!! The bundles *_mask_rcnn need it: they can be neither trained nor run, and their tests are skipped.
!! Everything else works: all other bundles, data preparation, metrics, reports.
!! To install it later: make detectron2
TEXT
}

works() { "$python" -c 'import detectron2, detectron2.modeling' 2>/dev/null; }

has_dependencies() { bash tools/install_packages.sh "$python" --editable ".[detectron2]"; }

can_compile() {
    command -v git >/dev/null && command -v "${CXX:-c++}" >/dev/null &&
        # Not `timeout`, which macOS lacks; git itself would wait minutes for a host that does not answer.
        "$python" -c 'import subprocess as s, sys
s.run(["git", "ls-remote", sys.argv[1], "HEAD"], timeout=10, check=True, stdin=s.DEVNULL, capture_output=True)' \
            "$url" 2>/dev/null
}

# --no-deps in both: Detectron2 asks for numpy < 2, which it does not need; pyproject.toml names what it does need.
from_source() {
    say "compiling $url (minutes)"
    "$python" -m pip install setuptools wheel &&
        "$python" -m pip install --no-deps --no-build-isolation --force-reinstall "git+$url" &&
        works
}

from_wheel() {
    say "installing the wheel pinned in tools/detectron2.txt"
    # It is tagged for Python 3.10: pip accepts it for another one only with a target.
    "$python" -m pip install --no-deps --only-binary=:all: --python-version 3.10 --implementation cp \
        --target "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" --upgrade \
        --require-hashes --requirement tools/detectron2.txt && works
}

case $route in
auto | source | wheel) ;;
skip)
    explain_absence "DETECTRON2=skip"
    exit 0
    ;;
*)
    echo "error: DETECTRON2 must be auto, source, wheel or skip, got $route" >&2
    exit 2
    ;;
esac

if [ "$route" = auto ] && works; then
    say "already there"
    exit 0
fi
if ! has_dependencies; then
    explain_absence "what it depends on could not be installed, see above"
    exit 1
fi
if [ "$route" != wheel ]; then
    if ! can_compile; then
        say "no source route: it needs git, a C++ compiler and $url"
    elif from_source; then
        say "installed from source"
        exit 0
    else
        say "compiling failed, see above"
    fi
fi
if [ "$route" != source ] && from_wheel; then
    say "installed"
    exit 0
fi
explain_absence "no way to install it worked on this machine, see above"
exit 1
