/*
 * The retrieval rule, by plain loops and through FAISS.
 *
 * Invariant: both give the same ids and the same score bits. FAISS only proposes: it scores in an
 * order of summation of its own, so each proposal is scored again in the fixed order, and a query
 * is settled only when all that FAISS left out lie below its last place by more than both rounding
 * errors together. Otherwise more is fetched, and at last everything looked at. Through an index
 * that is not flat the scores have these bits as well, and the rule holds, but examples may be
 * missed.
 */
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/store/examples.h"
#include "common/store/examples_index.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 256,      /* queries per matrix product */
    SLACK = 8,        /* proposals beyond those that the rule may strike out */
    FETCH_FIRST = 16, /* proposals per query: this, then four times as many, and so on */
    FETCH_CLASSES = 4,
    LANES = 16,
};

/* ---- the rule and the score ---- */

static bool is_zero(const lcf_hash128 *hash)
{
    static const lcf_hash128 zero;

    return !memcmp(hash, &zero, sizeof(zero));
}

bool lcf_example_allowed(const lcf_examples *e, size_t example, const lcf_example_query *q,
                         lcf_retrieval_mode mode)
{
    bool earlier = e->time[example] < q->time;

    if (!memcmp(&e->sample_hash[example], &q->sample_hash, sizeof(q->sample_hash)) &&
        !is_zero(&q->sample_hash))
        return false;
    if (mode == LCF_RETRIEVE_STRICT)
        return earlier;
    return earlier || q->user == 0 || e->user[example] != q->user;
}

/* Sixteen running sums, then a tree: what vector units do well, and the same bits without them. */
float lcf_example_dot(const float *a, const float *b, size_t n)
{
    float lanes[LANES] = {0}, rest = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        rest += a[i] * b[i];
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t j = 0; j < width; j++)
            lanes[j] += lanes[j + width];
    return lanes[0] + rest;
}

float lcf_example_user_weight(lcf_retrieval_by by)
{
    return by == LCF_RETRIEVE_BY_BOTH ? 0.5f : by == LCF_RETRIEVE_BY_HISTORY ? 1.0f : 0.0f;
}

float lcf_example_item_weight(lcf_retrieval_by by)
{
    return 1.0f - lcf_example_user_weight(by);
}

float lcf_example_user_part(const lcf_examples *e, size_t example, const lcf_example_query *q,
                            lcf_retrieval_by by)
{
    const float *h = e->history_vec + example * e->text_dim, weight = lcf_example_user_weight(by);

    return weight > 0 ? weight * lcf_example_dot(q->history_vec, h, e->text_dim) : 0;
}

float lcf_example_item_part(const lcf_examples *e, size_t example, const lcf_example_query *q,
                            lcf_retrieval_by by)
{
    const float *t = e->target_vec + example * e->text_dim, weight = lcf_example_item_weight(by);

    return weight > 0 ? weight * lcf_example_dot(q->target_vec, t, e->text_dim) : 0;
}

float lcf_example_score(const lcf_examples *e, size_t example, const lcf_example_query *q,
                        lcf_retrieval_by by)
{
    return lcf_example_user_part(e, example, q, by) + lcf_example_item_part(e, example, q, by);
}

/* ---- the best so far ---- */

void lcf_best_add(lcf_best *best, uint32_t example, float score)
{
    uint32_t at = best->n;

    while (at > 0 && (score > best->scores[at - 1] ||
                      (score == best->scores[at - 1] && example < best->ids[at - 1])))
        at--;
    if (at >= best->wanted)
        return;
    if (best->n < best->wanted)
        best->n++;
    for (uint32_t i = best->n - 1; i > at; i--) {
        best->ids[i] = best->ids[i - 1];
        best->scores[i] = best->scores[i - 1];
    }
    best->ids[at] = example;
    best->scores[at] = score;
}

bool lcf_examples_late(const lcf_example_options *options)
{
    return options->deadline_s != 0.0 && lcf_clock_s() > options->deadline_s;
}

void lcf_examples_none(uint32_t *ids, float *scores, size_t n)
{
    memset(ids, 0xff, n * sizeof(*ids)); /* LCF_EXAMPLE_NONE */
    if (scores)
        memset(scores, 0, n * sizeof(*scores));
}

void lcf_best_init(lcf_best best[2], const lcf_example_options *options)
{
    memset(best, 0, 2 * sizeof(*best));
    best[0].wanted = options->balanced ? options->k / 2 : options->k;
    best[1].wanted = options->k - (options->balanced ? best[0].wanted : 0);
}

