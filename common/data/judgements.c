/* Judgements as a bundle. Invariant: rows ascend and exist, numbers are finite. */
#include "common/data/judgements.h"

#include "common/data/check.h"

#include <math.h>
#include <string.h>

#define KIND "judgements"

static lcf_status check_values(const lcf_judgements *j, size_t samples_n, lcf_err *err)
{
    for (size_t i = 0; i < j->n; i++) {
        if (j->row[i] >= samples_n)
            return LCF_FAIL(err, LCF_EINVAL, "row %llu of a dataset of %zu samples",
                            (unsigned long long)j->row[i], samples_n);
        if (i && j->row[i] <= j->row[i - 1])
            return LCF_FAIL(err, LCF_EFORMAT, "row[%zu] does not come after the one before it", i);
        if (!isfinite(j->logit[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "logit[%zu] is not finite", i);
    }
    return LCF_OK;
}

static lcf_status read_arrays(lcf_judgements *j, size_t samples_n, lcf_err *err)
{
    const void *row, *logit;
    lcf_status status = lcf_check_array(&row, &j->n, j->bundle, "row", LCF_U64, SIZE_MAX, err);

    if (!status)
        status = lcf_check_array(&logit, NULL, j->bundle, "logit", LCF_F32, j->n, err);
    if (status)
        return status;
    j->row = row;
    j->logit = logit;
    return check_values(j, samples_n, err);
}

lcf_status lcf_judgements_open(lcf_judgements *out, const char *path, size_t samples_n,
                               lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_JUDGEMENTS_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, samples_n, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_judgements_close(out);
    }
    return status;
}

void lcf_judgements_close(lcf_judgements *j)
{
    lcf_bundle_close(j->bundle);
    memset(j, 0, sizeof(*j));
}

lcf_status lcf_judgements_save(const char *path, const lcf_judgements *j, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = check_values(j, SIZE_MAX, err);

    if (!status)
        status = lcf_bundle_create(&w, path, KIND, LCF_JUDGEMENTS_VERSION, err);
    if (status)
        return status;
    status = lcf_bundle_add_1d(w, "row", LCF_U64, j->n, j->row, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "logit", LCF_F32, j->n, j->logit, err);
    if (status) {
        lcf_bundle_abandon(w);
        return status;
    }
    return lcf_bundle_commit(w, err);
}
