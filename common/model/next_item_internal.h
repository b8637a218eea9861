/*
 * What encoders of histories and the next-item model know of each other. An encoder is one file:
 * its parameters, its forward pass, one lcf_next_encoder; adding one means adding that file and a
 * line to ENCODERS in next_item.c. Private to common/model.
 */
#ifndef LCF_COMMON_MODEL_NEXT_ITEM_INTERNAL_H
#define LCF_COMMON_MODEL_NEXT_ITEM_INTERNAL_H

#include "common/model/next_item.h"

/* What every piece of a forward pass needs. */
typedef struct next_pass {
    lcf_tape *tape;
    const lcf_next *m;
    const lcf_next_config *config;
    lcf_grads *grads;
    const lcf_next_batch *batch;
    const uint32_t *items; /* the batch's, 0 where the table does not know one */
    lcf_rng *rng;
} next_pass;

typedef struct lcf_next_encoder {
    const char *name;
    /* What it cannot do with this configuration; NULL where all goes. */
    lcf_status (*check)(const lcf_next_config *config, lcf_err *err);
    lcf_status (*declare)(lcf_next *m, const lcf_next_config *config, lcf_err *err);
    lcf_tensor *(*forward)(const next_pass *p); /* [queries_n, dim] */
} lcf_next_encoder;

extern const lcf_next_encoder lcf_next_youtubednn, lcf_next_gru4rec, lcf_next_sasrec,
    lcf_next_srgnn;

/* A parameter `prefix`.`name` of rows x cols, or of rows elements when cols is 0; `layer` numbers
 * the prefix, LCF_NEXT_ONE where there is only one. */
#define LCF_NEXT_ONE UINT32_MAX
typedef struct next_param {
    const char *name;
    size_t rows, cols;
    lcf_init kind;
    float scale;
} next_param;
lcf_status lcf_next_declare(lcf_next *m, const char *prefix, uint32_t layer,
                            const next_param *params, size_t n, lcf_err *err);
/* The one declared under that name. */
lcf_tensor *lcf_next_param(const next_pass *p, const char *prefix, uint32_t layer,
                           const char *name);

lcf_tensor *lcf_next_table(const next_pass *p); /* [items_n, dim] */
lcf_tensor *lcf_next_dropout(const next_pass *p, lcf_tensor *x);
/* x W + b with the parameters `name`.w and `name`.b of the prefix. */
lcf_tensor *lcf_next_linear(const next_pass *p, const char *prefix, uint32_t layer,
                            const char *name, lcf_tensor *x);

/* Every query with its own copy of what it sees: for encoders that cannot share a pass. */
typedef struct next_prefixes {
    uint32_t *offsets; /* [queries_n + 1] */
    uint32_t *items;   /* [offsets[queries_n]] */
} next_prefixes;
/* false when out of memory, which the tape then remembers. */
bool lcf_next_prefixes(next_prefixes *out, const next_pass *p);
/* The last token that each query sees: rows of something [tokens_n, D] -> [queries_n, D]. */
lcf_tensor *lcf_next_last(const next_pass *p, lcf_tensor *tokens);

#endif
