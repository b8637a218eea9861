/*
 * Estimators of the value of whole lists: the sum of the rewards of a request. The same form as
 * those of single rows (estimator.h), with requests as units; one file each, one table.
 *
 * Propensities and target probabilities of a row are those of the item at its position given the
 * items above it.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_SLATE_H
#define LCF_OFFLINE_EVAL_OPE_SLATE_H

#include "common/base/status.h"
#include "offline/eval/ope/estimator.h"
#include "offline/eval/ope/log.h"

#include <stddef.h>
#include <stdint.h>

/* The rows of a log by request, in the order of positions. */
typedef struct lcf_ope_groups {
    size_t n;        /* requests */
    uint64_t *first; /* [n + 1] into row */
    uint32_t *row;   /* [rows_n] */
    uint32_t *user;  /* [n] */
    double *reward;  /* [n] sum over the rows */
} lcf_ope_groups;

/* A log of lists, as estimators see it. */
typedef struct lcf_ope_slates {
    const lcf_ope_groups *groups;
    const lcf_ope_log *log;
    lcf_ope_sample rows;       /* by row of the log */
    const double *q_later;     /* [rows], or NULL: lcf_reward_model */
    const double *examination; /* [positions_n] that a position is looked at, or NULL */
} lcf_ope_slates;

#define LCF_OPE_NEEDS_TARGETS 4          /* target probabilities of the rows */
#define LCF_OPE_NEEDS_TARGET_POSITIONS 8 /* where the target puts the items that were shown */

typedef struct lcf_ope_slate_estimator {
    const char *name, *title;
    int needs; /* LCF_OPE_NEEDS_... */
    void (*terms)(const lcf_ope_terms *out, const lcf_ope_slates *slates);
} lcf_ope_slate_estimator;

extern const lcf_ope_slate_estimator LCF_OPE_SLATE_IPS, LCF_OPE_SLATE_IIPS, LCF_OPE_SLATE_RIPS,
    LCF_OPE_SLATE_CASCADE_DR, LCF_OPE_SLATE_PBM;

/* All of them, in the order of reports; NULL ends the list. */
#define LCF_OPE_SLATE_ESTIMATORS_N 5
extern const lcf_ope_slate_estimator
    *const LCF_OPE_SLATE_ESTIMATORS[LCF_OPE_SLATE_ESTIMATORS_N + 1];

/*
 * errors   EFORMAT a request of two users, or whose positions are not 1, 2, 3 ... (file:line is
 *          named); ENOMEM
 * memory   dispose releases, also after a failure
 */
lcf_status lcf_ope_groups_init(lcf_ope_groups *out, const lcf_ope_log *log, lcf_err *err);
void lcf_ope_groups_dispose(lcf_ope_groups *groups);

#endif
