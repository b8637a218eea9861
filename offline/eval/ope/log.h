/*
 * A logged-bandit file in memory: what was shown, with which probability, what came of it, and what
 * a target policy would have done. Estimators, the reward model and the reports all read this one
 * struct, whatever file it came from.
 *
 * Life cycle: init -> (add_set | add) ... -> finish -> (read by many) -> dispose. A row is one
 * action at one position of one request. What else could have been shown stands in candidate sets,
 * which rows may share; without them only estimators that look at the logged action can be used.
 *
 * Nothing is dropped silently: a row that cannot be used is an error that names file and line, or,
 * where an option allows it, is counted.
 *
 * source   schemas/bandit_log.md
 */
#ifndef LCF_OFFLINE_EVAL_OPE_LOG_H
#define LCF_OFFLINE_EVAL_OPE_LOG_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "offline/data/intern.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_OPE_NO_SET UINT32_MAX
#define LCF_OPE_BAD_SET (UINT32_MAX - 1) /* could not be used, and was counted as a bad row */
#define LCF_OPE_POSITIONS_MAX 1000
#define LCF_OPE_SUM_TOLERANCE 1e-6 /* of target probabilities that should sum to 1 */

typedef struct lcf_ope_log_options {
    bool allow_zero_propensity; /* drop and count rows with propensity 0; accept, and count, target
                                   mass on actions that could not be shown */
    bool allow_bad_rows;        /* drop and count rows that cannot be read */
} lcf_ope_log_options;

typedef struct lcf_ope_log {
    char *path; /* for messages */
    lcf_ope_log_options options;

    size_t rows_n, actions_n, users_n, requests_n, positions_n, features_n, sets_n;
    bool has_users, has_requests; /* otherwise every row is a user, or a request, of its own */
    bool has_sets, has_targets, has_target_positions; /* in every row */
    bool has_scores;
    uint32_t *user, *request, *action; /* [rows_n] */
    uint32_t *position;                /* [rows_n] from 0 */
    uint32_t *target_position; /* [rows_n] where the target would put it; UINT32_MAX: nowhere */
    uint32_t *set;             /* [rows_n] candidate set, or LCF_OPE_NO_SET */
    double *reward, *propensity;
    double *target; /* [rows_n] probability of the logged action under the target policy */
    double *score;  /* [rows_n] of the logged action, 0 without scores */
    uint64_t *line; /* [rows_n] in `path` */

    uint64_t *set_first;          /* [sets_n + 1] */
    uint32_t *candidate;          /* action ids, by set */
    double *candidate_target;     /* probabilities under the target policy, sum 1 per set */
    double *candidate_propensity; /* under the logging policy; NaN: not in the log */
    double *candidate_score;

    uint64_t *feature_first; /* [rows_n + 1] */
    uint32_t *feature;       /* < features_n */
    double *feature_value;
    uint8_t *feature_numeric; /* [features_n] 1: a number, 0: an indicator of a category */

    lcf_intern actions, users, requests, features; /* names; index 0 is the empty string */

    size_t bad_rows_n;         /* dropped */
    char bad_row[160];         /* the first of them */
    size_t zero_propensity_n;  /* dropped */
    size_t lost_clicks_n;      /* on requests or items that the log does not show */
    size_t unsupported_rows_n; /* whose target has mass on actions of propensity 0 */
    double unsupported_mass;   /* the sum of that mass over all rows */

    uint64_t *last_set;  /* [last_set_capacity] for a check of add_set */
    uint64_t sets_given; /* calls of add_set, those of sets that were refused or forgotten too */
    size_t target_positions_n, last_set_capacity;
    size_t rows_capacity, sets_capacity, candidates_n, candidates_capacity, features_used_n,
        features_capacity, numeric_capacity;
} lcf_ope_log;

typedef struct lcf_ope_candidate {
    lcf_str action;
    double target;     /* probability under the target policy */
    double propensity; /* under the logging policy; NaN: not in the log */
    double score;
} lcf_ope_candidate;

typedef struct lcf_ope_feature {
    lcf_str name; /* of a category with its value, e.g. "segment=x" */
    double value;
    bool numeric;
} lcf_ope_feature;

/* A row as a reader found it. */
typedef struct lcf_ope_row {
    uint64_t line;
    lcf_str user, request, action; /* user and request may be empty in all rows or in none */
    uint64_t position;             /* from 1 */
    uint64_t target_position;      /* from 1; 0: nowhere; LCF_OPE_NO_POSITION: not in the log */
    double reward, propensity;
    double target; /* NaN: that of the set; NaN without a set: not in the log */
    double score;
    uint32_t set; /* a row with LCF_OPE_BAD_SET was counted before and is left out */
    const lcf_ope_feature *features;
    size_t features_n;
} lcf_ope_row;

#define LCF_OPE_NO_POSITION UINT64_MAX
#define LCF_OPE_ROW_INIT                                                                        \
    {                                                                                           \
        0, {"", 0}, {"", 0}, {"", 0}, 1, LCF_OPE_NO_POSITION, NAN, NAN, NAN, 0, LCF_OPE_NO_SET, \
            NULL, 0                                                                             \
    }

/* errors: ENOMEM */
lcf_status lcf_ope_log_init(lcf_ope_log *log, const char *path, const lcf_ope_log_options *options,
                            lcf_err *err);
void lcf_ope_log_dispose(lcf_ope_log *log);

/*
 * Adds a candidate set; *set is its index. A set without target probabilities (all NaN) only says
 * what could have been shown; a policy named later (lcf_ope_target_uniform) fills it.
 *
 * errors   EFORMAT a probability outside [0, 1], an action twice, a sum that is not 1 (file:line is
 *          named; with allow_bad_rows it is counted and *set is LCF_OPE_BAD_SET); ENOMEM
 */
lcf_status lcf_ope_log_add_set(uint32_t *set, lcf_ope_log *log, const lcf_ope_candidate *candidates,
                               size_t n, uint64_t line, lcf_err *err);

/*
 * Adds a row, or counts it where an option allows to drop it.
 *
 * errors   EFORMAT anything that is missing or out of range, with file and line; ENOMEM
 */
lcf_status lcf_ope_log_add(lcf_ope_log *log, const lcf_ope_row *row, lcf_err *err);

/* A row that a reader could not read: dropped and counted with allow_bad_rows, else EFORMAT.
 * `reason` fits after "file:line: ". */
lcf_status lcf_ope_log_bad_row(lcf_ope_log *log, uint64_t line, const char *reason, lcf_err *err);
/* The next row of a table that can be read and has columns_n fields; *more: there is one. Others
 * are bad rows. */
lcf_status lcf_ope_log_next_row(bool *more, lcf_ope_log *log, lcf_rows *rows, size_t columns_n,
                                lcf_err *err);

/* All rows are in. errors: EFORMAT there are none; ids, candidates or target probabilities in some
 * rows only */
lcf_status lcf_ope_log_finish(lcf_ope_log *log, lcf_err *err);

/*
 * Counts the target's mass on candidates that the logging policy cannot show, as far as the log
 * tells: the bias nobody can correct.
 *
 * errors   EFORMAT there is some (file:line and action are named), unless allow_zero_propensity
 */
lcf_status lcf_ope_log_check_support(lcf_ope_log *log, lcf_err *err);

/* The name of an action. */
lcf_str lcf_ope_action_name(const lcf_ope_log *log, uint32_t action);

#endif
