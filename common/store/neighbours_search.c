/*
 * The search through lists of neighbours.
 *
 * The part of the score that all candidates share, <hbar, hbar'>, is not taken from the vectors of
 * the examples where there are more examples than items: hbar' is a mean of item vectors, so it is
 * the mean of <hbar, v> over the items of the example's history, and a request reads every item's
 * vector once instead of every example's. That is right within `error`; only examples which it
 * leaves in the contest for a place are scored by their own vectors.
 *
 * Examples are known by their places: those of one label, and of one target, stand together.
 *
 * Invariant: ids and scores are those of lcf_example_score, bit for bit. `first` of a place lies
 * within `error` of the first part's bits; what the rule leaves out is -INFINITY there. Rounding is
 * monotone, so a bound on both parts bounds the rounded score.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "common/store/examples_index.h"
#include "common/store/neighbours.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LISTED ((size_t)LCF_NEIGHBOURS_N)

enum {
    LEADERS = 2048, /* examples by falling first part that a search looks at */
    LOOK = 16,      /* queries between two looks at the clock and ahead */
    CONTENDERS = 4096,
    CACHE_LINE = 16, /* floats */
    ITEM_ROWS = 8,   /* items whose parts are computed together */
    LANES = 16,      /* largest values that are looked for side by side */
};

#define MEMORY_BLOCK_BYTES ((size_t)2 << 20)

/* Item parts are summed as integers: a history's sum stays below 2^31. */
#define PART_SCALE 0x1p26f
#define NORM_MAX 1.5f /* of the request's history vector */

#define NO_TWIN UINT32_MAX

/* Places of one label by falling first part, the lower first among equals; found one by one, as far
 * as somebody asks. */
typedef struct leaders {
    uint32_t list[LEADERS];
    size_t n;
    size_t begin, end;      /* the label's places */
    size_t group, groups_n; /* places that share an entry of best */
    float *best;            /* [groups] largest first part not on the list; -INFINITY: none */
} leaders;

/* An example that may be among the best of one label for one query. */
typedef struct contender {
    uint32_t place;
    float second, score; /* the score from `first` */
} contender;

struct lcf_neighbours_scratch {
    lcf_arena *memory; /* of all that follows */
    size_t queries_max, unsettled_n;
    float *first;       /* [examples] by place */
    float *item_part;   /* [items] <hbar, v> */
    int32_t *units;     /* [items] the same, as integers */
    uint32_t *sums;     /* [sequence_n + 1] of the units of the sequence, modulo 2^32 */
    float error, slack; /* how far a first part, and a score made of it, may be off */
    bool all_past;      /* every example is of a time before INT64_MAX, which is now */
    uint32_t *exact_of; /* [examples] the request whose bits `exact` holds */
    float *exact;       /* [examples] */
    uint32_t request;
    leaders *leaders;  /* [2] by label */
    uint32_t *slot_of; /* [2 * targets] the request whose first part `slot_best` holds */
    float *slot_best;  /* [2 * targets] the largest first part of a target's examples of a label */
    contender contenders[CONTENDERS];
    /* [queries_max] of the queries that the lists do not settle */
    lcf_example_query *unsettled;
    uint32_t *unsettled_at;
    uint32_t *twin; /* [queries_max] an earlier query that is the same, or NO_TWIN */
    uint32_t *ids;  /* [queries_max, LCF_EXAMPLES_K_MAX] */
    float *scores;
};

/* One request on its way. */
typedef struct search {
    lcf_neighbours_scratch *s;
    const lcf_neighbours *nb;
    const lcf_examples *e;
    const lcf_example_query *q; /* the first: what all share */
    lcf_retrieval_mode mode;
    bool exact; /* scores are asked for or decide between the labels, not the places alone */
} search;

/* ---- life cycle ---- */

