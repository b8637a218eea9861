/*
 * Layers of the training network; see train_net.h. Forward and backward of a layer are sequences of
 * products and row loops; what lies between two of them is complete when the next begins.
 *
 * source: Touvron et al. 2023 (LLaMA); Hu et al. 2021 (LoRA); Chen et al. 2016 (checkpointing)
 */
#include "offline/llama/train_net.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "offline/llama/train_work.h"

#include <stdlib.h>
#include <string.h>

/* The matrices that read an input. */
static const struct {
    lcf_net_param which[NET_SLOTS];
    size_t n;
} readers[INPUTS_N] = {
    [IN_ATTN] = {{NET_WQ, NET_WK, NET_WV}, 3},
    [IN_WO] = {{NET_WO}, 1},
    [IN_FFN] = {{NET_W_GATE, NET_W_UP}, 2},
    [IN_DOWN] = {{NET_W_DOWN}, 1},
};

void lcf_net_dims(size_t *out, size_t *in, const lcf_llama_config *c, lcf_net_param which)
{
    const size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    const size_t table[NET_PARAMS_N][2] = {
        [NET_ATTN_NORM] = {c->dim, 0},
        [NET_WQ] = {q, c->dim},
        [NET_WK] = {kv, c->dim},
        [NET_WV] = {kv, c->dim},
        [NET_WO] = {c->dim, q},
        [NET_FFN_NORM] = {c->dim, 0},
        [NET_W_GATE] = {c->ffn_dim, c->dim},
        [NET_W_UP] = {c->ffn_dim, c->dim},
        [NET_W_DOWN] = {c->dim, c->ffn_dim},
    };

    *out = table[which][0];
    *in = table[which][1];
}

lcf_status lcf_net_init(lcf_net *net, const lcf_llama_config *config, lcf_err *err)
{
    memset(net, 0, sizeof(*net));
    net->config = config;
    net->layers = lcf_alloc_zero(config->layers_n, sizeof(*net->layers));
    net->work = lcf_alloc_zero(1, sizeof(*net->work));
    if (net->work) {
        net->work->x = lcf_alloc_zero(config->layers_n + 1, sizeof(*net->work->x));
        net->work->kept = lcf_alloc_zero(config->layers_n, sizeof(*net->work->kept));
    }
    if (!net->layers || !net->work || !net->work->x || !net->work->kept) {
        lcf_net_dispose(net);
        return LCF_FAIL(err, LCF_ENOMEM, "network of %zu layers", config->layers_n);
    }
    return LCF_OK;
}

void lcf_net_dispose(lcf_net *net)
{
    if (net->work) {
        free(net->work->block);
        free(net->work->x);
        free(net->work->kept);
    }
    free(net->work);
    free(net->layers);
    free(net->rope);
    memset(net, 0, sizeof(*net));
}

/* ---- a layer's input to its matrices ---- */

static size_t input_width(const lcf_net *net, net_input input)
{
    size_t out, in;

    lcf_net_dims(&out, &in, net->config, readers[input].which[0]);
    return in;
}

static bool has_lora(const lcf_net_layer *layer, net_input input)
{
    for (size_t i = 0; i < readers[input].n; i++)
        if (layer->lora[readers[input].which[i]].a.value)
            return true;
    return false;
}

/* How rows of an input come about. */
typedef struct input_job {
    size_t layer;
    net_input input;
    const float *x, *weight; /* of a norm; without a weight the rows of x as they are */
    const float *gate, *up;  /* of SwiGLU, where x is NULL */
    bool dropped;            /* LoRA reads it through dropout */
    size_t width;
    const float *stream; /* the residual stream, copied to where the products are added; or NULL */
    float *stream_to;
} input_job;

