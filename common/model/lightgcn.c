/*
 * LightGCN: the inner product of a user's and an item's vectors after light convolutions over the
 * graph of who liked what in training; and BinLightGCN, the same with the codes of both vectors.
 * The extra vector has a weight per element.
 *
 * A user or item without an edge has what is left of its own row, 1 / (layers + 1) of it; one that
 * is newer than the weights is the unknown, zeros. For inference all vectors are computed once.
 *
 * source   He et al. 2020; as a ranker of clicks in companions.md section 2.7
 */
#include "common/model/binary.h"

#include <string.h>

typedef struct lightgcn {
    ranker_binary binary; /* of BinLightGCN */
    size_t extra;
    bool has_extra;
} lightgcn;

/* Every row has a gradient in every step, for its neighbours may be in the batch. */
static void make_dense(lcf_ranker *r)
{
    r->params.list[r->user_table].table = false;
    r->params.list[r->item_table].table = false;
}

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    lightgcn *s = r->backbone_state;

    make_dense(r);
    s->has_extra = extra_dim > 0;
    return s->has_extra
               ? lcf_ranker_add_matrix(&s->extra, r, "graph.extra.w", 1, extra_dim, extra_dim, err)
               : LCF_OK;
}

static lcf_status declare_binary(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    lightgcn *s = r->backbone_state;

    make_dense(r);
    return lcf_ranker_add_binary(&s->binary, r, extra_dim, err);
}

/* ---- the vectors of all nodes ---- */

static lcf_tensor *propagate(const ranker_pass *p)
{
    const lcf_ranker *r = p->r;

    return lcf_op_propagate(p->tape, lcf_ranker_param(p, r->user_table),
                            lcf_ranker_param(p, r->item_table), &r->graph.matrix,
                            r->config.graph_layers_n);
}

/* The same outside a tape; a, b [users_n + items_n, dim] room. */
static float *propagate_into(float *a, float *b, const lcf_ranker *r)
{
    return lcf_bipartite_propagate(
        a, b, &r->graph.matrix, lcf_params_value(&r->params, r->user_table),
        lcf_params_value(&r->params, r->item_table), r->config.dim, r->config.graph_layers_n);
}

/* Those of the rows' users and of the batch's items; NULL when out of memory. */
static lcf_tensor *users_of(const ranker_pass *p, lcf_tensor *nodes)
{
    return lcf_op_gather(p->tape, nodes, p->batch->user, p->batch->rows_n);
}

static lcf_tensor *items_of(const ranker_pass *p, lcf_tensor *nodes)
{
    const lcf_ranker_config *c = &p->r->config;

    return lcf_op_gather(p->tape, lcf_op_slice(p->tape, nodes, c->users_n, c->items_n),
                         p->batch->item_id, p->batch->items_n);
}

/* ---- logits ---- */

static lcf_tensor *logits_of(const ranker_pass *p, lcf_tensor *nodes, const ranker_fields *f)
{
    const lightgcn *s = p->r->backbone_state;
    lcf_tape *t = p->tape;
    lcf_tensor *sum =
        lcf_op_row_dot(t, users_of(p, nodes),
                       lcf_op_gather(t, items_of(p, nodes), p->batch->item, p->batch->rows_n));

    return s->has_extra
               ? lcf_op_add(t, sum, lcf_op_linear(t, f->extra, lcf_ranker_param(p, s->extra), NULL))
               : sum;
}

static lcf_tensor *binary_logits_of(const ranker_pass *p, lcf_tensor *nodes, const ranker_fields *f)
{
    const lightgcn *s = p->r->backbone_state;

    return lcf_ranker_binary_logits(p, &s->binary, users_of(p, nodes), items_of(p, nodes), f);
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    return logits_of(p, propagate(p), f);
}

static lcf_tensor *binary_logits(const ranker_pass *p, ranker_fields *f)
{
    return binary_logits_of(p, propagate(p), f);
}

/* ---- inference: the vectors are there ---- */

typedef struct lightgcn_fast {
    const float *nodes; /* [users_n + items_n, dim] */
} lightgcn_fast;

