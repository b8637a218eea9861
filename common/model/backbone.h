/*
 * What a backbone and a side module are: the one interface that each is written against, in a file
 * of its own. Adding one means that file and one line in registry.c. Private to common/model.
 *
 * A backbone turns the fields of rows into logits. A side module makes of each row a vector that
 * the backbone takes as further fields, and may have a loss of its own. Both declare their
 * parameters once, note the indices in a state block of their own, and build the forward pass on a
 * tape.
 */
#ifndef LCF_COMMON_MODEL_BACKBONE_H
#define LCF_COMMON_MODEL_BACKBONE_H

#include "common/model/ranker_internal.h"

/*
 * The fields of a batch, each `dim` wide. A user is the id, an item id, brand and mean of its
 * categories, each followed by those of the data's own schema, side by side: r->user_dim and
 * r->item_dim wide. Rows of the batch are decisions [0, rows_n) of ranker_batch.
 */
typedef struct ranker_fields {
    lcf_tensor *user;    /* [rows_n, user_dim] */
    lcf_tensor *items;   /* [items_n, item_dim] the batch's items, each once */
    lcf_tensor *target;  /* [rows_n, item_dim] */
    lcf_tensor *context; /* [rows_n, context_dim] of the moment, or NULL where context_dim is 0 */
    lcf_tensor *extra;   /* [rows_n, extra_dim] of the side module, or NULL */
    lcf_tensor *means;   /* of lcf_ranker_history_means, once somebody asked */
} ranker_fields;

/* Packs weights into one block; without memory it only counts. */
typedef struct ranker_packer {
    const lcf_ranker *r;
    float *memory; /* zeroed */
    size_t used;   /* floats of it */
} ranker_packer;

/*
 * A faster way for inference, for what freeze.c has prepared. `pack` fills the state, zeroed and of
 * that many bytes, from the weights; it runs twice, first without memory to count. `infer` is the
 * definition's result within 1e-5, on a tape that does not record. All empty where there is none.
 *
 * What infer would compute of an item or an example alone, each time it meets it, can be a
 * constant: so many floats of each, computed once with the plan, and read from r->frozen.
 */
typedef struct ranker_fast {
    size_t state_bytes;
    bool (*covers)(const lcf_ranker_config *config); /* NULL: every configuration */
    void (*pack)(void *state, ranker_packer *packer);
    lcf_tensor *(*infer)(const ranker_pass *p, ranker_fields *f);
    bool any_batch; /* infer reads nothing of items and examples that must be frozen */
    size_t (*item_parts_n)(const lcf_ranker *r);
    /* Of the targets of a batch that is not frozen, ld floats between rows. */
    void (*item_parts)(float *out, size_t ld, const ranker_pass *p, ranker_fields *f);
    size_t (*example_states_n)(const lcf_ranker *r); /* of a side module */
    void (*example_states)(float *out, const ranker_pass *p, const float *tokens, size_t n);
} ranker_fast;

struct ranker_backbone {
    lcf_ranker_kind kind;
    size_t state_bytes;   /* of r->backbone_state, zeroed before declare */
    ranker_tables tables; /* what it takes of them when it is alone */
    bool graph;           /* it takes that of lcf_ranker_set_graph */
    /* Declares its parameters; extra_dim is a multiple of dim, 0 without a side module. */
    lcf_status (*declare)(lcf_ranker *r, size_t extra_dim, lcf_err *err);
    /* rows_n logits, of any shape. */
    lcf_tensor *(*logits)(const ranker_pass *p, ranker_fields *f);
    ranker_fast fast;
    /* lcf_ranker_codes, for a dim that is a multiple of 8; NULL where there are none. */
    lcf_status (*codes)(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err);
};

