/*
 * Lists of three of five items whose value is known: every list is enumerated. See ope_world.h.
 *
 * Policies draw lists position by position (Plackett and Luce), with exploration at every step.
 */
#include "tests/unit/eval/ope_world.h"

#include "common/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONTEXTS = 4, ITEMS = 5, LENGTH = OPE_LISTS_POSITIONS, REQUESTS_MAX = 3 };

#define MOOD 0.6    /* of a user, on the logit of attraction */
#define EXPLORE 0.4 /* share of every draw of the logging policy that is uniform */
#define STOPS 0.8   /* that people read no further after a click */

const char *const OPE_LISTS_NAMES[OPE_LISTS_N] = {"position", "cascade", "rerank"};
const double OPE_LISTS_EXAMINATION[LENGTH] = {1, 0.6, 0.4};

static const char *const ITEM_NAMES[ITEMS] = {"i0", "i1", "i2", "i3", "i4"};

typedef struct world {
    ope_lists_kind kind;
    double logit[CONTEXTS][ITEMS];
    double logging[CONTEXTS][ITEMS], target[CONTEXTS][ITEMS]; /* weights of the draws */
} world;

static double attraction(const world *w, size_t context, size_t item, double mood)
{
    return 1 / (1 + exp(-w->logit[context][item] - mood));
}

static void make_world(world *w, ope_lists_kind kind)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 77, 0);
    w->kind = kind;
    for (size_t c = 0; c < CONTEXTS; c++)
        for (size_t i = 0; i < ITEMS; i++) {
            double liked = lcf_rng_normal(&rng);
            w->logit[c][i] = -0.3 + 0.2 * (double)i + liked;
            w->logging[c][i] = exp(0.5 * lcf_rng_normal(&rng));
            w->target[c][i] = exp(0.7 * liked);
        }
}

/* Probability of each item at the next position; taken ones have 0. */
static void next(double *p, const double *weight, const bool *taken, double explore)
{
    double sum = 0, left = 0;

    for (size_t i = 0; i < ITEMS; i++) {
        sum += taken[i] ? 0 : weight[i];
        left += !taken[i];
    }
    for (size_t i = 0; i < ITEMS; i++)
        p[i] = taken[i] ? 0 : (1 - explore) * weight[i] / sum + explore / left;
}

/* Where the target puts the item at position k of a list: by falling weight. */
static size_t rank_of(const world *w, size_t context, const size_t *list, size_t k)
{
    size_t rank = 0;

    for (size_t j = 0; j < LENGTH; j++)
        rank += w->target[context][list[j]] > w->target[context][list[k]];
    return rank;
}

/* Expected clicks of a list, by the world's click model. */
static double value_of(const world *w, size_t context, const size_t *list, double mood)
{
    double value = 0, reading = 1;

    for (size_t k = 0; k < LENGTH; k++) {
        double a = attraction(w, context, list[k], mood);
        if (w->kind == OPE_LISTS_CASCADE) {
            value += reading * a;
            reading *= 1 - STOPS * a;
        } else {
            size_t at = w->kind == OPE_LISTS_RERANK ? rank_of(w, context, list, k) : k;
            value += OPE_LISTS_EXAMINATION[at] * a;
        }
    }
    return value;
}

/* Sums value times probability over all lists that begin with the first k items. */
static double enumerate(const world *w, size_t context, size_t *list, bool *taken, size_t k)
{
    bool rerank = w->kind == OPE_LISTS_RERANK; /* the logging policy chooses what is shown */
    double p[ITEMS], sum = 0;

    if (k == LENGTH)
        return (value_of(w, context, list, MOOD) + value_of(w, context, list, -MOOD)) / 2;
    next(p, rerank ? w->logging[context] : w->target[context], taken, rerank ? EXPLORE : 0);
    for (size_t i = 0; i < ITEMS; i++) {
        if (taken[i])
            continue;
        taken[i] = true;
        list[k] = i;
        sum += p[i] * enumerate(w, context, list, taken, k + 1);
        taken[i] = false;
    }
    return sum;
}

double ope_lists_truth(ope_lists_kind kind)
{
    double value = 0;
    world w;

    make_world(&w, kind);
    for (size_t c = 0; c < CONTEXTS; c++) {
        bool taken[ITEMS] = {false};
        size_t list[LENGTH];
        value += enumerate(&w, c, list, taken, 0) / CONTEXTS;
    }
    return value;
}

/* ---- a log ---- */