static input_job input_of(const lcf_net *net, size_t layer, net_input input, const float *x)
{
    const lcf_net_layer *l = &net->layers[layer];
    const net_kept *k = &net->work->kept[layer];

    return (input_job){
        .layer = layer,
        .input = input,
        .x = input == IN_DOWN ? NULL : x,
        .weight = input == IN_ATTN  ? l->w[NET_ATTN_NORM].value
                  : input == IN_FFN ? l->w[NET_FFN_NORM].value
                                    : NULL,
        .gate = k->gate,
        .up = k->up,
        .dropped = net->dropout > 0.0f && has_lora(l, input),
        .width = input_width(net, input),
    };
}

static void input_values(float *y, const lcf_net *net, const input_job *job, size_t row, size_t n)
{
    const size_t at = row * job->width;

    if (!job->x)
        lcf_swiglu(y, job->gate + at, job->up + at, n * job->width);
    else if (job->weight)
        lcf_rmsnorm(y, job->x + at, job->weight, n, job->width, net->config->norm_eps);
    else
        memcpy(y, job->x + at, n * job->width * sizeof(*y));
}

static uint64_t dropout_part(const input_job *job)
{
    return job->layer * INPUTS_N + job->input;
}

/* As left operands. */
static void input_left(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const input_job *job = arg;
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim;
    float *row = w->rows + worker * w->rows_n;

    if (job->stream)
        memcpy(job->stream_to + first * d, job->stream + first * d, n * d * sizeof(*row));
    for (size_t r = first; r < first + n; r++) {
        input_values(row, net, job, r, 1);
        lcf_left(net->precision, net_left_at(net, w->left, r), w->left.ld, row, job->width, 1,
                 job->width);
        if (!job->dropped)
            continue;
        net_dropout(net, row, row, r, 1, job->width, dropout_part(job));
        lcf_left(net->precision, net_left_at(net, w->dropped, r), w->dropped.ld, row, job->width, 1,
                 job->width);
    }
}

/* ---- matrices, forward ---- */

typedef struct scale_job {
    float *x;
    size_t rows;
    net_left left;
    void *turned;
} scale_job;

/* x times LoRA's scale, and as operands. */
static void scale_rows(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const scale_job *job = arg;
    float *x = job->x + first * net->rank;

    (void)worker;
    for (size_t i = 0; i < n * net->rank; i++)
        x[i] *= net->lora_scale;
    net_operands(net, job->left, job->turned, job->rows, job->x, first, n, net->rank);
}

/* a W^T, W [out, in] */
static net_part weights_part(net_left a, const float *w, size_t in)
{
    return (net_part){.a = a, .b = w, .ldb = in, .k = in, .transposed = true};
}

/* a W, W [out, in] */
static net_part gradient_part(net_left a, const float *w, size_t out, size_t in)
{
    return (net_part){.a = a, .b = w, .ldb = in, .k = out};
}

/* t = scale * dropout(x) A^T of the matrices that read an input, kept and as left operands. */
static void lora_inputs(lcf_net *net, size_t layer, net_input input, bool dropped, size_t rows)
{
    const lcf_net_work *w = net->work;
    const size_t in = input_width(net, input);
    net_product list[NET_SLOTS];
    size_t n = 0;

    for (size_t i = 0; i < readers[input].n; i++) {
        const lcf_net_param which = readers[input].which[i];
        const lcf_net_lora *lora = &net->layers[layer].lora[which];

        if (lora->a.value)
            list[n++] =
                (net_product){w->kept[layer].t[which],
                              net->rank,
                              rows,
                              net->rank,
                              false,
                              {weights_part(dropped ? w->dropped : w->left, lora->a.value, in)},
                              1};
    }
    net_products(net, list, n);
    for (size_t i = 0; i < readers[input].n; i++) {
        const lcf_net_param which = readers[input].which[i];
        const scale_job job = {w->kept[layer].t[which], rows, w->small[i].t, NULL};

        if (net->layers[layer].lora[which].a.value)
            net_for_rows(net, rows, scale_rows, &job);
    }
}

