/*
 * Decoding: a batch of tokens of many sequences goes through the network together. Matrix products
 * run over the whole batch; attention runs token by token against the sequence's own pages. A
 * token's result is the same bits in any batch: every sum is taken in an order that depends on its
 * own sequence alone.
 *
 * Invariant: a call that fails leaves every sequence as it was.
 */
#include "common/base/mem.h"
#include "common/base/team.h"
#include "common/math/kernels.h"
#include "offline/llama/kv_cache.h"
#include "offline/llama/llama.h"
#include "offline/llama/matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_AT_ONCE = 8 }; /* of a prompt, against the same keys and values */

typedef struct packed_layer { /* weights with the same input stand side by side */
    lcf_matrix qkv, wo, gate_up, down;
} packed_layer;

struct lcf_llama_session {
    const lcf_llama *m;
    size_t context_n, batch_max;
    lcf_kv_cache cache;
    lcf_soft_tokens soft;
    float *angles;      /* [context_n, head_dim] */
    size_t *positions;  /* [batch_max] of the batch's tokens in their sequences */
    float *activations; /* one block, cut up below */
    float *x, *h, *qkv, *mixed, *gate_up;
    float *scores; /* [threads, scores_n] */
    size_t scores_n;
    unsigned char *tiles; /* the input of the next product, as its kernel wants it */
    unsigned char *weights;
    packed_layer *layers; /* [layers_n] */
    lcf_matrix output;
    float *logits; /* [batch_max, vocab_n] */
    size_t *runs;  /* [batch_max] where each run of the batch begins */
    size_t bytes_n;
    lcf_team *team;
};

/* ---- life cycle --------------------------------------------------------------------------- */

/* n * size bytes on the session's account; NULL when there is no memory or no such number. */
static void *account(lcf_llama_session *s, size_t n, size_t size)
{
    void *p = lcf_alloc_aligned(n, size);

    if (p)
        s->bytes_n += n * size;
    return p;
}

static size_t lines(size_t floats_n) /* rounded up to a cache line */
{
    return (floats_n + 15) / 16 * 16;
}

/* What a frequency that turns `turns` times within the first training's context is multiplied by.
 */
static double llama3_scale(const lcf_llama_config *c, double turns)
{
    double low = c->rope_low_freq, high = c->rope_high_freq, mix;

    if (turns < low)
        return 1.0 / c->rope_factor;
    if (turns > high)
        return 1;
    mix = (turns - low) / (high - low);
    return (1 - mix) / c->rope_factor + mix;
}

/* cosine and sine of each pair's angle at one position, as lcf_rope_rotate wants them */
static void rope_angles(float *cos_sin, const lcf_llama *m, size_t position)
{
    const double two_pi = 6.283185307179586;
    const lcf_llama_config *c = &m->config;

    for (size_t i = 0; i + 1 < c->head_dim; i += 2) {
        double frequency = pow(c->rope_theta, -(double)i / (double)c->head_dim), angle;
        if (m->rope_factors)
            frequency /= m->rope_factors[i / 2];
        if (c->rope_scaling == LCF_ROPE_LINEAR)
            frequency /= c->rope_factor;
        if (c->rope_scaling == LCF_ROPE_LLAMA3)
            frequency *= llama3_scale(c, (double)c->rope_original_n * frequency / two_pi);
        angle = (double)position * frequency;
        cos_sin[i] = (float)cos(angle);
        cos_sin[i + 1] = (float)sin(angle);
    }
}

/* Tiles of rows that are an input of w. */
static size_t tiles_of(const lcf_matrix *w, size_t rows)
{
    const size_t tile = lcf_matrix_tile_rows(w->kind);

    return (rows + tile - 1) / tile;
}

