/*
 * simulate: a shop that does not exist. A catalogue whose texts express the latents of its items,
 * users with drifting tastes, a logging policy with known propensities, clicks under position bias,
 * ratings; and the truth behind them.
 *
 * The model (dimensions: 6 of style, 6 of department):
 *   item i       v_i = (style_i, department vector); quality q_i; popularity pop_i by Zipf's law;
 *                sold from launch_i on. The strongest styles of v_i become title words, categories
 *                and phrases.
 *   user u       w_u(t) = m_u + drift_u(t), an Ornstein-Uhlenbeck process around m_u; generosity
 *                g_u
 *   affinity     a = <w_u(t), v_i> / sqrt(6)
 *   policy       pi(i) = (1 - e) softmax(a'_i + log pop_i) + e / n over items on sale that the user
 *                has not bought, a' from a noisy, drift-free view of the user; slates are drawn
 *                position by position without replacement, the propensity is that of the draw
 *   click        P = examine(position) sigmoid(c0 + c1 a + c2 q + c3 log pop), examine(k) = k^-0.6
 *   rating       1 + how many of four thresholds r a + q + g + logistic noise exceeds
 *
 * Same options, same bytes.
 *
 * source   schemas/truth.md; position bias: Craswell et al. 2008 (examination); slates: Plackett
 * 1975
 */
#ifndef LCF_OFFLINE_DATA_SIMULATE_H
#define LCF_OFFLINE_DATA_SIMULATE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LCF_SIM_SLATE_MAX 20
#define LCF_TRUTH_VERSION 1 /* of truth.lcf, kind "truth" */

typedef struct lcf_simulate_options {
    const char *out_dir;
    uint32_t users_n, items_n;
    uint32_t days;
    double requests_per_user; /* mean over users; activity is log-normal */
    uint32_t slate;           /* items per request */
    uint64_t seed;
    bool force;
} lcf_simulate_options;

#define LCF_SIMULATE_OPTIONS_INIT                  \
    {                                              \
        NULL, 1500, 800, 120, 18.0, 6, 2023, false \
    }

/*
 * Writes out_dir/{items.tsv, interactions.tsv, impressions.tsv, truth.lcf, manifest.json}, the
 * folder in one step. *stats receives the counts (json_decref), *current whether nothing had to be
 * done; both may be NULL.
 *
 * errors   EINVAL a size is out of range; ENOMEM, EIO, ENOSPC, ECANCELED. Nothing is written then.
 * cost     requests times items
 */
lcf_status lcf_simulate(json_t **stats, bool *current, const lcf_simulate_options *options,
                        lcf_err *err);

#endif
