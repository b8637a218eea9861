/*
 * The search through lists of neighbours.
 *
 * The part of the score that all candidates share, <hbar, hbar'>, is not taken from the vectors of
 * the examples where there are more examples than items: hbar' is a mean of item vectors, so it is
 * the mean of <hbar, v> over the items of the example's history, and a request reads every item's
 * vector once instead of every example's. That is right within `error`; only examples which it
 * leaves in the contest for a place are scored by their own vectors. And it is summed only where
 * somebody looks: at the examples of the targets that a query's list leads to, or, from the first
 * query on that needs to know which are the best of all, everywhere.
 *
 * Examples are known by their places: those of one label, and of one target, stand together.
 *
 * Invariant: ids and scores are those of lcf_example_score, bit for bit. `first` of a place lies
 * within `error` of the first part's bits; what the rule leaves out is -INFINITY there. It is there
 * for the places of slots that were looked at in this request, and for all when `whole`; none
 * is larger than `most`. Rounding is monotone, so a bound on both parts bounds the rounded score.
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
    ENTER = 64,       /* places that are taken in together */
    LINE = 32,        /* rounded components in a cache line */
    ITEM_ROWS = 4,    /* items whose parts are computed together */
    LOOKED_SHARE = 8, /* of the examples: as many looked at cost as much as to complete them all */
    LANES = 16,       /* largest values that are looked for side by side */
};

#define MEMORY_BLOCK_BYTES ((size_t)2 << 20)

/* Item parts are summed as integers: a history's sum stays below 2^31. */
#define PART_SCALE 0x1p26f
#define NORM_MAX 1.5f  /* of the request's history vector */
#define PART_MAX 1.55f /* more is no product of it and of a vector of norm 1 */

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

/* The examples of a target of one label: the largest first part, as `request` knew it. */
typedef struct slot {
    uint32_t request;
    float best;
} slot;

/* A target of an item's list, and its product with the item's vector. */
typedef struct listed {
    uint32_t target;
    float product;
} listed;

/* An example that may be among the best of one label for one query. */
typedef struct contender {
    uint32_t place;
    float second, score; /* the score from `first` */
} contender;

struct lcf_neighbours_scratch {
    lcf_arena *memory; /* of all that follows */
    size_t queries_max, unsettled_n;
    float *first;     /* [examples] by place */
    bool whole;       /* all of `first` is there, and the leaders can be found */
    float most;       /* no first part is larger */
    size_t looked_n;  /* examples that a better bound than `most` might have spared us */
    float *item_part; /* [items] <hbar, v> */
    int32_t *units;   /* [items] the same, as integers */
    uint32_t *sums;   /* [sequence_n + 1] of the units of the sequence, modulo 2^32 */
    float share[LCF_HISTORY_MAX + 1]; /* what a sum of so many units is multiplied with */
    float error, slack;               /* how far a first part, and a score made of it, may be off */
    bool all_past;      /* every example is of a time before INT64_MAX, which is now */
    uint32_t *exact_of; /* [examples] the request whose bits `exact` holds */
    float *exact;       /* [examples] */
    uint32_t request;
    leaders *leaders;                     /* [2] by label */
    slot *slots;                          /* [2 * targets] by label */
    contender contenders[CONTENDERS + 1]; /* one more, where nobody stays */
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
    bool exact;   /* scores are asked for or decide between the labels, not the places alone */
    bool strikes; /* the rule may leave out examples */
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
        s->slots = lcf_arena_alloc_zero(m, 2 * nb->targets_n + 1, sizeof(*s->slots));
        s->unsettled = lcf_arena_alloc(m, queries_max, sizeof(*s->unsettled));
        s->unsettled_at = lcf_arena_alloc(m, queries_max, sizeof(*s->unsettled_at));
        s->twin = lcf_arena_alloc(m, queries_max, sizeof(*s->twin));
        s->ids = lcf_arena_alloc(m, queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->ids));
        s->scores = lcf_arena_alloc(m, queries_max, LCF_EXAMPLES_K_MAX * sizeof(*s->scores));
        whole = s->first && s->item_part && s->units && s->sums && s->exact_of && s->exact &&
                s->leaders && s->slots && s->unsettled && s->unsettled_at && s->twin && s->ids &&
                s->scores;
    }
    for (size_t x = 0; whole && x < e->n; x++)
        s->all_past = (x == 0 || s->all_past) && e->time[x] < INT64_MAX;
    for (size_t i = 1; whole && i <= LCF_HISTORY_MAX; i++)
        s->share[i] = 1.0f / ((float)i * PART_SCALE);
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

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* The items' parts, some rows at a time while the memory brings the next: the vectors of all items
 * are more than the caches hold, and pages end the processor's own foresight. */
