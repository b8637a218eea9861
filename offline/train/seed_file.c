/* Finished seeds on disk: see seed_file.h. */
#include "offline/train/seed_file.h"

#include "common/base/mem.h"
#include "offline/train/seed_runs.h"

#include <stdlib.h>
#include <string.h>

static lcf_status write_file(const seed_file *f, const char *path, const char *report,
                             const void *valid, const void *test, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, f->kind, f->version, err);

    if (!status)
        status = lcf_bundle_add_text(w, "report", report, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "valid", f->dtype, f->valid_n, valid, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "test", f->dtype, f->test_n, test, err);
    return lcf_bundle_finish(w, status, err);
}

lcf_status seed_file_save(const seed_file *f, const char *dir, uint64_t seed, json_t *report,
                          const void *valid, const void *test, lcf_err *err)
{
    char *text = report ? json_dumps(report, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    char *path = seed_runs_path(dir, seed, ".result.lcf");
    lcf_status status =
        text && path ? write_file(f, path, text, valid, test, err)
                     : LCF_FAIL(err, LCF_ENOMEM, "result of seed %llu", (unsigned long long)seed);

    json_decref(report);
    free(text);
    free(path);
    return status;
}

/* The values of one split, checked and copied. */
static lcf_status copy_values(void **out, const lcf_bundle *bundle, const char *name,
                              const seed_file *f, size_t n, lcf_err *err)
{
    uint64_t dims[1] = {n};
    const void *data;
    lcf_status status = lcf_bundle_get(&data, bundle, name, f->dtype, dims, 1, err);

    if (status)
        return status;
    *out = lcf_alloc(n, lcf_dtype_bytes(f->dtype));
    if (!*out)
        return LCF_FAIL(err, LCF_ENOMEM, "values of %zu rows", n);
    memcpy(*out, data, n * lcf_dtype_bytes(f->dtype));
    return LCF_OK;
}

lcf_status seed_file_load(json_t **report, void **valid, void **test, const seed_file *f,
                          const char *dir, uint64_t seed, lcf_err *err)
{
    char *path = seed_runs_path(dir, seed, ".result.lcf");
    lcf_bundle *bundle = NULL;
    lcf_status status = path ? lcf_bundle_open(&bundle, path, f->kind, f->version, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    *report = NULL;
    *valid = *test = NULL;
    if (!status)
        status = lcf_bundle_get_json(report, bundle, "report", err);
    if (!status)
        status = copy_values(valid, bundle, "valid", f, f->valid_n, err);
    if (!status)
        status = copy_values(test, bundle, "test", f, f->test_n, err);
    if (status) {
        json_decref(*report);
        free(*valid);
        free(*test);
        *report = NULL;
        *valid = *test = NULL;
    }
    lcf_bundle_close(bundle);
    free(path);
    return status;
}
