/* Requests of a log, and the table of estimators for lists: see slate.h. */
#include "offline/eval/ope/slate.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const lcf_ope_slate_estimator *const LCF_OPE_SLATE_ESTIMATORS[LCF_OPE_SLATE_ESTIMATORS_N + 1] = {
    &LCF_OPE_SLATE_IPS,        &LCF_OPE_SLATE_IIPS, &LCF_OPE_SLATE_RIPS,
    &LCF_OPE_SLATE_CASCADE_DR, &LCF_OPE_SLATE_PBM,  NULL,
};

/* A counting sort by request keeps the order of the file; within a request rows go to their
 * positions. */
static lcf_status place_rows(lcf_ope_groups *g, const lcf_ope_log *log, lcf_err *err)
{
    for (size_t i = 0; i < log->rows_n; i++)
        g->first[log->request[i] + 1]++;
    for (size_t r = 0; r < g->n; r++)
        g->first[r + 1] += g->first[r];
    for (size_t i = 0; i < log->rows_n; i++)
        g->row[i] = UINT32_MAX;
    for (size_t i = 0; i < log->rows_n; i++) {
        uint64_t at = g->first[log->request[i]] + log->position[i];
        if (at >= g->first[log->request[i] + 1] || g->row[at] != UINT32_MAX)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s:%" PRIu64 ": the positions of a request should be 1, 2, 3 ... "
                            "without gaps, once each",
                            log->path, log->line[i]);
        g->row[at] = (uint32_t)i;
    }
    return LCF_OK;
}

static lcf_status add_up(lcf_ope_groups *g, const lcf_ope_log *log, lcf_err *err)
{
    for (size_t r = 0; r < g->n; r++) {
        g->user[r] = log->user[g->row[g->first[r]]];
        for (uint64_t k = g->first[r]; k < g->first[r + 1]; k++) {
            g->reward[r] += log->reward[g->row[k]];
            if (log->user[g->row[k]] != g->user[r])
                return LCF_FAIL(err, LCF_EFORMAT, "%s:%" PRIu64 ": a request of two users",
                                log->path, log->line[g->row[k]]);
        }
    }
    return LCF_OK;
}

lcf_status lcf_ope_groups_init(lcf_ope_groups *out, const lcf_ope_log *log, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    out->n = log->requests_n;
    out->first = lcf_alloc_zero(out->n + 1, sizeof(*out->first));
    out->row = lcf_alloc(log->rows_n, sizeof(*out->row));
    out->user = lcf_alloc(out->n, sizeof(*out->user));
    out->reward = lcf_alloc_zero(out->n, sizeof(*out->reward));
    if (out->first && out->row && out->user && out->reward)
        status = place_rows(out, log, err);
    else
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu requests", out->n);
    if (!status)
        status = add_up(out, log, err);
    if (status)
        lcf_ope_groups_dispose(out);
    return status;
}

void lcf_ope_groups_dispose(lcf_ope_groups *groups)
{
    free(groups->first);
    free(groups->row);
    free(groups->user);
    free(groups->reward);
    memset(groups, 0, sizeof(*groups));
}
