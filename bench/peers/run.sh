#!/usr/bin/env bash
# Greedy decoding of a bundled model, or of one GGUF file, by llama.cpp (CPU with 2 threads; Vulkan on lavapipe or on what
# VK_ICD_FILENAMES names) and, when asked for, by Understory and by its burn reference: one process a run, the
# engines interleaved, their order reversed every other round (A B C, C B A, ...), so that a drifting machine
# favours none. Raw runs go to a file, a table to stdout.
#
#   bench/peers/run.sh [--runs N] [--prompt TEXT] [--n-out N] [--model DIR|FILE.gguf] [--understory PATH] [--out DIR]
#                      [--burn]         the burn reference too (compiles it the first time)
#                      [--n-prompt N]   repeat or cut the prompt to N tokens (llama.cpp only)
#                      [--no-vulkan]    without llama.cpp's Vulkan backend, which takes minutes for a long prompt
#
# machine.txt, beside the raw runs, says what ran where. See bench/README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
runs=5 n_out=64 model=$root/models/tales understory='' burn='' vulkan=yes n_prompt='' threads=2
out=$root/target/peers/runs/$(date -u +%Y-%m-%dT%H-%M-%S)
prompt='Once upon a time there was a king who had three sons'
while [ $# -gt 0 ]; do
    if [ "$1" = --burn ]; then
        burn=yes
        shift
        continue
    fi
    if [ "$1" = --no-vulkan ]; then
        vulkan=''
        shift
        continue
    fi
    [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
    case $1 in
        --runs) runs=$2 ;;
        --n-prompt) n_prompt=$2 ;;
        --n-out) n_out=$2 ;;
        --prompt) prompt=$2 ;;
        --model) model=$2 ;;
        --understory) understory=$2 ;;
        --out) out=$2 ;;
        *) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

[ -z "$understory$burn" ] || [ -z "$n_prompt" ] || { echo "run.sh: --n-prompt is for llama.cpp alone" >&2; exit 2; }

PEERS_DIR=$("$here/setup.sh")
export PEERS_DIR
types=f16
gguf=$PEERS_DIR/$(basename "$model").gguf
if [ "${model%.gguf}" != "$model" ]; then
    types='as the file has them'
    gguf=$model
elif [ ! -e "$gguf" ] || [ "$model/model.safetensors" -nt "$gguf" ]; then
    "$PEERS_DIR/venv/bin/python" "$here/to_gguf.py" "$model" "$gguf.part"
    mv "$gguf.part" "$gguf"
fi
mkdir -p "$out"
raw=$out/raw.jsonl
: >"$raw"

# One Vulkan driver and no other, Mesa's software one unless VK_ICD_FILENAMES names another, so that every
# engine sees one device, with the index 0.
icd=${VK_ICD_FILENAMES:-$(find /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1 || true)}
engines=(cpu)
if [ -n "$icd" ]; then
    export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd GGML_VK_VISIBLE_DEVICES=0
    [ -z "$vulkan" ] || engines+=(vulkan)
else
    echo "run.sh: no lavapipe here (cargo xtask setup): without llama.cpp's Vulkan backend" >&2
fi
[ -z "$understory" ] || engines+=(understory)
decode=("${CARGO:-cargo}" bench --quiet --manifest-path "$root/Cargo.toml" -p understory-learn -p understory --bench decode)
if [ -n "$burn" ]; then
    "${decode[@]}" --no-run
    engines+=(burn)
fi

{
    echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    echo "machine: $(uname -srm), $(getconf _NPROCESSORS_ONLN) cores, $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)"
    echo "load before: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)"
    [ -z "$understory" ] || "$understory" devices --json | node -e '
        const used = JSON.parse(require("fs").readFileSync(0, "utf8")).find((adapter) => adapter.preferred);
        console.log(`adapter: ${used.name}, ${used.backend}, ${used.driver} ${used.driver_info}, ${used.profile} kernels`);'
    echo "case: $(basename "$model"), weights $types, greedy, n_out $n_out, n_prompt ${n_prompt:-as tokenised}, llama.cpp with $threads CPU threads"
    echo "prompt: $prompt"
} >"$out/machine.txt"

once() {
    if [ "$1" = understory ]; then
        node "$here/understory.mjs" --binary "$understory" --model "$model" --prompt "$prompt" --n-out "$n_out"
    elif [ "$1" = burn ]; then
        # It numbers its own rounds, of which there is one here.
        "${decode[@]}" -- tales --engines burn-f32 --rounds 1 --model "$model" --prompt "$prompt" --n-out "$n_out" |
            sed -E 's/,"round":[0-9]+//'
    else
        node "$here/llamacpp.mjs" --model "$gguf" --backend "$1" --prompt "$prompt" --n-out "$n_out" --threads "$threads" \
            ${n_prompt:+--n-prompt "$n_prompt"}
    fi
}

for ((run = 0; run < runs; run++)); do
    for ((i = 0; i < ${#engines[@]}; i++)); do
        index=$((run % 2 == 0 ? i : ${#engines[@]} - 1 - i))
        echo "run.sh: round $((run + 1)) of $runs: ${engines[index]}" >&2
        once "${engines[index]}" | sed "s/^{/{\"round\":$((run + 1)),/" >>"$raw"
    done
done
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)" >>"$out/machine.txt"
{
    node "$here/summary.mjs" "$raw"
    echo
    sed 's/^/    /' "$out/machine.txt"
} | tee "$out/summary.md"
echo "raw runs: $raw" >&2
