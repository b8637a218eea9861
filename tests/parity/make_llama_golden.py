#!/usr/bin/python3
"""Writes golden/llama_*.gguf, tiny random models of every architecture and rotation that the engine reads, and their logits
(.txt, .f32), computed here in PyTorch in float64 in the layout that such models are published in: rotation of halves, which the
`llama` architecture of GGUF turns into pairs by permuting the rows of q and k. Usage: make_llama_golden.py tests/parity/golden"""
import math
import sys

import numpy as np
import torch

from gguf_file import write, write_golden

torch.set_default_dtype(torch.float64)
TOKENS = 24
POSITIVE = 5  # the piece of binary cross-entropy
CASES = {
    # heads of an explicit size, grouped queries, an output matrix of its own, linear scaling
    "llama_linear": dict(arch="llama", dim=12, heads=4, kv=2, head_dim=8, ffn=20, tied=False, theta=10000.0,
                         scaling=dict(type="linear", factor=4.0)),
    # tied, Llama 3's scaling by its keys
    "llama_llama3": dict(arch="llama", dim=16, heads=2, kv=1, head_dim=8, ffn=24, tied=True, theta=100.0,
                         scaling=dict(type="llama3", factor=8.0, low=0.4, high=2.0, original=32)),
    # the same by a tensor of factors, as converters write it
    "llama_freqs": dict(arch="llama", dim=16, heads=2, kv=2, head_dim=8, ffn=24, tied=True, theta=100.0, freqs=True,
                        scaling=dict(type="llama3", factor=8.0, low=0.4, high=2.0, original=32)),
    # biases, rotation of halves, a byte-level vocabulary
    "qwen2": dict(arch="qwen2", dim=12, heads=3, kv=1, head_dim=4, ffn=20, tied=True, theta=1000.0, scaling=None),
    "qwen2_untied": dict(arch="qwen2", dim=16, heads=2, kv=2, head_dim=8, ffn=20, tied=False, theta=1000.0, scaling=None),
    # soft tokens: vectors behind the embedding table, and their gradients
    "llama_soft": dict(arch="llama", dim=16, heads=4, kv=2, head_dim=6, ffn=20, tied=False, theta=10000.0, scaling=None, soft=4),
}


def byte_pieces():
    plain = [b for b in range(256) if 33 <= b <= 126 or (b >= 161 and b != 173)]
    others = [b for b in range(256) if b not in plain]
    names = {b: chr(b) for b in plain}
    names.update({b: chr(256 + i) for i, b in enumerate(others)})
    return [names[b] for b in range(256)]


def vocabulary(arch):
    if arch == "llama":
        pieces = ["<unk>", "<s>", "</s>"] + ["\u2581"] + [chr(97 + i) for i in range(26)]
        return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": pieces,
                "tokenizer.ggml.scores": [-float(i) for i in range(len(pieces))],
                "tokenizer.ggml.token_type": [2, 3, 3] + [1] * 27}, len(pieces)
    pieces = byte_pieces() + ["th", "<|im_end|>"]
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": pieces,
            "tokenizer.ggml.token_type": [1] * 257 + [3], "tokenizer.ggml.merges": ["t h"],
            "tokenizer.ggml.eos_token_id": 257, "tokenizer.ggml.add_bos_token": False}, len(pieces)


def frequencies(c):
    """Of each pair, and what scaling divides them by."""
    f = 1.0 / c["theta"] ** (torch.arange(0, c["head_dim"], 2) / c["head_dim"])
    s = c["scaling"]
    if s is None:
        return f, torch.ones_like(f)
    if s["type"] == "linear":
        return f, torch.full_like(f, s["factor"])
    wavelength = 2 * math.pi / f
    smooth = (s["original"] / wavelength - s["low"]) / (s["high"] - s["low"])
    mixed = (1 - smooth) * f / s["factor"] + smooth * f
    scaled = torch.where(wavelength > s["original"] / s["low"], f / s["factor"], mixed)
    scaled = torch.where(wavelength < s["original"] / s["high"], f, scaled)
    return f, f / scaled


def rotate(x, angles):
    """x [heads, t, head_dim], angles [t, head_dim / 2]: component i turns with i + head_dim / 2."""
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def norm(x, w):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * w


