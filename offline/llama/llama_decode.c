/*
 * Decoding: a batch of tokens of many sequences goes through the network together. Matrix products
 * run over the whole batch; attention runs token by token against the sequence's own pages. A
 * token's result is the same bits in any batch: every sum is taken in an order that depends on its
 * own sequence alone.
 *
 * Invariants: a page belongs to as many sequences as refs[page] says; only a sequence's last,
 * partly filled page is written, and it belongs to that sequence alone. A call that fails leaves
 * every sequence as it was.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/math/packed.h"
#include "offline/llama/kv_attention.h"
#include "offline/llama/llama.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct sequence {
    float **pages; /* [pages_max], the first ceil(len / LCF_KV_PAGE) are set */
    size_t len;
    size_t added; /* tokens of the batch that is being checked */
} sequence;

enum { TOKENS_AT_ONCE = 8 }; /* of a prompt, against the same keys and values */

typedef struct matrix { /* one or more weights with the same input, their outputs side by side */
    const float *packed;
    size_t out;
} matrix;

typedef struct packed_layer {
    matrix qkv, wo, gate_up, down;
} packed_layer;

struct lcf_llama_session {
    const lcf_llama *m;
    size_t seqs_max, context_n, batch_max;
    size_t pages_max; /* per sequence */
    size_t value_dim, head_floats, page_floats;
    size_t pages_n;              /* of all sequences */
    float *pages;                /* [pages_n, page_floats], touched only as far as used */
    float **page_table;          /* [seqs_max, pages_max] */
    uint32_t *refs, *free_pages; /* [pages_n] */
    size_t free_n;
    sequence *seqs;     /* [seqs_max] */
    float *angles;      /* [context_n, head_dim] */
    size_t *positions;  /* [batch_max] of the batch's tokens in their sequences */
    float *activations; /* one block, cut up below */
    float *x, *h, *qkv, *mixed, *gate_up, *scores;
    float *packed;
    packed_layer *layers; /* [layers_n] */
    matrix output;
    float *logits; /* [batch_max, vocab_n] */
    size_t bytes_n;
    lcf_kv_attend_fn attend;
};

/* ---- life cycle --------------------------------------------------------------------------- */

static size_t pages_of(size_t len)
{
    return (len + LCF_KV_PAGE - 1) / LCF_KV_PAGE;
}

/* n * size bytes on the session's account; NULL when there is no memory or no such number. */
static void *account(lcf_llama_session *s, size_t n, size_t size)
{
    void *p = lcf_alloc_aligned(n, size);

    if (p)
        s->bytes_n += n * size;
    return p;
}

/* Attention walks through the whole cache at every step: fewer, larger pages of the system spare
 * address translation. Only a hint: failing costs nothing but speed. */
static void use_huge_pages(void *start, size_t bytes_n)
{
    const uintptr_t page = 4096, first = ((uintptr_t)start + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)start + bytes_n) & ~(page - 1);

    if (end > first)
        (void)!madvise((void *)first, end - first, MADV_HUGEPAGE);
}

