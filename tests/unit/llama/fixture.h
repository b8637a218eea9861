/*
 * A tiny random LLaMA and its vocabulary, made on the spot for the tests of this folder.
 */
#ifndef LCF_TESTS_UNIT_LLAMA_FIXTURE_H
#define LCF_TESTS_UNIT_LLAMA_FIXTURE_H

#include "offline/llama/llama.h"

/* The texts that the fixture's vocabulary is trained on. */
extern const lcf_str FIXTURE_TEXTS[];
extern const size_t FIXTURE_TEXTS_N;

typedef struct fixture_options {
    lcf_gguf_type type;
    size_t dim, heads_n, kv_heads_n, head_dim, ffn_dim, layers_n, context_n;
    bool tied;
    uint64_t seed;
} fixture_options;
#define FIXTURE_OPTIONS_INIT                              \
    {                                                     \
        LCF_GGUF_F32, 32, 6, 2, 10, 48, 2, 100, false, 11 \
    }

/* Writes a model with random weights of about unit gain. Fails the test on any error. */
void fixture_write(const char *path, const fixture_options *options);

/* ... and opens it. lcf_llama_close() closes it. */
lcf_llama *fixture_open(const char *path, const fixture_options *options);

/* Ids of its vocabulary, drawn. */
void fixture_ids(uint32_t *ids, size_t n, const lcf_llama *m, uint64_t seed);

/* Decodes at most 64 ids of one sequence; *logits: of the last. */
void fixture_feed(lcf_llama_session *s, const uint32_t *ids, size_t n, uint32_t seq,
                  const float **logits);

/* "$LCF_DATA/llama/<name>", or NULL (skip) where the shared data is absent. free() releases it. */
char *fixture_data(const char *name);

/* A piece a byte, each byte its own id, and behind them control pieces for the markers of ChatML
 * and Llama 3, whose <|begin_of_text|> is <s>. */
lcf_tokenizer *fixture_bytes_and_markers(void);
/* The ids as text, control pieces by name in braces; free() releases it. */
char *fixture_shown(const lcf_tokenizer *t, const lcf_tokens *ids);

#endif