static lcf_status create_activations(lcf_llama_session *s)
{
    const lcf_llama_config *c = &s->m->config;
    size_t n = s->batch_max, q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    size_t group = c->heads_n / c->kv_heads_n, row, total;
    float *next;

    row = 2 * lines(c->dim) + lines(q + 2 * kv) + lines(q) + lines(2 * c->ffn_dim);
    s->scores_n = lines(lcf_kv_scratch_n(TOKENS_AT_ONCE * group, s->context_n, s->cache.value_dim));
    if (!lcf_mul_size(&total, row, n))
        return LCF_ENOMEM;
    s->activations = account(s, total, sizeof(float));
    s->scores = account(s, s->scores_n * lcf_team_threads(s->team), sizeof(float));
    s->positions = account(s, n, sizeof(*s->positions));
    s->runs = account(s, n, sizeof(*s->runs));
    s->angles = account(s, s->context_n * c->head_dim, sizeof(*s->angles));
    s->logits = lcf_mul_size(&total, n, c->vocab_n) ? account(s, total, sizeof(float)) : NULL;
    if (!s->activations || !s->scores || !s->positions || !s->runs || !s->angles || !s->logits)
        return LCF_ENOMEM;
    next = s->activations;
    s->x = next;
    s->h = next += n * lines(c->dim);
    s->qkv = next += n * lines(c->dim);
    s->mixed = next += n * lines(q + 2 * kv);
    s->gate_up = next + n * lines(q);
    for (size_t p = 0; p < s->context_n; p++)
        rope_angles(s->angles + p * c->head_dim, s->m, p);
    return LCF_OK;
}

/* ---- weights ---- */

enum { PARTS_MAX = 4 };
typedef const lcf_llama_matrix *parts[PARTS_MAX]; /* ending with NULL */

/* The matrices of the network in the order in which they are used: four per layer, the output. */
static lcf_matrix *matrix_at(lcf_llama_session *s, size_t idx, parts p)
{
    const lcf_llama_layer *l = &s->m->layers[idx / 4];
    packed_layer *packed = &s->layers[idx / 4];

    memset(p, 0, sizeof(parts));
    if (idx == 4 * s->m->config.layers_n) {
        p[0] = &s->m->output;
        return &s->output;
    }
    switch (idx % 4) {
    case 0:
        p[0] = &l->wq;
        p[1] = &l->wk;
        p[2] = &l->wv;
        return &packed->qkv;
    case 1:
        p[0] = &l->wo;
        return &packed->wo;
    case 2:
        p[0] = &l->w_gate;
        p[1] = &l->w_up;
        return &packed->gate_up;
    default:
        p[0] = &l->w_down;
        return &packed->down;
    }
}

typedef struct packing {
    lcf_matrix *w;
    const lcf_llama_matrix *const *parts;
    float *scratch; /* [threads, scratch_n] */
    size_t scratch_n;
    size_t at_once; /* panels of a task */
} packing;

enum { PANELS_AT_ONCE = 8 };

static void pack_panels(void *arg, size_t task, size_t member)
{
    const packing *p = arg;
    size_t end = (task + 1) * p->at_once;

    for (size_t i = task * p->at_once; i < end && i < p->w->panels_n; i++)
        lcf_matrix_pack(p->w, i, p->parts, p->scratch + member * p->scratch_n);
}

static lcf_status pack_all(lcf_llama_session *s, size_t in_max)
{
    size_t threads = lcf_team_threads(s->team), n = 4 * s->m->config.layers_n + 1;
    packing p = {.scratch_n = lcf_matrix_scratch_n(in_max)};
    unsigned char *next = s->weights;

    p.scratch = lcf_alloc(threads * p.scratch_n, sizeof(*p.scratch));
    if (!p.scratch)
        return LCF_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        parts of;
        p.w = matrix_at(s, i, of);
        p.parts = of;
        p.w->data = next;
        next += lcf_matrix_bytes(p.w);
        p.at_once = PANELS_AT_ONCE + p.w->panels_n / LCF_TEAM_TASKS_MAX;
        lcf_team_run(s->team, (p.w->panels_n + p.at_once - 1) / p.at_once, pack_panels, &p);
    }
    free(p.scratch);
    return LCF_OK;
}

