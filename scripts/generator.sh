#!/bin/sh
# Installs openapi-python-client into .generator, apart from .venv: it holds back packages that the program itself uses.
set -eu
cd "$(dirname "$0")/.."
[ -x .generator/bin/python ] || .venv/bin/uv venv -q --python .venv/bin/python .generator
.venv/bin/uv pip install -q --python .generator/bin/python --require-hashes -r requirements-generator.lock
echo "generator: $(.generator/bin/openapi-python-client --version)"