static void item_parts(const search *w)
{
    const lcf_neighbours *nb = w->nb;
    const size_t dim = w->e->text_dim;

    for (size_t at = 0, n; at < nb->items_n; at += n) {
        const int16_t *rows = nb->rounded + at * dim;

        n = nb->items_n - at < ITEM_ROWS ? nb->items_n - at : ITEM_ROWS;
        for (size_t i = n * dim; i < 2 * n * dim && at + 2 * n <= nb->items_n; i += LINE)
            __builtin_prefetch(rows + i);
        lcf_rounded_products(w->s->item_part + at, w->q->history_vec, rows, nb->scale + at, dim, n);
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
        const float some = w->s->item_part[i] < PART_MAX ? w->s->item_part[i] : PART_MAX;
        const float scaled = (some > -PART_MAX ? some : -PART_MAX) * PART_SCALE;

        w->s->units[i] = (int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f));
    }
    sums[0] = 0;
    for (size_t i = 0; i < nb->sequence_n; i++)
        sums[i + 1] = sum += (uint32_t)units[nb->sequence[i]];
}

/*
 * From the items of their histories: a run's sum is the difference of two sums from the beginning
 * of the sequence, in integers without rounding. An item's part lies within 2^-26 of its units,
 * rounding to f32 included. A sum of dim products is off by at most dim halves of FLT_EPSILON times
 * both norms, in whatever order it is summed; there are two, ours and the exact one; the mean of
 * vectors, and what follows a run's sum, are off by fewer than 2 LCF_HISTORY_MAX such halves.
 */
static void prepare_items(const search *w, float norm)
{
    lcf_neighbours_scratch *s = w->s;
    int32_t most = INT32_MIN;

    s->error = norm * 1.01f *
                   (w->nb->history_error + w->nb->rounding_error +
                    (float)(w->e->text_dim + LCF_HISTORY_MAX) * FLT_EPSILON) +
               0x1p-25f;
    item_parts(w);
    sum_units(w);
    for (size_t i = 0; i < w->nb->items_n; i++)
        most = s->units[i] > most ? s->units[i] : most;
    s->most = 0; /* of no history */
    for (size_t n = 1; n <= LCF_HISTORY_MAX; n++)
        s->most = larger((float)((int32_t)n * most) * s->share[n], s->most);
}

static float first_of_items(const search *w, size_t place)
{
    const lcf_neighbours_place *p = &w->nb->places[place];
    const uint32_t sum = w->s->sums[p->history_end] - w->s->sums[p->history_begin];

    return (float)(int32_t)sum * w->s->share[p->history_end - p->history_begin];
}

/* What the rule does not allow is struck out. */
static bool is_struck(const search *w, size_t place)
{
    return w->strikes && !lcf_example_allowed(w->e, w->nb->places[place].example, w->q, w->mode);
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

/* From the examples' own vectors: right to the bit. */
static void first_of_examples(const search *w)
{
    const size_t dim = w->e->text_dim;

    w->s->error = 0;
    for (size_t at = 0; at < w->e->n; at++)
        w->s->first[at] =
            is_struck(w, at)
                ? -INFINITY
                : lcf_example_dot(w->q->history_vec,
                                  w->e->history_vec + w->nb->places[at].example * dim, dim);
    find_groups(w);
}

/* All first parts: whoever is asked for can be found. */
static void complete(const search *w)
{
    lcf_neighbours_scratch *s = w->s;

    if (s->whole)
        return;
    for (size_t at = 0; at < w->e->n; at++)
        s->first[at] = is_struck(w, at) ? -INFINITY : first_of_items(w, at);
    find_groups(w);
    s->whole = true;
}

static void begin(const search *w)
{
    lcf_neighbours_scratch *s = w->s;
    const size_t n = w->e->n, dim = w->e->text_dim;
    const float norm = sqrtf(lcf_example_dot(w->q->history_vec, w->q->history_vec, dim));

    s->request++;
    if (!s->request) { /* after 2^32 of them */
        memset(s->exact_of, 0, n * sizeof(*s->exact_of));
        memset(s->slots, 0, 2 * w->nb->targets_n * sizeof(*s->slots));
        s->request = 1;
    }
    s->whole = !(isfinite(w->nb->history_error) && norm <= NORM_MAX &&
                 w->nb->items_n * dim + 2 * w->nb->sequence_n < n * dim);
    if (s->whole)
        first_of_examples(w);
    else
        prepare_items(w, norm);
    s->looked_n = 0;
    s->slack = 0.5f * s->error + 8 * FLT_EPSILON;
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
        s->exact[place] = lcf_example_dot(
            w->q->history_vec, w->e->history_vec + w->nb->places[place].example * dim, dim);
    }
    return s->exact[place];
}