static lcf_status create_cache(lcf_llama_session *s)
{
    const lcf_llama_config *c = &s->m->config;
    size_t per_layer, floats_n, table_n;

    s->pages_max = pages_of(s->context_n);
    s->value_dim = (c->head_dim + LCF_KV_LANES - 1) / LCF_KV_LANES * LCF_KV_LANES;
    s->head_floats = (c->head_dim + s->value_dim) * LCF_KV_PAGE;
    if (!lcf_mul_size(&per_layer, s->head_floats, c->kv_heads_n) ||
        !lcf_mul_size(&s->page_floats, per_layer, c->layers_n) ||
        !lcf_mul_size(&s->pages_n, s->seqs_max, s->pages_max) || s->pages_n > UINT32_MAX ||
        !lcf_mul_size(&floats_n, s->pages_n, s->page_floats))
        return LCF_ENOMEM;
    table_n = s->pages_n;
    s->pages = account(s, floats_n, sizeof(*s->pages));
    if (s->pages)
        use_huge_pages(s->pages, floats_n * sizeof(*s->pages));
    s->page_table = account(s, table_n, sizeof(*s->page_table));
    s->refs = account(s, table_n, sizeof(*s->refs));
    s->free_pages = account(s, table_n, sizeof(*s->free_pages));
    s->seqs = account(s, s->seqs_max, sizeof(*s->seqs));
    if (!s->pages || !s->page_table || !s->refs || !s->free_pages || !s->seqs)
        return LCF_ENOMEM;
    for (size_t i = 0; i < table_n; i++)
        s->free_pages[i] = (uint32_t)(table_n - 1 - i); /* the lowest page is taken first */
    s->free_n = table_n;
    for (size_t i = 0; i < s->seqs_max; i++)
        s->seqs[i] = (sequence){s->page_table + i * s->pages_max, 0, 0};
    return LCF_OK;
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

static lcf_status create_activations(lcf_llama_session *s)
{
    const lcf_llama_config *c = &s->m->config;
    size_t n = s->batch_max, q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;
    size_t group = c->heads_n / c->kv_heads_n;
    size_t scores_n = lcf_kv_scratch_n(TOKENS_AT_ONCE * group, s->context_n, s->value_dim);
    size_t row, total;
    float *next;

    row = 2 * lines(c->dim) + lines(q + 2 * kv) + lines(q) + lines(2 * c->ffn_dim);
    if (!lcf_mul_size(&total, row, n) || !lcf_add_size(&total, total, scores_n))
        return LCF_ENOMEM;
    s->activations = account(s, total, sizeof(float));
    s->positions = account(s, n, sizeof(*s->positions));
    s->angles = account(s, s->context_n * c->head_dim, sizeof(*s->angles));
    s->logits = lcf_mul_size(&total, n, c->vocab_n) ? account(s, total, sizeof(float)) : NULL;
    if (!s->activations || !s->positions || !s->angles || !s->logits)
        return LCF_ENOMEM;
    next = s->activations;
    s->x = next;
    s->h = next += n * lines(c->dim);
    s->qkv = next += n * lines(c->dim);
    s->mixed = next += n * lines(q + 2 * kv);
    s->gate_up = next += n * lines(q);
    s->scores = next + n * lines(2 * c->ffn_dim);
    for (size_t p = 0; p < s->context_n; p++)
        rope_angles(s->angles + p * c->head_dim, s->m, p);
    return LCF_OK;
}

enum { ROWS_AT_ONCE = LCF_PANEL };

/* Packs weights side by side at *next; rows: [ROWS_AT_ONCE, in] scratch. */
static matrix make_matrix(float **next, float *rows, const lcf_llama_matrix *const *parts)
{
    size_t in = parts[0]->cols, n;
    matrix w = {*next, 0};

    for (size_t i = 0; parts[i]; i++)
        for (size_t first = 0; first < parts[i]->rows; first += n, w.out += n) {
            n = parts[i]->rows - first;
            n = n < ROWS_AT_ONCE ? n : ROWS_AT_ONCE;
            lcf_llama_matrix_rows(rows, parts[i], first, n);
            lcf_pack(*next, rows, in, w.out, in, n);
        }
    *next += lcf_packed_n(in, w.out);
    return w;
}

static size_t packed_floats(const lcf_llama_config *c)
{
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;

    return lcf_packed_n(c->dim, c->vocab_n) +
           c->layers_n * (lcf_packed_n(c->dim, q + 2 * kv) + lcf_packed_n(q, c->dim) +
                          lcf_packed_n(c->dim, 2 * c->ffn_dim) + lcf_packed_n(c->ffn_dim, c->dim));
}

#define PARTS(...) ((const lcf_llama_matrix *const[]){__VA_ARGS__, NULL})

static lcf_status create_matrices(lcf_llama_session *s)
{
    const lcf_llama *m = s->m;
    const lcf_llama_config *c = &m->config;
    size_t q = c->heads_n * c->head_dim, n = packed_floats(c);
    size_t in_max = c->dim > q ? c->dim : q;
    float *next, *rows;

    in_max = in_max > c->ffn_dim ? in_max : c->ffn_dim;
    rows = lcf_alloc_aligned(ROWS_AT_ONCE * in_max, sizeof(*rows));
    s->layers = account(s, c->layers_n, sizeof(*s->layers));
    s->packed = account(s, n, sizeof(float));
    if (!rows || !s->layers || !s->packed) {
        free(rows);
        return LCF_ENOMEM;
    }
    memset(s->packed, 0, n * sizeof(float));
    next = s->packed;
    for (size_t i = 0; i < c->layers_n; i++) {
        const lcf_llama_layer *l = &m->layers[i];
        s->layers[i] = (packed_layer){
            make_matrix(&next, rows, PARTS(&l->wq, &l->wk, &l->wv)),
            make_matrix(&next, rows, PARTS(&l->wo)),
            make_matrix(&next, rows, PARTS(&l->w_gate, &l->w_up)),
            make_matrix(&next, rows, PARTS(&l->w_down)),
        };
    }
    s->output = make_matrix(&next, rows, PARTS(&m->output));
    free(rows);
    return LCF_OK;
}

lcf_status lcf_llama_session_create(lcf_llama_session **out, const lcf_llama *m, size_t seqs_max,
                                    size_t context_n, size_t batch_max, lcf_err *err)
{
    lcf_llama_session *s = NULL;
    lcf_status status;

    *out = NULL;
    if (!seqs_max || !context_n || !batch_max || seqs_max > UINT32_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "session of %zu sequences, %zu positions, batches of %zu",
                        seqs_max, context_n, batch_max);
    if (context_n > m->config.context_n)
        return LCF_FAIL(err, LCF_EINVAL, "context of %zu tokens, but the model was made for %zu",
                        context_n, m->config.context_n);
    s = lcf_alloc_zero(1, sizeof(*s));
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "session handle");
    s->m = m;
    s->seqs_max = seqs_max;
    s->context_n = context_n;
    s->batch_max = batch_max;
    s->attend = lcf_kv_attend_best();
    status = create_cache(s);
    if (!status)
        status = create_activations(s);
    if (!status)
        status = create_matrices(s);
    if (status) {
        status =
            LCF_FAIL(err, status,
                     "KV cache and scratch for %zu sequences of %zu tokens in batches of %zu: "
                     "%zu bytes of cache alone",
                     seqs_max, context_n, batch_max, s->pages_n * s->page_floats * sizeof(float));
        goto done;
    }
    *out = s;
    s = NULL;
done:
    lcf_llama_session_free(s);
    return status;
}

