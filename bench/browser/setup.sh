#!/usr/bin/env bash
# Installs the browser peers into one folder outside version control (default: target/browser-peers) and converts the
# bundled model for them: transformers.js with the onnxruntime-web that it names, and wllama, from npm; GGUF (f16) and
# ONNX (fp32) of models/tales by Python. Run it again at will: what is there is kept. Needs python3 (venv), node, npm.
#   PEERS_DIR   where everything goes
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=${PEERS_DIR:-$root/target/browser-peers}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
transformers=4.3.1 wllama=3.13.0

installed() { node -p "require('$dir/node_modules/$1/package.json').version" 2>/dev/null || true; }
if [ "$(installed @wllama/wllama)" != "$wllama" ] || [ "$(installed @huggingface/transformers)" != "$transformers" ]; then
    echo "setup.sh: npm packages in $dir/node_modules" >&2
    # Their install scripts fetch native binaries that nothing here uses.
    npm install --prefix "$dir" --no-save --no-package-lock --ignore-scripts --omit=optional --no-audit --no-fund \
        --loglevel=error "@huggingface/transformers@$transformers" "@wllama/wllama@$wllama" >&2
fi
if ! "$dir/venv/bin/python" -c 'import gguf, onnx, safetensors' 2>/dev/null; then
    echo "setup.sh: Python environment in $dir/venv" >&2
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check gguf==0.19.0 onnx==1.23.2 numpy safetensors >&2
fi
model=$root/models/tales
if [ ! -e "$dir/models/tales/onnx/model.onnx" ] || [ "$model/model.safetensors" -nt "$dir/models/tales/onnx/model.onnx" ]; then
    mkdir -p "$dir/models"
    "$dir/venv/bin/python" "$here/../peers/to_gguf.py" "$model" "$dir/models/tales.gguf"
    "$dir/venv/bin/python" "$here/to_onnx.py" "$model" "$dir/models/tales"
fi
echo "$dir"
