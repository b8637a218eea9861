/*
 * AutoInt: self-attention among the fields beside an MLP, both over all fields; the extra vector is
 * a further field (or several).
 *
 * Each field is mapped to a token; logit = fc(relu(attention + residual map of the field)) + MLP.
 *
 * source   Song et al. 2019; llm-cf.md section 6; torch.nn.MultiheadAttention (maps and their
 *          biases). Dropout is that of the MLP alone.
 */
#include "common/model/backbone.h"

typedef struct autoint {
    ranker_mlp head;
    size_t in_w, in_b;   /* field -> token */
    size_t qkv_w, qkv_b; /* token -> query, key, value */
    size_t out_w, out_b; /* heads -> token */
    size_t res_w, res_b; /* field -> token, around the attention */
    size_t fc_w;         /* all tokens -> logit; its bias is the MLP's last */
} autoint;

static lcf_status declare(lcf_ranker *r, size_t extra_dim, lcf_err *err)
{
    const size_t wide = lcf_ranker_all_fields_dim(r, extra_dim), dim = r->config.dim;
    const size_t token = r->config.inter_dim, all = wide / dim * token;
    autoint *s = r->backbone_state;
    const struct {
        const char *w_name, *b_name;
        size_t *w, *b, out, in;
    } maps[] = {
        {"inter.in.w", "inter.in.b", &s->in_w, &s->in_b, token, dim},
        {"inter.qkv.w", "inter.qkv.b", &s->qkv_w, &s->qkv_b, 3 * token, token},
        {"inter.out.w", "inter.out.b", &s->out_w, &s->out_b, token, token},
        {"inter.res.w", "inter.res.b", &s->res_w, &s->res_b, token, dim},
    };
    lcf_status status;

    if (token % r->config.inter_heads_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "autoint: inter_dim %zu is no multiple of inter_heads_n %u", token,
                        r->config.inter_heads_n);
    status = lcf_ranker_add_head(&s->head, r, wide, err);
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && !status; i++) {
        status = lcf_ranker_add_matrix(maps[i].w, r, maps[i].w_name, maps[i].out, maps[i].in,
                                       maps[i].in, err);
        if (!status)
            status =
                lcf_ranker_add_bias(maps[i].b, r, maps[i].b_name, maps[i].out, maps[i].in, err);
    }
    if (!status)
        status = lcf_ranker_add_matrix(&s->fc_w, r, "inter.fc.w", 1, all, all, err);
    return status;
}

/* x [rows * fields, dim] -> tokens [rows * fields, inter_dim]. */
static lcf_tensor *attention(const ranker_pass *p, lcf_tensor *x, size_t fields)
{
    const autoint *s = p->r->backbone_state;
    const size_t rows = p->batch->rows_n;
    uint32_t *offsets = lcf_tape_alloc(p->tape, rows + 1, sizeof(*offsets));
    lcf_tape *t = p->tape;

    for (size_t i = 0; offsets && i <= rows; i++)
        offsets[i] = (uint32_t)(i * fields);
    x = lcf_op_linear(t, x, lcf_ranker_param(p, s->in_w), lcf_ranker_param(p, s->in_b));
    x = lcf_op_linear(t, x, lcf_ranker_param(p, s->qkv_w), lcf_ranker_param(p, s->qkv_b));
    x = lcf_op_segment_attention(t, x, p->r->config.inter_heads_n, offsets, rows);
    return lcf_op_linear(t, x, lcf_ranker_param(p, s->out_w), lcf_ranker_param(p, s->out_b));
}

static lcf_tensor *logits(const ranker_pass *p, ranker_fields *f)
{
    const autoint *s = p->r->backbone_state;
    const size_t dim = p->r->config.dim, rows = p->batch->rows_n;
    lcf_tensor *all = lcf_ranker_all_fields(p, f);
    const size_t fields = all->dims[1] / dim, apart[2] = {rows * fields, dim};
    const size_t together[2] = {rows, fields * p->r->config.inter_dim};
    lcf_tensor *x = lcf_op_reshape(p->tape, all, apart, 2);
    lcf_tensor *residual =
        lcf_op_linear(p->tape, x, lcf_ranker_param(p, s->res_w), lcf_ranker_param(p, s->res_b));

    x = lcf_op_relu(p->tape, lcf_op_add(p->tape, attention(p, x, fields), residual));
    x = lcf_op_linear(p->tape, lcf_op_reshape(p->tape, x, together, 2),
                      lcf_ranker_param(p, s->fc_w), NULL);
    return lcf_op_add(p->tape, lcf_ranker_head_forward(p, &s->head, all), x);
}

const ranker_backbone LCF_BACKBONE_AUTOINT = {
    .kind = {"autoint", "AutoInt: self-attention among fields"},
    .state_bytes = sizeof(autoint),
    .declare = declare,
    .logits = logits,
};