void lcf_best_finish(uint32_t *ids, float *scores, const lcf_best best[2],
                     const lcf_example_options *options)
{
    uint32_t take[2] = {best[0].n, best[1].n}, at = 0;

    while (take[0] + take[1] > options->k) { /* not balanced: drop the worst of both */
        const lcf_best *p = &best[1], *n = &best[0];
        uint32_t lp = take[1] - 1, ln = take[0] - 1;
        bool drop_positive =
            take[0] == 0 ||
            (take[1] > 0 && (p->scores[lp] < n->scores[ln] ||
                             (p->scores[lp] == n->scores[ln] && p->ids[lp] > n->ids[ln])));
        take[drop_positive]--;
    }
    for (int label = 1; label >= 0; label--)
        for (uint32_t i = 0; i < take[label]; i++, at++) {
            ids[at] = best[label].ids[i];
            if (scores)
                scores[at] = best[label].scores[i];
        }
    for (; at < options->k; at++) {
        ids[at] = LCF_EXAMPLE_NONE;
        if (scores)
            scores[at] = 0;
    }
}

static lcf_status check_options(const lcf_example_options *options, lcf_err *err)
{
    if (options->k < 1 || options->k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "k is %u; 1 to %u examples can be had", options->k,
                        LCF_EXAMPLES_K_MAX);
    if (options->by == LCF_RETRIEVE_BY_CODES)
        return LCF_FAIL(err, LCF_EINVAL, "examples have no codes to be found by");
    return LCF_OK;
}

lcf_status lcf_examples_search_exact(uint32_t *ids, float *scores, const lcf_examples *e,
                                     const lcf_example_query *queries, size_t n,
                                     const lcf_example_options *options, lcf_err *err)
{
    lcf_status status = check_options(options, err);

    for (size_t i = 0; i < n && !status; i++) {
        lcf_best best[2];
        lcf_best_init(best, options);
        for (size_t x = 0; x < e->n; x++)
            if (lcf_example_allowed(e, x, &queries[i], options->mode))
                lcf_best_add(&best[e->label[x]], (uint32_t)x,
                             lcf_example_score(e, x, &queries[i], options->by));
        lcf_best_finish(ids + i * options->k, scores ? scores + i * options->k : NULL, best,
                        options);
    }
    return status;
}

/* ---- the search through the index ---- */

void lcf_examples_scan(lcf_best *best, const lcf_examples *e, unsigned label, size_t prefix,
                       const lcf_example_query *query, const lcf_example_options *options)
{
    const lcf_label_index *index = e->faiss[label];

    best->n = 0;
    for (size_t row = 0; row < prefix; row++)
        if (lcf_example_allowed(e, index->ids[row], query, options->mode))
            lcf_best_add(best, index->ids[row],
                         lcf_example_score(e, index->ids[row], query, options->by));
}

/* One query of a block, on its way through one label. */
typedef struct pending {
    size_t prefix; /* rows that the time leaves; all of them in same-user mode */
    float error;   /* how far FAISS's score and ours may lie apart */
    uint32_t query, fetch_class;
} pending;

typedef struct block {
    const lcf_examples *e;
    const lcf_label_index *index;
    const lcf_example_query *queries;
    const lcf_example_options *options;
    lcf_best (*best)[2]; /* [n][2] */
    unsigned label;
    pending todo[BLOCK];
    size_t todo_n;
    float *vectors;  /* [BLOCK, 2 * text_dim] */
    int64_t *rows;   /* [BLOCK, fetch] */
    float *scores;   /* [BLOCK, fetch] */
    size_t capacity; /* of rows and scores */
} block;

static size_t fetch_of(uint32_t fetch_class)
{
    return (size_t)FETCH_FIRST << (2 * fetch_class);
}

static int compare_pending(const void *pa, const void *pb)
{
    const pending *a = pa, *b = pb;

    if (a->fetch_class != b->fetch_class)
        return a->fetch_class < b->fetch_class ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return (a->query > b->query) - (a->query < b->query);
}

static float weight_max(lcf_retrieval_by by)
{
    return fmaxf(lcf_example_user_weight(by), lcf_example_item_weight(by));
}

/* Each of two sums of 2 dim products errs by at most 2 dim half-ulps of the product of the norms
 * (Higham 2002, 3.5); doubled for good measure. */
