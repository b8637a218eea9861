/*
 * KAR: what a language model said about the user and about the item, each through a mixture of
 * experts. Experts are MLPs text_dim -> x_hidden -> dim; some are shared by both kinds of
 * knowledge, others belong to one; a kind's gate, a softmax over the experts that it may use,
 * weighs them by the knowledge itself.
 *
 * Knowledge is what was known before the row's time. Of an item that no record speaks of by then,
 * the catalogue's own text stands in; of such a user nothing is known, and zeros stand in.
 *
 * source   Xi et al. 2023 (KAR, hybrid-expert adaptor); llm-cf.md section 5: [128, 32], 4 shared
 *          experts, 3 of each kind
 */
#include "common/model/backbone.h"

#include <stdio.h>
#include <string.h>

enum {
    SHARED_N = 4,
    OWN_N = 3,
    EXPERTS_N = SHARED_N + OWN_N, /* of one kind */
    KINDS_N = 2,                  /* user, item */
};

typedef struct kar {
    ranker_mlp shared[SHARED_N], own[KINDS_N][OWN_N];
    size_t gate_w[KINDS_N], gate_b[KINDS_N];
} kar;

static const char *const KINDS[KINDS_N] = {"user", "item"};

static lcf_status declare_experts(ranker_mlp *experts, size_t n, lcf_ranker *r, const char *kind,
                                  lcf_err *err)
{
    const size_t sizes[] = {r->config.text_dim, r->config.x_hidden, r->config.dim};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        char name[LCF_PARAM_NAME_MAX];

        snprintf(name, sizeof(name), "kar.%s.%zu", kind, i);
        status = lcf_ranker_add_mlp(&experts[i], r, name, 0, sizes, 2, err);
    }
    return status;
}

static lcf_status declare(lcf_ranker *r, lcf_err *err)
{
    const size_t dim = r->config.text_dim;
    kar *s = r->side_state;
    lcf_status status = declare_experts(s->shared, SHARED_N, r, "shared", err);

    for (size_t kind = 0; kind < KINDS_N && !status; kind++) {
        char name[LCF_PARAM_NAME_MAX];

        status = declare_experts(s->own[kind], OWN_N, r, KINDS[kind], err);
        snprintf(name, sizeof(name), "kar.%s.gate.w", KINDS[kind]);
        if (!status)
            status = lcf_ranker_add_matrix(&s->gate_w[kind], r, name, EXPERTS_N, dim, dim, err);
        snprintf(name, sizeof(name), "kar.%s.gate.b", KINDS[kind]);
        if (!status)
            status = lcf_ranker_add_bias(&s->gate_b[kind], r, name, EXPERTS_N, dim, err);
    }
    return status;
}

/* The knowledge of a kind for each row [rows_n, text_dim]. */
static lcf_tensor *knowledge_of(const ranker_pass *p, size_t kind)
{
    const ranker_batch *b = p->batch;
    const size_t dims[2] = {b->rows_n, p->r->config.text_dim};
    float *vectors = lcf_tape_alloc(p->tape, dims[0] * dims[1], sizeof(*vectors));

    for (size_t row = 0; vectors && row < b->rows_n; row++) {
        const float *known = kind ? b->item_knowledge[row] : b->user_knowledge[row];
        float *to = vectors + row * dims[1];

        if (known)
            memcpy(to, known, dims[1] * sizeof(*to));
        else
            memset(to, 0, dims[1] * sizeof(*to));
    }
    return lcf_tape_input(p->tape, vectors, dims, 2);
}

/* The experts of a kind, weighed by its gate [rows_n, dim]. */
static lcf_tensor *adapt(const ranker_pass *p, size_t kind)
{
    const kar *s = p->r->side_state;
    lcf_tensor *known = knowledge_of(p, kind), *said[EXPERTS_N], *all;
    lcf_tensor *gate =
        lcf_op_softmax(p->tape, lcf_op_linear(p->tape, known, lcf_ranker_param(p, s->gate_w[kind]),
                                              lcf_ranker_param(p, s->gate_b[kind])));
    const size_t dims[3] = {p->batch->rows_n, EXPERTS_N, p->r->config.dim};

    for (size_t i = 0; i < EXPERTS_N; i++)
        said[i] = lcf_ranker_mlp_forward(
            p, i < SHARED_N ? &s->shared[i] : &s->own[kind][i - SHARED_N], known);
    all = lcf_op_reshape(p->tape, lcf_op_concat(p->tape, said, EXPERTS_N), dims, 3);
    return lcf_op_weighted_sum(p->tape, all, gate);
}

/* [user, item] [rows_n, 2 dim] */
static lcf_tensor *forward(lcf_tensor **loss, const ranker_pass *p, ranker_fields *f,
                           bool want_loss)
{
    lcf_tensor *parts[KINDS_N];

    (void)loss;
    (void)f;
    (void)want_loss;
    for (size_t kind = 0; kind < KINDS_N; kind++)
        parts[kind] = adapt(p, kind);
    return lcf_op_concat(p->tape, parts, KINDS_N);
}

const ranker_side LCF_SIDE_KAR = {
    .kind = {"kar", "KAR: what a language model said of user and item, through experts"},
    .needs = LCF_RANKER_VECTORS | LCF_RANKER_KNOWLEDGE,
    .vectors_n = KINDS_N,
    .state_bytes = sizeof(kar),
    .declare = declare,
    .forward = forward,
};