lcf_status lcf_neighbours_scratch_create(lcf_neighbours_scratch **out, const lcf_neighbours *nb,
                                         const lcf_examples *e, size_t queries_max, lcf_err *err)
{
    lcf_neighbours_scratch *s = lcf_alloc_zero(1, sizeof(*s));
    bool whole = s != NULL;

    *out = NULL;
    if (whole)
        whole = !lcf_arena_create(&s->memory, MEMORY_BLOCK_BYTES);
    if (whole) {
        lcf_arena *m = s->memory;

        s->queries_max = queries_max;
        s->first = lcf_arena_alloc(m, e->n, sizeof(*s->first));
        s->item_part = lcf_arena_alloc(m, nb->items_n, sizeof(*s->item_part));
        s->units = lcf_arena_alloc(m, nb->items_n, sizeof(*s->units));
        s->sums = lcf_arena_alloc(m, nb->sequence_n + 1, sizeof(*s->sums));
        s->exact_of = lcf_arena_alloc_zero(m, e->n, sizeof(*s->exact_of));
        s->exact = lcf_arena_alloc(m, e->n, sizeof(*s->exact));
        s->leaders = lcf_arena_alloc_zero(m, 2, sizeof(*s->leaders));
        s->slot_of = lcf_arena_alloc_zero(m, 2 * nb->targets_n + 1, sizeof(*s->slot_of));
        s->slot_best = lcf_arena_alloc(m, 2 * nb->targets_n + 1, sizeof(*s->slot_best));
        s->unsettled = lcf_arena_alloc(m, queries_max, sizeof(*s->unsettled));
        s->unsettled_at = lcf_arena_alloc(m, queries_max, sizeof(*s->unsettled_at));
        s->twin = lcf_arena_alloc(m, queries_max, sizeof(*s->twin));
        s->ids = lcf_arena_alloc(m, queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->ids));
        s->scores = lcf_arena_alloc(m, queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->scores));
        whole = s->first && s->item_part && s->units && s->sums && s->exact_of && s->exact &&
                s->leaders && s->slot_of && s->slot_best && s->unsettled && s->unsettled_at &&
                s->twin && s->ids && s->scores;
    }
    for (size_t x = 0; whole && x < e->n; x++)
        s->all_past = (x == 0 || s->all_past) && e->time[x] < INT64_MAX;
    for (size_t label = 0; whole && label < 2; label++) {
        leaders *l = &s->leaders[label];
        size_t n;

        l->begin = nb->place_begin[label * nb->targets_n];
        l->end = nb->place_begin[(label + 1) * nb->targets_n];
        n = l->end - l->begin;
        l->group = 1 + (size_t)sqrt((double)n); /* a look at all groups costs as one at a group */
        l->groups_n = (n + l->group - 1) / l->group;
        l->best = lcf_arena_alloc(s->memory, l->groups_n + 1, sizeof(float));
        whole = l->best != NULL;
    }
    if (!whole) {
        lcf_neighbours_scratch_free(s);
        return LCF_FAIL(err, LCF_ENOMEM, "search of up to %zu queries", queries_max);
    }
    *out = s;
    return LCF_OK;
}

void lcf_neighbours_scratch_free(lcf_neighbours_scratch *s)
{
    if (!s)
        return;
    lcf_arena_free(s->memory);
    free(s);
}

size_t lcf_neighbours_unsettled(const lcf_neighbours_scratch *scratch)
{
    return scratch->unsettled_n;
}

/* ---- the part that all candidates share ---- */

/* From the examples' own vectors: right to the bit. */
static void first_of_examples(const search *w)
{
    const size_t dim = w->e->text_dim;

    w->s->error = 0;
    for (size_t at = 0; at < w->e->n; at++)
        w->s->first[at] =
            lcf_example_dot(w->q->history_vec, w->e->history_vec + w->nb->example[at] * dim, dim);
}

/* The items' parts, some rows at a time while the memory brings the next: the vectors of all items
 * are more than the caches hold, and pages end the processor's own foresight. */
