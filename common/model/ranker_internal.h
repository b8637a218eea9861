/*
 * The parts of the ranker as they know each other: parameter indices, the features of a batch, and
 * the pieces of the forward pass. Private to common/model.
 */
#ifndef LCF_COMMON_MODEL_RANKER_INTERNAL_H
#define LCF_COMMON_MODEL_RANKER_INTERNAL_H

#include "common/model/ranker.h"

#define LCF_RANKER_LAYERS_MAX 8
#define LCF_RANKER_PARAMS_MAX 128
#define LCF_RANKER_ROPE_THETA 10000.0f
#define LCF_RANKER_NORM_EPS 1e-5f

/* An MLP with ReLU between its layers: indices of weights and biases. */
typedef struct ranker_mlp {
    size_t layers_n;
    size_t w[3], b[3];
} ranker_mlp;

typedef struct ranker_layer {
    size_t norm1, q, k, v, o, norm2, gate, up, down;
} ranker_layer;

typedef struct ranker_fill {
    lcf_init kind;
    float scale;
} ranker_fill;

/* What follows from the weights and the source alone, computed once for inference. */
typedef struct ranker_frozen {
    lcf_ranker_source source; /* for which it holds; catalogue NULL when nothing is frozen */
    float *item_tokens;       /* [items_n, dim] mapped item texts */
    float *example_tokens;    /* [examples_n, 3 * dim] decision, CoT, label */
} ranker_frozen;

struct lcf_ranker {
    lcf_ranker_config config;
    ranker_frozen frozen;
    lcf_params params;
    ranker_fill fill[LCF_RANKER_PARAMS_MAX]; /* how each parameter starts */
    size_t user_table, item_table, brand_table, category_table, label_table;
    /* The first layer of DIN's attention over [q, h, q - h, q * h], one matrix for each part. */
    size_t att_q, att_h, att_d, att_m, att_b;
    ranker_mlp att;  /* the layers after that one */
    ranker_mlp head; /* features -> logit */
    ranker_mlp text; /* text or CoT vector -> token */
    ranker_mlp x;    /* nine fields -> token */
    ranker_mlp rec;  /* hidden state -> CoT vector */
    ranker_layer layers[LCF_RANKER_LAYERS_MAX];
    size_t norm;
};

/* Declares every parameter: the one table of names, shapes and initial values. */
lcf_status lcf_ranker_declare(lcf_ranker *r, lcf_err *err);
lcf_status lcf_ranker_config_check(const lcf_ranker_config *config, lcf_err *err);
/* The JSON of a weights file; free() releases *out. Reading checks: EFORMAT says what is wrong. */
lcf_status lcf_ranker_config_to_text(char **out, const lcf_ranker_config *config, lcf_err *err);
lcf_status lcf_ranker_config_of_text(lcf_ranker_config *config, const char *text, size_t n,
                                     lcf_err *err);

/*
 * A batch as index arrays, all in the tape's memory. Whatever occurs more than once in it (items,
 * histories of neighbouring rows, examples) is listed once and computed once.
 */
typedef struct ranker_batch {
    size_t rows_n;

    /* Items, each once, as rows of the tables (0 where a table does not know it). */
    size_t items_n;
    uint32_t *item_id, *item_brand;
    uint32_t *categories, *category_offsets; /* [.], [items_n + 1] */

    /* Histories: those of rows first, one for neighbours that share it, then one per example. */
    size_t histories_n, row_histories_n;
    uint32_t *history_offsets; /* [histories_n + 1] into history_items */
    uint32_t *history_items;   /* indices into items */

    /* Decisions: rows first, then examples. */
    size_t decisions_n;
    uint32_t *user;    /* [decisions_n] rows of the user table */
    uint32_t *item;    /* [decisions_n] indices into items */
    uint32_t *history; /* [decisions_n] indices into histories */

    /* Pairs (row, item of its history), by row. */
    size_t pairs_n;
    uint32_t *pair_offsets; /* [rows_n + 1] */
    uint32_t *pair_row;     /* [pairs_n] */
    uint32_t *pair_entry;   /* [pairs_n] into history_items */

    /* The ranker's frozen tokens are used: examples are no decisions then, only row histories are
     * among the texts, item_text are catalogue items, slot_example the source's examples. */
    bool frozen;

    /* Texts to be mapped: items of decisions (each once), histories, then the examples' CoTs. */
    size_t texts_n;
    float *texts;           /* [texts_n, text_dim] */
    uint32_t *item_text;    /* [decisions_n] indices into texts */
    uint32_t *history_text; /* [decisions_n] */
    uint32_t *cot_text;     /* [examples_n] */

    /* Examples, each once, and where they stand: a row's slots are filled from the right. */
    size_t examples_n;
    uint32_t *example;      /* [examples_n] indices into the source's examples */
    uint32_t *label;        /* [examples_n] */
    size_t slots_n;         /* per row: the most examples that any row has */
    uint32_t *slot_offsets; /* [rows_n * slots_n + 1] into slot_example: an empty slot or one */
    uint32_t *slot_example; /* [present_n] indices into example */
    uint32_t *segments;     /* [rows_n * tokens] 0 for padding, 1; NULL where nothing is padded */
    size_t present_n;
    uint32_t *wanted; /* [present_n + rows_n] tokens: x of every slot in use, then every last */
} ranker_batch;

/* NULL when out of memory, which the tape then remembers. */
ranker_batch *lcf_ranker_batch_build(lcf_tape *tape, const lcf_ranker *r,
                                     const lcf_ranker_source *source, const lcf_ranker_row *rows,
                                     size_t n, bool frozen);

/* What every piece of the forward pass needs. */
typedef struct ranker_pass {
    lcf_tape *tape;
    const lcf_ranker *r;
    lcf_grads *grads;
    const lcf_ranker_source *source;
    const ranker_batch *batch;
} ranker_pass;

lcf_tensor *lcf_ranker_param(const ranker_pass *p, size_t idx);
/* Rows [begin, begin + n) of x. */
lcf_tensor *lcf_ranker_rows(const ranker_pass *p, lcf_tensor *x, size_t begin, size_t n);
lcf_tensor *lcf_ranker_mlp_forward(const ranker_pass *p, const ranker_mlp *mlp, lcf_tensor *x);
/* Fields of the batch's items: [items_n, 3 * dim] = id, brand, mean of categories. */
lcf_tensor *lcf_ranker_items(const ranker_pass *p);
/* DIN's sum over the history: items [items_n, 3 dim], q [rows_n, 3 dim] -> [rows_n, 3 dim]. */
lcf_tensor *lcf_ranker_pool(const ranker_pass *p, lcf_tensor *items, lcf_tensor *q);
/* The ICT module: items as above -> hidden state of the last token [rows_n, dim]; *rec_loss [1], or
 * NULL when it is not wanted or nothing is there to reconstruct. */
lcf_tensor *lcf_ranker_ict(lcf_tensor **rec_loss, const ranker_pass *p, lcf_tensor *items,
                           bool want_loss);

/* Tokens of the batch's examples [examples_n, 3 * dim]; the batch must not be frozen. */
lcf_tensor *lcf_ranker_example_tokens(const ranker_pass *p, lcf_tensor *items);
/* The map from text to token, of any vectors [n, text_dim] -> [n, dim]. */
lcf_tensor *lcf_ranker_text_tokens(const ranker_pass *p, const float *vectors, size_t n);

#endif