/* Asks the memory for what exact_first will read: the rows lie anywhere among all examples. */
static void fetch_first(const search *w, uint32_t place)
{
    const size_t dim = w->e->text_dim;
    const float *row = w->e->history_vec + w->nb->places[place].example * dim;

    if (w->s->error != 0 && w->s->exact_of[place] != w->s->request)
        lcf_fetch(row, dim * sizeof(*row));
}

/* The contest for the places of one label: whoever may still be among the best. */
typedef struct contest {
    float scores[LCF_EXAMPLES_K_MAX]; /* [wanted] the best, falling, each within slack; -INFINITY
                                         where there are fewer */
    uint32_t wanted;
    size_t contenders_n;
    bool crowded; /* too many are too close for us */
} contest;

static void contest_init(contest *c, uint32_t wanted)
{
    *c = (contest){.wanted = wanted};
    for (uint32_t i = 0; i < wanted; i++)
        c->scores[i] = -INFINITY;
}

/* What a score must reach, within slack, to take part. */
static float threshold(const contest *c, float slack)
{
    return c->scores[c->wanted - 1] - 2 * slack;
}

/* Drops contenders that have fallen behind; false when nearly all are still in it. */
static bool thin_out(contest *c, lcf_neighbours_scratch *s)
{
    const float least = threshold(c, s->slack);
    size_t kept = 0;

    for (size_t i = 0; i < c->contenders_n; i++) {
        s->contenders[kept] = s->contenders[i];
        kept += s->contenders[i].score >= least;
    }
    c->contenders_n = kept;
    return kept < CONTENDERS / 2;
}

/* Takes up to ENTER scores in among the best. Every one goes down the list as far as it comes:
 * which ones do cannot be foreseen, so there are no branches. Spoils `scores`. */
static void take_in(contest *c, float *scores, size_t n)
{
    for (uint32_t rank = 0; rank < c->wanted; rank++) {
        float best = c->scores[rank];

        for (size_t i = 0; i < n; i++) {
            const float score = scores[i];

            scores[i] = score < best ? score : best;
            best = score > best ? score : best;
        }
        c->scores[rank] = best;
    }
}

/* Neighbouring places of one second part. */
static void enter(contest *c, lcf_neighbours_scratch *s, uint32_t place, size_t n, float second)
{
    for (size_t at = 0, some; at < n; at += some, place += (uint32_t)some) {
        float scores[ENTER], least;

        some = n - at < ENTER ? n - at : ENTER;
        if (c->contenders_n + some > CONTENDERS && !thin_out(c, s)) {
            c->crowded = true;
            return;
        }
        for (size_t i = 0; i < some; i++)
            scores[i] = 0.5f * s->first[place + i] + 0.5f * second;
        take_in(c, scores, some);
        least = threshold(c, s->slack);
        for (size_t i = 0; i < some; i++) {
            const float score = 0.5f * s->first[place + i] + 0.5f * second;

            s->contenders[c->contenders_n] = (contender){place + (uint32_t)i, second, score};
            c->contenders_n += score >= least && score > -INFINITY;
        }
    }
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

/* The largest first part of a slot; from here on they are all there. */
static float slot_best(const search *w, size_t at)
{
    lcf_neighbours_scratch *s = w->s;
    const uint32_t *places = w->nb->place_begin + at;
    slot *of = &s->slots[at];

    if (of->request == s->request)
        return of->best;
    *of = (slot){s->request, -INFINITY};
    for (uint32_t place = places[0]; place < places[1]; place++) {
        if (!s->whole)
            s->first[place] = is_struck(w, place) ? -INFINITY : first_of_items(w, place);
        of->best = larger(s->first[place], of->best);
    }
    return of->best;
}

/* What no first part of a label exceeds: the largest, once all are there; -INFINITY where nobody is
 * allowed. */
static float first_max(const search *w, unsigned label)
{
    const leaders *l = &w->s->leaders[label];

    if (!w->s->whole)
        return w->s->most;
    return l->n || find_leader(w, label) ? w->s->first[l->list[0]] : -INFINITY;
}

/* Entry i of an item's list of targets. */
static listed listed_of(const lcf_neighbours *nb, uint32_t item, size_t i)
{
    const lcf_neighbours_head *head = &nb->heads[item];

    return i < LCF_NEIGHBOURS_NEAREST
               ? (listed){head->ids[i], head->products[i]}
               : (listed){nb->ids[item * LISTED + i], nb->products[item * LISTED + i]};
}

/* The examples of the item's list of targets, by falling second part. */
static void enter_listed(contest *c, const search *w, uint32_t item, unsigned label)
{
    lcf_neighbours_scratch *s = w->s;
    float first = first_max(w, label);

    for (size_t i = 0; i < LISTED; i++) {
        const listed l = listed_of(w->nb, item, i);
        const uint32_t *places;

        if (l.target == LCF_TARGET_NONE || !may_enter(c, s, first, l.product))
            return;
        places = w->nb->place_begin + label * w->nb->targets_n + l.target;
        if (may_enter(c, s, slot_best(w, (size_t)(places - w->nb->place_begin)), l.product))
            enter(c, s, places[0], places[1] - places[0], l.product);
        s->looked_n += i ? places[1] - places[0] : 0;
        if (!s->whole && s->looked_n > w->e->n / LOOKED_SHARE) {
            complete(w);
            first = first_max(w, label);
        }
    }
}

/* Leaders, until none that follows can enter; false when there are more of them than we look at. */
static bool enter_leaders(contest *c, const search *w, unsigned label, const float *target,
                          float bound)
{
    lcf_neighbours_scratch *s = w->s;
    leaders *l = &s->leaders[label];
    const size_t dim = w->e->text_dim;

    if (!may_enter(c, s, first_max(w, label), bound))
        return true;
    complete(w);
    for (size_t i = 0;; i++) {
        uint32_t at;

        if (i == l->n && !find_leader(w, label))
            return l->n < LEADERS;
        at = l->list[i];
        if (!may_enter(c, s, s->first[at], bound))
            return true;
        if (!is_contender(c, s, at))
            enter(c, s, at, 1,
                  lcf_example_dot(target, w->e->target_vec + w->nb->places[at].example * dim, dim));
    }
}

/* Whether nobody's place depends on what `first` may be off. */
static bool is_clear(const contest *c, float slack)
{
    if (c->contenders_n > c->wanted)
        return false;
    for (uint32_t i = 1; i < c->contenders_n; i++)
        if (!(c->scores[i - 1] - c->scores[i] > 2 * slack))
            return false;
    return true;
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

        lcf_best_add(best, w->nb->places[x->place].example,
                     exact ? 0.5f * exact_first(w, x->place) + 0.5f * x->second : x->score);
    }
}

