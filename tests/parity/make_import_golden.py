#!/usr/bin/python3
"""Writes golden/import/: a tiny LLaMA as safetensors in two files of three types, and the logits that PyTorch gives it.

The forward pass is written here in the layout of the published weights (rotation of halves), so that the order in which the
import puts rows is held against something else than itself. Run once: /usr/bin/python3 make_import_golden.py
"""

import json
import os
import struct

import torch

V, D, L, H, K, HEAD, F, THETA, EPS = 318, 16, 2, 4, 2, 8, 24, 10000.0, 1e-5
TOKENS = [1, 5, 200, 7, 7, 317, 30, 2, 90]
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "import")
torch.manual_seed(7)
torch.set_default_dtype(torch.float64)

TYPES = {"F32": (torch.float32, 4), "F16": (torch.float16, 2), "BF16": (torch.bfloat16, 2)}


def weight(dtype, *shape):
    """Values that the type holds exactly."""
    scale = 1.0 if len(shape) == 1 else shape[-1] ** -0.5
    values = (torch.randn(*shape) * scale + (1.0 if len(shape) == 1 else 0.0)).to(TYPES[dtype][0])
    return dtype, values


weights = {
    "model.embed_tokens.weight": weight("F32", V, D),
    "lm_head.weight": weight("BF16", V, D),
    "model.norm.weight": weight("F32", D),
}
for i in range(L):
    kind = ["F16", "BF16"][i]
    for name, shape in {
        "input_layernorm": (D,), "post_attention_layernorm": (D,), "self_attn.q_proj": (H * HEAD, D),
        "self_attn.k_proj": (K * HEAD, D), "self_attn.v_proj": (K * HEAD, D), "self_attn.o_proj": (D, H * HEAD),
        "mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F),
    }.items():
        weights[f"model.layers.{i}.{name}.weight"] = weight(kind, *shape)


def raw(dtype, values):
    if dtype == "BF16":
        return (values.float().view(torch.int32) >> 16).to(torch.int16).numpy().tobytes()
    return values.numpy().tobytes()


def write(path, names):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in names:
        dtype, values = weights[name]
        piece = raw(dtype, values)
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def get(name):
    return weights[name + ".weight"][1].double()


def norm(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def rotate(x):
    """[heads, T, HEAD]; component i turns with i + HEAD / 2."""
    t = torch.arange(x.shape[1])[:, None] * THETA ** (-torch.arange(0, HEAD, 2) / HEAD)[None, :]
    cos, sin = torch.cat([t.cos()] * 2, -1), torch.cat([t.sin()] * 2, -1)
    a, b = x[..., : HEAD // 2], x[..., HEAD // 2:]
    return x * cos + torch.cat([-b, a], -1) * sin


def heads(x, n):
    return x.view(len(TOKENS), n, HEAD).transpose(0, 1)


x = get("model.embed_tokens")[TOKENS]
mask = torch.full((len(TOKENS),) * 2, float("-inf")).triu(1)
for i in range(L):
    p = f"model.layers.{i}."
    h = norm(x, get(p + "input_layernorm"))
    q = rotate(heads(h @ get(p + "self_attn.q_proj").T, H))
    k = rotate(heads(h @ get(p + "self_attn.k_proj").T, K)).repeat_interleave(H // K, 0)
    v = heads(h @ get(p + "self_attn.v_proj").T, K).repeat_interleave(H // K, 0)
    a = torch.softmax(q @ k.transpose(1, 2) * HEAD ** -0.5 + mask, -1) @ v
    x = x + a.transpose(0, 1).reshape(len(TOKENS), H * HEAD) @ get(p + "self_attn.o_proj").T
    h = norm(x, get(p + "post_attention_layernorm"))
    g = torch.nn.functional.silu(h @ get(p + "mlp.gate_proj").T) * (h @ get(p + "mlp.up_proj").T)
    x = x + g @ get(p + "mlp.down_proj").T
logits = norm(x, get("model.norm")) @ get("lm_head").T

os.makedirs(out, exist_ok=True)
names = sorted(weights)
files = {"model-00001-of-00002.safetensors": names[: len(names) // 2], "model-00002-of-00002.safetensors": names[len(names) // 2:]}
for file, part in files.items():
    write(os.path.join(out, file), part)
with open(os.path.join(out, "model.safetensors.index.json"), "w") as file:
    json.dump({"metadata": {}, "weight_map": {n: f for f, part in files.items() for n in part}}, file, indent=1)
with open(os.path.join(out, "config.json"), "w") as file:
    json.dump({"model_type": "llama", "vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": H,
               "num_key_value_heads": K, "head_dim": HEAD, "intermediate_size": F, "max_position_embeddings": 64,
               "rms_norm_eps": EPS, "rope_theta": THETA, "hidden_act": "silu", "tie_word_embeddings": False}, file, indent=1)
logits.float().numpy().tofile(os.path.join(out, "logits.f32"))