/* y[i] = x W_i^T, with LoRA, for the matrices that read an input; x: its rows, or NULL. stream: is
 * added to the only one; or NULL. */
static void matrices_forward(lcf_net *net, size_t layer, net_input input, const float *x,
                             float *const y[], size_t rows, const float *stream)
{
    input_job job = input_of(net, layer, input, x);
    const lcf_net_layer *l = &net->layers[layer];
    const lcf_net_work *w = net->work;
    net_product list[NET_SLOTS];

    job.stream = stream;
    job.stream_to = y[0];
    net_for_rows(net, rows, input_left, &job);
    if (has_lora(l, input))
        lora_inputs(net, layer, input, job.dropped, rows);
    for (size_t i = 0; i < readers[input].n; i++) {
        const lcf_net_param which = readers[input].which[i];
        size_t out, in;

        lcf_net_dims(&out, &in, net->config, which);
        list[i] = (net_product){
            y[i], out, rows, out, stream, {weights_part(w->left, l->w[which].value, in)}, 1};
        if (l->lora[which].a.value)
            list[i].parts[list[i].parts_n++] =
                weights_part(w->small[i].t, l->lora[which].b.value, net->rank);
    }
    net_products(net, list, readers[input].n);
}

/* ---- matrices, backward ---- */

/* dt = scale * dy B of the targets, and as operands. */
static void lora_gradients(lcf_net *net, size_t layer, net_input input, size_t rows)
{
    const lcf_net_work *w = net->work;
    net_product list[NET_SLOTS];
    size_t n = 0;

    for (size_t i = 0; i < readers[input].n; i++) {
        const lcf_net_param which = readers[input].which[i];
        const lcf_net_lora *lora = &net->layers[layer].lora[which];
        size_t out, in;

        lcf_net_dims(&out, &in, net->config, which);
        if (lora->a.value)
            list[n++] = (net_product){w->small[i].dt_rows,
                                      net->rank,
                                      rows,
                                      net->rank,
                                      false,
                                      {gradient_part(w->dy[i], lora->b.value, out, net->rank)},
                                      1};
    }
    net_products(net, list, n);
    for (size_t i = 0; i < readers[input].n; i++) {
        const scale_job job = {w->small[i].dt_rows, rows, w->small[i].dt, w->small[i].dt_turned};

        if (net->layers[layer].lora[readers[input].which[i]].a.value)
            net_for_rows(net, rows, scale_rows, &job);
    }
}

/* The products that give the gradients of one matrix and of its LoRA. Returns how many. */
static size_t weight_products(net_product *list, const lcf_net *net, size_t layer, net_input input,
                              size_t slot, bool dropped, size_t rows)
{
    const lcf_net_param which = readers[input].which[slot];
    const lcf_net_weight *weight = &net->layers[layer].w[which];
    const lcf_net_lora *lora = &net->layers[layer].lora[which];
    const lcf_net_work *w = net->work;
    const net_part by_x = {.turned = w->dy_turned[slot], .b_rows = w->left, .k = rows};
    const bool add = !net->fresh;
    size_t out, in, n = 0;

    lcf_net_dims(&out, &in, net->config, which);
    if (weight->grad)
        list[n++] = (net_product){weight->grad, in, out, in, add, {by_x}, 1};
    if (lora->a.value) {
        const net_part by_t = {.turned = w->dy_turned[slot],
                               .b = w->kept[layer].t[which],
                               .ldb = net->rank,
                               .k = rows};
        const net_part of_a = {.turned = w->small[slot].dt_turned,
                               .b_rows = dropped ? w->dropped : w->left,
                               .k = rows};

        list[n++] = (net_product){lora->b.grad, net->rank, out, net->rank, add, {by_t}, 1};
        list[n++] = (net_product){lora->a.grad, in, net->rank, in, add, {of_a}, 1};
    }
    return n;
}