void lcf_llama_session_free(lcf_llama_session *s)
{
    if (!s)
        return;
    free(s->pages);
    free(s->page_table);
    free(s->refs);
    free(s->free_pages);
    free(s->seqs);
    free(s->angles);
    free(s->positions);
    free(s->activations);
    free(s->packed);
    free(s->layers);
    free(s->logits);
    free(s);
}

size_t lcf_llama_session_bytes(const lcf_llama_session *s)
{
    return s->bytes_n;
}

/* ---- pages -------------------------------------------------------------------------------- */

static uint32_t page_idx(const lcf_llama_session *s, const float *page)
{
    return (uint32_t)((size_t)(page - s->pages) / s->page_floats);
}

/* There is always one: no sequence holds more than pages_max. */
static float *take_page(lcf_llama_session *s)
{
    uint32_t idx;

    LCF_ASSERT(s->free_n);
    idx = s->free_pages[--s->free_n];
    s->refs[idx] = 1;
    return s->pages + idx * s->page_floats;
}

static void drop_page(lcf_llama_session *s, const float *page)
{
    uint32_t idx = page_idx(s, page);

    if (--s->refs[idx] == 0)
        s->free_pages[s->free_n++] = idx;
}

void lcf_llama_seq_reset(lcf_llama_session *s, uint32_t seq)
{
    LCF_ASSERT(seq < s->seqs_max);
    for (size_t i = pages_of(s->seqs[seq].len); i > 0; i--)
        drop_page(s, s->seqs[seq].pages[i - 1]);
    s->seqs[seq].len = 0;
}

void lcf_llama_seq_copy(lcf_llama_session *s, uint32_t dst, uint32_t src)
{
    sequence *to, *from;
    size_t full;

    LCF_ASSERT(dst < s->seqs_max && src < s->seqs_max);
    if (dst == src)
        return;
    lcf_llama_seq_reset(s, dst);
    to = &s->seqs[dst];
    from = &s->seqs[src];
    full = from->len / LCF_KV_PAGE;
    for (size_t i = 0; i < full; i++) {
        to->pages[i] = from->pages[i];
        s->refs[page_idx(s, to->pages[i])]++;
    }
    if (from->len % LCF_KV_PAGE) {
        to->pages[full] = take_page(s);
        memcpy(to->pages[full], from->pages[full], s->page_floats * sizeof(float));
    }
    to->len = from->len;
}

