/*
 * Reading the lexical encoder, and a text through it.
 *
 * Invariant: row_of[rows[r]] = r + 1, and 0 for every bucket that is not listed.
 */
#include "common/text/text_encoder.h"

#include "common/base/mem.h"
#include "common/math/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

lcf_status lcf_text_encoder_init(lcf_text_encoder *e, size_t dim, uint32_t bits, lcf_err *err)
{
    memset(e, 0, sizeof(*e));
    if (bits < 4 || bits > 24 || dim < 1 || dim > LCF_TEXT_DIM_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "encoder of %zu dimensions and 2^%u buckets", dim, bits);
    e->row_of = lcf_alloc_zero((size_t)1 << bits, sizeof(*e->row_of));
    if (!e->row_of)
        return LCF_FAIL(err, LCF_ENOMEM, "encoder of 2^%u buckets", bits);
    e->dim = dim;
    e->bits = bits;
    return LCF_OK;
}

void lcf_text_encoder_close(lcf_text_encoder *e)
{
    lcf_bundle_close(e->bundle);
    free(e->row_of);
    memset(e, 0, sizeof(*e));
}

bool lcf_text_encoder_is_model(const char *path)
{
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    bool is = f && fread(magic, 1, sizeof(magic), f) == sizeof(magic) && !memcmp(magic, "GGUF", 4);

    if (f)
        fclose(f);
    return is;
}

/* ---- the file ---- */

static lcf_status check_type(const lcf_bundle *b, lcf_err *err)
{
    char *type;
    lcf_status status = lcf_bundle_get_text(&type, b, "type", err);

    if (status)
        return status;
    if (strcmp(type, "lexical"))
        status = LCF_FAIL(err, LCF_EUNSUPPORTED, "an encoder of type \"%s\"", type);
    free(type);
    return status;
}

static lcf_status link_rows(lcf_text_encoder *e, lcf_err *err)
{
    for (size_t r = 0; r < e->rows_n; r++) {
        if (e->rows[r] >= (uint64_t)1 << e->bits || (r && e->rows[r] <= e->rows[r - 1]))
            return LCF_FAIL(err, LCF_EFORMAT, "bucket[%zu] is %u: out of range or order", r,
                            e->rows[r]);
        e->row_of[e->rows[r]] = (uint32_t)r + 1;
    }
    return LCF_OK;
}

static lcf_status read_arrays(lcf_text_encoder *e, const lcf_bundle *b, lcf_err *err)
{
    const void *bits, *rows, *idf, *components, *sigma;
    uint64_t one[1] = {1}, dims[2] = {0, 0}, rows_n[1], dim[1];
    lcf_status status = check_type(b, err);

    if (!status)
        status = lcf_bundle_get(&bits, b, "bits", LCF_U32, one, 1, err);
    if (!status)
        status = lcf_bundle_get(&components, b, "components", LCF_F32, dims, 2, err);
    rows_n[0] = dims[0];
    dim[0] = dims[1];
    if (!status)
        status = lcf_bundle_get(&rows, b, "bucket", LCF_U32, rows_n, 1, err);
    if (!status)
        status = lcf_bundle_get(&idf, b, "idf", LCF_F32, rows_n, 1, err);
    if (!status)
        status = lcf_bundle_get(&sigma, b, "sigma", LCF_F32, dim, 1, err);
    if (!status && (*(const uint32_t *)bits < 4 || *(const uint32_t *)bits > 24 || dim[0] < 1 ||
                    dim[0] > LCF_TEXT_DIM_MAX || rows_n[0] < 1))
        status = LCF_FAIL(err, LCF_EFORMAT, "%u bits, %zu rows, %zu dimensions",
                          *(const uint32_t *)bits, (size_t)rows_n[0], (size_t)dim[0]);
    if (!status)
        status = lcf_text_encoder_init(e, (size_t)dim[0], *(const uint32_t *)bits, err);
    if (status)
        return status;
    e->rows_n = (size_t)rows_n[0];
    e->rows = rows;
    e->idf = idf;
    e->components = components;
    e->sigma = sigma;
    if (!lcf_all_finite(idf, e->rows_n) || !lcf_all_finite(components, e->rows_n * e->dim))
        return LCF_FAIL(err, LCF_EFORMAT, "idf or components hold what is no number");
    return link_rows(e, err);
}

lcf_status lcf_text_encoder_open(lcf_text_encoder *out, const char *path, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&bundle, path, LCF_TEXT_ENCODER_KIND, LCF_TEXT_ENCODER_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, bundle, err);
    out->bundle = bundle;
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_text_encoder_close(out);
    }
    return status;
}

/* ---- encoding ---- */

lcf_status lcf_text_encoder_encode(float *out, const lcf_text_encoder *e, lcf_features *scratch,
                                   lcf_str text, lcf_err *err)
{
    lcf_status status = lcf_features_of(scratch, text, err);

    if (status)
        return status;
    memset(out, 0, e->dim * sizeof(*out));
    for (size_t i = 0; i < scratch->n; i++) {
        const uint32_t row = e->row_of[scratch->bucket[i]];

        if (row)
            lcf_axpy(out, scratch->weight[i] * e->idf[row - 1], e->components + (row - 1) * e->dim,
                     e->dim);
    }
    lcf_normalize(out, e->dim);
    return LCF_OK;
}
