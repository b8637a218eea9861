/* Worlds in which the value of every policy is known: see ope_world.h. */
#include "tests/unit/eval/ope_world.h"

#include "common/base/mem.h"
#include "common/base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXTS = 8, ACTIONS = 6, ROWS_MAX = 5 };

#define MOOD 0.8 /* effect of the hidden mood, +1 or -1, on the logit of a reward */

const char *const OPE_WORLD_NAMES[OPE_WORLDS_N] = {"moderate", "heavy", "replay"};

static const char *const ACTION_NAMES[ACTIONS] = {"a0", "a1", "a2", "a3", "a4", "a5"};

/* All that is fixed: a function of the kind alone. */
typedef struct world {
    double share[CONTEXTS]; /* of the users */
    double logging[CONTEXTS][ACTIONS], target[CONTEXTS][ACTIONS];
    double logit[CONTEXTS][ACTIONS]; /* of a reward, without mood */
    double age[CONTEXTS];
} world;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* (1 - explore) softmax + explore / n */
static void soften(double *p, const double *taste, double sharpness, double explore)
{
    double sum = 0;

    for (size_t a = 0; a < ACTIONS; a++)
        sum += p[a] = exp(sharpness * taste[a]);
    for (size_t a = 0; a < ACTIONS; a++)
        p[a] = (1 - explore) * p[a] / sum + explore / ACTIONS;
}

static void take_best(double *p, const double *taste)
{
    size_t best = 0;

    for (size_t a = 0; a < ACTIONS; a++) {
        p[a] = 0;
        best = taste[a] > taste[best] ? a : best;
    }
    p[best] = 1;
}

static void make_world(world *w, ope_world_kind kind)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, 2024, kind);
    for (size_t c = 0; c < CONTEXTS; c++) {
        double liked[ACTIONS], shown[ACTIONS];
        w->share[c] = (double)(c + 1) * 2 / (CONTEXTS * (CONTEXTS + 1));
        w->age[c] = 20 + 5 * (double)c;
        for (size_t a = 0; a < ACTIONS; a++) {
            liked[a] = lcf_rng_normal(&rng);
            shown[a] = lcf_rng_normal(&rng);
            w->logit[c][a] = -1 + 0.1 * (double)a + 0.8 * liked[a];
        }
        soften(w->logging[c], shown, kind == OPE_WORLD_HEAVY ? 2.5 : 1,
               kind == OPE_WORLD_REPLAY  ? 1
               : kind == OPE_WORLD_HEAVY ? 0.1
                                         : 0.3);
        if (kind == OPE_WORLD_REPLAY)
            take_best(w->target[c], liked);
        else
            soften(w->target[c], liked, 1, 0.1);
    }
}

double ope_world_truth(ope_world_kind kind)
{
    double value = 0;
    world w;

    make_world(&w, kind);
    for (size_t c = 0; c < CONTEXTS; c++)
        for (size_t a = 0; a < ACTIONS; a++)
            value += w.share[c] * w.target[c][a] *
                     (sigmoid(w.logit[c][a] + MOOD) + sigmoid(w.logit[c][a] - MOOD)) / 2;
    return value;
}

static size_t draw(const double *p, size_t n, lcf_rng *rng)
{
    double at = lcf_rng_f64(rng);
    size_t i = 0;

    while (i + 1 < n && at >= p[i])
        at -= p[i++];
    return i;
}

static lcf_status add_sets(uint32_t *sets, lcf_ope_log *log, const world *w, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t c = 0; c < CONTEXTS && !status; c++) {
        lcf_ope_candidate candidates[ACTIONS];
        for (size_t a = 0; a < ACTIONS; a++)
            candidates[a] =
                (lcf_ope_candidate){{ACTION_NAMES[a], 2}, w->target[c][a], w->logging[c][a], 0};
        status = lcf_ope_log_add_set(&sets[c], log, candidates, ACTIONS, 0, err);
    }
    return status;
}

static lcf_status add_user(lcf_ope_log *log, const world *w, const uint32_t *sets, size_t user,
                           lcf_rng *rng, lcf_err *err)
{
    size_t c = draw(w->share, CONTEXTS, rng), rows_n = 1 + (size_t)lcf_rng_below(rng, ROWS_MAX);
    double mood = lcf_rng_below(rng, 2) ? MOOD : -MOOD;
    lcf_ope_feature features[] = {{{"age", 3}, w->age[c], true}, {{"half=0", 6}, 1, false}};
    char name[24];
    lcf_status status = LCF_OK;

    if (c % 2)
        features[1].name.data = "half=1";
    snprintf(name, sizeof(name), "u%zu", user);
    for (size_t i = 0; i < rows_n && !status; i++) {
        size_t a = draw(w->logging[c], ACTIONS, rng);
        lcf_ope_row row = LCF_OPE_ROW_INIT;
        row.line = log->rows_n + 1;
        row.user = (lcf_str){name, strlen(name)};
        row.action = (lcf_str){ACTION_NAMES[a], 2};
        row.propensity = w->logging[c][a];
        row.reward = lcf_rng_f64(rng) < sigmoid(w->logit[c][a] + mood);
        row.set = sets[c];
        row.features = features;
        row.features_n = 2;
        status = lcf_ope_log_add(log, &row, err);
    }
    return status;
}

lcf_status ope_world_log(lcf_ope_log *out, ope_world_kind kind, size_t users_n, uint64_t seed,
                         lcf_err *err)
{
    const lcf_ope_log_options options = {false, false};
    uint32_t sets[CONTEXTS];
    lcf_rng rng;
    world w;
    lcf_status status = lcf_ope_log_init(out, "world", &options, err);

    if (status)
        return status;
    make_world(&w, kind);
    lcf_rng_seed(&rng, seed, 1 + (uint64_t)kind);
    status = add_sets(sets, out, &w, err);
    for (size_t u = 0; u < users_n && !status; u++)
        status = add_user(out, &w, sets, u, &rng, err);
    if (!status)
        status = lcf_ope_log_finish(out, err);
    if (status)
        lcf_ope_log_dispose(out);
    return status;
}