static float rounding_error(const block *b, const lcf_example_query *q)
{
    size_t dim = b->e->text_dim;
    float square = lcf_example_dot(q->history_vec, q->history_vec, dim) +
                   lcf_example_dot(q->target_vec, q->target_vec, dim);

    return 4.0f * (float)(dim + 8) * FLT_EPSILON * weight_max(b->options->by) * sqrtf(square) *
           b->index->norm_max;
}

static void plan(block *b, size_t n)
{
    b->todo_n = 0;
    for (size_t i = 0; i < n; i++) {
        const lcf_example_query *q = &b->queries[i];
        pending *p = &b->todo[b->todo_n];
        size_t wanted = b->best[i][b->label].wanted, struck = 0;

        *p = (pending){b->index->n, 0, (uint32_t)i, 0};
        if (b->options->mode == LCF_RETRIEVE_STRICT)
            p->prefix = lcf_label_index_before(b->index, q->time);
        else if (q->user)
            struck = lcf_label_index_later(b->index, b->e, q->user, q->time);
        if (!wanted || !p->prefix)
            continue;
        p->error = rounding_error(b, q);
        if (b->e->kind == LCF_FAISS_SQ8 && wanted + struck + SLACK < b->e->setting)
            struck = b->e->setting - wanted - SLACK; /* scored again: what 8 bits cannot tell */
        if (b->e->kind != LCF_FAISS_FLAT) /* it knows of no prefix: those behind are struck out */
            struck += (wanted + SLACK) * (b->index->n - p->prefix) / p->prefix;
        while (p->fetch_class < FETCH_CLASSES && fetch_of(p->fetch_class) < wanted + struck + SLACK)
            p->fetch_class++;
        b->todo_n++;
    }
    qsort(b->todo, b->todo_n, sizeof(*b->todo), compare_pending);
}

/* Neighbours in order that share the fetch and, nearly, the prefix. */
static size_t group_end(const block *b, size_t begin)
{
    size_t end = begin + 1, most = b->todo[begin].prefix + b->todo[begin].prefix / 4 + 64;

    while (end < b->todo_n && b->todo[end].fetch_class == b->todo[begin].fetch_class &&
           b->todo[end].prefix <= most)
        end++;
    return end;
}

static void query_vector(float *to, const lcf_example_query *q, size_t dim, lcf_retrieval_by by)
{
    const float user = lcf_example_user_weight(by), item = lcf_example_item_weight(by);

    for (size_t j = 0; j < dim; j++) {
        to[j] = user * q->history_vec[j];
        to[dim + j] = item * q->target_vec[j];
    }
}

/*
 * Takes the best of one query from its proposals, best first; false when a row that was not
 * proposed could belong there too. An index that is not exact is believed to have proposed them.
 */
static bool settle(block *b, const pending *p, const int64_t *rows, const float *scores,
                   size_t fetch, bool all)
{
    const lcf_example_query *q = &b->queries[p->query];
    lcf_best *best = &b->best[p->query][b->label];
    const bool exact = b->e->kind == LCF_FAISS_FLAT;
    uint32_t allowed = 0;
    float last = 0;

    best->n = 0;
    for (size_t i = 0; i < fetch && rows[i] >= 0; i++) {
        uint32_t example = b->index->ids[rows[i]];
        if (exact && allowed >= best->wanted && scores[i] < last - 2 * p->error)
            return true;
        if ((size_t)rows[i] >= p->prefix ||
            !lcf_example_allowed(b->e, example, q, b->options->mode))
            continue;
        if (++allowed == best->wanted)
            last = scores[i];
        lcf_best_add(best, example, lcf_example_score(b->e, example, q, b->options->by));
    }
    return all || (!exact && allowed >= best->wanted);
}

