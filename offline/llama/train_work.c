/*
 * Room, products and row loops of the training network; see train_work.h. Invariant: how work is
 * shared between threads never changes the order of a sum.
 */
#include "offline/llama/train_work.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"

#include <stdlib.h>
#include <string.h>

#define PANELS_BYTES ((size_t)256 << 10) /* of a right operand that a thread packs at a time */
#define PANELS_MAX 4
#define RANGE_ROWS 64 /* of a task of the attention, at least */
#define ROW_PARTS_MAX 8
#define PRODUCT_ROWS 96 /* of a left operand against these panels: both stay in the cache */

/* ---- room ---- */

/* Cuts a block into arrays; without a block it only counts. */
typedef struct carver {
    char *block;
    size_t bytes;
    bool overflow;
} carver;

static void *carve(carver *c, size_t n, size_t m, size_t size)
{
    char *at = c->block ? c->block + c->bytes : NULL;
    size_t bytes;

    if (!lcf_mul_size(&bytes, n, m) || !lcf_mul_size(&bytes, bytes, size) ||
        !lcf_add_size(&bytes, bytes, 63) || !lcf_add_size(&c->bytes, c->bytes, bytes / 64 * 64)) {
        c->overflow = true;
        return NULL;
    }
    return at;
}

static float *carve_f32(carver *c, size_t n, size_t m)
{
    return carve(c, n, m, sizeof(float));
}

static net_left carve_left(carver *c, const lcf_net *net, size_t rows, size_t k)
{
    const size_t ld = lcf_left_ld(k);

    return (net_left){carve(c, rows, ld, lcf_operand_bytes(net->precision)), ld};
}