/* Bytes of a batch's tiles as the input of w. */
static size_t input_bytes(const lcf_llama_session *s, const lcf_matrix *w)
{
    return tiles_of(w, s->batch_max) * lcf_matrix_tile_bytes(w->kind, w->in);
}

static lcf_status create_matrices(lcf_llama_session *s)
{
    size_t n = 4 * s->m->config.layers_n + 1, total = 0, tiles_n = 0, in_max = 0;

    s->layers = account(s, s->m->config.layers_n, sizeof(*s->layers));
    if (!s->layers)
        return LCF_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        parts of;
        lcf_matrix *w = matrix_at(s, i, of);
        size_t out = 0;
        for (size_t p = 0; of[p]; p++)
            out += of[p]->rows;
        *w = lcf_matrix_of(lcf_matrix_kind_of(of), of[0]->cols, out);
        total += lcf_matrix_bytes(w);
        tiles_n = input_bytes(s, w) > tiles_n ? input_bytes(s, w) : tiles_n;
        in_max = w->in > in_max ? w->in : in_max;
    }
    s->tiles = account(s, tiles_n, 1);
    s->weights = account(s, total, 1);
    if (!s->tiles || !s->weights)
        return LCF_ENOMEM;
    lcf_use_huge_pages(s->weights, total);
    return pack_all(s, in_max);
}

lcf_status lcf_llama_session_open(lcf_llama_session **out, const lcf_llama *m,
                                  const lcf_llama_session_options *options, lcf_err *err)
{
    const lcf_llama_session_options *o = options;
    const lcf_llama_config *c = &m->config;
    lcf_llama_session *s = NULL;
    lcf_kv_options cache;
    lcf_status status;

    *out = NULL;
    if (!o->seqs_max || !o->context_n || !o->batch_max || o->seqs_max > UINT32_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "session of %zu sequences, %zu positions, batches of %zu",
                        o->seqs_max, o->context_n, o->batch_max);
    if (o->context_n > m->config.context_n)
        return LCF_FAIL(err, LCF_EINVAL, "context of %zu tokens, but the model was made for %zu",
                        o->context_n, m->config.context_n);
    s = lcf_alloc_zero(1, sizeof(*s));
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "session handle");
    s->m = m;
    s->context_n = o->context_n;
    s->batch_max = o->batch_max;
    cache = (lcf_kv_options){o->seqs_max, o->context_n,    c->layers_n, c->kv_heads_n,
                             c->head_dim, o->kv_bytes_max, o->kv_f16};
    status = lcf_team_create(&s->team, o->threads, err);
    if (!status)
        status = lcf_kv_cache_init(&s->cache, &cache, err);
    if (status)
        goto done;
    status = create_activations(s);
    if (!status)
        status = create_matrices(s);
    if (status) {
        status = LCF_FAIL(err, status,
                          "packed weights and scratch for batches of %zu tokens and a context of "
                          "%zu; the KV cache has taken %zu bytes",
                          s->batch_max, s->context_n, s->cache.bytes_n);
        goto done;
    }
    *out = s;
    s = NULL;
done:
    lcf_llama_session_free(s);
    return status;
}

lcf_status lcf_llama_session_create(lcf_llama_session **out, const lcf_llama *m, size_t seqs_max,
                                    size_t context_n, size_t batch_max, lcf_err *err)
{
    const lcf_llama_session_options options = {
        .seqs_max = seqs_max, .context_n = context_n, .batch_max = batch_max, .threads = 1};

    return lcf_llama_session_open(out, m, &options, err);
}

void lcf_llama_session_free(lcf_llama_session *s)
{
    if (!s)
        return;
    lcf_kv_cache_dispose(&s->cache);
    free(s->angles);
    free(s->positions);
    free(s->activations);
    free(s->scores);
    free(s->runs);
    free(s->tiles);
    free(s->weights);
    free(s->layers);
    free(s->logits);
    lcf_team_free(s->team);
    free(s);
}

