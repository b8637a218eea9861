/*
 * Worlds in which the value of every policy is known: users with one of a few contexts and a hidden
 * mood, which ties their rows together; a logging policy that explores; rewards by a logistic
 * function of context, action and mood. What estimators say of many worlds, against the truth.
 */
#ifndef LCF_TESTS_UNIT_EVAL_OPE_WORLD_H
#define LCF_TESTS_UNIT_EVAL_OPE_WORLD_H

#include "common/base/pool.h"
#include "offline/eval/ope/log.h"
#include "offline/eval/ope/ope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ope_world_kind {
    OPE_WORLD_MODERATE, /* weights up to about 4 */
    OPE_WORLD_HEAVY,    /* weights up to about 40: poor overlap */
    OPE_WORLD_REPLAY,   /* uniform logging, deterministic target */
    OPE_WORLDS_N
} ope_world_kind;

extern const char *const OPE_WORLD_NAMES[OPE_WORLDS_N];

/* The value of the target policy, per row. */
double ope_world_truth(ope_world_kind kind);

/* A log of that many users (three rows each on average) from that world; dispose it. */
lcf_status ope_world_log(lcf_ope_log *out, ope_world_kind kind, size_t users_n, uint64_t seed,
                         lcf_err *err);

/* Lists of three of five items, whose order counts; what people do with them. */
typedef enum ope_lists_kind {
    OPE_LISTS_POSITION, /* click = examination of the position times attraction */
    OPE_LISTS_CASCADE,  /* people read from the top, and mostly stop at a click */
    OPE_LISTS_RERANK,   /* as the first; the target ranks anew what was shown */
    OPE_LISTS_N
} ope_lists_kind;

extern const char *const OPE_LISTS_NAMES[OPE_LISTS_N];
#define OPE_LISTS_POSITIONS 3
extern const double OPE_LISTS_EXAMINATION[OPE_LISTS_POSITIONS];

/* The value of the target policy, clicks per request. */
double ope_lists_truth(ope_lists_kind kind);
/* A log of that many users (two requests each on average); dispose it. */
lcf_status ope_lists_log(lcf_ope_log *out, ope_lists_kind kind, size_t users_n, uint64_t seed,
                         lcf_err *err);

/* What an estimator did in many worlds. */
typedef struct ope_score {
    const char *name; /* NULL: no such estimator for this kind of log */
    bool absent;
    double bias, sd, rmse;                    /* of the value, against the truth */
    double mean_se;                           /* what it believed its sd to be */
    double covered_normal, covered_bootstrap; /* share of the 95 % intervals that hold the truth */
} ope_score;

/* Worlds of seeds 1 ... worlds_n, in parallel. scores [LCF_OPE_OUTCOMES_N], by row or, with lists,
 * by request: the others are meaningless. */
lcf_status ope_world_judge(ope_score *scores, ope_world_kind kind, size_t users_n, size_t worlds_n,
                           const lcf_ope_options *options, lcf_pool *pool, lcf_err *err);
lcf_status ope_lists_judge(ope_score *scores, ope_lists_kind kind, size_t users_n, size_t worlds_n,
                           const lcf_ope_options *options, lcf_pool *pool, lcf_err *err);

/* NULL when there is none of that name. */
const ope_score *ope_score_find(const ope_score *scores, const char *name);

#endif
