/*
 * The Q-Former of ILM: learnable queries that read one collaborative vector of an item (or of a
 * user, a special item) and come out as a few vectors that a language model can be given.
 *
 * As BLIP-2's: layers of self-attention that queries and text share, every `cross_every`-th of them
 * followed by cross-attention of the queries to the vector, then feed-forward layers, separate for
 * queries and text; normalisation behind each (BERT's order). The text branch and the heads are for
 * phase 1 of training; a language model is given the queries alone.
 *
 * Life cycle: create (random weights) or open (a weights file) -> forward on a tape (training), or
 * encode (inference) -> free. A model is read only during a pass and shared between threads; a tape
 * belongs to one.
 *
 * source   Li et al. 2023 (BLIP-2); ILM, arXiv 2406.02844; companions.md section 3;
 *          schemas/qformer.md
 */
#ifndef LCF_OFFLINE_ILM_QFORMER_H
#define LCF_OFFLINE_ILM_QFORMER_H

#include "common/base/bundle.h"
#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/nn/tape.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_QFORMER_VERSION 1 /* of a weights file, kind "qformer" */
#define LCF_QFORMER_LAYERS_MAX 48

typedef struct lcf_qformer_config {
    uint32_t layers, hidden, heads, ffn;
    uint32_t queries;     /* K, vectors per item */
    uint32_t item_dim;    /* of the collaborative vector */
    uint32_t feature_dim; /* of the space of the contrastive losses */
    uint32_t vocab;       /* of the tokenizer; the table has LCF_QFORMER_MARKS_N rows more */
    uint32_t text_max;    /* tokens of a text with its two marks */
    uint32_t cross_every; /* layers 0, cross_every, ... look at the vector */
    float dropout;
    float item_scale; /* vectors are multiplied by it first: 1 / their root mean square */
} lcf_qformer_config;

/* Sizes for minutes on two cores; item_dim and vocab are the caller's. */
#define LCF_QFORMER_CONFIG_INIT                                                              \
    {                                                                                        \
        .layers = 4, .hidden = 128, .heads = 4, .ffn = 512, .queries = 8, .feature_dim = 64, \
        .text_max = 32, .cross_every = 2, .dropout = 0.1f, .item_scale = 1.0f                \
    }

/* Marks of a text, behind the tokenizer's ids: vocab + mark. A text to compare is CLS ... END, one
 * to write DEC ... END. */
typedef enum lcf_qformer_mark {
    LCF_QFORMER_CLS,
    LCF_QFORMER_DEC,
    LCF_QFORMER_END
} lcf_qformer_mark;
#define LCF_QFORMER_MARKS_N 3

typedef struct lcf_qformer lcf_qformer;

/* errors: EINVAL a configuration that cannot be (the field is named); ENOMEM */
lcf_status lcf_qformer_create(lcf_qformer **out, const lcf_qformer_config *config, uint64_t seed,
                              lcf_err *err);
void lcf_qformer_free(lcf_qformer *m);
const lcf_qformer_config *lcf_qformer_config_of(const lcf_qformer *m);
lcf_params *lcf_qformer_params(lcf_qformer *m);

/* A weights file of its own. errors: open: as lcf_bundle_open, EFORMAT a configuration that does
 * not fit the weights, a weight that is not finite; save: ENOSPC, EIO */
lcf_status lcf_qformer_open(lcf_qformer **out, const char *path, lcf_err *err);
lcf_status lcf_qformer_save(const lcf_qformer *m, const char *path, lcf_err *err);
/* As a part of another file: the arrays "qformer.config" and "param.<name>". get: EFORMAT */
lcf_status lcf_qformer_add_to(lcf_bundle_writer *w, const lcf_qformer *m, lcf_err *err);
lcf_status lcf_qformer_get_from(lcf_qformer **out, const lcf_bundle *bundle, lcf_err *err);

/* ---- forward, on a tape ---- */

/* What every piece of a forward pass needs. */
typedef struct lcf_qformer_pass {
    lcf_tape *tape;
    const lcf_qformer *m;
    lcf_grads *grads; /* of lcf_qformer_params; NULL on a tape that does not record */
    lcf_rng *rng;     /* of dropout, used only while the tape records */
} lcf_qformer_pass;

