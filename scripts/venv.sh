#!/bin/sh
# Create the virtual environment in $1 from requirements-dev.lock, with Python 3.11 or 3.12, and install the
# project into it. Does nothing when it is there and newer than the lock file.
set -eu
venv=${1:-.venv}
stamp=$venv/.installed
if [ -f "$stamp" ] && [ "$stamp" -nt requirements-dev.lock ] && [ "$stamp" -nt pyproject.toml ]; then
    exit 0
fi

python=
for candidate in ${PYTHON:-} python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "ioex_chain needs Python 3.11 or 3.12; this machine offers: $(python3 --version 2>&1 || echo none)." >&2
    echo "Install one of them, or name it: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
echo "Setting up $venv with $("$python" --version) ..."
if ! "$python" -m venv "$venv"; then
    echo "The venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$stamp"
