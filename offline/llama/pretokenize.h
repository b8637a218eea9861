/*
 * Pre-tokenizers: how a text falls into words before a byte-level BPE merges within them.
 *
 * Each is published as a regular expression; here it is a scanner that reads every character a
 * bounded number of times, so that no text is slow. The words of a text, one after another, are the
 * text.
 *
 * source   GPT-2: '(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *          Llama 3: '(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 *                   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *          Qwen 2: the same with \p{N} in place of \p{N}{1,3}
 *          SmolLM: every \p{N} on its own, GPT-2's between them
 */
#ifndef LCF_OFFLINE_LLAMA_PRETOKENIZE_H
#define LCF_OFFLINE_LLAMA_PRETOKENIZE_H

#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum lcf_pretokenizer {
    LCF_PRE_GPT2,
    LCF_PRE_LLAMA3,
    LCF_PRE_QWEN2,
    LCF_PRE_SMOLLM,
} lcf_pretokenizer;

/* By the value of tokenizer.ggml.pre, or one of the names that files give the same rule; false:
 * unknown. */
bool lcf_pretokenizer_parse(lcf_pretokenizer *out, lcf_str name);
/* "gpt-2", "llama-bpe", "qwen2", "smollm" */
const char *lcf_pretokenizer_name(lcf_pretokenizer pre);
/* Bytes of the word that a text begins with: 1 .. n. n >= 1; any bytes. */
size_t lcf_pretoken_bytes(lcf_pretokenizer pre, const char *text, size_t n);

#endif
