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
        if (j->yes_logit && !isfinite(j->yes_logit[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "yes_logit[%zu] is not finite", i);
        if (j->yes_logprob && (!isfinite(j->yes_logprob[i]) || j->yes_logprob[i] > 0.0f))
            return LCF_FAIL(err, LCF_EFORMAT, "yes_logprob[%zu] is no logarithm of a probability",
                            i);
    }
    return LCF_OK;
}

/* What version 1 lacks. */
static lcf_status read_more(lcf_judgements *j, lcf_err *err)
{
    const void *logit, *logprob, *tokens;
    lcf_status status = lcf_check_array(&logit, NULL, j->bundle, "yes_logit", LCF_F32, j->n, err);

    if (!status)
        status = lcf_check_array(&logprob, NULL, j->bundle, "yes_logprob", LCF_F32, j->n, err);
    if (!status)
        status = lcf_check_array(&tokens, NULL, j->bundle, "tokens", LCF_U32, j->n, err);
    if (status)
        return status;
    j->yes_logit = logit;
    j->yes_logprob = logprob;
    j->tokens = tokens;
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
    if (lcf_bundle_version(j->bundle) > 1)
        status = read_more(j, err);
    return status ? status : check_values(j, samples_n, err);
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

static lcf_status save_more(lcf_bundle_writer *w, const lcf_judgements *j, lcf_err *err)
{
    lcf_status status = lcf_bundle_add_1d(w, "yes_logit", LCF_F32, j->n, j->yes_logit, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "yes_logprob", LCF_F32, j->n, j->yes_logprob, err);
    return status ? status : lcf_bundle_add_1d(w, "tokens", LCF_U32, j->n, j->tokens, err);
}

lcf_status lcf_judgements_save(const char *path, const lcf_judgements *j, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = check_values(j, SIZE_MAX, err);

    if (!status)
        status = lcf_bundle_create(&w, path, KIND, j->tokens ? LCF_JUDGEMENTS_VERSION : 1, err);
    if (status)
        return status;
    status = lcf_bundle_add_1d(w, "row", LCF_U64, j->n, j->row, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "logit", LCF_F32, j->n, j->logit, err);
    if (!status && j->tokens)
        status = save_more(w, j, err);
    return lcf_bundle_finish(w, status, err);
}
