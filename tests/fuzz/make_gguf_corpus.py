#!/usr/bin/python3
"""Writes the corpus of fuzz_gguf: tiny files of every version, with every kind of value and tensor type, a vocabulary and a
model small enough to run. Usage: make_gguf_corpus.py FOLDER"""
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TYPES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 12: (256, 144), 13: (256, 176),
         14: (256, 210), 30: (1, 2)}


def count(version, n):
    return struct.pack("<I" if version == 1 else "<Q", n)


def string(version, text):
    return count(version, len(text)) + text


def value(version, kind, v):
    if kind == STRING:
        return string(version, v)
    if kind == ARRAY:
        return struct.pack("<I", v[0]) + count(version, len(v[1])) + b"".join(value(version, v[0], x) for x in v[1])
    return struct.pack("<" + CODES[kind], v)


def gguf(version, keys, tensors, alignment=32):
    out = b"GGUF" + struct.pack("<I", version) + count(version, len(tensors)) + count(version, len(keys))
    for name, kind, v in keys:
        out += string(version, name) + struct.pack("<I", kind) + value(version, kind, v)
    data = b""
    for name, dims, kind in tensors:
        data += b"\0" * (-len(data) % alignment)
        out += string(version, name) + struct.pack("<I", len(dims)) + b"".join(count(version, d) for d in dims)
        out += struct.pack("<IQ", kind, len(data))
        n = 1
        for d in dims:
            n *= d
        block, size = TYPES[kind]
        data += bytes((7 * i + 3) % 61 for i in range(n // block * size))
    return out + b"\0" * (-len(out) % alignment) + data


def vocabulary(version_bytes):
    pieces = [b"<unk>", b"<s>", b"</s>"] + ([b"<0x%02X>" % i for i in range(256)] if version_bytes else [])
    types = [2, 3, 3] + ([6] * 256 if version_bytes else [])
    words = [b"\xe2\x96\x81", b"t", b"h", b"e", b"th", b"the", b"\xe2\x96\x81the"]
    scores = [0.0] * len(pieces) + [-float(i) for i in range(len(words))]
    return [(b"tokenizer.ggml.model", STRING, b"llama"),
            (b"tokenizer.ggml.tokens", ARRAY, (STRING, pieces + words)),
            (b"tokenizer.ggml.scores", ARRAY, (F32, scores)),
            (b"tokenizer.ggml.token_type", ARRAY, (I32, types + [1] * len(words))),
            (b"tokenizer.ggml.bos_token_id", U32, 1)], len(pieces + words)


def model(version, kind, arch=b"llama", extra_keys=(), extra_tensors=()):
    keys, vocab_n = vocabulary(False)
    keys += [(b"general.architecture", STRING, b"llama"), (b"llama.context_length", U32, 8), (b"llama.embedding_length", U32, 4),
             (b"llama.block_count", U32, 1), (b"llama.feed_forward_length", U16, 4), (b"llama.attention.head_count", U8, 2),
             (b"llama.attention.head_count_kv", I32, 1), (b"llama.attention.layer_norm_rms_epsilon", F32, 1e-5)]
    tensors = [(b"token_embd.weight", (4, vocab_n), kind), (b"output_norm.weight", (4,), 0)]
    for name, dims in (("attn_norm", (4,)), ("ffn_norm", (4,)), ("attn_q", (4, 4)), ("attn_k", (4, 2)), ("attn_v", (4, 2)),
                       ("attn_output", (4, 4)), ("ffn_gate", (4, 4)), ("ffn_up", (4, 4)), ("ffn_down", (4, 4))):
        tensors.append((b"blk.0.%s.weight" % name.encode(), dims, kind if len(dims) > 1 else 0))
    keys = [(k.replace(b"llama.", arch + b"."), t, arch if k == b"general.architecture" else v) for k, t, v in keys]
    return gguf(version, keys + list(extra_keys), tensors + list(extra_tensors))


def byte_level():
    """A byte-level vocabulary with a few merges, a control and a user-defined piece."""
    plain = [b for b in range(256) if 33 <= b <= 126 or (b >= 161 and b != 173)]
    others = [b for b in range(256) if b not in plain]
    names = {b: chr(b) for b in plain}
    names.update({b: chr(256 + i) for i, b in enumerate(others)})
    pieces = [names[b].encode() for b in range(256)] + [b"th", b"the", b"\xc4\xa0the", b"<|im_end|>", b"<tab>"]
    return [(b"tokenizer.ggml.model", STRING, b"gpt2"), (b"tokenizer.ggml.pre", STRING, b"qwen2"),
            (b"tokenizer.ggml.tokens", ARRAY, (STRING, pieces)),
            (b"tokenizer.ggml.token_type", ARRAY, (I32, [1] * 259 + [3, 4])),
            (b"tokenizer.ggml.merges", ARRAY, (STRING, [b"t h", b"th e", b"\xc4\xa0 the"])),
            (b"tokenizer.ggml.eos_token_id", U32, 259),
            (b"tokenizer.chat_template", STRING, b"<|im_start|>{{ content }}<|im_end|>")]


def wordpiece():
    mark = b"\xe2\x96\x81"
    pieces = [b"[UNK]", b"[CLS]", b"[SEP]", mark + b"the", mark + b"caf", b"e", mark + b"cat", b"s", mark + b"<", mark + b"/"]
    return [(b"tokenizer.ggml.model", STRING, b"bert"), (b"tokenizer.ggml.tokens", ARRAY, (STRING, pieces)),
            (b"tokenizer.ggml.token_type", ARRAY, (I32, [3, 3, 3] + [1] * 7)),
            (b"tokenizer.ggml.cls_token_id", U32, 1), (b"tokenizer.ggml.seperator_token_id", U32, 2),
            (b"tokenizer.ggml.unknown_token_id", U32, 0)]


def bert():
    tensors = [(b"token_embd.weight", (4, 10), 0), (b"token_types.weight", (4, 2), 0), (b"position_embd.weight", (4, 6), 1),
               (b"token_embd_norm.weight", (4,), 0), (b"token_embd_norm.bias", (4,), 0)]
    for name, out, inp in ((b"attn_q", 4, 4), (b"attn_k", 4, 4), (b"attn_v", 4, 4), (b"attn_output", 4, 4), (b"ffn_up", 6, 4), (b"ffn_down", 4, 6)):
        tensors += [(b"blk.0.%s.weight" % name, (inp, out), 0), (b"blk.0.%s.bias" % name, (out,), 0)]
    for name in (b"attn_output_norm", b"layer_output_norm"):
        tensors += [(b"blk.0.%s.weight" % name, (4,), 0), (b"blk.0.%s.bias" % name, (4,), 0)]
    keys = [(b"general.architecture", STRING, b"bert"), (b"bert.context_length", U32, 6), (b"bert.embedding_length", U32, 4),
            (b"bert.block_count", U32, 1), (b"bert.feed_forward_length", U32, 6), (b"bert.attention.head_count", U32, 2),
            (b"bert.attention.layer_norm_epsilon", F32, 1e-12), (b"bert.pooling_type", U32, 1)]
    return gguf(3, keys + wordpiece(), tensors)


def main():
    every_kind = [(b"k%d" % k, k, 1) for k in CODES] + [(b"s", STRING, b"text"), (b"a", ARRAY, (U16, [1, 2, 3])),
                                                       (b"e", ARRAY, (STRING, []))]
    every_type = [(b"t%d" % t, (256, 1, 2), t) for t in TYPES]
    files = {
        "kinds_v1": gguf(1, every_kind, []), "kinds_v3": gguf(3, every_kind, []),
        "types_v2": gguf(2, [], every_type), "aligned_v3": gguf(3, [(b"general.alignment", U32, 64)], every_type[:2], 64),
        "vocabulary_v3": gguf(3, vocabulary(True)[0], []), "model_v1": model(1, 0), "model_v3": model(3, 0),
        "model_f16": model(3, 1), "model_bf16": model(3, 30),
        "model_qwen2": model(3, 0, b"qwen2", extra_tensors=[(b"blk.0.attn_%s.bias" % n, (d,), 0) for n, d in
                                                            ((b"q", 4), (b"k", 2), (b"v", 2))]),
        "model_llama3": model(3, 0, extra_keys=[(b"llama.rope.scaling.type", STRING, b"llama3"),
                                                (b"llama.rope.scaling.factor", F32, 8.0),
                                                (b"llama.rope.scaling.original_context_length", U32, 8)]),
        "model_freqs": model(3, 0, extra_keys=[(b"llama.rope.scaling.type", STRING, b"linear"),
                                               (b"llama.rope.scaling.factor", F32, 2.0)],
                             extra_tensors=[(b"rope_freqs.weight", (1,), 0)]),
        "byte_level_v3": gguf(3, byte_level(), []), "wordpiece_v2": gguf(2, wordpiece(), []), "bert_v3": bert(),
        "deep_array": gguf(3, [(b"a", ARRAY, (ARRAY, []))], []), "empty": b"", "magic": b"GGUF",
    }
    for name, data in files.items():
        with open("%s/%s.gguf" % (sys.argv[1], name), "wb") as f:
            f.write(data)


main()
