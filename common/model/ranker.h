/*
 * The ranker: a backbone (DIN, DeepFM, ...), alone or with a side module (ICT, ...) whose vector it
 * takes as further features. ONE definition for training, evaluation and serving.
 *
 * A model is configuration + parameters; a forward pass builds it on a tape. Features are taken
 * from the catalogue, the item vectors and the examples by the one function every side uses, so
 * that a score is the same offline and online.
 *
 * Life cycle: create (random weights) or open (a weights bundle) -> score / forward -> free. A
 * model is read only during forward and shared between threads; a tape or a scorer belongs to one
 * thread.
 *
 * source   schemas/ranker_weights.md; each backbone's and side module's file names its paper
 */
#ifndef LCF_COMMON_MODEL_RANKER_H
#define LCF_COMMON_MODEL_RANKER_H

#include "common/base/rng.h"
#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/data/fields.h"
#include "common/data/knowledge.h"
#include "common/nn/tape.h"
#include "common/store/examples.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A field of the data's own schema (common/data/fields.h), as a ranker knows it. */
typedef struct lcf_ranker_field {
    char name[LCF_FIELD_NAME_MAX];
    lcf_field_owner owner;
    lcf_field_table table;
    uint32_t shares; /* index of the field whose table it is, with LCF_FIELD_TABLE_FIELD */
    uint32_t rows;   /* of its own table; of vectors that are trained: their number; else 0 */
    uint32_t dim;    /* of vectors, 0 for ids */
    bool frozen;     /* vectors: taken as they are */
} lcf_ranker_field;

/* In which order a row's examples enter a sequence. */
typedef enum lcf_example_order {
    LCF_ORDER_KEY = 0,        /* of their keys: "shuffled" as published, and reproducible */
    LCF_ORDER_SIMILARITY = 1, /* the most similar last, next to the query */
    LCF_ORDER_TIME = 2,       /* the latest last */
} lcf_example_order;

/* "key", "similarity", "time". errors: EINVAL no such name */
const char *lcf_example_order_name(lcf_example_order order);
lcf_status lcf_example_order_parse(lcf_example_order *out, const char *name, lcf_err *err);

typedef struct lcf_ranker_config {
    const char *backbone, *side; /* names of kinds below; those of a ranker's config are static */
    uint32_t users_n, items_n, brands_n, categories_n; /* rows of the tables, the unknown at 0 */
    uint32_t text_dim, cot_dim; /* of the item and CoT vectors, where the side module needs them */
    uint32_t dim;               /* of fields and tokens */
    uint32_t k;                 /* examples per query */
    bool balanced;              /* with mode and by: the rule that they were found by */
    lcf_retrieval_mode mode;
    lcf_retrieval_by by;
    lcf_example_order order;
    bool history_labels;        /* items of a history carry whether they were liked */
    uint32_t layers_n, heads_n; /* of the ICT decoder */
    uint32_t att_hidden[2];     /* of DIN's attention MLP */
    uint32_t head_hidden[2];    /* of the MLP that ends in the logit */
    bool head_norm;             /* batch normalisation before its ReLUs */
    uint32_t cin_hidden[3];     /* maps of xDeepFM's CIN layers; all but the last even */
    uint32_t cross_layers_n;    /* of DCN */
    uint32_t mix_layers_n, experts_n, rank; /* of DCNv2: cross layers, and experts in each */
    uint32_t inter_dim, inter_heads_n;      /* of AutoInt's tokens */
    uint32_t bst_hidden, bst_heads_n;       /* of BST's transformer layer */
    uint32_t graph_layers_n;                /* of LightGCN's convolution */
    uint32_t text_hidden; /* of the map from text to token, and of the reconstruction */
    uint32_t x_hidden;    /* of the map from the nine fields to a token */
    uint32_t ffn_hidden;  /* of the decoder's SwiGLU */
    float rec_weight;     /* alpha of the reconstruction loss */
    float dropout;        /* of the head MLP */
    float code_scale;     /* of binmf and binlightgcn: what their codes' inner product counts */
    size_t fields_n;      /* of the data's own schema */
    lcf_ranker_field fields[LCF_FIELDS_MAX];
} lcf_ranker_config;

/* Sizes of the published model; the *_n and *_dim that depend on data are filled by the caller. */
#define LCF_RANKER_CONFIG_INIT                                                                 \
    {                                                                                          \
        .backbone = "din", .side = "none", .dim = 32, .k = 4, .balanced = true, .layers_n = 2, \
        .heads_n = 2, .att_hidden = {64, 16}, .head_hidden = {200, 80},                        \
        .cin_hidden = {100, 100, 100}, .cross_layers_n = 3, .mix_layers_n = 2, .experts_n = 4, \
        .rank = 4, .inter_dim = 64, .inter_heads_n = 2, .bst_hidden = 64, .bst_heads_n = 2,    \
        .graph_layers_n = 2, .text_hidden = 256, .x_hidden = 128, .ffn_hidden = 64,            \
        .rec_weight = 1.0f, .dropout = 0.1f, .code_scale = 1.0f                                \
    }