/* Is a gradient made from the input of a matrix, and from that of its results turned? */
static bool needs_turned(const lcf_net *net, size_t layer, lcf_net_param which)
{
    return net->layers[layer].w[which].grad || net->layers[layer].lora[which].a.value;
}

/* An input's left operands again, where a gradient is made from them. */
static void input_again(lcf_net *net, size_t layer, net_input input, const float *x, size_t rows)
{
    const input_job job = input_of(net, layer, input, x);

    for (size_t i = 0; i < readers[input].n; i++)
        if (needs_turned(net, layer, readers[input].which[i])) {
            net_for_rows(net, rows, input_left, &job);
            return;
        }
}

/*
 * From the gradients of an input's results in work->dy and dy_turned: that of the input in
 * work->dh, and of the matrices. x: as in matrices_forward.
 */
static void matrices_backward(lcf_net *net, size_t layer, net_input input, const float *x,
                              size_t rows)
{
    const lcf_net_layer *l = &net->layers[layer];
    const lcf_net_work *w = net->work;
    const bool dropped = net->dropout > 0.0f && has_lora(l, input);
    const size_t width = input_width(net, input);
    net_product list[2 + 3 * NET_SLOTS] = {
        {.c = w->dh, .ldc = width, .m = rows, .n = width},
        {.c = w->dh_dropped, .ldc = width, .m = rows, .n = width},
    };
    net_product *of_lora = dropped ? &list[1] : &list[0];
    size_t n = dropped ? 2 : 1;

    input_again(net, layer, input, x, rows);
    if (has_lora(l, input))
        lora_gradients(net, layer, input, rows);
    for (size_t i = 0; i < readers[input].n; i++) {
        const lcf_net_param which = readers[input].which[i];
        size_t out, in;

        lcf_net_dims(&out, &in, net->config, which);
        list[0].parts[list[0].parts_n++] = gradient_part(w->dy[i], l->w[which].value, out, in);
        if (l->lora[which].a.value)
            of_lora->parts[of_lora->parts_n++] =
                gradient_part(w->small[i].dt, l->lora[which].a.value, net->rank, in);
        n += weight_products(&list[n], net, layer, input, i, dropped, rows);
    }
    net_products(net, list, n);
}

/* work->dh complete: what came through dropout is added. */
static void add_dropped(const lcf_net *net, size_t layer, net_input input, size_t first, size_t n,
                        size_t width)
{
    const lcf_net_work *w = net->work;
    const input_job job = {.layer = layer, .input = input};
    const size_t at = first * width;

    if (net->dropout <= 0.0f || !has_lora(&net->layers[layer], input))
        return;
    net_dropout(net, w->dh_dropped + at, w->dh_dropped + at, first, n, width, dropout_part(&job));
    lcf_axpy(w->dh + at, 1.0f, w->dh_dropped + at, n * width);
}

/* ---- attention ---- */

typedef struct attention_job {
    lcf_net *net;
    net_kept *kept;
} attention_job;

/* One task: a key-value head with the query heads that share it, over a range of rows. */
typedef struct attention_slice {
    lcf_attention_shape shape;
    size_t first, kv_head, group; /* row; head; query heads of it */
    size_t q, kv, lse;            /* where the range begins in the arrays */
} attention_slice;

static attention_slice attention_slice_of(const lcf_net *net, size_t task)
{
    const lcf_llama_config *c = net->config;
    const lcf_net_work *w = net->work;
    const size_t range = task / c->kv_heads_n, first = w->ranges[range + 1];

    return (attention_slice){
        .shape = {1, w->ranges[range] - first, c->heads_n, c->kv_heads_n, c->head_dim,
                  net->batch->segments + first, net->precision},
        .first = first,
        .kv_head = task % c->kv_heads_n,
        .group = c->heads_n / c->kv_heads_n,
        .q = first * c->heads_n * c->head_dim,
        .kv = first * c->kv_heads_n * c->head_dim,
        .lse = first * c->heads_n,
    };
}