static lcf_status add_row(lcf_ope_log *log, const world *w, lcf_ope_row *row, size_t context,
                          const size_t *list, size_t k, const bool *taken, lcf_err *err)
{
    double logging[ITEMS], target[ITEMS];
    lcf_ope_candidate left[ITEMS];
    size_t n = 0;
    lcf_status status = LCF_OK;

    next(logging, w->logging[context], taken, EXPLORE);
    next(target, w->target[context], taken, 0);
    for (size_t i = 0; i < ITEMS; i++)
        if (!taken[i])
            left[n++] = (lcf_ope_candidate){{ITEM_NAMES[i], 2}, target[i], logging[i], 0};
    row->line = log->rows_n + 1;
    row->action = (lcf_str){ITEM_NAMES[list[k]], 2};
    row->position = k + 1;
    row->propensity = logging[list[k]];
    if (w->kind == OPE_LISTS_RERANK)
        row->target_position = rank_of(w, context, list, k) + 1;
    else
        status = lcf_ope_log_add_set(&row->set, log, left, n, row->line, err);
    return status ? status : lcf_ope_log_add(log, row, err);
}

static lcf_status add_request(lcf_ope_log *log, const world *w, lcf_ope_row *row, size_t context,
                              double mood, lcf_rng *rng, lcf_err *err)
{
    bool taken[ITEMS] = {false}, reading = true;
    size_t list[LENGTH];
    lcf_status status = LCF_OK;

    for (size_t k = 0; k < LENGTH; k++) { /* all draws before the rows: these need the whole list */
        double p[ITEMS], at = lcf_rng_f64(rng);
        next(p, w->logging[context], taken, EXPLORE);
        list[k] = ITEMS;
        for (size_t i = 0; i < ITEMS && (list[k] == ITEMS || at >= 0); i++) {
            if (taken[i])
                continue;
            list[k] = i;
            at -= p[i];
        }
        taken[list[k]] = true;
    }
    memset(taken, 0, sizeof(taken));
    for (size_t k = 0; k < LENGTH && !status; k++) {
        double a = attraction(w, context, list[k], mood);
        bool cascade = w->kind == OPE_LISTS_CASCADE;
        bool seen = cascade ? reading : lcf_rng_f64(rng) < OPE_LISTS_EXAMINATION[k];
        row->reward = seen && lcf_rng_f64(rng) < a;
        if (row->reward > 0 && lcf_rng_f64(rng) < STOPS)
            reading = false;
        status = add_row(log, w, row, context, list, k, taken, err);
        taken[list[k]] = true;
    }
    return status;
}

static lcf_status add_user(lcf_ope_log *log, const world *w, size_t user, lcf_rng *rng,
                           lcf_err *err)
{
    size_t context = (size_t)lcf_rng_below(rng, CONTEXTS);
    size_t requests_n = 1 + (size_t)lcf_rng_below(rng, REQUESTS_MAX);
    double mood = lcf_rng_below(rng, 2) ? MOOD : -MOOD;
    char name[24], request[48], segment[24];
    const lcf_ope_feature feature = {{segment, 9}, 1, false};
    lcf_status status = LCF_OK;

    snprintf(name, sizeof(name), "u%zu", user);
    snprintf(segment, sizeof(segment), "segment=%zu", context);
    for (size_t r = 0; r < requests_n && !status; r++) {
        lcf_ope_row row = LCF_OPE_ROW_INIT;
        snprintf(request, sizeof(request), "%s-%zu", name, r);
        row.user = (lcf_str){name, strlen(name)};
        row.request = (lcf_str){request, strlen(request)};
        row.features = &feature;
        row.features_n = 1;
        status = add_request(log, w, &row, context, mood, rng, err);
    }
    return status;
}

lcf_status ope_lists_log(lcf_ope_log *out, ope_lists_kind kind, size_t users_n, uint64_t seed,
                         lcf_err *err)
{
    const lcf_ope_log_options options = {false, false};
    lcf_rng rng;
    world w;
    lcf_status status = lcf_ope_log_init(out, "lists", &options, err);

    if (status)
        return status;
    make_world(&w, kind);
    lcf_rng_seed(&rng, seed, 100 + (uint64_t)kind);
    for (size_t u = 0; u < users_n && !status; u++)
        status = add_user(out, &w, u, &rng, err);
    if (!status)
        status = lcf_ope_log_finish(out, err);
    if (status)
        lcf_ope_log_dispose(out);
    return status;
}
