#!/bin/sh
# Installs the official Hugging Face clients, each version in an environment of its own, for tests/hub_clients.
set -eu
cd "$(dirname "$0")/.."
top=${PEARL_HUB_CLIENTS:-build/hub-clients}
for version in 0.36.2 1.33.0 2.4.0; do
  [ -x "$top/$version/bin/hf" ] && continue
  .venv/bin/uv venv -q --clear "$top/$version"
  extra=
  [ "$version" = 2.4.0 ] && extra="datasets transformers safetensors numpy"
  # shellcheck disable=SC2086
  .venv/bin/uv pip install -q --python "$top/$version/bin/python" "huggingface_hub==$version" $extra
done
