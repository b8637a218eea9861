/*
 * Predictions bundle: row u64 [rows], user u32 [rows], label u8 [rows], seeds u64 [seeds], scores
 * f32 [seeds, rows].
 *
 * Invariant: rows ascend, labels are 0 or 1, scores are probabilities; checked when written and
 * when opened, so that `evaluate` can trust what it compares.
 */
#include "common/data/predictions.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/data/check.h"

#include <stdlib.h>
#include <string.h>

static lcf_status check_values(const lcf_predictions *p, lcf_err *err)
{
    size_t scores_n;
    lcf_status status = lcf_check_labels(p->label, p->rows_n, "label", err);

    if (status)
        return status;
    for (size_t i = 0; i + 1 < p->rows_n; i++)
        if (p->row[i + 1] <= p->row[i])
            return LCF_FAIL(err, LCF_EFORMAT, "row[%zu] is not greater than the row before it",
                            i + 1);
    if (!lcf_mul_size(&scores_n, p->seeds_n, p->rows_n))
        return LCF_FAIL(err, LCF_ELIMIT, "%zu seeds of %zu rows", p->seeds_n, p->rows_n);
    for (size_t i = 0; i < scores_n; i++)
        if (!(p->scores[i] >= 0.0f && p->scores[i] <= 1.0f)) /* NaN fails too */
            return LCF_FAIL(err, LCF_EFORMAT, "scores[%zu, %zu] is %g, not a probability",
                            i / p->rows_n, i % p->rows_n, (double)p->scores[i]);
    return LCF_OK;
}

static lcf_status read_arrays(lcf_predictions *p, lcf_err *err)
{
    const void *row, *user, *label, *seeds, *scores;
    uint64_t dims[2] = {0, 0};
    lcf_status status;

    status = lcf_check_array(&row, &p->rows_n, p->bundle, "row", LCF_U64, SIZE_MAX, err);
    if (!status)
        status = lcf_check_array(&user, NULL, p->bundle, "user", LCF_U32, p->rows_n, err);
    if (!status)
        status = lcf_check_array(&label, NULL, p->bundle, "label", LCF_U8, p->rows_n, err);
    if (!status)
        status = lcf_check_array(&seeds, &p->seeds_n, p->bundle, "seeds", LCF_U64, SIZE_MAX, err);
    if (!status)
        status = lcf_bundle_get(&scores, p->bundle, "scores", LCF_F32, dims, 2, err);
    if (status)
        return status;
    if (dims[0] != p->seeds_n || dims[1] != p->rows_n)
        return LCF_FAIL(err, LCF_EFORMAT, "scores is [%zu, %zu], [%zu, %zu] belongs there",
                        (size_t)dims[0], (size_t)dims[1], p->seeds_n, p->rows_n);
    p->row = row;
    p->user = user;
    p->label = label;
    p->seeds = seeds;
    p->scores = scores;
    return check_values(p, err);
}

lcf_status lcf_predictions_open(lcf_predictions *out, const char *path, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, "predictions", LCF_PREDICTIONS_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_predictions_close(out);
    }
    return status;
}

void lcf_predictions_close(lcf_predictions *p)
{
    lcf_bundle_close(p->bundle);
    memset(p, 0, sizeof(*p));
}

static lcf_status write_arrays(lcf_bundle_writer *w, const lcf_predictions *p, lcf_err *err)
{
    const uint64_t dims[2] = {p->seeds_n, p->rows_n};
    lcf_status status;

    status = lcf_bundle_add_1d(w, "row", LCF_U64, p->rows_n, p->row, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "user", LCF_U32, p->rows_n, p->user, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "label", LCF_U8, p->rows_n, p->label, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "seeds", LCF_U64, p->seeds_n, p->seeds, err);
    if (!status)
        status = lcf_bundle_add(w, "scores", LCF_F32, dims, 2, p->scores, err);
    return status;
}

lcf_status lcf_predictions_save(const char *path, const lcf_predictions *p, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = check_values(p, err);

    if (!status)
        status = lcf_bundle_create(&w, path, "predictions", LCF_PREDICTIONS_VERSION, err);
    if (status)
        return status;
    status = write_arrays(w, p, err);
    return lcf_bundle_finish(w, status, err);
}

lcf_status lcf_predictions_save_split(const char *dir, const lcf_dataset *d, lcf_split split,
                                      const size_t *rows, size_t n, const float *scores,
                                      lcf_err *err)
{
    const uint64_t seed = 0;
    uint64_t *row = lcf_alloc(n + 1, sizeof(*row));
    uint32_t *user = lcf_alloc(n + 1, sizeof(*user));
    uint8_t *label = lcf_alloc(n + 1, sizeof(*label));
    lcf_buf name = LCF_BUF_INIT;
    char *path;
    lcf_status status;

    lcf_buf_printf(&name, "%s.lcf", LCF_SPLIT_NAMES[split]);
    path = name.status ? NULL : lcf_path_join(dir, lcf_buf_text(&name));
    for (size_t i = 0; row && user && label && i < n; i++) {
        row[i] = rows ? rows[i] : d->split_begin[split] + i;
        user[i] = d->sample_user[row[i]];
        label[i] = d->sample_label[row[i]];
    }
    if (!row || !user || !label || !path)
        status = LCF_FAIL(err, LCF_ENOMEM, "predictions of %zu rows", n);
    else
        status = lcf_predictions_save(
            path, &(lcf_predictions){NULL, n, 1, row, user, label, &seed, scores}, err);
    lcf_buf_dispose(&name);
    free(path);
    free(row);
    free(user);
    free(label);
    return status;
}