static void item_parts(const search *w, const lcf_embeddings *items)
{
    const size_t dim = items->dim;

    for (size_t at = 0, n; at < items->n; at += n) {
        const float *rows = items->vectors + at * dim;

        n = items->n - at < ITEM_ROWS ? items->n - at : ITEM_ROWS;
        for (size_t i = n * dim; i < 2 * n * dim && at + 2 * n <= items->n; i += CACHE_LINE)
            __builtin_prefetch(rows + i);
        lcf_linear(w->s->item_part + at, w->q->history_vec, rows, NULL, 1, dim, n);
    }
}

/* Sums of the units of the sequence's items, from its beginning, modulo 2^32: what lies between two
 * of them is right, since a run's sum fits. */
static void sum_units(const search *w)
{
    const lcf_neighbours *nb = w->nb;
    const int32_t *units = w->s->units;
    uint32_t *sums = w->s->sums, sum = 0;

    for (size_t i = 0; i < nb->items_n; i++) {
        const float scaled = w->s->item_part[i] * PART_SCALE;

        w->s->units[i] = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
    }
    sums[0] = 0;
    for (size_t i = 0; i < nb->sequence_n; i++)
        sums[i + 1] = sum += (uint32_t)units[nb->sequence[i]];
}

/*
 * From the items of their histories: a run's sum is the difference of two sums from the beginning
 * of the sequence, in integers without rounding. The rounding of sums of dim products and of the
 * mean is that of lcf_examples_search, generously; an item's part lies within 2^-26 of its units,
 * rounding to f32 included.
 */
static void first_of_items(const search *w, const lcf_embeddings *items, float norm)
{
    const lcf_neighbours *nb = w->nb;
    const size_t dim = items->dim;
    float *first = w->s->first, share[UINT8_MAX + 1] = {0};

    w->s->error =
        norm * 1.01f * (nb->history_error + 4.0f * (float)(dim + LCF_HISTORY_MAX) * FLT_EPSILON) +
        0x1p-25f;
    item_parts(w, items);
    sum_units(w);
    for (size_t n = 1; n <= LCF_HISTORY_MAX; n++)
        share[n] = 1.0f / ((float)n * PART_SCALE);
    for (size_t at = 0; at < w->e->n; at++) {
        const uint32_t *end = w->s->sums + nb->history_end[at];
        const size_t n = nb->history_n[at];

        first[at] = (float)(int32_t)(end[0] - *(end - n)) * share[n];
    }
}

/* Strikes out what the rule does not allow. Queries have no row of their own, and nothing that is
 * known is later than now, so a request about now may read everything. */
static void strike_out(const search *w)
{
    if (w->q->time == INT64_MAX && w->s->all_past)
        return;
    for (size_t at = 0; at < w->e->n; at++)
        if (!lcf_example_allowed(w->e, w->nb->example[at], w->q, w->mode))
            w->s->first[at] = -INFINITY;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* The largest of n values; -INFINITY of none. */
static float largest(const float *values, size_t n)
{
    float lanes[LANES], best = -INFINITY;
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        lanes[j] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] = larger(values[i + j], lanes[j]);
    for (; i < n; i++)
        best = larger(values[i], best);
    for (size_t j = 0; j < LANES; j++)
        best = larger(lanes[j], best);
    return best;
}

/* The best of every group. */
static void find_groups(const search *w)
{
    for (size_t label = 0; label < 2; label++) {
        leaders *l = &w->s->leaders[label];
        const size_t n = l->end - l->begin;

        l->n = 0;
        for (size_t g = 0, at = 0; g < l->groups_n; g++, at += l->group)
            l->best[g] =
                largest(w->s->first + l->begin + at, n - at < l->group ? n - at : l->group);
    }
}