/* Queries and keys whose rows are turned by RoPE, or turned back. */
typedef struct turn_job {
    float *q, *k;
    bool inverse;
} turn_job;

static void turn_rows(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const turn_job *job = arg;
    const lcf_llama_config *c = net->config;
    const size_t hd = c->head_dim;

    (void)worker;
    for (size_t r = first; r < first + n; r++) {
        const float *angles = net->rope + net->batch->positions[r] * hd;

        lcf_rope_rotate(job->q + r * c->heads_n * hd, c->heads_n, hd, angles, job->inverse);
        lcf_rope_rotate(job->k + r * c->kv_heads_n * hd, c->kv_heads_n, hd, angles, job->inverse);
    }
}

static lcf_status attention_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const attention_job *job = arg;
    const lcf_net_work *w = job->net->work;
    const attention_slice s = attention_slice_of(job->net, task);
    net_kept *k = job->kept;

    (void)err;
    lcf_attention_part(k->att + s.q, k->lse + s.lse, k->q + s.q, k->k + s.kv, k->v + s.kv, &s.shape,
                       s.kv_head, 1, w->attention + worker * w->attention_n);
    return LCF_OK;
}

static void zero_columns(float *x, size_t rows, size_t row_n, size_t first, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        memset(x + r * row_n + first, 0, n * sizeof(*x));
}

static lcf_status attention_back_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const attention_job *job = arg;
    const lcf_net_work *w = job->net->work;
    const attention_slice s = attention_slice_of(job->net, task);
    const size_t hd = s.shape.head_dim, q = s.shape.heads * hd, kv = s.shape.kv_heads * hd;
    const net_kept *k = job->kept;

    (void)err;
    zero_columns(w->dq + s.q, s.shape.t, q, s.kv_head * s.group * hd, s.group * hd);
    zero_columns(w->dk + s.kv, s.shape.t, kv, s.kv_head * hd, hd);
    zero_columns(w->dv + s.kv, s.shape.t, kv, s.kv_head * hd, hd);
    lcf_attention_backward_part(w->dq + s.q, w->dk + s.kv, w->dv + s.kv, w->dh + s.q, k->att + s.q,
                                k->lse + s.lse, k->q + s.q, k->k + s.kv, k->v + s.kv, &s.shape,
                                s.kv_head, 1, w->attention + worker * w->attention_n);
    return LCF_OK;
}

static void for_attention(lcf_net *net, lcf_task task, net_kept *kept)
{
    attention_job job = {net, kept};

    lcf_pool_run(net->pool, net->work->ranges_n * net->config->kv_heads_n, task, &job, NULL);
}

/* ---- a layer ---- */

static bool is_last(const lcf_net *net, size_t layer)
{
    return layer + 1 == net->config->layers_n;
}

static void gather(float *y, const float *x, const lcf_net_batch *b, size_t width)
{
    for (size_t i = 0; i < b->targets_n; i++)
        memcpy(y + i * width, x + b->target_rows[i] * width, width * sizeof(*y));
}

/* x [rows, width]: those that count stand at its beginning and move to their places; the others
 * become 0. */
static void scatter(float *x, const lcf_net_batch *b, size_t width)
{
    size_t end = b->rows;

    for (size_t i = b->targets_n; i-- > 0;) {
        const size_t row = b->target_rows[i];

        memmove(x + row * width, x + i * width, width * sizeof(*x));
        memset(x + (row + 1) * width, 0, (end - row - 1) * width * sizeof(*x));
        end = row;
    }
    memset(x, 0, end * width * sizeof(*x));
}

/* From work->x[layer] to work->x[layer + 1], filling kept. After the last layer's attention only
 * the rows that count go on. */
