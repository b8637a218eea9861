/*
 * The log of llmcf simulate, and of its truth the probabilities with which other policies would
 * have shown what was shown on the first position (schemas/truth.md).
 */
#include "offline/eval/ope/read.h"

#include "common/base/bundle.h"
#include "common/base/mem.h"
#include "offline/data/rows.h"
#include "offline/data/simulate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST, USER, TIME, POSITION, ITEM, PROPENSITY, CLICK, COLUMNS_N };

static const char HEADER[] = "request_id\tuser_id\ttimestamp\tposition\titem_id\tpropensity\tclick";

typedef struct truth {
    lcf_bundle *bundle;
    const double *target; /* [requests_n] of the policy; NULL: not wanted */
    uint64_t requests_n;
} truth;

/* The number of the policy in the list of names, one a line. */
static bool find_policy(size_t *idx, const char *names, const char *policy)
{
    size_t n = strlen(policy);

    for (*idx = 0; *names; (*idx)++) {
        size_t line = strcspn(names, "\n");
        if (line == n && !memcmp(names, policy, n))
            return true;
        names += line + (names[line] == '\n');
    }
    return false;
}

static lcf_status open_truth(truth *t, const char *path, const char *policy, lcf_err *err)
{
    uint64_t dims[2] = {0, 0};
    const void *data = NULL;
    char *names = NULL;
    size_t idx;
    lcf_status status = lcf_bundle_open(&t->bundle, path, "truth", LCF_TRUTH_VERSION, err);

    if (!status)
        status = lcf_bundle_get_text(&names, t->bundle, "policies", err);
    if (!status)
        status = lcf_bundle_get(&data, t->bundle, "policy_propensity", LCF_F64, dims, 2, err);
    if (!status && (!find_policy(&idx, names, policy) || idx >= dims[0]))
        status = LCF_FAIL(err, LCF_EINVAL, "%s: there is no policy '%s'", path, policy);
    if (!status) {
        t->requests_n = dims[1];
        t->target = (const double *)data + idx * dims[1];
    }
    free(names);
    return status;
}

static lcf_status add_row(lcf_ope_log *log, const lcf_rows *rows, const truth *t, lcf_err *err)
{
    lcf_ope_row row = LCF_OPE_ROW_INIT;
    const lcf_str *f = rows->fields;
    uint64_t request;

    row.line = rows->line;
    row.request = f[REQUEST];
    row.user = f[USER];
    row.action = f[ITEM];
    row.propensity = lcf_ope_number(f[PROPENSITY]);
    row.reward = lcf_ope_number(f[CLICK]);
    if (!lcf_parse_u64(f[POSITION].data, f[POSITION].len, &row.position) ||
        !lcf_parse_u64(f[REQUEST].data, f[REQUEST].len, &request) || !request)
        return lcf_ope_log_bad_row(log, row.line, "request or position is not a whole number", err);
    if (!t->target)
        return lcf_ope_log_add(log, &row, err);
    if (row.position != 1)
        return LCF_OK; /* the truth knows the first position */
    if (request > t->requests_n)
        return lcf_ope_log_bad_row(log, row.line, "a request that truth.lcf does not have", err);
    row.target = fmin(t->target[request - 1], 1);
    return lcf_ope_log_add(log, &row, err);
}

static lcf_status read_rows(lcf_ope_log *log, lcf_rows *rows, const truth *t, lcf_err *err)
{
    lcf_row_result result;
    lcf_status status = LCF_OK;

    while (!status && (result = lcf_rows_next(rows)) != LCF_ROW_END) {
        if (result == LCF_ROW_OK && rows->fields_n == COLUMNS_N)
            status = add_row(log, rows, t, err);
        else
            status = lcf_ope_log_bad_row(
                log, rows->line, result == LCF_ROW_BAD ? rows->reason : "not seven fields", err);
    }
    return status;
}

lcf_status lcf_ope_read_simulated(lcf_ope_log *log, const char *data, size_t bytes_n,
                                  const char *truth_path, const char *policy, lcf_err *err)
{
    size_t header_n = sizeof(HEADER) - 1;
    truth t = {NULL, NULL, 0};
    lcf_rows rows;
    lcf_status status;

    if (bytes_n < header_n || memcmp(data, HEADER, header_n))
        return LCF_FAIL(err, LCF_EFORMAT, "%s:1: the header is not that of llmcf simulate",
                        log->path);
    status = policy ? open_truth(&t, truth_path, policy, err) : LCF_OK;
    if (!status)
        status = lcf_rows_init(&rows, data, bytes_n, '\t', false, err);
    if (!status) {
        lcf_rows_next(&rows);
        status = read_rows(log, &rows, &t, err);
        lcf_rows_dispose(&rows);
    }
    if (t.bundle)
        lcf_bundle_close(t.bundle);
    return status;
}