/* Moves the next leader of a label from its group to the list; false when none is left. */
static bool find_leader(const search *w, unsigned label)
{
    const float *first = w->s->first;
    leaders *l = &w->s->leaders[label];
    size_t g = 0, begin, end, at;
    float value, rest = -INFINITY;

    if (l->n == LEADERS)
        return false;
    for (size_t i = 1; i < l->groups_n; i++)
        if (l->best[i] > l->best[g])
            g = i;
    value = l->groups_n ? l->best[g] : -INFINITY;
    if (value == -INFINITY)
        return false;
    begin = l->begin + g * l->group;
    end = l->end - begin < l->group ? l->end : begin + l->group;
    at = begin;
    /* Equal ones come in order: those of this group up to the last that was taken are behind us. */
    if (l->n > 0 && first[l->list[l->n - 1]] == value && l->list[l->n - 1] >= begin &&
        l->list[l->n - 1] < end)
        at = l->list[l->n - 1] + 1;
    while (first[at] != value)
        at++;
    l->list[l->n++] = (uint32_t)at;
    for (size_t i = begin; i < end; i++)
        if ((first[i] < value || (first[i] == value && i > at)) && first[i] > rest)
            rest = first[i];
    l->best[g] = rest;
    return true;
}

static void begin(const search *w, const lcf_embeddings *items)
{
    const size_t n = w->e->n, dim = w->e->text_dim;
    const float norm = sqrtf(lcf_example_dot(w->q->history_vec, w->q->history_vec, dim));

    w->s->request++;
    if (!w->s->request) { /* after 2^32 of them */
        memset(w->s->exact_of, 0, n * sizeof(*w->s->exact_of));
        memset(w->s->slot_of, 0, 2 * w->nb->targets_n * sizeof(*w->s->slot_of));
        w->s->request = 1;
    }
    if (isfinite(w->nb->history_error) && norm <= NORM_MAX &&
        items->n * dim + 2 * w->nb->sequence_n < n * dim)
        first_of_items(w, items, norm);
    else
        first_of_examples(w);
    w->s->slack = 0.5f * w->s->error + 8 * FLT_EPSILON;
    strike_out(w);
    find_groups(w);
}

/* ---- one query ---- */

static float exact_first(const search *w, uint32_t place)
{
    lcf_neighbours_scratch *s = w->s;
    const size_t dim = w->e->text_dim;

    if (s->error == 0)
        return s->first[place];
    if (s->exact_of[place] != s->request) {
        s->exact_of[place] = s->request;
        s->exact[place] = lcf_example_dot(w->q->history_vec,
                                          w->e->history_vec + w->nb->example[place] * dim, dim);
    }
    return s->exact[place];
}

/* Asks the memory for what exact_first will read: the rows lie anywhere among all examples. */
static void fetch_first(const search *w, uint32_t place)
{
    const size_t dim = w->e->text_dim;
    const float *row = w->e->history_vec + w->nb->example[place] * dim;

    if (w->s->error != 0 && w->s->exact_of[place] != w->s->request)
        for (size_t i = 0; i < dim; i += CACHE_LINE)
            __builtin_prefetch(row + i);
}

/* The contest for the places of one label: whoever may still be among the best. */
typedef struct contest {
    float scores[LCF_EXAMPLES_K_MAX]; /* the best, falling, each within slack */
    uint32_t n, wanted;
    size_t contenders_n;
    bool crowded; /* too many are too close for us */
} contest;

/* What a score must reach, within slack, to take part. */
static float threshold(const contest *c, float slack)
{
    return c->n < c->wanted ? -INFINITY : c->scores[c->n - 1] - 2 * slack;
}

/* Drops contenders that have fallen behind; false when nearly all are still in it. */
static bool thin_out(contest *c, lcf_neighbours_scratch *s)
{
    const float least = threshold(c, s->slack);
    size_t kept = 0;

    for (size_t i = 0; i < c->contenders_n; i++)
        if (s->contenders[i].score >= least)
            s->contenders[kept++] = s->contenders[i];
    c->contenders_n = kept;
    return kept < CONTENDERS / 2;
}