static void layer_forward(lcf_net *net, size_t layer)
{
    const lcf_llama_config *c = net->config;
    const lcf_net_batch *b = net->batch;
    lcf_net_work *w = net->work;
    net_kept *k = &w->kept[layer];
    const float *x = w->x[layer], *att = k->att;
    size_t rows = b->rows;

    matrices_forward(net, layer, IN_ATTN, x, (float *[]){k->q, k->k, k->v}, rows, NULL);
    net_for_rows(net, rows, turn_rows, &(turn_job){k->q, k->k, false});
    for_attention(net, attention_task, k);
    if (is_last(net, layer)) {
        gather(w->x_rows, x, b, c->dim);
        gather(w->att_rows, att, b, c->heads_n * c->head_dim);
        x = w->x_rows;
        att = w->att_rows;
        rows = b->targets_n;
    }
    matrices_forward(net, layer, IN_WO, att, &k->mid, rows, x);
    matrices_forward(net, layer, IN_FFN, k->mid, (float *[]){k->gate, k->up}, rows, NULL);
    matrices_forward(net, layer, IN_DOWN, NULL, &w->x[layer + 1], rows, k->mid);
}

/* What the row loops of the backward pass work on. */
typedef struct backward_job {
    size_t layer, rows;
    net_input input;
    const float *x; /* input of the norm */
    float *dx;      /* of the residual stream */
} backward_job;

/* Rows of the gradient of a matrix's results as operands. */
static void gradient_operands(lcf_net *net, const backward_job *job, size_t slot,
                              lcf_net_param which, const float *dy, size_t first, size_t n)
{
    const lcf_net_work *w = net->work;
    size_t out, in;

    lcf_net_dims(&out, &in, net->config, which);
    net_operands(net, w->dy[slot], needs_turned(net, job->layer, which) ? w->dy_turned[slot] : NULL,
                 job->rows, dy, first, n, out);
}

/* The stream's gradient as operands of the matrix that wrote into it. */
static void stream_operands(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const backward_job *job = arg;

    (void)worker;
    gradient_operands(net, job, 0, readers[job->input].which[0], job->dx, first, n);
}

/* Through SwiGLU: work->dh becomes the operands of gate and up. A block's gradients stand where
 * dh and the kept gate stood. */
static void swiglu_operands(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const backward_job *job = arg;
    const lcf_net_work *w = net->work;
    const size_t f = net->config->ffn_dim, at = first * f;
    const net_kept *k = &w->kept[job->layer];
    float *dgate = w->rows + worker * w->rows_n, *dup = dgate + f;

    add_dropped(net, job->layer, IN_DOWN, first, n, f);
    for (size_t r = 0; r < n; r++) {
        float *gate = k->gate + at + r * f, *up = k->up + at + r * f;

        memset(dgate, 0, 2 * f * sizeof(*dgate));
        lcf_swiglu_backward(dgate, dup, w->dh + at + r * f, gate, up, f);
        memcpy(gate, dgate, f * sizeof(*gate));
        memcpy(up, dup, f * sizeof(*up));
    }
    gradient_operands(net, job, 0, NET_W_GATE, k->gate, first, n);
    gradient_operands(net, job, 1, NET_W_UP, k->up, first, n);
}

/* Through a norm: work->dh into the stream's gradient. */
static void norm_backward(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const backward_job *job = arg;
    const lcf_net_param which = job->input == IN_ATTN ? NET_ATTN_NORM : NET_FFN_NORM;
    const lcf_net_weight *weight = &net->layers[job->layer].w[which];
    const size_t d = net->config->dim, at = first * d;
    float *dnorm = weight->grad ? net->work->dnorm + first / NET_ROW_BLOCK * d : NULL;

    (void)worker;
    add_dropped(net, job->layer, job->input, first, n, d);
    if (dnorm)
        memset(dnorm, 0, d * sizeof(*dnorm));
    lcf_rmsnorm_backward(job->dx + at, dnorm, net->work->dh + at, job->x + at, weight->value, n, d,
                         net->config->norm_eps);
}

