/* Target policies that need no column of their own: see target.h. */
#include "offline/eval/ope/target.h"

#include "common/base/mem.h"

#include <stdlib.h>

static void forget_sets(lcf_ope_log *log)
{
    log->sets_n = log->candidates_n = 0;
    log->has_sets = false;
    for (size_t i = 0; i < log->rows_n; i++)
        log->set[i] = LCF_OPE_NO_SET;
    log->unsupported_rows_n = 0;
    log->unsupported_mass = 0;
}

/* Every row gets the target probability that its set has for its action. */
static void targets_from_sets(lcf_ope_log *log)
{
    for (size_t i = 0; i < log->rows_n; i++) {
        log->target[i] = 0;
        for (uint64_t c = log->set_first[log->set[i]]; c < log->set_first[log->set[i] + 1]; c++)
            if (log->candidate[c] == log->action[i])
                log->target[i] = log->candidate_target[c];
    }
    log->has_sets = log->has_targets = true;
}

void lcf_ope_target_logging(lcf_ope_log *log)
{
    forget_sets(log);
    for (size_t i = 0; i < log->rows_n; i++)
        log->target[i] = log->propensity[i];
    log->has_targets = true;
}

static lcf_ope_candidate *all_actions(const lcf_ope_log *log)
{
    lcf_ope_candidate *all = lcf_alloc_zero(log->actions_n, sizeof(*all));

    for (uint32_t a = 0; all && a < log->actions_n; a++) {
        all[a].action = lcf_ope_action_name(log, a);
        all[a].target = 1.0 / (double)log->actions_n;
        all[a].propensity = NAN;
    }
    return all;
}

lcf_status lcf_ope_target_uniform(lcf_ope_log *log, lcf_err *err)
{
    lcf_ope_candidate *all;
    uint32_t set = 0;
    lcf_status status = LCF_OK;

    if (!log->has_sets) {
        forget_sets(log);
        all = all_actions(log);
        status = all ? lcf_ope_log_add_set(&set, log, all, log->actions_n, log->line[0], err)
                     : LCF_FAIL(err, LCF_ENOMEM, "%zu actions", log->actions_n);
        free(all);
        for (size_t i = 0; i < log->rows_n && !status; i++)
            log->set[i] = set;
    }
    if (status)
        return status;
    for (size_t s = 0; s < log->sets_n; s++)
        for (uint64_t c = log->set_first[s]; c < log->set_first[s + 1]; c++)
            log->candidate_target[c] = 1.0 / (double)(log->set_first[s + 1] - log->set_first[s]);
    targets_from_sets(log);
    return LCF_OK;
}

/* counts [positions_n, actions_n] of the other log's rows. */
static double *count_actions(const lcf_ope_log *other)
{
    size_t n;
    double *counts = NULL;

    if (lcf_mul_size(&n, other->positions_n, other->actions_n))
        counts = lcf_alloc_zero(n, sizeof(*counts));
    for (size_t i = 0; counts && i < other->rows_n; i++)
        counts[other->position[i] * other->actions_n + other->action[i]]++;
    return counts;
}

static lcf_status add_shares(uint32_t *set, lcf_ope_log *log, const lcf_ope_log *other,
                             const double *counts, size_t position, lcf_err *err)
{
    lcf_ope_candidate *shares = lcf_alloc_zero(other->actions_n, sizeof(*shares));
    double sum = 0;
    lcf_status status;

    if (!shares)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu actions", other->actions_n);
    for (size_t a = 0; a < other->actions_n; a++)
        sum += counts[position * other->actions_n + a];
    for (uint32_t a = 0; a < other->actions_n; a++) {
        shares[a].action = lcf_ope_action_name(other, a);
        shares[a].target = counts[position * other->actions_n + a] / sum;
        shares[a].propensity = NAN;
    }
    status = sum > 0 ? lcf_ope_log_add_set(set, log, shares, other->actions_n, log->line[0], err)
                     : LCF_FAIL(err, LCF_EINVAL,
                                "%s: no row at position %zu, which %s has: the target's actions "
                                "there are not known",
                                other->path, position + 1, log->path);
    free(shares);
    return status;
}

lcf_status lcf_ope_target_estimated(lcf_ope_log *log, const lcf_ope_log *other, lcf_err *err)
{
    double *counts;
    lcf_status status = LCF_OK;

    if (log->positions_n > other->positions_n)
        return LCF_FAIL(err, LCF_EINVAL, "%s has %zu positions, %s only %zu", log->path,
                        log->positions_n, other->path, other->positions_n);
    counts = count_actions(other);
    if (!counts)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu positions of %zu actions", other->positions_n,
                        other->actions_n);
    forget_sets(log);
    for (uint32_t p = 0; p < log->positions_n && !status; p++) {
        uint32_t set;
        status = add_shares(&set, log, other, counts, p, err);
        for (size_t i = 0; i < log->rows_n && !status; i++)
            if (log->position[i] == p)
                log->set[i] = set;
    }
    free(counts);
    if (status)
        return status;
    log->actions_n = log->actions.n - 1; /* the target may have actions of its own */
    targets_from_sets(log);
    return LCF_OK;
}
