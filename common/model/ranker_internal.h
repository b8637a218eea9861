/*
 * The ranker itself and the features of a batch, as the files of common/model know them. What a
 * backbone or a side module is made of stands in backbone.h. Private to common/model.
 */
#ifndef LCF_COMMON_MODEL_RANKER_INTERNAL_H
#define LCF_COMMON_MODEL_RANKER_INTERNAL_H

#include "common/model/graph.h"
#include "common/model/ranker.h"

#define LCF_RANKER_LAYERS_MAX 8
#define LCF_RANKER_PARAMS_MAX 512 /* 64 fields are up to 192 of them */
#define LCF_RANKER_EXAMPLE_TOKENS_MAX 3
#define LCF_RANKER_ROPE_THETA 10000.0f
#define LCF_RANKER_NORM_EPS 1e-5f
#define LCF_RANKER_NORM_MOMENTUM 0.1f /* of the head's batch normalisation */

typedef struct ranker_fill {
    lcf_init kind;
    float scale;
} ranker_fill;

/* The weights of a part of the ranker as its inference wants them; see backbone.h. */
typedef struct ranker_plan {
    void *state; /* of the part's own; NULL: there is no plan, and the tape does it */
    float *memory;
} ranker_plan;

/* What follows from the weights and the source alone, computed once for inference. */
typedef struct ranker_frozen {
    lcf_ranker_source source; /* for which it holds; catalogue NULL when nothing is frozen */
    lcf_bundle *tokens;       /* holds what follows when it comes from a file; else it is ours */
    float *item_tokens;       /* [items_n, dim] mapped item texts */
    float *example_tokens;    /* [examples_n, tokens_n * dim] decision, CoT, label */
    float *item_parts;        /* [items_n, parts of the side module, of the backbone] */
    float *example_states;    /* [examples_n, of the side module] */
    size_t side_parts_n, item_parts_n, example_states_n; /* floats of a row; 0: there are none */
    ranker_plan side_plan, backbone_plan;
} ranker_frozen;

/* Which of the shared tables a ranker has: fields are made of all of them or not at all. Side
 * modules take all. */
typedef enum ranker_tables {
    RANKER_TABLES_ALL,
    RANKER_TABLES_IDS, /* of users and items */
    RANKER_TABLES_ITEMS,
    RANKER_TABLES_NONE,
} ranker_tables;

typedef struct ranker_backbone ranker_backbone;
typedef struct ranker_side ranker_side;

struct lcf_ranker {
    lcf_ranker_config config;
    const ranker_backbone *backbone;
    const ranker_side *side;
    void *backbone_state, *side_state; /* where they note their parameters' indices */
    ranker_graph graph;                /* where the backbone takes one */
    ranker_frozen frozen;
    lcf_params params;
    ranker_fill fill[LCF_RANKER_PARAMS_MAX]; /* how each parameter starts */
    ranker_tables tables;
    float code_hard;   /* see lcf_ranker_harden */
    size_t side_begin; /* of the parameters: those of the side module come last */
    bool has_head;     /* the MLP that config.head_norm is about */
    size_t user_table, item_table, brand_table, category_table;
    size_t history_label_table; /* where config.history_labels, and all tables, are there */
    size_t
        field_table[LCF_FIELDS_MAX]; /* of the data's own schema: the table of ids, or of offsets */
    size_t field_map[LCF_FIELDS_MAX]; /* of vectors: to `dim` */
    /* Widths of what is known about a user, an item and the context: their fields side by side. */
    size_t user_dim, item_dim, context_dim;
};

/* A ranker whose parameters are declared but have no values yet. */
lcf_status lcf_ranker_declare(lcf_ranker **out, const lcf_ranker_config *config, lcf_err *err);
/* The same with the tables and the side module alone, whatever backbone is named: for models of
 * another kind, which take the module's vector and may add parameters of their own. */
lcf_status lcf_ranker_declare_side(lcf_ranker **out, const lcf_ranker_config *config, lcf_err *err);
/*
 * The side module's vectors of n rows [n, vectors_n * dim], and its loss as lcf_ranker_forward.
 *
 * errors   sticky on the tape; NULL when the features found no memory
 */
lcf_tensor *lcf_ranker_side_vectors(lcf_tensor **side_loss, lcf_tape *tape, const lcf_ranker *r,
                                    lcf_grads *grads, const lcf_ranker_source *source,
                                    const lcf_ranker_row *rows, size_t n);
lcf_status lcf_ranker_config_check(const lcf_ranker_config *config, lcf_err *err);
/* The JSON of a weights file; free() releases *out. Reading checks: EFORMAT says what is wrong. */
lcf_status lcf_ranker_config_to_text(char **out, const lcf_ranker_config *config, lcf_err *err);
lcf_status lcf_ranker_config_of_text(lcf_ranker_config *config, const char *text, size_t n,
                                     lcf_err *err);
/* LCF_EINVAL becomes LCF_EFORMAT: what cannot be stands in a file, and the caller is not to blame.
 */
lcf_status lcf_ranker_of_file(lcf_status status, lcf_err *err);

/* What a batch takes of one field of the data's own schema. */
typedef struct ranker_field_batch {
    uint32_t *ids;     /* rows of its table; with vectors at most one each */
    uint32_t *offsets; /* [n + 1] into ids, for the batch's n users (by decision), items or rows */
    float *vectors;    /* [n, dim] */
} ranker_field_batch;

/*
 * A batch as index arrays, all in the tape's memory. Whatever occurs more than once in it (items,
 * histories of neighbouring rows, examples) is listed once and computed once.
 */
typedef struct ranker_batch {
    size_t rows_n;

    /* Items, each once, as rows of the tables (0 where a table does not know it). */
    size_t items_n;
    uint32_t *catalogue_item; /* or one that is described, behind them */
    uint32_t *item_id, *item_brand;
    uint32_t *item_label; /* lcf_event_label of it as a history's; 0 for targets */
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

    ranker_field_batch *fields; /* [config.fields_n] */

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
    float *slot_similarity; /* [present_n] */
    uint32_t *padding;      /* [rows_n] tokens of empty slots; NULL where every slot is in use */
    size_t present_n;
    /* What was known before each row's time [rows_n][text_dim], NULL where nothing was. Of an item
     * without knowledge, its text vector. */
    const float **user_knowledge, **item_knowledge;

    uint32_t *wanted; /* [present_n + rows_n] tokens: first of every slot in use, then every last */
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
    lcf_rng *rng; /* of dropout; NULL on a tape that does not record */
} ranker_pass;

#endif
