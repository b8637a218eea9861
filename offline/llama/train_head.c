/*
 * The end of the network: last norm, output matrix, softmax cross-entropy, and their gradients,
 * fused over chunks of the vocabulary.
 *
 * First pass: a chunk's logits of all rows and the log of their sum of exponentials; what the
 * gradient needs of the logits is kept once (lcf_softmax_keep). Then the rows' log sums, in
 * the order of the chunks. Second pass: the gradient of a chunk's logits is made where it is used,
 * for that chunk's rows of the output matrix and for the input. The vocabulary is in HEAD_GROUPS
 * parts, each with its own sum for the input's gradient, added in their order at the end: the same
 * bits at any number of threads.
 *
 * The other loss, binary cross-entropy of one piece's logit, needs one row of the output matrix.
 */
#include "common/math/kernels.h"
#include "offline/llama/train_work.h"

#include <math.h>
#include <string.h>

typedef struct head_job {
    lcf_net *net;
    const float *x;
    float *dx;
    size_t n; /* rows */
} head_job;

static size_t chunks_of(const lcf_net *net)
{
    return (net->config->vocab_n + HEAD_COLUMNS - 1) / HEAD_COLUMNS;
}

static size_t chunk_columns(const lcf_net *net, size_t chunk)
{
    const size_t left = net->config->vocab_n - chunk * HEAD_COLUMNS;

    return left < HEAD_COLUMNS ? left : HEAD_COLUMNS;
}

/* A thread's room, one array after another. */
static void *take(char **at, size_t n, size_t size)
{
    void *p = *at;

    *at += (n * size + 63) / 64 * 64;
    return p;
}

static void *kept_logits(const head_job *job, size_t chunk, size_t row)
{
    const lcf_net *net = job->net;

    return net->work->logits +
           (chunk * job->n + row) * HEAD_COLUMNS * lcf_operand_bytes(net->precision);
}

/* A chunk's rows of the output matrix, for a product before it to ask for: of none from `end` on.
 */
static lcf_ahead chunk_ahead(const lcf_net *net, size_t chunk, size_t end)
{
    const size_t d = net->config->dim, bytes = d * sizeof(float);

    if (chunk >= end)
        return (lcf_ahead){0};
    return (lcf_ahead){(const char *)(net->output.value + chunk * HEAD_COLUMNS * d),
                       chunk_columns(net, chunk), bytes, bytes, 0};
}

/* ---- first pass ---- */

static void norm_rows(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const head_job *job = arg;
    const size_t d = net->config->dim;
    const net_left left = net->work->head_left;
    float *h = net->work->rows + worker * net->work->rows_n;

    for (size_t r = first; r < first + n; r++) {
        lcf_rmsnorm(h, job->x + r * d, net->final_norm.value, 1, d, net->config->norm_eps);
        lcf_left(net->precision, net_left_at(net, left, r), left.ld, h, d, 1, d);
    }
}

/* The log of the sum of exponentials of each row of a tile, which is used up; keeps the target's
 * logit, and what the gradient needs of the others. */
static void tile_statistics(const head_job *job, float *tile, size_t chunk, size_t first,
                            size_t rows)
{
    const lcf_net *net = job->net;
    const size_t columns = chunk_columns(net, chunk), begin = chunk * HEAD_COLUMNS;

    for (size_t r = first; r < first + rows; r++, tile += HEAD_COLUMNS) {
        const size_t target = (size_t)net->batch->targets[r];

        if (target >= begin && target < begin + columns)
            net->work->target_logit[r] = tile[target - begin];
        net->work->chunk_lse[chunk * job->n + r] = lcf_softmax_keep(
            net->precision, job->dx ? kept_logits(job, chunk, r) : NULL, tile, columns);
    }
}

static lcf_status logits_task(void *arg, size_t chunk, size_t worker, lcf_err *err)
{
    const head_job *job = arg;
    const lcf_net *net = job->net;
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim, columns = chunk_columns(net, chunk);
    char *room = w->head_tile + worker * w->head_tile_bytes;
    float *tile = take(&room, HEAD_ROWS * HEAD_COLUMNS, sizeof(*tile));
    lcf_ahead ahead = chunk_ahead(net, chunk + lcf_pool_threads(net->pool), chunks_of(net));

    (void)err;
    lcf_right(net->precision, room, net->output.value + chunk * HEAD_COLUMNS * d, d, true, d,
              columns);
    for (size_t r = 0; r < job->n; r += HEAD_ROWS) {
        const size_t rows = job->n - r < HEAD_ROWS ? job->n - r : HEAD_ROWS;

        lcf_product_ahead(net->precision, tile, HEAD_COLUMNS, net_left_at(net, w->head_left, r),
                          w->head_left.ld, room, rows, columns, d, false,
                          job->n - r <= AHEAD_ROWS ? &ahead : NULL);
        tile_statistics(job, tile, chunk, r, rows);
    }
    return LCF_OK;
}