static void pack(void *state, ranker_packer *packer)
{
    const lcf_ranker_config *c = &packer->r->config;
    const size_t n = ((size_t)c->users_n + c->items_n) * c->dim;
    float *a = lcf_ranker_pack_take(packer, n), *b = lcf_ranker_pack_take(packer, n);
    lightgcn_fast *s = state;

    if (a)
        s->nodes = propagate_into(a, b, packer->r);
}

static lcf_tensor *packed_nodes(const ranker_pass *p)
{
    const lightgcn_fast *s = p->r->frozen.backbone_plan.state;
    const lcf_ranker_config *c = &p->r->config;
    const size_t dims[2] = {(size_t)c->users_n + c->items_n, c->dim};

    return lcf_tape_input(p->tape, s->nodes, dims, 2);
}

static lcf_tensor *infer(const ranker_pass *p, ranker_fields *f)
{
    return logits_of(p, packed_nodes(p), f);
}

static lcf_tensor *infer_binary(const ranker_pass *p, ranker_fields *f)
{
    return binary_logits_of(p, packed_nodes(p), f);
}

/* ---- the vectors and codes themselves ---- */

/* Users first; *room is the caller's (lcf_ranker_plan_free). */
static lcf_status all_vectors(ranker_plan *room, const float **users, const float **items,
                              const lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    lcf_status status = lcf_ranker_plan_create(room, r, sizeof(lightgcn_fast), pack);

    if (status)
        return LCF_FAIL(err, status, "vectors of %u users and %u items", c->users_n, c->items_n);
    *users = ((const lightgcn_fast *)room->state)->nodes;
    *items = *users + (size_t)c->users_n * c->dim;
    return LCF_OK;
}

lcf_status lcf_ranker_graph_vectors(float *users, float *items, const lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const float *from_users = NULL, *from_items = NULL;
    ranker_plan room;
    lcf_status status;

    if (!r->backbone->graph || !r->graph.begin[0])
        return LCF_FAIL(err, LCF_EINVAL, "this ranker of the backbone %s has no graph",
                        c->backbone);
    status = all_vectors(&room, &from_users, &from_items, r, err);
    if (status)
        return status;
    memcpy(users, from_users, (size_t)c->users_n * c->dim * sizeof(*users));
    memcpy(items, from_items, (size_t)c->items_n * c->dim * sizeof(*items));
    lcf_ranker_plan_free(&room);
    return LCF_OK;
}

static lcf_status codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err)
{
    const lcf_ranker_config *c = &r->config;
    const ranker_binary *s = &((const lightgcn *)r->backbone_state)->binary;
    const float *from_users = NULL, *from_items = NULL;
    ranker_plan room;
    lcf_status status = all_vectors(&room, &from_users, &from_items, r, err);

    if (status)
        return status;
    status = lcf_ranker_binary_codes(users, r, from_users, c->users_n, s->user_w, s->user_b, err);
    if (!status)
        status =
            lcf_ranker_binary_codes(items, r, from_items, c->items_n, s->item_w, s->item_b, err);
    lcf_ranker_plan_free(&room);
    return status;
}

const ranker_backbone LCF_BACKBONE_LIGHTGCN = {
    .kind = {"lightgcn", "LightGCN: convolutions over the graph of users and items"},
    .state_bytes = sizeof(lightgcn),
    .tables = RANKER_TABLES_IDS,
    .graph = true,
    .declare = declare,
    .logits = logits,
    .fast = {.state_bytes = sizeof(lightgcn_fast), .pack = pack, .infer = infer, .any_batch = true},
};

const ranker_backbone LCF_BACKBONE_BINLIGHTGCN = {
    .kind = {"binlightgcn", "LightGCN by binary codes"},
    .state_bytes = sizeof(lightgcn),
    .tables = RANKER_TABLES_IDS,
    .graph = true,
    .declare = declare_binary,
    .logits = binary_logits,
    .fast = {.state_bytes = sizeof(lightgcn_fast),
             .pack = pack,
             .infer = infer_binary,
             .any_batch = true},
    .codes = codes,
};