def forward(c, w, ids):
    f, factors = frequencies(c)
    angles = torch.arange(len(ids))[:, None] * (f / factors)[None]
    mask = torch.full((len(ids), len(ids)), -math.inf).triu(1)
    heads, kv, hd = c["heads"], c["kv"], c["head_dim"]
    x = w["token_embd"][ids]
    for i in range(2):
        p = "blk.%d." % i
        h = norm(x, w[p + "attn_norm"])
        q, k, v = (h @ w[p + "attn_" + n].T + (w[p + "attn_%s.bias" % n] if c["arch"] == "qwen2" else 0) for n in "qkv")
        q, k, v = (y.view(len(ids), -1, hd).transpose(0, 1) for y in (q, k, v))
        q, k = rotate(q, angles), rotate(k, angles)
        k, v = (y.repeat_interleave(heads // kv, 0) for y in (k, v))
        a = ((q @ k.transpose(1, 2)) / math.sqrt(hd) + mask).softmax(-1) @ v
        x = x + a.transpose(0, 1).reshape(len(ids), -1) @ w[p + "attn_output"].T
        h = norm(x, w[p + "ffn_norm"])
        x = x + (torch.nn.functional.silu(h @ w[p + "ffn_gate"].T) * (h @ w[p + "ffn_up"].T)) @ w[p + "ffn_down"].T
    return norm(x, w["output_norm"]) @ w["token_embd" if c["tied"] else "output"].T


def weights(c, vocab):
    q, kv = c["heads"] * c["head_dim"], c["kv"] * c["head_dim"]
    shapes = {"token_embd": (vocab, c["dim"]), "output_norm": (c["dim"],)}
    if not c["tied"]:
        shapes["output"] = (vocab, c["dim"])
    for i in range(2):
        p = "blk.%d." % i
        shapes.update({p + "attn_norm": (c["dim"],), p + "attn_q": (q, c["dim"]), p + "attn_k": (kv, c["dim"]),
                       p + "attn_v": (kv, c["dim"]), p + "attn_output": (c["dim"], q), p + "ffn_norm": (c["dim"],),
                       p + "ffn_gate": (c["ffn"], c["dim"]), p + "ffn_up": (c["ffn"], c["dim"]), p + "ffn_down": (c["dim"], c["ffn"])})
        if c["arch"] == "qwen2":
            shapes.update({p + "attn_q.bias": (q,), p + "attn_k.bias": (kv,), p + "attn_v.bias": (kv,)})
    made = {}
    for name, shape in shapes.items():
        scale = 1.0 if name == "token_embd" or name.endswith("bias") else 1 / math.sqrt(shape[-1])
        value = torch.randn(shape) * scale if len(shape) > 1 or name.endswith("bias") else 1 + torch.randn(shape) / 8
        made[name] = value.float().double()  # what the file can hold
    return made


def permuted(w, heads):
    """Rows from halves to pairs."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, -1).transpose(1, 2).reshape(w.shape)


def soft_golden(c, w, vocab):
    """Every third token is a vector; the sum of -log p of what follows every other one, and its gradient; then, of the same targets,
    binary cross-entropy of one piece's logit, with the gradients of some weights as well."""
    soft = torch.randn(c["soft"], c["dim"]).float().double().requires_grad_()
    ids = [vocab + i % c["soft"] if i % 3 == 1 else (5 * i + 3) % vocab for i in range(TOKENS)]
    targets = [(11 * i + 2) % vocab if i % 2 else -1 for i in range(TOKENS)]
    logits = forward(c, {**w, "token_embd": torch.cat([w["token_embd"], soft])}, ids)
    nll = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), ignore_index=-1, reduction="sum")
    nll.backward()
    made = {"soft_grad": soft.grad.numpy().copy()}
    soft.grad.zero_()
    leaves = {n: w[n].clone().requires_grad_() for n in ("output", "output_norm", "blk.1.ffn_down", "token_embd")}
    logits_yes = forward(c, {**w, **leaves, "token_embd": torch.cat([leaves["token_embd"], soft])}, ids)
    at = [i for i in range(TOKENS) if targets[i] >= 0]
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        logits_yes[at, POSITIVE], torch.tensor([float(targets[i] == POSITIVE) for i in at]), reduction="sum")
    bce.backward()
    made.update({"bce.%s" % n: v.grad.numpy() for n, v in {**leaves, "soft": soft}.items()})
    made["bce"] = bce.detach().numpy().reshape(1)
    return {**made, "ids": np.array(ids), "targets": np.array(targets), "soft": soft.detach().numpy(), "logits": logits.detach().numpy(),
            "nll": nll.detach().numpy().reshape(1)}


def main():
    folder = sys.argv[1]
    for seed, (name, c) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        vocab_keys, vocab = vocabulary(c["arch"])
        w = weights(c, vocab)
        ids = [(7 * i + 3 + i * i) % vocab for i in range(TOKENS)]
        keys = {"general.architecture": c["arch"]}
        sizes = {"context_length": 64, "embedding_length": c["dim"], "block_count": 2, "feed_forward_length": c["ffn"],
                 "attention.head_count": c["heads"], "attention.head_count_kv": c["kv"],
                 "attention.key_length": c["head_dim"], "attention.value_length": c["head_dim"],
                 "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": c["theta"]}
        s = c["scaling"]
        if s and s["type"] == "linear":
            sizes.update({"rope.scaling.type": "linear", "rope.scaling.factor": s["factor"]})
        elif s and not c.get("freqs"):
            sizes.update({"rope.scaling.type": "llama3", "rope.scaling.factor": s["factor"],
                          "rope.scaling.low_freq_factor": s["low"], "rope.scaling.high_freq_factor": s["high"],
                          "rope.scaling.original_context_length": s["original"]})
        keys.update({"%s.%s" % (c["arch"], k): v for k, v in sizes.items()})
        keys.update(vocab_keys)
        tensors = {}
        for key, value in w.items():
            if c["arch"] == "llama" and key.endswith(("attn_q", "attn_k")):
                value = permuted(value, c["heads"] if key.endswith("q") else c["kv"])
            tensors[key if key.endswith("bias") else key + ".weight"] = value.numpy()
        if c.get("freqs"):
            tensors["rope_freqs.weight"] = frequencies(c)[1].numpy()
        write("%s/%s.gguf" % (folder, name), keys, tensors)
        golden = soft_golden(c, w, vocab) if c.get("soft") else {"ids": np.array(ids), "logits": forward(c, w, ids).numpy()}
        write_golden(folder, name, golden)


main()