/* -log p of rows into row_nll, their log sums into head_lse. */
static void log_sums(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const head_job *job = arg;
    const lcf_net_work *w = net->work;
    const size_t chunks = chunks_of(net);

    (void)worker;
    for (size_t r = first; r < first + n; r++) {
        const float *lse = w->chunk_lse + r;
        double max = -INFINITY, sum = 0;

        for (size_t c = 0; c < chunks; c++)
            max = lse[c * job->n] > max ? lse[c * job->n] : max;
        for (size_t c = 0; c < chunks; c++)
            sum += expf((float)(lse[c * job->n] - max));
        w->head_lse[r] = (float)(max + log(sum));
        w->row_nll[r] = max + log(sum) - (double)w->target_logit[r];
    }
}

/* ---- second pass ---- */

/* softmax - one_hot of rows [first, first + n) of a chunk, as left operand. */
static void logit_gradients(net_left rows, const head_job *job, size_t chunk, size_t first,
                            size_t n)
{
    const lcf_net *net = job->net;
    const lcf_net_work *w = net->work;

    for (size_t r = first; r < first + n; r++)
        lcf_softmax_left(net->precision, net_left_at(net, rows, r - first),
                         kept_logits(job, chunk, r), chunk_columns(net, chunk),
                         w->chunk_lse[chunk * job->n + r], w->head_lse[r],
                         (size_t)net->batch->targets[r] - chunk * HEAD_COLUMNS);
}

/* Chunks of the vocabulary whose gradients are summed together. */
typedef struct chunk_group {
    size_t first, end;
    float *dx;
} chunk_group;

/* The gradients that a chunk of the vocabulary gives: of its rows of the output matrix, and of the
 * input, added to the group's. */
static void chunk_backward(const head_job *job, const chunk_group *group, size_t chunk, char *room)
{
    const lcf_net *net = job->net;
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim, columns = chunk_columns(net, chunk);
    const size_t bytes = lcf_operand_bytes(net->precision);
    const float *matrix = net->output.value + chunk * HEAD_COLUMNS * d;
    lcf_ahead ahead = chunk_ahead(net, chunk + 1, group->end);
    net_left dl = {NULL, lcf_left_ld(HEAD_COLUMNS)};
    void *turned = NULL;

    dl.data = take(&room, HEAD_ROWS * dl.ld, bytes);
    if (net->output.grad)
        turned = take(&room, lcf_turned_n(net->precision, job->n, HEAD_COLUMNS), bytes);
    lcf_right(net->precision, room, matrix, d, false, columns, d);
    for (size_t r = 0; r < job->n; r += HEAD_ROWS) {
        const size_t rows = job->n - r < HEAD_ROWS ? job->n - r : HEAD_ROWS;

        logit_gradients(dl, job, chunk, r, rows);
        lcf_product_ahead(net->precision, group->dx + r * d, d, dl.data, dl.ld, room, rows, d,
                          columns, chunk > group->first, job->n - r <= AHEAD_ROWS ? &ahead : NULL);
        if (turned)
            lcf_turned_rows(net->precision, turned, job->n, r, dl.data, dl.ld, rows, columns);
    }
    if (turned)
        lcf_product_turned(net->precision, net->output.grad + chunk * HEAD_COLUMNS * d, d, turned,
                           w->head_panels, columns, d, job->n, !net->fresh);
}

static lcf_status gradient_task(void *arg, size_t group, size_t worker, lcf_err *err)
{
    const head_job *job = arg;
    const lcf_net_work *w = job->net->work;
    const size_t chunks = chunks_of(job->net);
    const chunk_group g = {group * chunks / HEAD_GROUPS, (group + 1) * chunks / HEAD_GROUPS,
                           w->head_dx + group * job->n * job->net->config->dim};

    (void)err;
    for (size_t c = g.first; c < g.end; c++)
        chunk_backward(job, &g, c, w->head_tile + worker * w->head_tile_bytes);
    return LCF_OK;
}