typedef struct lcf_ranker_kind {
    const char *name;  /* in configurations, options and weights files */
    const char *title; /* for people */
} lcf_ranker_kind;

/* The i-th of all there are, NULL beyond the last. The first side module is "none". */
const lcf_ranker_kind *lcf_ranker_backbone(size_t i);
const lcf_ranker_kind *lcf_ranker_side(size_t i);
/* True when there is one of that name. */
bool lcf_ranker_has_backbone(const char *name);
bool lcf_ranker_has_side(const char *name);

/* True of a backbone that is there and needs lcf_ranker_set_graph. */
bool lcf_ranker_takes_graph(const char *backbone);

/* What a side module takes from its source, besides the catalogue. */
enum {
    LCF_RANKER_VECTORS = 1,      /* the items' text vectors */
    LCF_RANKER_EXAMPLES = 2,     /* retrieved examples in every row */
    LCF_RANKER_KNOWLEDGE = 4,    /* what a language model said about users and items */
    LCF_RANKER_SIMILARITIES = 8, /* how similar the examples are, not only which */
};

/* A union of the above; 0 for "none" and for a name that there is not. */
unsigned lcf_ranker_side_needs(const char *side);

typedef struct lcf_ranker lcf_ranker;

lcf_status lcf_ranker_create(lcf_ranker **out, const lcf_ranker_config *config, uint64_t seed,
                             lcf_err *err);
/*
 * The graph of a new ranker whose backbone takes one: n pairs (user, item) that are alike in
 * training, never of what is to be predicted. Pairs of the unknown or beyond the tables are left
 * out, repeated ones count once. It is saved with the weights.
 *
 * errors   ELIMIT, ENOMEM; the ranker is then without
 */
lcf_status lcf_ranker_set_graph(lcf_ranker *r, const uint32_t *users, const uint32_t *items,
                                size_t n, lcf_err *err);
/*
 * The vectors that a ranker whose backbone takes a graph has for users and items, after the
 * convolution: what its scores are made of.
 *
 * shapes   users [users_n, dim], items [items_n, dim] of its configuration
 * errors   EINVAL its backbone takes no graph, or it was given none; ENOMEM
 */
lcf_status lcf_ranker_graph_vectors(float *users, float *items, const lcf_ranker *r, lcf_err *err);
/*
 * Weights files (schemas/ranker_weights.md).
 *
 * errors   open: as lcf_bundle_open; EFORMAT a configuration that is no object or does not fit the
 *          weights, and one that cannot be; save: ENOSPC, EIO
 * memory   nothing of the file is kept
 */
lcf_status lcf_ranker_open(lcf_ranker **out, const char *path, lcf_err *err);
lcf_status lcf_ranker_save(const lcf_ranker *r, const char *path, lcf_err *err);
void lcf_ranker_free(lcf_ranker *r);
const lcf_ranker_config *lcf_ranker_config_of(const lcf_ranker *r);
lcf_params *lcf_ranker_params(lcf_ranker *r);
/* Parameters of this index and above are the side module's own. */
size_t lcf_ranker_side_begin(const lcf_ranker *r);

/* An item that is in no catalogue, by what is said of it: its id has no embedding. */
typedef struct lcf_ranker_item {
    uint32_t brand;             /* of the catalogue, 0 unknown */
    const uint32_t *categories; /* [categories_n] of the catalogue */
    size_t categories_n;
    const float *text_vec; /* of the dimension of the item vectors */
} lcf_ranker_item;

/* Where features come from; everything in it must outlive the calls that use it. */
typedef struct lcf_ranker_source {
    const lcf_catalogue *catalogue;
    const lcf_embeddings *item_vectors; /* rows are item indices */
    const lcf_fields *fields;           /* NULL where the ranker has none of its own */
    const lcf_examples *examples;
    const lcf_ranker_item *described; /* [described_n] as items after those of the catalogue; they
                                         may be rows' items, not in histories */
    size_t described_n;
    const lcf_knowledge *knowledge; /* each may be NULL where the side module needs it not */
    double *side_s; /* NULL, or where the seconds that the side module takes are added */
} lcf_ranker_source;

/* One row to score. Indices beyond the model's tables (items or users newer than the weights) count
 * as unknown (0). Rows with items that the source describes go without what is frozen, and so does
 * every row that is scored in one block with them. */
typedef struct lcf_ranker_row {
    uint32_t user, item;
    const uint32_t *history; /* [history_n] oldest first */
    uint32_t history_n;
    const uint32_t *examples;  /* [k] indices into the source's examples, LCF_EXAMPLE_NONE where
                                  there is none; or NULL */
    const float *similarities; /* [k] of the examples, by the rule; NULL: all 0 */
    int64_t time;              /* of the decision; INT64_MAX = now */
    uint32_t context; /* 1 + the entry of the source's context fields; 0: nothing is known */
    const uint8_t *history_labels; /* [history_n] lcf_event_label; NULL: nothing is known */
} lcf_ranker_row;