static void *carve_turned(carver *c, const lcf_net *net, size_t k, size_t m)
{
    return carve(c, lcf_turned_n(net->precision, k, m), 1, lcf_operand_bytes(net->precision));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t widest(const lcf_llama_config *c)
{
    return larger(larger(c->dim, c->heads_n * c->head_dim), c->ffn_dim);
}

static void carve_kept(net_kept *k, carver *c, const lcf_net *net, size_t rows, bool last)
{
    const lcf_llama_config *f = net->config;
    const lcf_net_work *w = net->work;
    const size_t ffn_rows = last ? w->targets_max : rows;

    k->q = carve_f32(c, rows, f->heads_n * f->head_dim);
    k->k = carve_f32(c, rows, f->kv_heads_n * f->head_dim);
    k->v = carve_f32(c, rows, f->kv_heads_n * f->head_dim);
    k->att = carve_f32(c, rows, f->heads_n * f->head_dim);
    k->lse = carve_f32(c, rows, f->heads_n);
    k->mid = carve_f32(c, ffn_rows, f->dim);
    k->gate = carve_f32(c, ffn_rows, f->ffn_dim);
    k->up = carve_f32(c, ffn_rows, f->ffn_dim);
    for (size_t i = 0; i < NET_PARAMS_N; i++)
        k->t[i] = net->layers[0].lora[i].a.value ? carve_f32(c, rows, net->rank) : NULL;
}

static void carve_layers(carver *c, lcf_net *net, size_t rows)
{
    lcf_net_work *w = net->work;
    const size_t layers = net->config->layers_n;

    for (size_t l = 0; l < layers; l++) {
        w->x[l] = carve_f32(c, rows, net->config->dim);
        if (!net->checkpointing)
            carve_kept(&w->kept[l], c, net, rows, l + 1 == layers);
    }
    w->x[layers] = carve_f32(c, w->targets_max, net->config->dim);
    if (!net->checkpointing)
        return;
    carve_kept(&w->kept[0], c, net, rows, false);
    for (size_t l = 1; l < layers; l++)
        w->kept[l] = w->kept[0];
}

static void carve_shared(carver *c, lcf_net *net, size_t rows)
{
    const lcf_llama_config *f = net->config;
    const size_t q = f->heads_n * f->head_dim, kv = f->kv_heads_n * f->head_dim, wide = widest(f);
    const bool dropping = net->rank && net->dropout > 0.0f;
    lcf_net_work *w = net->work;

    w->left = carve_left(c, net, rows, wide);
    w->dh = carve_f32(c, rows, wide);
    if (dropping) {
        w->dropped = carve_left(c, net, rows, wide);
        w->dh_dropped = carve_f32(c, rows, wide);
    }
    for (size_t s = 0; s < NET_SLOTS; s++) {
        w->dy[s] = carve_left(c, net, rows, wide);
        w->dy_turned[s] = carve_turned(c, net, rows, wide);
        if (!net->rank)
            continue;
        w->small[s].t = carve_left(c, net, rows, net->rank);
        w->small[s].dt = carve_left(c, net, rows, net->rank);
        w->small[s].dt_turned = carve_turned(c, net, rows, net->rank);
        w->small[s].dt_rows = carve_f32(c, rows, net->rank);
    }
    w->dx = carve_f32(c, rows, f->dim);
    w->embed_rows = carve_f32(c, rows, f->dim);
    w->dq = carve_f32(c, rows, q);
    w->dk = carve_f32(c, rows, kv);
    w->dv = carve_f32(c, rows, kv);
    w->x_rows = carve_f32(c, w->targets_max, f->dim);
    w->att_rows = carve_f32(c, w->targets_max, q);
    w->dnorm = carve_f32(c, rows / NET_ROW_BLOCK + 1, f->dim);
}

static void carve_threads(carver *c, lcf_net *net, size_t rows)
{
    const lcf_llama_config *f = net->config;
    const lcf_attention_shape one = {1,           rows, f->heads_n,    f->kv_heads_n,
                                     f->head_dim, NULL, net->precision};
    lcf_net_work *w = net->work;
    const size_t deepest = larger(larger(widest(f), rows), HEAD_COLUMNS);

    w->attention_n = lcf_attention_scratch_n(&one);
    w->attention = carve_f32(c, w->threads, w->attention_n);
    w->panels_bytes = larger(PANELS_BYTES, (deepest + 1) * LCF_PANEL * sizeof(float));
    w->panels = carve(c, w->threads, w->panels_bytes, 1);
    w->ranges = carve(c, rows + 1, 1, sizeof(*w->ranges));
    w->rows_n = 2 * widest(f);
    w->rows = carve_f32(c, w->threads, w->rows_n);
}

static void carve_head(carver *c, lcf_net *net)
{
    lcf_net_work *w = net->work;
    const size_t bytes = lcf_operand_bytes(net->precision), n = w->targets_max;
    const size_t d = net->config->dim;
    const size_t chunks = (net->config->vocab_n + HEAD_COLUMNS - 1) / HEAD_COLUMNS;

    w->head_x = net->binary ? carve_f32(c, n, d) : NULL;
    w->head_left = carve_left(c, net, n, d);
    w->head_panels = carve(c, lcf_right_n(net->precision, n, d), 1, bytes);
    w->logits = carve(c, chunks * HEAD_COLUMNS, n, bytes);
    w->chunk_lse = carve_f32(c, chunks, n);
    w->target_logit = carve_f32(c, n, 1);
    w->row_nll = carve(c, n, 1, sizeof(*w->row_nll));
    w->head_lse = carve_f32(c, n, 1);
    w->head_dx = carve_f32(c, HEAD_GROUPS * n, d);
    /* A thread's part of the output matrix as right operand, and a tile of logits, or the gradient
     * of a chunk's logits, as rows and turned. */
    w->head_tile_bytes = larger(lcf_right_n(net->precision, d, HEAD_COLUMNS) * bytes +
                                    HEAD_ROWS * HEAD_COLUMNS * sizeof(float),
                                (lcf_right_n(net->precision, HEAD_COLUMNS, d) +
                                 HEAD_ROWS * lcf_left_ld(HEAD_COLUMNS) +
                                 lcf_turned_n(net->precision, n, HEAD_COLUMNS)) *
                                    bytes) +
                         4 * 64;
    w->head_tile = carve(c, w->threads, w->head_tile_bytes, 1);
}

static bool carve_all(carver *c, lcf_net *net)
{
    const size_t rows = net->work->rows_max;

    carve_layers(c, net, rows);
    carve_shared(c, net, rows);
    carve_threads(c, net, rows);
    carve_head(c, net);
    return !c->overflow;
}

lcf_status net_reserve(lcf_net *net, size_t rows, size_t targets, size_t threads, lcf_err *err)
{
    lcf_net_work *w = net->work;
    carver count = {NULL, 0, false}, cut;

    if (rows <= w->rows_max && targets <= w->targets_max && threads <= w->threads)
        return LCF_OK;
    w->rows_max = larger(rows, w->rows_max);
    w->targets_max = larger(targets, w->targets_max);
    w->threads = larger(threads, w->threads);
    free(w->block);
    w->block = NULL;
    if (carve_all(&count, net))
        w->block = lcf_alloc_aligned(count.bytes, 1);
    if (!w->block) {
        w->rows_max = w->targets_max = w->threads = 0;
        return LCF_FAIL(err, LCF_ENOMEM, "activations of %zu tokens, %zu bytes", rows, count.bytes);
    }
    lcf_use_huge_pages(w->block, count.bytes);
    cut = (carver){w->block, 0, false};
    carve_all(&cut, net);
    return LCF_OK;
}

/* ---- products ---- */

typedef struct product_job {
    const lcf_net *net;
    const net_product *list;
    size_t list_n;
    size_t panels;    /* of a task, at most */
    size_t row_parts; /* of every product */
} product_job;

static size_t depth_of(const net_product *p)
{
    size_t k = 1;

    for (size_t i = 0; i < p->parts_n; i++)
        k = larger(k, p->parts[i].k);
    return k;
}

/* Columns of C that a task computes. */
static size_t columns_of(const product_job *job, const net_product *p)
{
    const size_t panel = (depth_of(p) + 1) * LCF_PANEL * lcf_operand_bytes(job->net->precision);
    size_t panels = PANELS_BYTES / panel;

    panels = panels > job->panels ? job->panels : panels ? panels : 1;
    return panels * LCF_PANEL;
}

/* Groups of columns of a product. */
static size_t groups_of(const product_job *job, const net_product *p)
{
    const size_t columns = columns_of(job, p);

    return (p->n + columns - 1) / columns;
}

/* Columns [first, first + n) of B, in panels. */
static void pack_part(const lcf_net *net, const net_part *part, size_t first, size_t n,
                      void *panels)
{
    if (part->b)
        lcf_right(net->precision, panels, part->b + (part->transposed ? first * part->ldb : first),
                  part->ldb, part->transposed, part->k, n);
    else
        lcf_right_of_left(net->precision, panels,
                          (char *)part->b_rows.data + first * lcf_operand_bytes(net->precision),
                          part->b_rows.ld, part->k, n);
}

/* What pack_part reads of a part's weights, for a product before it to ask for. */
static lcf_ahead weights_of(const net_part *part, size_t first, size_t n)
{
    lcf_ahead ahead = {NULL, 0, n * sizeof(float), part->ldb * sizeof(float), 0};

    if (!part->b)
        return ahead;
    ahead.row = (const char *)(part->b + (part->transposed ? first * part->ldb : first));
    ahead.rows = part->transposed ? n : part->k;
    if (part->transposed)
        ahead.row_bytes = part->k * sizeof(float);
    return ahead;
}

/* Columns [first, first + n) of a product; p NULL: none. */
typedef struct product_group {
    const net_product *p;
    size_t first, n;
} product_group;

static product_group group_at(const product_job *job, size_t group)
{
    const net_product *p = job->list, *end = job->list + job->list_n;
    size_t n, columns;

    for (; p < end && group >= (n = groups_of(job, p)); p++)
        group -= n;
    if (p == end)
        return (product_group){NULL, 0, 0};
    columns = columns_of(job, p);
    n = p->n - group * columns;
    return (product_group){p, group * columns, n < columns ? n : columns};
}

/* Rows [begin, end) of a group. Meanwhile the weights of its next part are on their way, or those
 * of the group that this thread will compute next. */
static void product_block(const lcf_net *net, const product_group *group, size_t begin, size_t end,
                          void *panels, const product_group *next)
{
    const net_product *p = group->p;

    for (size_t i = 0; i < p->parts_n; i++) {
        const net_part *part = &p->parts[i];
        const bool add = p->add || i > 0;
        lcf_ahead ahead = {0};

        if (i + 1 < p->parts_n)
            ahead = weights_of(part + 1, group->first, group->n);
        else if (next->p)
            ahead = weights_of(next->p->parts, next->first, next->n);
        pack_part(net, part, group->first, group->n, panels);
        for (size_t r = begin; r < end; r += PRODUCT_ROWS) {
            const size_t rows = end - r < PRODUCT_ROWS ? end - r : PRODUCT_ROWS;
            float *c = p->c + r * p->ldc + group->first;

            if (part->turned)
                lcf_product_turned(net->precision, c, p->ldc,
                                   lcf_turned_at(net->precision, part->turned, part->k, r), panels,
                                   rows, group->n, part->k, add);
            else
                lcf_product_ahead(net->precision, c, p->ldc, net_left_at(net, part->a, r),
                                  part->a.ld, panels, rows, group->n, part->k, add,
                                  end - r <= AHEAD_ROWS ? &ahead : NULL);
        }
    }
}

static lcf_status product_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const product_job *job = arg;
    const lcf_net_work *w = job->net->work;
    const size_t part = task % job->row_parts, threads = lcf_pool_threads(job->net->pool);
    const product_group group = group_at(job, task / job->row_parts);
    const product_group next = group_at(job, (task + threads) / job->row_parts);
    const size_t m = group.p->m;
    const size_t rows = (m / job->row_parts + PRODUCT_ROWS - 1) / PRODUCT_ROWS * PRODUCT_ROWS;
    const bool last = (part + 1) * rows >= m || part + 1 == job->row_parts;

    (void)err;
    if (part * rows < m)
        product_block(job->net, &group, part * rows, last ? m : (part + 1) * rows,
                      w->panels + worker * w->panels_bytes, &next);
    return LCF_OK;
}

