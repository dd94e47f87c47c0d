"""Writes a Llama-architecture Hugging Face folder as GGUF for llama.cpp, matrices in f16, vectors in f32.

    to_gguf.py MODEL_DIR OUT.gguf

The weights stay what they are: matrices that are not f16 already are rounded to it, as `--dtype f16` does.
Only plain Llama is known (no rope scaling, no biases); anything else is refused rather than written wrongly.
"""

import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def interleave_rope_rows(weight, n_heads):
    """Hugging Face rotates dimension i with i + head_dim/2, llama.cpp 2i with 2i + 1: reorder each head's rows."""
    rows, columns = weight.shape
    halves = weight.reshape(n_heads, 2, rows // n_heads // 2, columns)
    return halves.transpose(0, 2, 1, 3).reshape(rows, columns)


def gguf_name(name):
    """The GGUF name of a Hugging Face tensor, without the suffix `.weight`."""
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem = name.removesuffix(".weight")
    if stem in top:
        return top[stem]
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER_TENSORS[part]}"


def main(model_dir, out):
    config = json.loads((model_dir / "config.json").read_text())
    tokenizer = json.loads((model_dir / "tokenizer.json").read_text())
    if config["model_type"] != "llama" or config.get("rope_scaling") or config.get("attention_bias"):
        sys.exit(f"{model_dir}: only plain Llama models can be converted")
    n_heads, n_kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // n_heads

    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(n_kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    vocabulary = {token["content"]: token["id"] for token in tokenizer["added_tokens"]} | tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(len(tokens))])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)

    shards = sorted(model_dir.glob("*.safetensors"))
    for name, weight in (pair for shard in shards for pair in load_file(shard).items()):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        target = gguf_name(name)
        if target.endswith("attn_q"):
            weight = interleave_rope_rows(weight, n_heads)
        elif target.endswith("attn_k"):
            weight = interleave_rope_rows(weight, n_kv_heads)
        writer.add_tensor(f"{target}.weight", np.ascontiguousarray(weight, np.float16 if weight.ndim == 2 else np.float32))

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