/* The fields of a data set as a configuration holds them; NULL: none. */
void lcf_ranker_config_fields(lcf_ranker_config *c, const lcf_fields *fields);
/* The rule that a model's examples are to be found by. */
lcf_example_options lcf_ranker_retrieval(const lcf_ranker_config *config);

/*
 * Checks that what rows and features are taken from fits the model.
 *
 * errors   EINVAL  the item vectors are not one per item of the catalogue, or of another dimension
 *          than the weights; a side module without the examples it needs, or with vectors of
 * another dimension; a field that the data does not have
 */
lcf_status lcf_ranker_check_source(const lcf_ranker *r, const lcf_ranker_source *source,
                                   lcf_err *err);

/*
 * Logits of n >= 1 rows, and the side module's own loss. The source must have passed
 * lcf_ranker_check_source.
 *
 * A history item that is unknown (0) is left out. A row's sequence holds the examples it has, so a
 * row without any is the query token alone; config.order says in which order they enter.
 *
 * shapes   *logits [n]; *side_loss [1], e.g. ICT's mean over the examples present of 1 - cos; NULL
 *          where the module has none, on a tape that does not record, and when no row has an
 *          example
 * errors   sticky on the tape: ask lcf_tape_status before using *logits (NULL when the features
 *          found no memory)
 * memory   rng (dropout) is used only while the tape records; it may be NULL otherwise
 * threads  safe for one tape per thread; reads `r` and `source` only
 */
void lcf_ranker_forward(lcf_tensor **logits, lcf_tensor **side_loss, lcf_tape *tape,
                        const lcf_ranker *r, lcf_grads *grads, const lcf_ranker_source *source,
                        const lcf_ranker_row *rows, size_t n, lcf_rng *rng);

/*
 * Computes once what follows from the weights and the source alone (the tokens of item texts and of
 * examples, and what the fast way computes of an item or an example alone), for all later passes
 * over this source on tapes that do not record. Their results stay those of lcf_ranker_forward to
 * 1e-5. After a change of the weights or of the source: thaw.
 *
 * errors   those of lcf_ranker_check_source; ENOMEM, nothing is frozen then
 * memory   4 bytes an item and float of head_hidden[0] (DIN) and dim + x_hidden (ICT), an example
 *          and float of 3 * dim * layers_n (ICT), until thaw or free; keeps the source's pointers
 * threads  not while another thread uses `r`
 * cost     about one pass over all examples
 */
lcf_status lcf_ranker_freeze(lcf_ranker *r, const lcf_ranker_source *source, lcf_err *err);
void lcf_ranker_thaw(lcf_ranker *r); /* nothing frozen is fine */
/* What is frozen has tokens, or other constants of items and examples. */
bool lcf_ranker_has_tokens(const lcf_ranker *r);
/* Writes them; r has tokens. source: schemas/snapshot.md. errors: as lcf_bundle_commit */
lcf_status lcf_ranker_save_tokens(const lcf_ranker *r, const char *path, lcf_err *err);
/*
 * lcf_ranker_freeze with tokens that were saved when the same weights were frozen for the same
 * source: they are mapped, and nothing is computed.
 *
 * errors   as lcf_bundle_open; EFORMAT of other weights, or of other numbers of items or examples
 */
lcf_status lcf_ranker_freeze_from(lcf_ranker *r, const lcf_ranker_source *source, const char *path,
                                  lcf_err *err);

/*
 * Probabilities of n rows: lcf_ranker_forward on a tape that does not record, in blocks.
 *
 * shapes   scores [n] f32 in (0, 1)
 * order    a row's score does not depend on the other rows (to 1e-6; the block's matrix products
 *          may round differently)
 * errors   those of lcf_ranker_check_source; ENOMEM
 */
lcf_status lcf_ranker_score(float *scores, lcf_tape *tape, const lcf_ranker *r,
                            const lcf_ranker_source *source, const lcf_ranker_row *rows, size_t n,
                            lcf_err *err);

/* Whether the side module attends to examples: ICT with its decoder. */
bool lcf_ranker_attends(const lcf_ranker *r);
/*
 * How much each row's own token, in the last layer of the ICT decoder, attends to each of its
 * examples: the softmax weights of the example's tokens together, the mean of the heads. What is
 * missing to 1 is the attention to itself. For explanations: without the fast path, in no time of
 * note.
 *
 * shapes   out [n, config.k], by the place of the example in row.examples; 0 where there is none
 * errors   EINVAL  the side module does not attend; else as lcf_ranker_score
 */
lcf_status lcf_ranker_attention(float *out, lcf_tape *tape, const lcf_ranker *r,
                                const lcf_ranker_source *source, const lcf_ranker_row *rows,
                                size_t n, lcf_err *err);

#endif