/*
 * The query branch of n vectors, which nothing else is looked at by: what a language model is
 * given.
 *
 * shapes   vectors [n, item_dim], must outlive the step -> [n * queries, hidden]
 * errors   sticky on the tape
 */
lcf_tensor *lcf_qformer_queries(const lcf_qformer_pass *p, const float *vectors, size_t n);

/* n >= 1 texts, none empty or longer than text_max; must outlive the step. */
typedef struct lcf_qformer_texts {
    size_t n;
    const uint32_t *ids;     /* [offsets[n]] below vocab + LCF_QFORMER_MARKS_N */
    const uint32_t *offsets; /* [n + 1] from 0 */
} lcf_qformer_texts;

/* What queries and text of a pair see of each other. source: BLIP-2, figure 2 */
typedef enum lcf_qformer_mask {
    LCF_QFORMER_SEPARATE,      /* nothing: each sees its own (contrastive) */
    LCF_QFORMER_BIDIRECTIONAL, /* everything (matching) */
    LCF_QFORMER_UNILM,         /* queries nothing; a token the queries and what precedes it
                                  (generation) */
} lcf_qformer_mask;

/*
 * Both branches over n pairs (vector i, text i); vectors or texts may be NULL with
 * LCF_QFORMER_SEPARATE, the branch is then NULL.
 *
 * With LCF_QFORMER_UNILM the queries are those of LCF_QFORMER_SEPARATE, so that one pass serves
 * contrast and generation.
 *
 * shapes   vectors [n, item_dim]; queries [n * queries, hidden]; text [offsets[n], hidden]
 * errors   sticky on the tape
 */
typedef struct lcf_qformer_out {
    lcf_tensor *queries, *text;
} lcf_qformer_out;
lcf_qformer_out lcf_qformer_forward(const lcf_qformer_pass *p, const float *vectors, size_t n,
                                    const lcf_qformer_texts *texts, lcf_qformer_mask mask);

/* ---- heads of phase 1 ---- */

/* L2-normalised features of all queries, and of the first token of each text. shapes: [n * queries,
 * feature_dim], [texts->n, feature_dim] */
lcf_tensor *lcf_qformer_query_features(const lcf_qformer_pass *p, lcf_tensor *queries);
lcf_tensor *lcf_qformer_text_features(const lcf_qformer_pass *p, lcf_tensor *text,
                                      const lcf_qformer_texts *texts);
/* What similarities of items and texts, or of two vectors, are divided by [1], trained. */
typedef enum lcf_qformer_space { LCF_QFORMER_TEXTS, LCF_QFORMER_VECTORS } lcf_qformer_space;
#define LCF_QFORMER_SPACES_N 2
lcf_tensor *lcf_qformer_temperature(const lcf_qformer_pass *p, lcf_qformer_space space);
/* Brings both temperatures back into [0.001, 0.5]. After a step. source: ALBEF */
void lcf_qformer_clamp_temperatures(lcf_qformer *m);
/* Logits of (no match, match): the mean of the queries' own. shapes: [n * queries, hidden] -> [n,
 * 2] */
lcf_tensor *lcf_qformer_match(const lcf_qformer_pass *p, lcf_tensor *queries);
/* Logits of the next token; the output layer is the table of tokens. shapes: rows [N, hidden] ->
 * [N, vocab + LCF_QFORMER_MARKS_N] */
lcf_tensor *lcf_qformer_next_token(const lcf_qformer_pass *p, lcf_tensor *rows);

/* ---- inference ---- */

/*
 * The query branch without a tape. One key needs no scores: cross-attention is one product of the
 * vector with the values' and the output's weights, added to every query.
 *
 * shapes   out [n * queries, hidden]; vectors [n, item_dim]
 * errors   ENOMEM
 * threads  safe: reads `m` only; the result does not depend on how many vectors there are
 */
lcf_status lcf_qformer_encode(float *out, const lcf_qformer *m, const float *vectors, size_t n,
                              lcf_err *err);

#endif
