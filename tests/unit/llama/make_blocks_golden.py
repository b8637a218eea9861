#!/usr/bin/python3
"""Writes blocks_golden.h: raw blocks of every quantised GGUF type and the f32 values that the formats' definition gives,
value by value in numpy. Usage: make_blocks_golden.py > blocks_golden.h"""
import numpy as np

f32 = np.float32
RNG = np.random.default_rng(7)


def half(raw, at):
    return f32(np.frombuffer(raw[at:at + 2], "<f2")[0])


def nibble(raw, at, i, width):
    """Code i of a run of 2 * width codes: the first `width` in the low halves of the bytes, the others in the high."""
    return raw[at + i % width] >> (4 if i >= width else 0) & 15


def bit(raw, at, i):
    return raw[at + i // 8] >> (i % 8) & 1


def six_bits(raw, s):
    """Scale and minimum of sub-block s of a K block with its 12 bytes at 4."""
    b = raw[4:16]
    if s < 4:
        return b[s] & 63, b[s + 4] & 63
    return (b[s + 4] & 15) | (b[s - 4] >> 6) << 4, (b[s + 4] >> 4) | (b[s] >> 6) << 4


def q4_0(raw, i):
    return half(raw, 0) * f32(nibble(raw, 2, i, 16) - 8)


def q4_1(raw, i):
    return half(raw, 0) * f32(nibble(raw, 4, i, 16)) + half(raw, 2)


def q5_0(raw, i):
    return half(raw, 0) * f32((nibble(raw, 6, i, 16) | bit(raw, 2, i) << 4) - 16)


def q5_1(raw, i):
    return half(raw, 0) * f32(nibble(raw, 8, i, 16) | bit(raw, 4, i) << 4) + half(raw, 2)


def q8_0(raw, i):
    return half(raw, 0) * f32(np.int8(np.uint8(raw[2 + i])))


def k_value(raw, i, code):
    scale, least = six_bits(raw, i // 32)
    return half(raw, 0) * f32(scale) * f32(code) - half(raw, 2) * f32(least)


def q4_k(raw, i):
    return k_value(raw, i, nibble(raw, 16 + i // 64 * 32, i % 64, 32))


def q5_k(raw, i):
    fifth = raw[16 + i % 32] >> (i // 32) & 1
    return k_value(raw, i, nibble(raw, 48 + i // 64 * 32, i % 64, 32) | fifth << 4)


def q6_k(raw, i):
    half_block, j = divmod(i, 128)
    low = nibble(raw, half_block * 64, j, 64)
    high = raw[128 + half_block * 32 + j % 32] >> (2 * (j // 32)) & 3
    scale = np.int8(np.uint8(raw[192 + i // 16]))
    return half(raw, 208) * f32(scale) * f32((low | high << 4) - 32)


# name: bytes, values, offsets of the f16 fields, rule
TYPES = {"Q4_0": (18, 32, [0], q4_0), "Q4_1": (20, 32, [0, 2], q4_1), "Q5_0": (22, 32, [0], q5_0),
         "Q5_1": (24, 32, [0, 2], q5_1), "Q8_0": (34, 32, [0], q8_0), "Q4_K": (144, 256, [0, 2], q4_k),
         "Q5_K": (176, 256, [0, 2], q5_k), "Q6_K": (210, 256, [208], q6_k)}


def table(kind, name, values):
    lines = ["static const %s %s[] = {" % (kind, name)]
    line = "   "
    for v in values:
        if len(line) + len(v) > 98:
            lines.append(line)
            line = "   "
        line += " " + v + ","
    return "\n".join(lines + [line, "};"])


def main():
    print("/* Written by make_blocks_golden.py: raw blocks and the bits of their values. */")
    print("#ifndef LCF_TESTS_UNIT_LLAMA_BLOCKS_GOLDEN_H\n#define LCF_TESTS_UNIT_LLAMA_BLOCKS_GOLDEN_H\n\n#include <stddef.h>\n#include <stdint.h>\n")
    rows = []
    for name, (size, n, halves, rule) in TYPES.items():
        raw, values = b"", []
        for b in range(3 if n == 32 else 1):
            block = bytearray(RNG.integers(0, 256, size, dtype=np.uint8).tobytes())
            for at in halves:
                scale = (np.float16(3e-6), np.float16(-.037), np.float16(1.71875))[(b + at) % 3]
                block[at:at + 2] = np.array([scale], "<f2").tobytes()
            raw += bytes(block)
            values += [rule(bytes(block), i) for i in range(n)]
        assert all(v.dtype == np.float32 for v in values)
        print(table("uint8_t", "RAW_" + name, ["%d" % b for b in raw]) + "\n")
        print(table("uint32_t", "VALUES_" + name, ["0x%08xu" % v.view(np.uint32) for v in values]) + "\n")
        rows.append('    {"%s", RAW_%s, VALUES_%s, sizeof(RAW_%s), %d},' % (name, name, name, name, len(values)))
    print("static const struct blocks_case {\n    const char *type;\n    const uint8_t *raw;\n    const uint32_t *values;\n"
          "    size_t bytes_n, n;\n} BLOCKS_GOLDEN[] = {\n" + "\n".join(rows) + "\n};\n\n#endif")


main()