static size_t tasks_of(const product_job *job, size_t n)
{
    size_t groups = 0;

    for (size_t i = 0; i < n; i++)
        groups += groups_of(job, &job->list[i]);
    return groups * job->row_parts;
}

/* Enough tasks for every thread: narrower ones first, for a part of the rows packs the panels that
 * another part has packed, too. */
void net_products(lcf_net *net, const net_product *list, size_t n)
{
    const size_t threads = lcf_pool_threads(net->pool), wanted = threads > 1 ? 8 * threads : 1;
    product_job job = {net, list, n, PANELS_MAX, 1};

    while (tasks_of(&job, n) < wanted && job.panels > 1)
        job.panels--;
    while (tasks_of(&job, n) < wanted && job.row_parts < ROW_PARTS_MAX)
        job.row_parts++;
    lcf_pool_run(net->pool, tasks_of(&job, n), product_task, &job, NULL);
}

/* ---- rows ---- */

typedef struct rows_job {
    lcf_net *net;
    net_rows f;
    const void *arg;
    size_t rows;
} rows_job;

static lcf_status rows_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const rows_job *job = arg;
    const size_t first = task * NET_ROW_BLOCK, left = job->rows - first;

    (void)err;
    job->f(job->net, job->arg, first, left < NET_ROW_BLOCK ? left : NET_ROW_BLOCK, worker);
    return LCF_OK;
}

