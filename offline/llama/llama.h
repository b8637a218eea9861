/*
 * LLaMA inference: RMSNorm, RoPE, grouped-query attention, SwiGLU; many sequences in one batch, a
 * KV cache per sequence.
 *
 * A model is read only and shared between threads; a session (KV cache and scratch) belongs to one
 * thread. The result for a token depends on the tokens before it in its own sequence alone: it is
 * the same bits in any batch, on one kind of processor.
 *
 * source   Touvron et al. 2023; tensor names as in GGUF's llama architecture
 */
#ifndef LCF_OFFLINE_LLAMA_LLAMA_H
#define LCF_OFFLINE_LLAMA_LLAMA_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/base/team.h"
#include "offline/llama/gguf.h"
#include "offline/llama/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How angles are changed so that a model reads farther than it was first trained for. */
typedef enum lcf_rope_scaling {
    LCF_ROPE_PLAIN,
    LCF_ROPE_LINEAR, /* every frequency divided by rope_factor */
    LCF_ROPE_LLAMA3, /* low frequencies divided by rope_factor, high ones kept, between them a
                        mixture */
} lcf_rope_scaling;

typedef struct lcf_llama_config {
    size_t vocab_n, dim, layers_n, heads_n, kv_heads_n, head_dim, ffn_dim, context_n;
    float rope_theta, norm_eps;
    bool tied;        /* the output matrix is the embedding table */
    bool rope_halves; /* components i and i + head_dim / 2 turn together (qwen2), not 2 i and
                         2 i + 1 */
    lcf_rope_scaling rope_scaling;
    float rope_factor;
    float rope_low_freq, rope_high_freq; /* LLAMA3: bounds as turns within rope_original_n */
    size_t rope_original_n;              /* LLAMA3: the context of the first training */
} lcf_llama_config;

/* A weight [rows, cols] (out, in), row-major, in the type it has where it lies. */
typedef struct lcf_llama_matrix {
    const void *data;
    lcf_gguf_type type;
    size_t rows, cols;
} lcf_llama_matrix;

/* n rows from `first` on as f32. */
void lcf_llama_matrix_rows(float *out, const lcf_llama_matrix *w, size_t first, size_t n);

typedef struct lcf_llama_layer {
    const float *attn_norm, *ffn_norm; /* [dim] */
    lcf_llama_matrix wq, wk, wv, wo, w_gate, w_up, w_down;
    const float *bq, *bk, *bv; /* [rows of the matrix]; NULL: none */
} lcf_llama_layer;

/* A model's weights, in the types that they have in the file: nothing is widened at open. */
typedef struct lcf_llama {
    lcf_llama_config config;
    lcf_llama_matrix embed, output; /* [vocab_n, dim]; the same when tied */
    const float *final_norm;
    const float *rope_factors; /* [head_dim / 2] by which frequencies are divided; NULL: none */
    lcf_llama_layer *layers;
    lcf_tokenizer *tokenizer;
    char id[33]; /* XXH3-128 of the file, hexadecimal: the model's identity in CoT keys */
    lcf_gguf *gguf;
    float *widened; /* owned storage of vectors that are not F32 in the file */
} lcf_llama;

/* errors: as lcf_gguf_open; EUNSUPPORTED architecture or type (named); EFORMAT tensor missing or
 * misshapen (named) */
lcf_status lcf_llama_open(lcf_llama **out, const char *path, lcf_err *err);
void lcf_llama_close(lcf_llama *m);
/* Writes config, vocabulary and weights; matrices as `type`, norms as F32. name: for general.name.
 */
lcf_status lcf_llama_save(const char *path, const lcf_llama *m, lcf_gguf_type type,
                          const char *name, lcf_err *err);

/*
 * Soft tokens: vectors that are read as if they stood behind the embedding table. Row i has the id
 * vocab_n + i; it can be a token of a prompt, never one that is expected or drawn.
 */
typedef struct lcf_soft_tokens {
    const float *rows; /* [n, dim], the caller's */
    size_t n;
} lcf_soft_tokens;

typedef struct lcf_llama_session lcf_llama_session;

/* seqs_max sequences of up to context_n tokens each, on the caller's thread alone. errors: ENOMEM
 * (with the bytes wanted), EINVAL */
lcf_status lcf_llama_session_create(lcf_llama_session **out, const lcf_llama *m, size_t seqs_max,
                                    size_t context_n, size_t batch_max, lcf_err *err);

typedef struct lcf_llama_session_options {
    size_t seqs_max, context_n, batch_max;
    size_t threads;      /* that work on a batch together; 0: one per processor */
    bool kv_f16;         /* the KV cache as F16, not F32: half the memory, rounded to 11 bits */
    size_t kv_bytes_max; /* of the KV cache; 0: as much as all sequences together can fill */
} lcf_llama_session_options;