/* The groups' sums added, and through the norm. */
static void gradient_rows(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const head_job *job = arg;
    const size_t d = net->config->dim, chunks = chunks_of(net);
    float *sum = net->work->head_dx + first * d;
    float *dnorm = net->final_norm.grad ? net->work->dnorm + first / NET_ROW_BLOCK * d : NULL;
    bool any = false;

    (void)worker;
    for (size_t g = 0; g < HEAD_GROUPS; g++) {
        const float *part = net->work->head_dx + (g * job->n + first) * d;

        if (g * chunks / HEAD_GROUPS == (g + 1) * chunks / HEAD_GROUPS)
            continue;
        if (any)
            lcf_axpy(sum, 1.0f, part, n * d);
        else if (g > 0)
            memcpy(sum, part, n * d * sizeof(*sum));
        any = true;
    }
    memset(job->dx + first * d, 0, n * d * sizeof(*sum));
    if (dnorm)
        memset(dnorm, 0, d * sizeof(*dnorm));
    lcf_rmsnorm_backward(job->dx + first * d, dnorm, sum, job->x + first * d, net->final_norm.value,
                         n, d, net->config->norm_eps);
}

/* ---- binary cross-entropy ---- */

/* A row's loss into head_lse, the gradient of its logit into target_logit, and that times the
 * piece's row of the output matrix into head_dx. */
static void binary_row(const head_job *job, const float *h, size_t row)
{
    const lcf_net *net = job->net;
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim;
    const float *piece = net->output.value + net->positive * d;
    const bool yes = (size_t)job->net->batch->targets[row] == net->positive;
    double logit = 0, gradient;

    for (size_t i = 0; i < d; i++)
        logit += (double)h[i] * (double)piece[i];
    gradient = 1.0 / (1.0 + exp(-logit)) - yes;
    w->head_lse[row] = (float)(fmax(yes ? -logit : logit, 0.0) + log1p(exp(-fabs(logit))));
    w->target_logit[row] = (float)gradient;
    for (size_t i = 0; i < d; i++)
        w->head_dx[row * d + i] = (float)gradient * piece[i];
}

static void binary_rows(lcf_net *net, const void *arg, size_t first, size_t n, size_t worker)
{
    const head_job *job = arg;
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim, at = first * d;
    float *dnorm = net->final_norm.grad ? w->dnorm + first / NET_ROW_BLOCK * d : NULL;

    (void)worker;
    lcf_rmsnorm(w->head_x + at, job->x + at, net->final_norm.value, n, d, net->config->norm_eps);
    for (size_t r = first; r < first + n; r++)
        binary_row(job, w->head_x + r * d, r);
    if (!job->dx)
        return;
    memset(job->dx + at, 0, n * d * sizeof(*job->dx));
    if (dnorm)
        memset(dnorm, 0, d * sizeof(*dnorm));
    lcf_rmsnorm_backward(job->dx + at, dnorm, w->head_dx + at, job->x + at, net->final_norm.value,
                         n, d, net->config->norm_eps);
}

/* The gradient of the piece's row of the output matrix: of this micro-batch first, as if it were
 * computed in another process, then added. The others get none. */
static void binary_output(const lcf_net *net, size_t n)
{
    const lcf_net_work *w = net->work;
    const size_t d = net->config->dim;
    float *sum = w->head_x;

    for (size_t i = 0; i < d; i++)
        sum[i] *= w->target_logit[0];
    for (size_t r = 1; r < n; r++)
        lcf_axpy(sum, w->target_logit[r], w->head_x + r * d, d);
    if (net->fresh)
        memset(net->output.grad, 0, net->config->vocab_n * d * sizeof(*net->output.grad));
    lcf_axpy(net->output.grad + net->positive * d, 1.0f, sum, d);
}

static double binary_head(lcf_net *net, head_job *job)
{
    const lcf_net_work *w = net->work;
    double loss = 0;

    net_for_rows(net, job->n, binary_rows, job);
    for (size_t r = 0; r < job->n; r++)
        loss += (double)w->head_lse[r];
    if (!job->dx)
        return loss;
    if (net->output.grad)
        binary_output(net, job->n);
    net_norm_weight(net, &net->final_norm, job->n);
    return loss;
}

double net_head(lcf_net *net, float *dx, const float *x)
{
    head_job job = {net, x, dx, net->batch->targets_n};
    const size_t d = net->config->dim;
    double nll = 0;

    if (net->binary)
        return binary_head(net, &job);
    net_for_rows(net, job.n, norm_rows, &job);
    lcf_pool_run(net->pool, chunks_of(net), logits_task, &job, NULL);
    net_for_rows(net, job.n, log_sums, &job);
    for (size_t r = 0; r < job.n; r++)
        nll += net->work->row_nll[r];
    if (!dx)
        return nll;
    if (net->output.grad)
        lcf_right_of_left(net->precision, net->work->head_panels, net->work->head_left.data,
                          net->work->head_left.ld, job.n, d);
    lcf_pool_run(net->pool, HEAD_GROUPS, gradient_task, &job, NULL);
    net_for_rows(net, job.n, gradient_rows, &job);
    net_norm_weight(net, &net->final_norm, job.n);
    return nll;
}