/* The gradient of the attention's output in work->dh complete. */
static void attention_dropped(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const backward_job *job = arg;

    (void)worker;
    add_dropped(net, job->layer, IN_WO, first, n, net->config->heads_n * net->config->head_dim);
}

static void attention_operands(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const backward_job *job = arg;
    const float *dy[NET_SLOTS] = {net->work->dq, net->work->dk, net->work->dv};

    turn_rows(net, &(turn_job){net->work->dq, net->work->dk, true}, first, n, worker);
    for (size_t i = 0; i < NET_SLOTS; i++)
        gradient_operands(net, job, i, readers[IN_ATTN].which[i], dy[i], first, n);
}

/* The FFN of a layer: dx, of its output, becomes that of its input (kept->mid). */
static void ffn_backward(lcf_net *net, size_t layer, float *dx, size_t rows)
{
    lcf_net_work *w = net->work;
    const net_kept *k = &w->kept[layer];
    const backward_job down = {layer, rows, IN_DOWN, NULL, dx};
    const backward_job ffn = {layer, rows, IN_FFN, k->mid, dx};

    net_for_rows(net, rows, stream_operands, &down);
    matrices_backward(net, layer, IN_DOWN, NULL, rows);
    net_for_rows(net, rows, swiglu_operands, &ffn);
    matrices_backward(net, layer, IN_FFN, k->mid, rows);
    net_for_rows(net, rows, norm_backward, &ffn);
    net_norm_weight(net, &net->layers[layer].w[NET_FFN_NORM], rows);
}

static void layer_backward(lcf_net *net, size_t layer)
{
    const lcf_llama_config *c = net->config;
    const lcf_net_batch *b = net->batch;
    lcf_net_work *w = net->work;
    net_kept *k = &w->kept[layer];
    const bool last = is_last(net, layer);
    const size_t rows = last ? b->targets_n : b->rows, q = c->heads_n * c->head_dim;
    float *dx = w->dx, *att = last ? w->att_rows : k->att;
    const backward_job out = {layer, rows, IN_WO, NULL, dx};
    const backward_job in = {layer, b->rows, IN_ATTN, w->x[layer], dx};

    ffn_backward(net, layer, dx, rows);
    net_for_rows(net, rows, stream_operands, &out);
    matrices_backward(net, layer, IN_WO, att, rows);
    net_for_rows(net, rows, attention_dropped, &out);
    if (last) {
        scatter(w->dh, b, q);
        scatter(dx, b, c->dim);
    }
    for_attention(net, attention_back_task, k);
    net_for_rows(net, b->rows, attention_operands, &in);
    matrices_backward(net, layer, IN_ATTN, w->x[layer], b->rows);
    net_for_rows(net, b->rows, norm_backward, &in);
    net_norm_weight(net, &net->layers[layer].w[NET_ATTN_NORM], b->rows);
}

/* ---- the whole ---- */

static void embed(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const size_t d = net->config->dim, vocab_n = net->config->vocab_n;

    (void)arg;
    (void)worker;
    for (size_t r = first; r < first + n; r++) {
        const size_t id = net->batch->ids[r];

        memcpy(net->work->x[0] + r * d,
               id < vocab_n ? net->embed.value + id * d : net->soft.rows + (id - vocab_n) * d,
               d * sizeof(float));
    }
}

/* Where the gradient of a row's input goes; NULL: nowhere. */
static float *embed_grad(const lcf_net *net, size_t row)
{
    const size_t id = net->batch->ids[row], d = net->config->dim, vocab_n = net->config->vocab_n;

    if (id < vocab_n)
        return net->embed.grad ? net->embed.grad + id * d : NULL;
    return net->soft_grads ? net->soft_grads + (id - vocab_n) * d : NULL;
}

/* Does the gradient add to what was there before this micro-batch? */
static bool embed_adds(const lcf_net *net, size_t row)
{
    return embed_grad(net, row) && (!net->fresh || net->batch->ids[row] >= net->config->vocab_n);
}