void lcf_llama_session_soft(lcf_llama_session *s, const lcf_soft_tokens *soft)
{
    LCF_ASSERT(soft->n < UINT32_MAX - s->m->config.vocab_n);
    s->soft = *soft;
}

size_t lcf_llama_session_bytes(const lcf_llama_session *s)
{
    return s->bytes_n + s->cache.bytes_n;
}

size_t lcf_llama_session_seqs_max(const lcf_llama_session *s)
{
    return s->cache.seqs_max;
}

size_t lcf_llama_session_batch_max(const lcf_llama_session *s)
{
    return s->batch_max;
}

void lcf_llama_seq_reset(lcf_llama_session *s, uint32_t seq)
{
    lcf_kv_reset(&s->cache, seq);
}

bool lcf_llama_seq_copy(lcf_llama_session *s, uint32_t dst, uint32_t src, size_t len)
{
    return lcf_kv_copy(&s->cache, dst, src, len);
}

size_t lcf_llama_seq_len(const lcf_llama_session *s, uint32_t seq)
{
    LCF_ASSERT(seq < s->cache.seqs_max);
    return s->cache.seqs[seq].len;
}

size_t lcf_llama_page_bytes(const lcf_llama *m, bool f16)
{
    const lcf_llama_config *c = &m->config;

    return lcf_kv_page_bytes(c->layers_n, c->kv_heads_n, c->head_dim, f16);
}

lcf_team *lcf_llama_session_team(lcf_llama_session *s)
{
    return s->team;
}

size_t lcf_llama_pages_free(const lcf_llama_session *s)
{
    return s->cache.free_n;
}

/* ---- the network -------------------------------------------------------------------------- */

/* A batch on its way: what the phases share. Every phase is cut into tasks that write what is
 * theirs alone. */
typedef struct pass {
    lcf_llama_session *s;
    const lcf_llama_token *tokens;
    size_t n, runs_n, tasks_n;
    bool runs_meet; /* a sequence has several runs, of which the later see the earlier */
    size_t layer;
    /* a product */
    const lcf_matrix *w;
    float *y;
    size_t ldy, rows;
    bool add;
    /* a phase over tiles */
    const float *x, *norm;
    size_t ldx;
} pass;

/* Half of a phase goes out in one piece per thread, which streams through memory undisturbed, the
 * rest in small ones, which keep all threads busy to the end. */
enum { SMALL_TASKS_PER_THREAD = 10 };

/* Runs a phase over items; a task gets its part of them by `share`. */
static void run_phase(pass *p, lcf_team_task task, size_t items_n)
{
    size_t threads = lcf_team_threads(p->s->team);

    p->tasks_n = threads > 1 ? threads * (1 + SMALL_TASKS_PER_THREAD) : 1;
    p->tasks_n = items_n < p->tasks_n ? items_n : p->tasks_n;
    lcf_team_run(p->s->team, p->tasks_n, task, p);
}

/* The first of the items that belong to a task; they end where those of the next begin. */
static size_t share(const pass *p, size_t task, size_t items_n)
{
    size_t threads = lcf_team_threads(p->s->team), half = items_n / 2;

    if (items_n <= 2 * p->tasks_n || p->tasks_n <= threads)
        return items_n * task / p->tasks_n;
    if (task < threads)
        return half * task / threads;
    return half + (items_n - half) * (task - threads) / (p->tasks_n - threads);
}

static void multiply_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    const size_t panels_n = p->w->panels_n;
    const lcf_matrix_range job = {p->y,
                                  p->ldy,
                                  p->w,
                                  p->s->tiles,
                                  p->rows,
                                  share(p, task, panels_n),
                                  share(p, task + 1, panels_n),
                                  p->add};

    (void)member;
    lcf_matrix_multiply(&job);
}

/* y [rows, w->out] = tiles w^T, or y += */
static void multiply(pass *p, float *y, size_t ldy, const lcf_matrix *w, size_t rows, bool add)
{
    p->w = w;
    p->y = y;
    p->ldy = ldy;
    p->rows = rows;
    p->add = add;
    run_phase(p, multiply_task, w->panels_n);
}

