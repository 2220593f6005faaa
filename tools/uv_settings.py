"""Print what pip is set up with, such as a mirror of the index, as settings of uv, which reads nothing of pip's."""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping

NAMES = {  # of pip's settings, and how uv separates several values
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "proxy": ("ALL_PROXY", " "),
    "cert": ("SSL_CERT_FILE", " "),
}
SECTIONS = ("global", "install", ":env:")  # later over earlier, as pip has it


def settings_of(lines: Iterable[str]) -> dict[str, str]:
    """Translate the lines of `pip config list`, such as `global.index-url='https://mirror/simple'`.

    >>> settings_of(["global.index-url='https://mirror/simple'", "global.timeout='60'"])
    {'UV_DEFAULT_INDEX': 'https://mirror/simple'}
    """
    values: dict[str, str] = {}
    told = [line.partition("=")[::2] for line in lines if "=" in line]
    for section in SECTIONS:
        for name, value in told:
            if name.rpartition(".")[0] == section:
                values[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    found = {}
    for name, (variable, separator) in NAMES.items():
        if values.get(name):
            found[variable] = separator.join(values[name].split())
    if "UV_INDEX" in found:  # as pip does: the best version of all indexes, and not those of the first that has any
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


def as_exports(settings: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Write settings as lines of a shell; what its environment has already stays."""
    return [f"export {name}={shlex.quote(value)}" for name, value in settings.items() if name not in environment]


if __name__ == "__main__":
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    print("\n".join(as_exports(settings_of(listed.stdout.splitlines()), os.environ)))