/*
 * The rows of the table's gradient that this micro-batch adds to are put aside, so that its own sum
 * is complete before it meets what was there: as if it had been computed in another process.
 */
static void embed_put_aside(lcf_net *net)
{
    const size_t d = net->config->dim;

    for (size_t r = 0; r < net->batch->rows; r++) {
        float *grad = embed_grad(net, r);

        if (!embed_adds(net, r))
            continue;
        memcpy(net->work->embed_rows + r * d, grad, d * sizeof(*grad));
        memset(grad, 0, d * sizeof(*grad)); /* so that an id that comes again puts zeros aside */
    }
}

static void embed_backward(lcf_net *net)
{
    const size_t d = net->config->dim, rows = net->batch->rows;

    if (net->embed.grad && net->fresh && net->embed.grad != net->output.grad)
        memset(net->embed.grad, 0, net->config->vocab_n * d * sizeof(float));
    for (size_t r = 0; r < rows; r++)
        if (embed_grad(net, r))
            lcf_axpy(embed_grad(net, r), 1.0f, net->work->dx + r * d, d);
    for (size_t r = 0; r < rows; r++)
        if (embed_adds(net, r))
            lcf_axpy(embed_grad(net, r), 1.0f, net->work->embed_rows + r * d, d);
}

static lcf_status done(const lcf_net *net, size_t part, lcf_err *err)
{
    return net->done ? net->done(net->done_arg, part, err) : LCF_OK;
}

static lcf_status backward(lcf_net *net, lcf_err *err)
{
    const size_t layers = net->config->layers_n;
    lcf_status status = done(net, layers, err);

    for (size_t l = layers; l-- > 0 && !status;) {
        if (net->checkpointing)
            layer_forward(net, l);
        layer_backward(net, l);
        status = done(net, l, err);
    }
    if (status)
        return status;
    embed_backward(net);
    return done(net, layers + 1, err);
}

/* The angles of all positions of the batch. */
static lcf_status provide_angles(lcf_net *net, lcf_err *err)
{
    const lcf_llama_config *c = net->config;
    size_t n = 0;
    float *table;

    for (size_t r = 0; r < net->batch->rows; r++)
        n = net->batch->positions[r] >= n ? net->batch->positions[r] + (size_t)1 : n;
    if (n <= net->rope_n)
        return LCF_OK;
    table = lcf_alloc(n, c->head_dim * sizeof(*table));
    if (!table)
        return LCF_FAIL(err, LCF_ENOMEM, "angles of %zu positions", n);
    for (size_t i = 0; i < n; i++)
        lcf_rope_angles(table + i * c->head_dim, c->head_dim, i, c->rope_theta);
    free(net->rope);
    net->rope = table;
    net->rope_n = n;
    return LCF_OK;
}

lcf_status lcf_net_run(double *nll, lcf_net *net, const lcf_net_batch *batch, bool train,
                       bool fresh, lcf_pool *pool, lcf_err *err)
{
    const float dropout = net->dropout;
    lcf_status status;

    LCF_ASSERT(batch->targets_n > 0 && batch->targets_n <= batch->rows);
    net->pool = pool;
    net->batch = batch;
    net->fresh = fresh;
    status = net_reserve(net, batch->rows, batch->targets_n, lcf_pool_threads(pool), err);
    if (!status)
        status = provide_angles(net, err);
    if (status)
        return status;
    net_find_ranges(net);
    if (!train)
        net->dropout = 0.0f;
    net_for_rows(net, batch->rows, embed, NULL);
    for (size_t l = 0; l < net->config->layers_n; l++)
        layer_forward(net, l);
    if (train)
        embed_put_aside(net);
    *nll = net_head(net, train ? net->work->dx : NULL, net->work->x[net->config->layers_n]);
    net->dropout = dropout;
    return train ? backward(net, err) : LCF_OK;
}