static void enter(contest *c, lcf_neighbours_scratch *s, uint32_t place, float second)
{
    const float score = 0.5f * s->first[place] + 0.5f * second;
    uint32_t at;

    if (score < threshold(c, s->slack) || score == -INFINITY)
        return;
    if (c->contenders_n == CONTENDERS && !thin_out(c, s)) {
        c->crowded = true;
        return;
    }
    s->contenders[c->contenders_n++] = (contender){place, second, score};
    if (c->n == c->wanted && score <= c->scores[c->n - 1])
        return;
    at = c->n < c->wanted ? c->n++ : c->n - 1;
    for (; at > 0 && c->scores[at - 1] < score; at--)
        c->scores[at] = c->scores[at - 1];
    c->scores[at] = score;
}

static bool is_contender(const contest *c, const lcf_neighbours_scratch *s, uint32_t place)
{
    for (size_t i = 0; i < c->contenders_n; i++)
        if (s->contenders[i].place == place)
            return true;
    return false;
}

/* False when no example with at most these two parts can enter. */
static bool may_enter(const contest *c, const lcf_neighbours_scratch *s, float first, float second)
{
    return 0.5f * first + 0.5f * second >= threshold(c, s->slack);
}

/* The largest first part of a target's examples of a label. */
static float slot_best(const search *w, size_t slot)
{
    lcf_neighbours_scratch *s = w->s;
    const uint32_t *begin = w->nb->place_begin + slot;
    float best = -INFINITY;

    if (s->slot_of[slot] == s->request)
        return s->slot_best[slot];
    for (uint32_t at = begin[0]; at < begin[1]; at++)
        best = larger(s->first[at], best);
    s->slot_of[slot] = s->request;
    return s->slot_best[slot] = best;
}

/* The examples of the item's list of targets, by falling second part. */
static void enter_listed(contest *c, const search *w, uint32_t item, unsigned label,
                         float first_max)
{
    for (size_t i = item * LISTED; i < (item + 1) * LISTED; i++) {
        const float product = w->nb->products[i];
        const size_t slot = label * w->nb->targets_n + w->nb->ids[i];

        if (w->nb->ids[i] == LCF_TARGET_NONE || !may_enter(c, w->s, first_max, product))
            return;
        if (!may_enter(c, w->s, slot_best(w, slot), product))
            continue;
        for (uint32_t at = w->nb->place_begin[slot]; at < w->nb->place_begin[slot + 1]; at++)
            enter(c, w->s, at, product);
    }
}

/* Leaders, until none that follows can enter; false when there are more of them than we look at. */
static bool enter_leaders(contest *c, const search *w, unsigned label, const float *target,
                          float bound)
{
    lcf_neighbours_scratch *s = w->s;
    leaders *l = &s->leaders[label];
    const size_t dim = w->e->text_dim;

    for (size_t i = 0;; i++) {
        uint32_t at;

        if (i == l->n && !find_leader(w, label))
            return l->n < LEADERS;
        at = l->list[i];
        if (!may_enter(c, s, s->first[at], bound))
            return true;
        if (!is_contender(c, s, at))
            enter(c, s, at,
                  lcf_example_dot(target, w->e->target_vec + w->nb->example[at] * dim, dim));
    }
}

/* Whether nobody's place depends on what `first` may be off. */
static bool is_clear(const contest *c, float slack)
{
    for (uint32_t i = 1; i < c->n; i++)
        if (!(c->scores[i - 1] - c->scores[i] > 2 * slack))
            return false;
    return c->contenders_n == c->n;
}

/* Gives the places to the contenders that are left; their scores are exact where somebody asks for
 * them or places depend on them. */
static void award(lcf_best *best, const contest *c, const search *w)
{
    const lcf_neighbours_scratch *s = w->s;
    const bool exact = w->exact || !is_clear(c, s->slack);

    for (size_t i = 0; exact && i < c->contenders_n; i++)
        fetch_first(w, s->contenders[i].place);
    for (size_t i = 0; i < c->contenders_n; i++) {
        const contender *x = &s->contenders[i];

        lcf_best_add(best, w->nb->example[x->place],
                     exact ? 0.5f * exact_first(w, x->place) + 0.5f * x->second : x->score);
    }
}