struct ranker_side {
    lcf_ranker_kind kind;
    unsigned needs;     /* LCF_RANKER_VECTORS | ...; the batch holds what it asks */
    size_t vectors_n;   /* the extra vector is so many times `dim` wide; 0 for "none" alone */
    size_t tokens_n;    /* of an example in a sequence; 0 where no sequence is made */
    size_t state_bytes; /* of r->side_state, zeroed before declare */
    bool needs_target;  /* its vector says nothing of a row without an item */
    lcf_status (*declare)(lcf_ranker *r, lcf_err *err);
    /* The extra vector [rows_n, vectors_n * dim]; *loss [1] where `want_loss`, or NULL when there
     * is nothing to lose (it is NULL before the call). f->extra is NULL. */
    lcf_tensor *(*forward)(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss);
    /*
     * What freeze.c may compute once for inference; both NULL where nothing may. Tokens [n, dim] of
     * text vectors, and [examples_n, tokens_n * dim] of the batch's examples; the batch is not
     * frozen. Forward must take them from r->frozen when batch->frozen.
     */
    lcf_tensor *(*text_tokens)(const ranker_pass *p, const float *vectors, size_t n);
    lcf_tensor *(*example_tokens)(const ranker_pass *p, ranker_fields *f);
    /* How much each row's own token attends to the tokens of its sequence [rows_n, tokens_n * slots
     * + 1], for explanations; NULL where nothing attends. */
    lcf_tensor *(*attention)(const ranker_pass *p, ranker_fields *f);
    ranker_fast fast; /* the extra vector, for a frozen batch */
};

/* The constants of the target of a row of a frozen batch: the side module's, then the backbone's.
 */
static inline const float *lcf_ranker_item_parts(const ranker_pass *p, size_t row)
{
    const ranker_frozen *f = &p->r->frozen;
    const ranker_batch *b = p->batch;

    return f->item_parts + b->catalogue_item[b->item[row]] * f->item_parts_n;
}

/* registry.c: NULL for a name that there is not. */
const ranker_backbone *lcf_ranker_find_backbone(const char *name);
const ranker_side *lcf_ranker_find_side(const char *name);

/* ---- schema.c: the data's own fields ---- */

/* Adds to r's widths; after the tables. */
lcf_status lcf_ranker_declare_schema(lcf_ranker *r, lcf_err *err);
/* Rows of the table of the field's ids. */
uint32_t lcf_ranker_field_rows(const lcf_ranker_config *c, size_t i);
/* errors: EINVAL a field that is not there or of another kind (named) */
lcf_status lcf_ranker_check_fields(const lcf_ranker_config *c, const lcf_fields *fields,
                                   lcf_err *err);
/* The last step of building a batch; false when out of memory. */
bool lcf_ranker_take_fields(ranker_batch *b, lcf_tape *tape, const lcf_ranker *r,
                            const lcf_ranker_source *source, const lcf_ranker_row *rows,
                            const uint32_t *catalogue_item);
/* The fields of one owner for the batch's first n entities, each [n, dim]; returns how many. */
size_t lcf_ranker_schema_parts(lcf_tensor **parts, const ranker_pass *p, lcf_field_owner owner,
                               size_t n);

/* ---- fields.c ---- */

lcf_status lcf_ranker_declare_tables(lcf_ranker *r, lcf_err *err);
/* All but `extra`. */
void lcf_ranker_fields_build(ranker_fields *f, const ranker_pass *p);
/* What is known about the users of the first n decisions [n, user_dim]. */
lcf_tensor *lcf_ranker_users(const ranker_pass *p, size_t n);
/* Means of the histories' items [histories_n, item_dim]; zeros for an empty one. */
lcf_tensor *lcf_ranker_history_means(const ranker_pass *p, ranker_fields *f);
/* That of each row's own history [rows_n, item_dim]. */
lcf_tensor *lcf_ranker_row_means(const ranker_pass *p, ranker_fields *f);
/* The fields of models without a sequence, and then the extra ones: user, target item, mean
 * history, context [rows_n, lcf_ranker_all_fields_dim]. */
lcf_tensor *lcf_ranker_all_fields(const ranker_pass *p, ranker_fields *f);
/* Seven fields where the data has no schema of its own, and extra_dim. */
size_t lcf_ranker_all_fields_dim(const lcf_ranker *r, size_t extra_dim);
/* The same with `history` [rows_n, any width] in place of the mean. */
lcf_tensor *lcf_ranker_fields_with(const ranker_pass *p, const ranker_fields *f,
                                   lcf_tensor *history);

/* ---- linear.c ---- */

/* The linear part: indices of a weight per id, and per element of given and extra vectors. */
typedef struct ranker_linear {
    bool ids_only; /* users and items alone */
    size_t user, item, brand, category, extra, b;
    size_t fields[LCF_FIELDS_MAX]; /* of the data's own schema */
} ranker_linear;

lcf_status lcf_ranker_add_linear(ranker_linear *l, lcf_ranker *r, bool ids_only, size_t extra_dim,
                                 lcf_err *err);
