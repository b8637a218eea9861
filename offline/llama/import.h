/*
 * Import: a LLaMA as most trainers publish it (config.json and safetensors, in one file or several)
 * as GGUF. Also Qwen2's layout, which is the same with biases.
 *
 * Rows of attn_q and attn_k are put into the order that GGUF's rotation wants: there component 2 i
 * turns with 2 i + 1, in the published weights i with i + d / 2 (Qwen2's stay as they are).
 *
 * source   schemas/recgen.md; GGUF's llama architecture (ggml)
 */
#ifndef LCF_OFFLINE_LLAMA_IMPORT_H
#define LCF_OFFLINE_LLAMA_IMPORT_H

#include "offline/llama/llama.h"

/*
 * Writes `out` (one GGUF file, matrices as `type`) from the folder `dir`. The vocabulary comes from
 * the GGUF file `tokenizer`: tokenizer.json is not read.
 *
 * errors   EFORMAT config.json or a tensor is missing, misshapen or of another type (named);
 *          EUNSUPPORTED another architecture, activation or rotation (named); EINVAL the vocabulary
 *          is of another size; those of the files
 * memory   all weights as f32
 */
lcf_status lcf_llama_import(const char *out, const char *dir, const char *tokenizer,
                            lcf_gguf_type type, lcf_err *err);

#endif