/* Queries ahead of the one at hand for which the memory is asked: for their lists, for where the
 * examples of their nearest target stand, and for these. Each step needs what the one before it
 * brought, and all of it lies anywhere. */
enum { LISTS_AHEAD = 12, TARGET_AHEAD = 8, NEAREST_AHEAD = 4 };

static void fetch_lists(const search *w, uint32_t item)
{
    lcf_fetch(w->nb->heads + item, sizeof(*w->nb->heads));
}

static void fetch_target(const search *w, uint32_t item)
{
    const lcf_neighbours *nb = w->nb;
    const uint32_t target = nb->heads[item].ids[0];

    for (size_t label = 0; label < 2 && target != LCF_TARGET_NONE; label++) {
        const size_t at = label * nb->targets_n + target;

        lcf_fetch(nb->place_begin + at, 2 * sizeof(*nb->place_begin));
        lcf_fetch(w->s->slots + at, sizeof(*w->s->slots));
    }
}

static void fetch_nearest(const search *w, uint32_t item)
{
    const lcf_neighbours *nb = w->nb;
    const uint32_t target = nb->heads[item].ids[0];

    for (size_t label = 0; label < 2 && target != LCF_TARGET_NONE; label++) {
        const uint32_t *range = nb->place_begin + label * nb->targets_n + target;
        const size_t places_n = range[1] - range[0];

        lcf_fetch(w->s->first + range[0], places_n * sizeof(*w->s->first));
        lcf_fetch(nb->places + range[0], places_n * sizeof(*nb->places));
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
    const float bound = w->nb->heads[item].bound;
    contest c;

    if (best->wanted == 0 || first_max(w, label) == -INFINITY)
        return true;
    contest_init(&c, best->wanted);
    enter_listed(&c, w, item, label);
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
                                 const lcf_neighbours *nb, const lcf_examples *e,
                                 const uint32_t *items, const lcf_example_query *queries, size_t n,
                                 const lcf_example_options *options, lcf_err *err)
{
    const search w = {
        .s = scratch,
        .nb = nb,
        .e = e,
        .q = queries,
        .mode = options->mode,
        .exact = scores || !options->balanced,
        /* Queries have no row of their own, and nothing that is known is later than now. */
        .strikes = n && !(queries->time == INT64_MAX && scratch->all_past),
    };
    uint32_t k = options->k;
    size_t unknown = SIZE_MAX, asked;
    lcf_status status;

    LCF_ASSERT(n <= scratch->queries_max);
    if (k < 1 || k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "k is %u; 1 to %u examples can be had", k,
                        LCF_EXAMPLES_K_MAX);
    scratch->unsettled_n = options->by == LCF_RETRIEVE_BY_BOTH ? 0 : n;
    if (scratch->unsettled_n) /* the lists hold what the sum of both parts needs */
        return lcf_examples_search(ids, scores, e, queries, n, options, err);
    if (n == 0)
        return LCF_OK;
    begin(&w);
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
