#!/bin/sh
# Makes .venv with exactly the locked packages and this project in it. Needs Python 3.11 or newer, and nothing else.
# Used by `make setup`; PYTHON=/path/to/python chooses an interpreter.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "setup: $1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found. Install one (Debian: apt-get install python3 python3-venv), or say which: make setup PYTHON=/path/to/python3"
}

make_venv() {
    python=$(find_python)
    rm -rf .venv
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv .venv
    elif "$python" -c 'import venv, pip' 2>/dev/null; then
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install -q --disable-pip-version-check --require-hashes --no-deps -r "$1"
    else
        fail "$python has neither ensurepip nor pip. Install them (Debian: apt-get install python3-venv), or say another: make setup PYTHON=/path/to/python3"
    fi
}

# uv's own lines of the lock: the fast installer is itself installed by hash.
uv_lock=$(mktemp)
trap 'rm -f "$uv_lock"' EXIT
awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements-dev.lock >"$uv_lock"
[ -s "$uv_lock" ] || fail "requirements-dev.lock has no uv in it: make lock writes it anew"

if ! { [ -x .venv/bin/python ] && new_enough .venv/bin/python; }; then
    make_venv "$uv_lock"
fi
if [ ! -x .venv/bin/uv ]; then
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r "$uv_lock"
fi

if ! .venv/bin/uv pip install -q --python .venv/bin/python --require-hashes -r requirements-dev.lock; then
    echo "setup: uv could not install; trying pip" >&2
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
fi
.venv/bin/uv pip install -q --python .venv/bin/python --offline --no-deps --no-build-isolation -e .
echo "setup: $(.venv/bin/python --version) with the locked packages in .venv"