/* Queries ahead of the one at hand for which the memory is asked: for their lists, for where the
 * examples of their nearest target stand, and for these. Each step needs what the one before it
 * brought, and all of it lies anywhere. */
enum { LISTS_AHEAD = 12, TARGET_AHEAD = 8, NEAREST_AHEAD = 4 };

static void fetch_lists(const search *w, uint32_t item)
{
    lcf_fetch(w->nb->ids + item * LISTED, sizeof(*w->nb->ids));
    lcf_fetch(w->nb->products + item * LISTED, sizeof(*w->nb->products));
    lcf_fetch(w->nb->bound + item, sizeof(*w->nb->bound));
}

static void fetch_target(const search *w, uint32_t item)
{
    const lcf_neighbours *nb = w->nb;
    const uint32_t target = nb->ids[item * LISTED];

    for (size_t label = 0; label < 2 && target != LCF_TARGET_NONE; label++) {
        const size_t slot = label * nb->targets_n + target;

        lcf_fetch(nb->place_begin + slot, 2 * sizeof(*nb->place_begin));
        lcf_fetch(w->s->slot_of + slot, sizeof(*w->s->slot_of));
        lcf_fetch(w->s->slot_best + slot, sizeof(*w->s->slot_best));
    }
}

static void fetch_nearest(const search *w, uint32_t item)
{
    const lcf_neighbours *nb = w->nb;
    const uint32_t target = nb->ids[item * LISTED];

    for (size_t label = 0; label < 2 && target != LCF_TARGET_NONE; label++) {
        const uint32_t *range = nb->place_begin + label * nb->targets_n + target;
        const size_t bytes = (range[1] - range[0]) * sizeof(float);

        lcf_fetch(w->s->first + range[0], bytes);
        lcf_fetch(nb->example + range[0], bytes);
    }
}

/* Before query i of n is looked at. */
static void fetch_ahead(const search *w, const uint32_t *items, size_t i, size_t n)
{
    const size_t begin = i ? i + LISTS_AHEAD : 0;

    for (size_t at = begin; at <= i + LISTS_AHEAD && at < n; at++)
        fetch_lists(w, items[at]);
    if (i + TARGET_AHEAD < n)
        fetch_target(w, items[i + TARGET_AHEAD]);
    if (i + NEAREST_AHEAD < n)
        fetch_nearest(w, items[i + NEAREST_AHEAD]);
}

/* The best of one label for one query; false when the lists do not settle it. */
static bool search_label(lcf_best *best, const search *w, uint32_t item, unsigned label,
                         const float *target)
{
    lcf_neighbours_scratch *s = w->s;
    const float bound = w->nb->bound[item];
    contest c = {.wanted = best->wanted};

    if (best->wanted == 0)
        return true;
    if (s->leaders[label].n == 0 && !find_leader(w, label))
        return true; /* nobody is allowed */
    enter_listed(&c, w, item, label, s->first[s->leaders[label].list[0]]);
    if (bound > -INFINITY && !enter_leaders(&c, w, label, target, bound))
        return false;
    if (c.crowded)
        return false;
    (void)thin_out(&c, s);
    award(best, &c, w);
    return true;
}

/* The queries that are left, by the way that needs no lists. */
static lcf_status search_unsettled(uint32_t *ids, float *scores, lcf_neighbours_scratch *s,
                                   const lcf_examples *e, const lcf_example_options *options,
                                   lcf_err *err)
{
    uint32_t k = options->k;
    lcf_status status = LCF_OK;

    if (s->unsettled_n && lcf_examples_late(options))
        lcf_examples_none(s->ids, s->scores, s->unsettled_n * k);
    else if (s->unsettled_n)
        status =
            lcf_examples_search(s->ids, s->scores, e, s->unsettled, s->unsettled_n, options, err);
    for (size_t i = 0; !status && i < s->unsettled_n; i++) {
        memcpy(ids + s->unsettled_at[i] * k, s->ids + i * k, k * sizeof(*ids));
        if (scores)
            memcpy(scores + s->unsettled_at[i] * k, s->scores + i * k, k * sizeof(*scores));
    }
    return status;
}