/* A tile of the batch: where it is, and the rows that stand in it. */
typedef struct tile {
    unsigned char *at;
    size_t first, rows;
} tile;

static tile tile_at(const pass *p, size_t idx)
{
    const size_t rows = lcf_matrix_tile_rows(p->w->kind), left = p->rows - idx * rows;

    return (tile){p->s->tiles + idx * lcf_matrix_tile_bytes(p->w->kind, p->w->in), idx * rows,
                  left < rows ? left : rows};
}

/* x, normalised when there is a norm, becomes the input of w. */
static void input_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    const lcf_llama_config *c = &p->s->m->config;
    const size_t tiles_n = tiles_of(p->w, p->rows);

    (void)member;
    for (size_t i = share(p, task, tiles_n); i < share(p, task + 1, tiles_n); i++) {
        const tile to = tile_at(p, i);
        const float *x = p->x + to.first * p->ldx;
        size_t ldx = p->ldx;
        if (p->norm) {
            lcf_rmsnorm(p->s->h + to.first * c->dim, x, p->norm, to.rows, c->dim, c->norm_eps);
            x = p->s->h + to.first * c->dim;
            ldx = c->dim;
        }
        lcf_matrix_tile(to.at, p->w, x, ldx, to.rows);
    }
}

static void make_input(pass *p, const lcf_matrix *w, const float *x, size_t ldx, size_t rows,
                       const float *norm)
{
    p->w = w;
    p->x = x;
    p->ldx = ldx;
    p->rows = rows;
    p->norm = norm;
    run_phase(p, input_task, tiles_of(w, rows));
}

/* gate and up become the input of `down`. */
static void swiglu_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    const size_t ffn = p->s->m->config.ffn_dim, tiles_n = tiles_of(p->w, p->rows);

    (void)member;
    for (size_t i = share(p, task, tiles_n); i < share(p, task + 1, tiles_n); i++) {
        const tile to = tile_at(p, i);
        float *gate = p->s->gate_up + to.first * 2 * ffn;
        for (size_t r = 0; r < to.rows; r++)
            lcf_swiglu(gate + r * 2 * ffn, gate + r * 2 * ffn, gate + r * 2 * ffn + ffn, ffn);
        lcf_matrix_tile(to.at, p->w, gate, 2 * ffn, to.rows);
    }
}

/* x += bias[first, first + n), if there is one */
static void add(float *x, const float *bias, size_t first, size_t n)
{
    for (size_t i = 0; bias && i < n; i++)
        x[i] += bias[first + i];
}

static void rotate(float *x, size_t heads, const lcf_llama_config *c, const float *angles)
{
    size_t half = c->head_dim / 2;

    if (!c->rope_halves) {
        lcf_rope_rotate(x, heads, c->head_dim, angles, false);
        return;
    }
    for (size_t h = 0; h < heads; h++, x += c->head_dim)
        for (size_t i = 0; i < half; i++) {
            float co = angles[2 * i], si = angles[2 * i + 1], a = x[i], b = x[i + half];
            x[i] = a * co - b * si;
            x[i + half] = a * si + b * co;
        }
}

/* How many tokens from i on continue the same sequence. */
static size_t run_length(const lcf_llama_token *tokens, size_t i, size_t n)
{
    size_t length = 1;

    while (length < TOKENS_AT_ONCE && i + length < n && tokens[i + length].seq == tokens[i].seq)
        length++;
    return length;
}

/* Is the run from i on all that its sequence has in this batch? */
static bool is_alone(const pass *p, size_t i)
{
    return run_length(p->tokens, i, p->n) == p->s->cache.seqs[p->tokens[i].seq].added;
}

static void find_runs(pass *p)
{
    p->runs_n = 0;
    p->runs_meet = false;
    for (size_t i = 0; i < p->n; i += run_length(p->tokens, i, p->n)) {
        p->s->runs[p->runs_n++] = i;
        p->runs_meet = p->runs_meet || !is_alone(p, i);
    }
}