static lcf_status make_room(block *b, size_t n, size_t fetch, lcf_err *err)
{
    if (n * fetch <= b->capacity)
        return LCF_OK;
    free(b->rows);
    free(b->scores);
    b->capacity = 0;
    b->rows = lcf_alloc(n * fetch, sizeof(*b->rows));
    b->scores = lcf_alloc(n * fetch, sizeof(*b->scores));
    if (!b->rows || !b->scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu proposals for each of %zu queries", fetch, n);
    b->capacity = n * fetch;
    return LCF_OK;
}

/* One product for the queries [begin, end) of todo; those not settled are moved to the front. */
static lcf_status search_group(block *b, size_t begin, size_t end, size_t *unsettled_n,
                               lcf_err *err)
{
    size_t n = end - begin, dim = 2 * b->e->text_dim, prefix = b->todo[end - 1].prefix;
    size_t fetch = fetch_of(b->todo[begin].fetch_class);
    lcf_status status;

    fetch = fetch < prefix ? fetch : prefix;
    status = make_room(b, n, fetch, err);
    for (size_t i = 0; i < n && !status; i++)
        query_vector(b->vectors + i * dim, &b->queries[b->todo[begin + i].query], b->e->text_dim,
                     b->options->by);
    if (!status)
        status = lcf_faiss_search(b->rows, b->scores, b->index->faiss, b->vectors, n, fetch, prefix,
                                  err);
    for (size_t i = 0; i < n && !status; i++) {
        pending p = b->todo[begin + i];
        if (settle(b, &p, b->rows + i * fetch, b->scores + i * fetch, fetch, fetch == prefix))
            continue;
        p.fetch_class++;
        b->todo[(*unsettled_n)++] = p; /* never beyond begin + i */
    }
    return status;
}

static lcf_status search_label(block *b, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    plan(b, n);
    while (b->todo_n && !status) {
        size_t unsettled_n = 0;
        for (size_t at = 0, end; at < b->todo_n && !status; at = end) {
            const pending *p = &b->todo[at];
            end = group_end(b, at);
            /* a fetch of much of the rows, or no index: look at each row instead */
            if (!b->index->faiss || p->fetch_class >= FETCH_CLASSES ||
                fetch_of(p->fetch_class) > p->prefix / 2 + FETCH_FIRST) {
                lcf_examples_scan(&b->best[p->query][b->label], b->e, b->label, p->prefix,
                                  &b->queries[p->query], b->options);
                end = at + 1;
                continue;
            }
            status = search_group(b, at, end, &unsettled_n, err);
        }
        b->todo_n = unsettled_n;
        qsort(b->todo, b->todo_n, sizeof(*b->todo), compare_pending);
    }
    return status;
}

static lcf_status search_block(uint32_t *ids, float *scores, block *b, size_t n, lcf_err *err)
{
    uint32_t k = b->options->k;

    for (size_t i = 0; i < n; i++)
        lcf_best_init(b->best[i], b->options);
    for (unsigned label = 0; label < 2; label++) {
        lcf_status status;
        b->label = label;
        b->index = b->e->faiss[label];
        status = search_label(b, n, err);
        if (status)
            return status;
    }
    for (size_t i = 0; i < n; i++)
        lcf_best_finish(ids + i * k, scores ? scores + i * k : NULL, b->best[i], b->options);
    return LCF_OK;
}

lcf_status lcf_examples_search(uint32_t *ids, float *scores, const lcf_examples *e,
                               const lcf_example_query *queries, size_t n,
                               const lcf_example_options *options, lcf_err *err)
{
    block b = {.e = e, .options = options};
    lcf_status status = check_options(options, err);

    if (status)
        return status;
    if (e->shared && lcf_examples_are_shared(queries, n) &&
        (e->kind == LCF_FAISS_FLAT || !e->faiss[0] || !e->faiss[1]))
        return lcf_examples_search_shared(ids, scores, e, queries, n, options, err);
    if (!e->faiss[0] || !e->faiss[1]) /* opened without them, or made in memory */
        return lcf_examples_search_exact(ids, scores, e, queries, n, options, err);
    b.best = lcf_alloc(BLOCK, sizeof(*b.best));
    b.vectors = lcf_alloc(BLOCK * 2, e->text_dim * sizeof(float));
    if (!b.best || !b.vectors) {
        status = LCF_FAIL(err, LCF_ENOMEM, "search of %zu queries", n);
        goto done;
    }
    for (size_t at = 0; at < n && !status; at += BLOCK) {
        size_t count = n - at < BLOCK ? n - at : BLOCK;
        if (lcf_examples_late(options)) {
            lcf_examples_none(ids + at * options->k, scores ? scores + at * options->k : NULL,
                              (n - at) * options->k);
            break;
        }
        b.queries = queries + at;
        status = search_block(ids + at * options->k, scores ? scores + at * options->k : NULL, &b,
                              count, err);
    }
done:
    free(b.best);
    free(b.vectors);
    free(b.rows);
    free(b.scores);
    return status;
}