/* As lcf_llama_session_create. The results do not depend on the number of threads. */
lcf_status lcf_llama_session_open(lcf_llama_session **out, const lcf_llama *m,
                                  const lcf_llama_session_options *options, lcf_err *err);
void lcf_llama_session_free(lcf_llama_session *s);
/* The soft tokens of the calls to come (in place of those before); the rows must outlive their use.
 * What was read keeps the values that it was read with. */
void lcf_llama_session_soft(lcf_llama_session *s, const lcf_soft_tokens *soft);
size_t lcf_llama_session_bytes(const lcf_llama_session *s);
size_t lcf_llama_session_seqs_max(const lcf_llama_session *s);
size_t lcf_llama_session_batch_max(const lcf_llama_session *s);

typedef struct lcf_llama_token {
    uint32_t id;
    uint32_t seq;
    bool want_logits;
} lcf_llama_token;

/*
 * Appends n tokens to their sequences (tokens of one sequence in order) and returns the logits of
 * those that want them, in the order of the batch.
 *
 * shapes   *logits [wanted, vocab_n], owned by the session, valid until the next call
 * errors   ELIMIT a sequence or the cache is full, or n > batch_max; EINVAL id or seq out of range
 */
lcf_status lcf_llama_decode(const float **logits, lcf_llama_session *s,
                            const lcf_llama_token *tokens, size_t n, lcf_err *err);
/*
 * dst becomes the first len tokens of src, at most its length (a prompt shared by several
 * candidates, an instruction shared by many prompts): full pages of the cache are shared, not
 * copied. False when the cache has no page left for the rest; dst is then empty. reset empties a
 * sequence.
 */
bool lcf_llama_seq_copy(lcf_llama_session *s, uint32_t dst, uint32_t src, size_t len);
void lcf_llama_seq_reset(lcf_llama_session *s, uint32_t seq);
size_t lcf_llama_seq_len(const lcf_llama_session *s, uint32_t seq);
/* The cache is handed out in pages of so many tokens of one sequence; and how many are left. */
#define LCF_LLAMA_PAGE 32
size_t lcf_llama_pages_free(const lcf_llama_session *s);
size_t lcf_llama_page_bytes(const lcf_llama *m, bool f16);
/* The session's threads, for work between two batches. */
lcf_team *lcf_llama_session_team(lcf_llama_session *s);

typedef struct lcf_sampling {
    float temperature;    /* 0 = greedy */
    uint32_t top_k;       /* 0 = off */
    float top_p;          /* 1 = off */
    float min_p;          /* drops what is less likely than min_p times the likeliest; 0 = off */
    float repeat_penalty; /* logits of what came before are divided by it, negative ones multiplied;
                             0 and 1 = off */
} lcf_sampling;
#define LCF_SAMPLING_INIT          \
    {                              \
        0.6f, 50, 1.0f, 0.0f, 1.0f \
    }
#define LCF_REPEAT_WINDOW 64 /* tokens that the penalty looks back */

typedef struct lcf_sampler lcf_sampler; /* scratch for one thread */
lcf_status lcf_sampler_create(lcf_sampler **out, size_t vocab_n, lcf_err *err);
void lcf_sampler_free(lcf_sampler *s);
/* Draws the next id; *logprob (may be NULL) is its log probability under the unmodified softmax.
 * Greedy ties: lowest id. past [past_n]: the text so far, for the penalty. */
uint32_t lcf_sampler_next(lcf_sampler *s, const float *logits, const uint32_t *past, size_t past_n,
                          const lcf_sampling *sampling, lcf_rng *rng, float *logprob);
/* log softmax(logits)[id], in double. */
double lcf_logprob(const float *logits, size_t vocab_n, uint32_t id);

typedef struct lcf_continuation {
    double logprob; /* under the softmax after the penalty */
    uint32_t id;
} lcf_continuation;
/*
 * What a text can go on with: the `most` likeliest with temperature 0, else all that top-k, top-p
 * and min-p leave. Returns how many.
 *
 * order    likeliest first, of equals the lower id; by id where nothing is left out
 * memory   *out belongs to the sampler, until its next call
 */
size_t lcf_sampler_continuations(const lcf_continuation **out, lcf_sampler *s, const float *logits,
                                 const uint32_t *past, size_t past_n, const lcf_sampling *sampling,
                                 size_t most);

#define LCF_STOPS_MAX 16
typedef struct lcf_stops {            /* a text ends before the first of these that appears */
    const char *texts[LCF_STOPS_MAX]; /* none is empty */
    size_t n;
} lcf_stops;
/* Where the first stop string in a text begins; len when there is none. */
size_t lcf_stops_find(const lcf_stops *stops, const char *text, size_t len);

#endif