/* One token and one key-value head: adds biases, rotates the queries and the key, and puts key and
 * value into the cache. */
static void store_head(const pass *p, size_t i, size_t head)
{
    const lcf_llama_session *s = p->s;
    const lcf_llama_config *c = &s->m->config;
    const lcf_llama_layer *l = &s->m->layers[p->layer];
    const size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    const size_t group = c->heads_n / c->kv_heads_n, hd = c->head_dim;
    const float *angles = s->angles + s->positions[i] * hd;
    const lcf_kv_view view = lcf_kv_view_of(&s->cache, p->tokens[i].seq, p->layer, head);
    float *row = s->qkv + i * (q + 2 * kv);
    float *queries = row + head * group * hd, *key = row + q + head * hd, *value = key + kv;

    add(queries, l->bq, head * group * hd, group * hd);
    add(key, l->bk, head * hd, hd);
    add(value, l->bv, head * hd, hd);
    rotate(queries, group, c, angles);
    rotate(key, 1, c, angles);
    s->cache.kernels->store(&view, s->positions[i], key, value);
}

/* Of sequences with several runs: all is in the cache before the first of them looks there. */
static void store_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    const size_t heads_n = p->s->m->config.kv_heads_n;

    (void)member;
    for (size_t r = share(p, task, p->runs_n); r < share(p, task + 1, p->runs_n); r++) {
        const size_t first = p->s->runs[r], end = first + run_length(p->tokens, first, p->n);
        for (size_t i = first; i < end && !is_alone(p, first); i++)
            for (size_t head = 0; head < heads_n; head++)
                store_head(p, i, head);
    }
}

/* An item is one run of tokens and one key-value head. What it has stored itself it finds in its
 * processor's cache. */
static void attend_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    lcf_llama_session *s = p->s;
    const lcf_llama_config *c = &s->m->config;
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    size_t group = c->heads_n / c->kv_heads_n, items_n = p->runs_n * c->kv_heads_n;
    float scale = (float)(1 / sqrt((double)c->head_dim));

    for (size_t item = share(p, task, items_n); item < share(p, task + 1, items_n); item++) {
        size_t i = s->runs[item / c->kv_heads_n], head = item % c->kv_heads_n;
        size_t at = head * group * c->head_dim;
        size_t length = run_length(p->tokens, i, p->n);
        lcf_kv_view view = lcf_kv_view_of(&s->cache, p->tokens[i].seq, p->layer, head);
        lcf_kv_queries queries = {
            s->mixed + i * q + at, s->qkv + i * (q + 2 * kv) + at, q, q + 2 * kv, length, group,
            s->positions[i] + 1};
        for (size_t t = i; t < i + length && is_alone(p, i); t++)
            store_head(p, t, head);
        s->cache.kernels->attend(&queries, &view, scale, s->scores + member * s->scores_n);
    }
}

static void run_layer(pass *p)
{
    lcf_llama_session *s = p->s;
    const lcf_llama_config *c = &s->m->config;
    const lcf_llama_layer *l = &s->m->layers[p->layer];
    const packed_layer *w = &s->layers[p->layer];

    make_input(p, &w->qkv, s->x, c->dim, p->n, l->attn_norm);
    multiply(p, s->qkv, w->qkv.out, &w->qkv, p->n, false);
    if (p->runs_meet)
        run_phase(p, store_task, p->runs_n);
    run_phase(p, attend_task, p->runs_n * c->kv_heads_n);
    make_input(p, &w->wo, s->mixed, w->wo.in, p->n, NULL);
    multiply(p, s->x, c->dim, &w->wo, p->n, true);

    make_input(p, &w->gate_up, s->x, c->dim, p->n, l->ffn_norm);
    multiply(p, s->gate_up, 2 * c->ffn_dim, &w->gate_up, p->n, false);
    p->w = &w->down;
    run_phase(p, swiglu_task, tiles_of(p->w, p->n));
    multiply(p, s->x, c->dim, &w->down, p->n, true);
}