/* [rows_n, 1] */
lcf_tensor *lcf_ranker_linear_forward(const ranker_pass *p, const ranker_linear *l,
                                      const ranker_fields *f);

/* ---- layers.c: declaring and applying ---- */

#define LCF_RANKER_MLP_MAX 3

/* Indices of a batch normalisation's parameters; the last two are running statistics. */
typedef struct ranker_norm {
    size_t w, b, mean, variance;
} ranker_norm;

/* An MLP with ReLU between its layers: indices of weights and biases. */
typedef struct ranker_mlp {
    size_t layers_n;
    size_t w[LCF_RANKER_MLP_MAX], b[LCF_RANKER_MLP_MAX];
    bool normed; /* batch normalisation before each ReLU */
    ranker_norm norm[LCF_RANKER_MLP_MAX];
} ranker_mlp;

/* One parameter of `rows` x `cols`, or of `rows` elements when cols is 0. */
lcf_status lcf_ranker_add(size_t *idx, lcf_ranker *r, const char *name, size_t rows, size_t cols,
                          lcf_init kind, float scale, lcf_err *err);
/* A table [rows, cols] whose row 0 stands for "unknown": zeros, without gradient. */
lcf_status lcf_ranker_add_table(size_t *idx, lcf_ranker *r, const char *name, size_t rows,
                                size_t cols, lcf_err *err);
/* A matrix [out, in] and a bias [out] that start uniform in +-1/sqrt(fan_in), as torch.nn.Linear's
 * do. */
lcf_status lcf_ranker_add_matrix(size_t *idx, lcf_ranker *r, const char *name, size_t out,
                                 size_t in, size_t fan_in, lcf_err *err);
lcf_status lcf_ranker_add_bias(size_t *idx, lcf_ranker *r, const char *name, size_t out,
                               size_t fan_in, lcf_err *err);
/* Layers "<name>.<first>" ... of widths sizes[0] -> sizes[1] -> ... */
lcf_status lcf_ranker_add_mlp(ranker_mlp *mlp, lcf_ranker *r, const char *name, size_t first,
                              const size_t *sizes, size_t layers_n, lcf_err *err);
/* The MLP "head" that ends in one number: in -> head_hidden[0] -> head_hidden[1] -> 1, normed where
 * the configuration says so. */
lcf_status lcf_ranker_add_head(ranker_mlp *head, lcf_ranker *r, size_t in, lcf_err *err);

lcf_tensor *lcf_ranker_param(const ranker_pass *p, size_t idx);
/* Rows [begin, begin + n) of x. */
lcf_tensor *lcf_ranker_rows(const ranker_pass *p, lcf_tensor *x, size_t begin, size_t n);
lcf_tensor *lcf_ranker_mlp_forward(const ranker_pass *p, const ranker_mlp *mlp, lcf_tensor *x);
/* The same with dropout after each hidden layer: [n, in] -> [n, 1]. */
lcf_tensor *lcf_ranker_head_forward(const ranker_pass *p, const ranker_mlp *head, lcf_tensor *x);

/* ---- plan.c: weights packed for inference ---- */

/* Room for n floats; NULL while counting. */
float *lcf_ranker_pack_take(ranker_packer *packer, size_t n);
/* Columns [first, first + in) of matrices of one shape, one below the other, as lcf_packed_linear
 * takes them. */
float *lcf_ranker_pack(ranker_packer *packer, const size_t *params, size_t params_n, size_t first,
                       size_t in);
/* The biases of hidden layer i of an MLP; where it is normed, with the normalisation in them, and
 * in the layer's packed weights, which are lists of parts over some of its inputs each. */
typedef struct ranker_packed_part {
    float *packed;
    size_t in;
} ranker_packed_part;
float *lcf_ranker_fold(ranker_packer *packer, const ranker_mlp *mlp, size_t i,
                       const ranker_packed_part *parts, size_t parts_n);
/* errors: ENOMEM, *out is empty then */
lcf_status lcf_ranker_plan_create(ranker_plan *out, const lcf_ranker *r, size_t state_bytes,
                                  void (*pack)(void *state, ranker_packer *packer));
void lcf_ranker_plan_free(ranker_plan *plan);
/* The end of the run of neighbours that share user and history with row `begin`. */
size_t lcf_ranker_run_end(const ranker_batch *b, size_t begin);

#endif