static bool is_same(const lcf_example_query *a, const lcf_example_query *b)
{
    return a->user == b->user && a->time == b->time && a->history_vec == b->history_vec &&
           a->target_vec == b->target_vec &&
           !memcmp(&a->sample_hash, &b->sample_hash, sizeof(a->sample_hash));
}

/*
 * An earlier query that asks the same: the one before, or, of an unknown item, the first of those.
 * Whole requests of unknown items would else settle the same question, the dearest there is, again
 * and again.
 */
static uint32_t find_twin(const uint32_t *items, const lcf_example_query *queries, size_t i,
                          size_t unknown)
{
    const size_t twin = items[i] ? i - 1 : unknown;

    return i && twin < i && items[twin] == items[i] && is_same(&queries[twin], &queries[i])
               ? (uint32_t)twin
               : NO_TWIN;
}

static void copy_twins(uint32_t *ids, float *scores, const uint32_t *twin, size_t n, uint32_t k)
{
    for (size_t i = 0; i < n; i++) {
        if (twin[i] == NO_TWIN)
            continue;
        memcpy(ids + i * k, ids + (size_t)twin[i] * k, k * sizeof(*ids));
        if (scores)
            memcpy(scores + i * k, scores + (size_t)twin[i] * k, k * sizeof(*scores));
    }
}

lcf_status lcf_neighbours_search(uint32_t *ids, float *scores, lcf_neighbours_scratch *scratch,
                                 const lcf_neighbours *nb, const lcf_embeddings *item_vectors,
                                 const lcf_examples *e, const uint32_t *items,
                                 const lcf_example_query *queries, size_t n,
                                 const lcf_example_options *options, lcf_err *err)
{
    const search w = {scratch, nb, e, queries, options->mode, scores || !options->balanced};
    uint32_t k = options->k;
    size_t unknown = SIZE_MAX, asked;
    lcf_status status;

    LCF_ASSERT(n <= scratch->queries_max && item_vectors->n == nb->items_n);
    if (k < 1 || k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "k is %u; 1 to %u examples can be had", k,
                        LCF_EXAMPLES_K_MAX);
    scratch->unsettled_n = options->by == LCF_RETRIEVE_BY_BOTH ? 0 : n;
    if (scratch->unsettled_n) /* the lists hold what the sum of both parts needs */
        return lcf_examples_search(ids, scores, e, queries, n, options, err);
    if (n == 0)
        return LCF_OK;
    begin(&w, item_vectors);
    for (asked = 0; asked < n; asked++) {
        const size_t i = asked;
        lcf_best best[2];
        bool settled = true;

        if (i % LOOK == 0 && lcf_examples_late(options)) {
            lcf_examples_none(ids + i * k, scores ? scores + i * k : NULL, (n - i) * k);
            break;
        }
        fetch_ahead(&w, items, i, n);
        scratch->twin[i] = find_twin(items, queries, i, unknown);
        if (!items[i] && unknown == SIZE_MAX)
            unknown = i;
        if (scratch->twin[i] != NO_TWIN)
            continue;
        lcf_best_init(best, options);
        for (unsigned label = 0; settled && label < 2; label++)
            settled = search_label(&best[label], &w, items[i], label, queries[i].target_vec);
        if (settled) {
            lcf_best_finish(ids + i * k, scores ? scores + i * k : NULL, best, options);
            continue;
        }
        scratch->unsettled[scratch->unsettled_n] = queries[i];
        scratch->unsettled_at[scratch->unsettled_n++] = (uint32_t)i;
    }
    status = search_unsettled(ids, scores, scratch, e, options, err);
    if (!status)
        copy_twins(ids, scores, scratch->twin, asked, k);
    return status;
}