static lcf_status check_tokens(const lcf_llama_session *s, const lcf_llama_token *tokens, size_t n,
                               lcf_err *err)
{
    if (n > s->batch_max)
        return LCF_FAIL(err, LCF_ELIMIT, "batch of %zu tokens; this session takes %zu", n,
                        s->batch_max);
    for (size_t i = 0; i < n; i++)
        if (tokens[i].id >= s->m->config.vocab_n + s->soft.n || tokens[i].seq >= s->cache.seqs_max)
            return LCF_FAIL(
                err, LCF_EINVAL,
                "token %zu of the batch: id %u of %zu and %zu soft ones, sequence %u of %zu", i,
                tokens[i].id, s->m->config.vocab_n, s->soft.n, tokens[i].seq, s->cache.seqs_max);
    return LCF_OK;
}

/* Nothing is changed unless the whole batch fits. */
static lcf_status check_room(lcf_llama_session *s, const lcf_llama_token *tokens, size_t n,
                             lcf_err *err)
{
    size_t wanted = 0;

    for (size_t i = 0; i < n; i++)
        s->cache.seqs[tokens[i].seq].added = 0;
    for (size_t i = 0; i < n; i++) {
        lcf_kv_sequence *seq = &s->cache.seqs[tokens[i].seq];
        wanted -= lcf_kv_pages_wanted(&s->cache, tokens[i].seq, seq->added);
        if (seq->len + ++seq->added > s->context_n)
            return LCF_FAIL(err, LCF_ELIMIT, "sequence %u is full: %zu tokens", tokens[i].seq,
                            s->context_n);
        wanted += lcf_kv_pages_wanted(&s->cache, tokens[i].seq, seq->added);
    }
    if (wanted > s->cache.free_n)
        return LCF_FAIL(err, LCF_ELIMIT, "the KV cache has %zu pages left, the batch needs %zu",
                        s->cache.free_n, wanted);
    return LCF_OK;
}

static void embed_task(void *arg, size_t task, size_t member)
{
    const pass *p = arg;
    const lcf_llama *m = p->s->m;
    const size_t dim = m->config.dim, vocab_n = m->config.vocab_n;

    (void)member;
    for (size_t i = share(p, task, p->n); i < share(p, task + 1, p->n); i++) {
        float *x = p->s->x + i * dim;
        size_t id = p->tokens[i].id;
        if (id < vocab_n)
            lcf_llama_matrix_rows(x, &m->embed, id, 1);
        else
            memcpy(x, p->s->soft.rows + (id - vocab_n) * dim, dim * sizeof(*x));
    }
}

static void compute_logits(pass *p)
{
    lcf_llama_session *s = p->s;
    size_t dim = s->m->config.dim, wanted = 0;

    for (size_t i = 0; i < p->n; i++) /* rows that are wanted move to the front */
        if (p->tokens[i].want_logits)
            memmove(s->x + wanted++ * dim, s->x + i * dim, dim * sizeof(*s->x));
    if (!wanted)
        return;
    make_input(p, &s->output, s->x, dim, wanted, s->m->final_norm);
    multiply(p, s->logits, s->output.out, &s->output, wanted, false);
}

lcf_status lcf_llama_decode(const float **logits, lcf_llama_session *s,
                            const lcf_llama_token *tokens, size_t n, lcf_err *err)
{
    pass p = {.s = s, .tokens = tokens, .n = n};
    lcf_status status = check_tokens(s, tokens, n, err);

    *logits = NULL;
    if (!status)
        status = check_room(s, tokens, n, err);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        s->positions[i] = lcf_kv_append(&s->cache, tokens[i].seq);
    find_runs(&p);
    run_phase(&p, embed_task, n);
    for (p.layer = 0; p.layer < s->m->config.layers_n; p.layer++)
        run_layer(&p);
    compute_logits(&p);
    *logits = s->logits;
    return LCF_OK;
}