size_t lcf_llama_seq_len(const lcf_llama_session *s, uint32_t seq)
{
    LCF_ASSERT(seq < s->seqs_max);
    return s->seqs[seq].len;
}

/* Writes the key and value of one token and head at `position` of the sequence. */
static void store(const lcf_llama_session *s, const sequence *seq, size_t position, size_t offset,
                  const float *key, const float *value)
{
    size_t head_dim = s->m->config.head_dim, at = position % LCF_KV_PAGE;
    float *k = seq->pages[position / LCF_KV_PAGE] + offset;
    float *v = k + head_dim * LCF_KV_PAGE + at * s->value_dim;

    for (size_t d = 0; d < head_dim; d++)
        k[d * LCF_KV_PAGE + at] = key[d];
    memcpy(v, value, head_dim * sizeof(*v));
    memset(v + head_dim, 0, (s->value_dim - head_dim) * sizeof(*v));
}

/* ---- the network -------------------------------------------------------------------------- */

/* y = x w^T, or y += x w^T; ldx and ldy floats lie between rows. */
static void multiply(float *y, size_t ldy, const float *x, size_t ldx, const matrix *w, size_t n,
                     size_t in, bool accumulate)
{
    lcf_packed_linear(y, ldy, x, ldx, w->packed, NULL, n, in, w->out,
                      accumulate ? LCF_PACKED_ADD : 0);
}

