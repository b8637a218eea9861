#!/usr/bin/python3
"""Writes golden/bert_{mean,cls}.gguf, tiny random BERTs, and the vectors of a few texts (.txt, .f32), computed here in PyTorch
in float64. Usage: make_bert_golden.py tests/parity/golden"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

from gguf_file import write, write_golden

torch.set_default_dtype(torch.float64)
DIM, HEADS, FFN, LAYERS, CONTEXT, EPS = 24, 3, 40, 2, 16, 1e-12
WORDS = ["the", "cat", "sat", "on", "a", "mat", "un", ",", "!"]
PIECES = ["happy", "ly", "s"]
TEXTS = ["the cat sat on a mat", "Unhappy cats!", "a", "the " * 20]  # the last is cut


def vocabulary():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + ["\u2581" + w for w in WORDS] + PIECES
    return tokens, {"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens,
                    "tokenizer.ggml.token_type": [3] * 4 + [1] * (len(tokens) - 4), "tokenizer.ggml.cls_token_id": 2,
                    "tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.unknown_token_id": 1}


def ids_of(tokens, text):
    cover = {"unhappy": ["\u2581un", "happy"], "cats!": ["\u2581cat", "s", "\u2581!"]}
    ids = [2]
    for word in text.lower().split():
        ids += [tokens.index(t) for t in cover.get(word, ["\u2581" + word])]
    return ids[:CONTEXT - 1] + [3]


def weights(vocab):
    shapes = {"token_embd.weight": (vocab, DIM), "token_types.weight": (2, DIM), "position_embd.weight": (CONTEXT, DIM),
              "token_embd_norm.weight": (DIM,), "token_embd_norm.bias": (DIM,)}
    for i in range(LAYERS):
        for name, out, inp in (("attn_q", DIM, DIM), ("attn_k", DIM, DIM), ("attn_v", DIM, DIM), ("attn_output", DIM, DIM),
                               ("ffn_up", FFN, DIM), ("ffn_down", DIM, FFN)):
            shapes["blk.%d.%s.weight" % (i, name)] = (out, inp)
            shapes["blk.%d.%s.bias" % (i, name)] = (out,)
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes["blk.%d.%s.weight" % (i, name)] = (DIM,)
            shapes["blk.%d.%s.bias" % (i, name)] = (DIM,)
    made = {}
    for name, shape in shapes.items():
        value = torch.randn(shape) * (2 / math.sqrt(shape[-1]) if len(shape) > 1 else .2)
        if name.endswith("norm.weight"):
            value += 1
        made[name] = value.float().double()
    return made


def forward(w, ids, pooling):
    x = w["token_embd.weight"][ids] + w["token_types.weight"][0] + w["position_embd.weight"][:len(ids)]
    x = F.layer_norm(x, (DIM,), w["token_embd_norm.weight"], w["token_embd_norm.bias"], EPS)
    for i in range(LAYERS):
        def linear(name, y):
            return F.linear(y, w["blk.%d.%s.weight" % (i, name)], w["blk.%d.%s.bias" % (i, name)])

        def norm(name, y):
            return F.layer_norm(y, (DIM,), w["blk.%d.%s.weight" % (i, name)], w["blk.%d.%s.bias" % (i, name)], EPS)
        q, k, v = (linear("attn_" + n, x).view(len(ids), HEADS, -1).transpose(0, 1) for n in "qkv")
        a = (q @ k.transpose(1, 2) / math.sqrt(DIM / HEADS)).softmax(-1) @ v
        x = norm("attn_output_norm", x + linear("attn_output", a.transpose(0, 1).reshape(len(ids), DIM)))
        x = norm("layer_output_norm", x + linear("ffn_down", F.gelu(linear("ffn_up", x))))
    return F.normalize(x.mean(0) if pooling == 1 else x[0], dim=0)


def main():
    tokens, keys = vocabulary()
    for name, pooling in (("bert_mean", 1), ("bert_cls", 2)):
        torch.manual_seed(pooling)
        w = weights(len(tokens))
        write("%s/%s.gguf" % (sys.argv[1], name),
              {"general.architecture": "bert", "bert.context_length": CONTEXT, "bert.embedding_length": DIM,
               "bert.block_count": LAYERS, "bert.feed_forward_length": FFN, "bert.attention.head_count": HEADS,
               "bert.attention.layer_norm_epsilon": EPS, "bert.attention.causal": False, "bert.pooling_type": pooling, **keys},
              {k: v.numpy() for k, v in w.items()})
        golden = {}
        for i, text in enumerate(TEXTS):
            ids = ids_of(tokens, text)
            golden["ids%d" % i] = np.array(ids)
            golden["vector%d" % i] = forward(w, ids, pooling).numpy()
        write_golden(sys.argv[1], name, golden)


main()
