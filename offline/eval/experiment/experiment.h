/*
 * The step behind `llmcf experiment`: a log of a live experiment, one row per user in the order of
 * arrival, into what it says: is the split as planned, what is the effect, is it known yet.
 *
 * source   schemas/experiment.md
 */
#ifndef LCF_OFFLINE_EVAL_EXPERIMENT_EXPERIMENT_H
#define LCF_OFFLINE_EVAL_EXPERIMENT_EXPERIMENT_H

#include "common/base/status.h"
#include "offline/eval/experiment/sequential.h"
#include "offline/eval/experiment/two_sample.h"
#include "offline/eval/gate.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_EXPERIMENT_VERSION 1
#define LCF_EXPERIMENT_LOOKS_MAX 100
/* A split less likely than this is a broken experiment. */
#define LCF_RATIO_MISMATCH_P 0.001

typedef struct lcf_experiment_log {
    size_t n;
    uint8_t *arm;    /* [n] 0 or 1 */
    double *outcome; /* [n] */
    double *before;  /* [n], NULL without the column */
} lcf_experiment_log;

/*
 * Reads CSV or TSV (plain or .zst) with a header.
 *
 * shapes   arms: the two names in the column `arm`
 * errors   EFORMAT a row that cannot be read, another arm, a user who was there before (file and
 *          line are named), a column that is missing; EIO, ENOMEM
 * memory   dispose releases, also after a failure
 */
lcf_status lcf_experiment_log_read(lcf_experiment_log *out, const char *path,
                                   const char *const arms[2], lcf_err *err);
void lcf_experiment_log_dispose(lcf_experiment_log *log);

typedef struct lcf_experiment_look {
    size_t n;
    double lift, low, high, p;
} lcf_experiment_look;

typedef struct lcf_experiment {
    size_t n;
    double share_b;
    double mismatch_p;
    lcf_two_sample plain;
    bool has_before;
    lcf_cuped cuped;
    double detectable, users_needed; /* with power .8, by CUPED where there is a before */
    double planned_n;
    lcf_sequential sequential;
    size_t decided_n; /* users at the first look whose interval leaves 0 out; 0: none */
    lcf_experiment_look looks[LCF_EXPERIMENT_LOOKS_MAX]; /* at evenly spaced numbers of users */
    size_t looks_n;
} lcf_experiment;

/* planned_n 0: as many as there are. errors: ENOMEM; EFORMAT under two users in an arm. */
lcf_status lcf_experiment_analyse(lcf_experiment *out, const lcf_experiment_log *log,
                                  double share_b, double planned_n, lcf_err *err);

/* What a gate may name; with e NULL the names alone. */
void lcf_experiment_figures(lcf_figures *out, const lcf_experiment *e);
/* One object (schemas/experiment.schema.json). The caller owns *out. errors: ENOMEM */
lcf_status lcf_experiment_json(json_t **out, const lcf_experiment *e, const char *const arms[2],
                               const lcf_gate_condition *conditions, size_t conditions_n,
                               lcf_err *err);
/*
 * "hold" when the split is not as planned, and otherwise as of a report: "ship" when every
 * condition holds (without conditions: the interval of the lift is above 0), "no difference" when
 * that interval contains 0, else "hold".
 */
const char *lcf_experiment_verdict(const lcf_experiment *e, const lcf_gate_condition *conditions,
                                   size_t conditions_n);

#endif