static void add(float *x, const float *bias, size_t n)
{
    for (size_t i = 0; bias && i < n; i++)
        x[i] += bias[i];
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

/* Adds biases, rotates queries and keys, and puts keys and values into the cache. */
static void store_batch(lcf_llama_session *s, size_t layer, const lcf_llama_token *tokens, size_t n)
{
    const lcf_llama_config *c = &s->m->config;
    const lcf_llama_layer *l = &s->m->layers[layer];
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim;

    for (size_t i = 0; i < n; i++) {
        const float *angles = s->angles + s->positions[i] * c->head_dim;
        float *row = s->qkv + i * (q + 2 * kv);
        add(row, l->bq, q);
        add(row + q, l->bk, kv);
        add(row + q + kv, l->bv, kv);
        rotate(row, c->heads_n + c->kv_heads_n, c, angles); /* queries and keys, side by side */
        for (size_t head = 0; head < c->kv_heads_n; head++)
            store(s, &s->seqs[tokens[i].seq], s->positions[i],
                  (layer * c->kv_heads_n + head) * s->head_floats, row + q + head * c->head_dim,
                  row + q + kv + head * c->head_dim);
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

static void attend_batch(lcf_llama_session *s, size_t layer, const lcf_llama_token *tokens,
                         size_t n)
{
    const lcf_llama_config *c = &s->m->config;
    size_t q = c->heads_n * c->head_dim, kv = c->kv_heads_n * c->head_dim, length;
    size_t group = c->heads_n / c->kv_heads_n;
    float scale = (float)(1 / sqrt((double)c->head_dim));

    for (size_t i = 0; i < n; i += length) {
        length = run_length(tokens, i, n);
        for (size_t head = 0; head < c->kv_heads_n; head++) {
            lcf_kv_view view = {s->seqs[tokens[i].seq].pages,
                                (layer * c->kv_heads_n + head) * s->head_floats, c->head_dim,
                                s->value_dim};
            size_t at = head * group * c->head_dim;
            lcf_kv_queries queries = {
                s->mixed + i * q + at, s->qkv + i * (q + 2 * kv) + at, q, q + 2 * kv, length, group,
                s->positions[i] + 1};
            s->attend(&queries, &view, scale, s->scores);
        }
    }
}

static void run_layer(lcf_llama_session *s, size_t layer, const lcf_llama_token *tokens, size_t n)
{
    const lcf_llama_config *c = &s->m->config;
    const lcf_llama_layer *l = &s->m->layers[layer];
    const packed_layer *p = &s->layers[layer];
    size_t q = c->heads_n * c->head_dim, ffn = c->ffn_dim;

    lcf_rmsnorm(s->h, s->x, l->attn_norm, n, c->dim, c->norm_eps);
    multiply(s->qkv, p->qkv.out, s->h, c->dim, &p->qkv, n, c->dim, false);
    store_batch(s, layer, tokens, n);
    attend_batch(s, layer, tokens, n);
    multiply(s->x, c->dim, s->mixed, q, &p->wo, n, q, true);

    lcf_rmsnorm(s->h, s->x, l->ffn_norm, n, c->dim, c->norm_eps);
    multiply(s->gate_up, 2 * ffn, s->h, c->dim, &p->gate_up, n, c->dim, false);
    for (size_t i = 0; i < n; i++) {
        float *gate = s->gate_up + i * 2 * ffn;
        lcf_swiglu(gate, gate, gate + ffn, ffn);
    }
    multiply(s->x, c->dim, s->gate_up, 2 * ffn, &p->down, n, ffn, true);
}

/* Nothing is changed unless the whole batch fits. */
static lcf_status check_batch(lcf_llama_session *s, const lcf_llama_token *tokens, size_t n,
                              lcf_err *err)
{
    if (n > s->batch_max)
        return LCF_FAIL(err, LCF_ELIMIT, "batch of %zu tokens; this session takes %zu", n,
                        s->batch_max);
    for (size_t i = 0; i < n; i++)
        if (tokens[i].id >= s->m->config.vocab_n || tokens[i].seq >= s->seqs_max)
            return LCF_FAIL(err, LCF_EINVAL,
                            "token %zu of the batch: id %u of %zu, sequence %u of %zu", i,
                            tokens[i].id, s->m->config.vocab_n, tokens[i].seq, s->seqs_max);
    for (size_t i = 0; i < n; i++)
        s->seqs[tokens[i].seq].added = 0;
    for (size_t i = 0; i < n; i++) {
        sequence *seq = &s->seqs[tokens[i].seq];
        if (seq->len + ++seq->added > s->context_n)
            return LCF_FAIL(err, LCF_ELIMIT, "sequence %u is full: %zu tokens", tokens[i].seq,
                            s->context_n);
    }
    return LCF_OK;
}

static void append_positions(lcf_llama_session *s, const lcf_llama_token *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sequence *seq = &s->seqs[tokens[i].seq];
        if (seq->len % LCF_KV_PAGE == 0)
            seq->pages[seq->len / LCF_KV_PAGE] = take_page(s);
        s->positions[i] = seq->len++;
    }
}

static void compute_logits(lcf_llama_session *s, const lcf_llama_token *tokens, size_t n)
{
    const lcf_llama_config *c = &s->m->config;
    size_t wanted = 0;

    for (size_t i = 0; i < n; i++)
        if (tokens[i].want_logits)
            lcf_rmsnorm(s->h + wanted++ * c->dim, s->x + i * c->dim, s->m->final_norm, 1, c->dim,
                        c->norm_eps);
    if (wanted)
        multiply(s->logits, c->vocab_n, s->h, c->dim, &s->output, wanted, c->dim, false);
}

lcf_status lcf_llama_decode(const float **logits, lcf_llama_session *s,
                            const lcf_llama_token *tokens, size_t n, lcf_err *err)
{
    const lcf_llama_config *c = &s->m->config;
    lcf_status status = check_batch(s, tokens, n, err);

    *logits = NULL;
    if (status)
        return status;
    append_positions(s, tokens, n);
    for (size_t i = 0; i < n; i++)
        lcf_llama_matrix_rows(s->x + i * c->dim, &s->m->embed, tokens[i].id, 1);
    for (size_t layer = 0; layer < c->layers_n; layer++)
        run_layer(s, layer, tokens, n);
    compute_logits(s, tokens, n);
    *logits = s->logits;
    return LCF_OK;
}

lcf_kv_attend_fn lcf_kv_attend_best(void)
{
#if defined(__x86_64__)
    switch (lcf_simd_best()) {
    case LCF_SIMD_AVX512:
        return lcf_kv_attend_avx512;
    case LCF_SIMD_AVX2:
        return lcf_kv_attend_avx2;
    case LCF_SIMD_BASELINE:
        break;
    }
#endif
    return lcf_kv_attend_baseline;
}
