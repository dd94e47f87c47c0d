"""Writes a plain Llama folder as ONNX in fp32 for transformers.js: the graph that `optimum` exports, with
onnxruntime's own GroupQueryAttention and SimplifiedLayerNormalization, which its WebGPU backend has kernels for.

    to_onnx.py MODEL_DIR OUT_DIR      writes OUT_DIR/{config.json,tokenizer.json,...,onnx/model.onnx}
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    """Nodes and constants; each method returns the name of its output."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op, inputs, output, domain="", **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]


class Llama:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        if self.config["model_type"] != "llama" or self.config.get("rope_scaling"):
            sys.exit(f"{folder}: only plain Llama is known, got {self.config['model_type']}")
        self.graph = Graph()

    def matrix(self, name):
        return self.weights[f"{name}.weight"].astype(np.float32)

    def product(self, x, name, output):
        return self.graph.node("MatMul", [x, self.graph.constant(name, self.matrix(name).T)], output)

    def norm(self, x, name, output):
        gain = self.graph.constant(name, self.matrix(name))
        epsilon = self.config["rms_norm_eps"]
        return self.graph.node("SimplifiedLayerNormalization", [x, gain], output, axis=-1, epsilon=epsilon)

    def lengths(self):
        """Inputs of GroupQueryAttention: keys before the last one, by sequence; the length of the whole."""
        g = self.graph
        axis, one = g.constant("axis", np.array([1])), g.constant("one", np.array([1]))
        g.node("ReduceSum", ["attention_mask", axis], "mask_sum", keepdims=0)
        g.node("Sub", ["mask_sum", one], "past_length")
        g.node("Cast", ["past_length"], "past_length_i32", to=TensorProto.INT32)
        g.node("Shape", ["attention_mask"], "mask_shape")
        g.node("Gather", ["mask_shape", g.constant("second", np.array(1))], "total_length")
        g.node("Cast", ["total_length"], "total_length_i32", to=TensorProto.INT32)
        return ["past_length_i32", "total_length_i32"]

    def rotations(self):
        c, g = self.config, self.graph
        half = np.arange(0, c["head_dim"], 2) / c["head_dim"]
        angles = np.outer(np.arange(c["max_position_embeddings"]), 1.0 / c["rope_theta"] ** half)
        return [g.constant("cos", np.cos(angles).astype(np.float32)), g.constant("sin", np.sin(angles).astype(np.float32))]

    def layer(self, index, x, lengths, rotations):
        c, g, name = self.config, self.graph, f"model.layers.{index}"
        out = lambda what: f"{what}.{index}"
        normed = self.norm(x, f"{name}.input_layernorm", out("attention_norm"))
        qkv = [self.product(normed, f"{name}.self_attn.{p}_proj", out(p)) for p in "qkv"]
        past = [f"past_key_values.{index}.{kind}" for kind in ("key", "value")]
        present = [f"present.{index}.{kind}" for kind in ("key", "value")]
        heads = {"num_heads": c["num_attention_heads"], "kv_num_heads": c["num_key_value_heads"]}
        attended = g.node(
            "GroupQueryAttention", qkv + past + lengths + rotations, [out("attention")] + present,
            domain="com.microsoft", do_rotary=1, rotary_interleaved=0, **heads,
        )
        x = g.node("Add", [x, self.product(attended, f"{name}.self_attn.o_proj", out("o"))], out("after_attention"))
        normed = self.norm(x, f"{name}.post_attention_layernorm", out("mlp_norm"))
        gate = self.product(normed, f"{name}.mlp.gate_proj", out("gate"))
        silu = g.node("Mul", [gate, g.node("Sigmoid", [gate], out("sigmoid"))], out("silu"))
        hidden = g.node("Mul", [silu, self.product(normed, f"{name}.mlp.up_proj", out("up"))], out("hidden"))
        return g.node("Add", [x, self.product(hidden, f"{name}.mlp.down_proj", out("down"))], out("after_mlp"))

    def model(self):
        # transformers.js makes its first, empty cache from these names of dimensions.
        c, g = self.config, self.graph
        layers = range(c["num_hidden_layers"])
        lengths, rotations = self.lengths(), self.rotations()
        x = g.node("Gather", [g.constant("embedding", self.matrix("model.embed_tokens")), "input_ids"], "embedded")
        for index in layers:
            x = self.layer(index, x, lengths, rotations)
        x = self.norm(x, "model.norm", "final_norm")
        head = "model.embed_tokens" if c.get("tie_word_embeddings") else "lm_head"
        self.product(x, head, "logits")
        value, i64, f32 = helper.make_tensor_value_info, TensorProto.INT64, TensorProto.FLOAT
        cache = lambda prefix, length: [
            value(f"{prefix}.{index}.{kind}", f32, ["batch_size", c["num_key_value_heads"], length, c["head_dim"]])
            for index in layers for kind in ("key", "value")
        ]
        inputs = [
            value("input_ids", i64, ["batch_size", "sequence_length"]),
            value("attention_mask", i64, ["batch_size", "total_sequence_length"]),
        ]
        outputs = [value("logits", f32, ["batch_size", "sequence_length", c["vocab_size"]])]
        graph = helper.make_graph(
            g.nodes, "llama", inputs + cache("past_key_values", "past_sequence_length"), outputs + cache("present", "total_sequence_length"), g.constants
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 9
        return model


def main():
    source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    model = Llama(source).model()
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, out / name)
    onnx.save(model, out / "onnx/model.onnx")


if __name__ == "__main__":
    main()