void net_for_rows(lcf_net *net, size_t rows, net_rows f, const void *arg)
{
    rows_job job = {net, f, arg, rows};

    lcf_pool_run(net->pool, (rows + NET_ROW_BLOCK - 1) / NET_ROW_BLOCK, rows_task, &job, NULL);
}

void *net_left_at(const lcf_net *net, net_left left, size_t row)
{
    return (char *)left.data + row * left.ld * lcf_operand_bytes(net->precision);
}

void net_operands(const lcf_net *net, net_left left, void *turned, size_t all, const float *x,
                  size_t first, size_t rows, size_t cols)
{
    void *at = net_left_at(net, left, first);

    lcf_left(net->precision, at, left.ld, x + first * cols, cols, rows, cols);
    if (turned)
        lcf_turned_rows(net->precision, turned, all, first, at, left.ld, rows, cols);
}

void net_norm_weight(lcf_net *net, const lcf_net_weight *w, size_t rows)
{
    const size_t d = net->config->dim, blocks = (rows + NET_ROW_BLOCK - 1) / NET_ROW_BLOCK;
    float *sum = net->work->dnorm;

    if (!w->grad)
        return;
    for (size_t b = 1; b < blocks; b++)
        lcf_axpy(sum, 1.0f, sum + b * d, d);
    if (net->fresh)
        memcpy(w->grad, sum, d * sizeof(*sum));
    else
        lcf_axpy(w->grad, 1.0f, sum, d);
}

/* ---- dropout ---- */

/* The finaliser of SplitMix64, so that parts and micro-batches have streams of their own. source:
 * Steele et al. 2014 */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void net_dropout(const lcf_net *net, float *y, const float *x, size_t first, size_t rows,
                 size_t cols, uint64_t part)
{
    lcf_dropout(y, x, rows * cols, mix(net->batch->key ^ mix(part)), (uint32_t)(first * cols),
                (uint32_t)((double)net->dropout * 4294967296.0), 1.0f / (1.0f - net->dropout));
}

/* ---- attention ---- */

/* Ranges end where no later row sees an earlier one, and are long enough to be worth a task. */
void net_find_ranges(lcf_net *net)
{
    const lcf_net_batch *b = net->batch;
    lcf_net_work *w = net->work;
    size_t n = 0, first = b->rows,
           end = b->rows; /* from the end: first row that a later one sees */

    w->ranges[n++] = (uint32_t)b->rows;
    for (size_t r = b->rows; r-- > 0;) {
        first = b->segments[r] < first ? b->segments[r] : first;
        if (first == r && (r == 0 || end - r >= RANGE_ROWS)) {
            w->ranges[n++] = (uint32_t)r;
            end = r;
        }
    }
    w->ranges_n = n - 1;
}
