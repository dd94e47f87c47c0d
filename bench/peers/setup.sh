#!/usr/bin/env bash
# Installs what the peers need into one folder outside version control (default: target/peers):
# a Python environment that writes GGUF, and llama.cpp's own binaries from the npm package node-llama-cpp.
# Run it again at will: what is there is kept. Needs python3 (with venv), node >= 20 and npm.
#   PEERS_DIR   where everything goes
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${PEERS_DIR:-$here/../../target/peers}
node_llama_cpp=3.22.1
gguf=0.19.0

for tool in python3 node npm; do
    command -v "$tool" >/dev/null || { echo "setup.sh: $tool is missing" >&2; exit 1; }
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if ! "$dir/venv/bin/python" -c 'import gguf, numpy, safetensors' 2>/dev/null; then
    echo "setup.sh: Python environment in $dir/venv" >&2
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "gguf==$gguf" numpy safetensors >&2
fi

# The package's optional dependencies carry every backend for every platform, CUDA's alone over 100 MB:
# only the CPU and Vulkan (or Metal) ones of this platform are wanted. Its install script would try to
# fetch or compile, so it does not run.
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) backends=(linux-x64 linux-x64-vulkan) ;;
    Linux-aarch64) backends=(linux-arm64) ;;
    Darwin-arm64) backends=(mac-arm64-metal) ;;
    Darwin-x86_64) backends=(mac-x64) ;;
    *) echo "setup.sh: no llama.cpp binaries are known for $(uname -sm)" >&2; exit 1 ;;
esac
backends=("${backends[@]/#/@node-llama-cpp/}")
backends=("${backends[@]/%/@$node_llama_cpp}")
installed=$(node -p 'require(process.argv[1]).version' "$dir/node_modules/node-llama-cpp/package.json" 2>/dev/null || true)
if [ "$installed" != "$node_llama_cpp" ]; then
    echo "setup.sh: node-llama-cpp $node_llama_cpp in $dir/node_modules" >&2
    # --prefix keeps npm from walking up to a package.json; --no-save and --no-package-lock leave no lock file.
    npm install --prefix "$dir" --no-save --no-package-lock --ignore-scripts --omit=optional --no-audit --no-fund \
        --loglevel=error "node-llama-cpp@$node_llama_cpp" "${backends[@]}" >&2
fi
echo "$dir"
