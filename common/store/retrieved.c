/* Retrieved examples as a bundle. Invariant: after a successful open every id is in range or
 * LCF_EXAMPLE_NONE, and every score is finite. */
#include "common/store/retrieved.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KIND "retrieved"

static lcf_status read_rule(lcf_example_options *rule, const lcf_bundle *bundle, lcf_err *err)
{
    json_t *json = NULL;
    char *text = NULL;
    lcf_status status;

    if (lcf_bundle_version(bundle) < LCF_RETRIEVED_VERSION)
        return LCF_FAIL(err, LCF_EVERSION, "version %u does not say by which rule; retrieve again",
                        lcf_bundle_version(bundle));
    status = lcf_bundle_get_text(&text, bundle, "rule", err);
    if (!status)
        status = lcf_json_parse(&json, text, strlen(text), "rule", err);
    if (!status)
        status = lcf_example_options_of_json(rule, json, err);
    json_decref(json);
    free(text);
    return status;
}

static lcf_status check_values(const lcf_retrieved *r, size_t examples_n, lcf_err *err)
{
    for (size_t i = 0; i < r->rows_n * r->rule.k; i++) {
        if (r->ids[i] >= examples_n && r->ids[i] != LCF_EXAMPLE_NONE)
            return LCF_FAIL(err, LCF_EINVAL,
                            "sample %zu uses example %u, there are %zu; retrieve again from these "
                            "examples",
                            i / r->rule.k, r->ids[i], examples_n);
        if (!isfinite(r->scores[i]))
            return LCF_FAIL(err, LCF_EFORMAT, "scores[%zu] is not finite", i);
    }
    return LCF_OK;
}

/* Both or none. */
static lcf_status read_hashes(lcf_retrieved *r, lcf_err *err)
{
    uint64_t dims[2] = {r->rows_n, sizeof(lcf_hash128)};
    const void *queries, *examples;
    lcf_status status;

    if (!lcf_bundle_find(r->bundle, "query_hash"))
        return LCF_OK;
    status = lcf_bundle_get(&queries, r->bundle, "query_hash", LCF_U8, dims, 2, err);
    dims[0] = 0;
    if (!status)
        status = lcf_bundle_get(&examples, r->bundle, "example_hash", LCF_U8, dims, 2, err);
    if (status)
        return status;
    r->query_hash = queries;
    r->example_hash = examples;
    r->examples_n = (size_t)dims[0];
    return LCF_OK;
}

static lcf_status read_arrays(lcf_retrieved *r, lcf_err *err)
{
    lcf_status status = read_rule(&r->rule, r->bundle, err);
    uint64_t dims[2] = {0, r->rule.k};
    const void *ids, *scores;

    if (!status)
        status = lcf_bundle_get(&ids, r->bundle, "ids", LCF_U32, dims, 2, err);
    if (!status)
        status = lcf_bundle_get(&scores, r->bundle, "scores", LCF_F32, dims, 2, err);
    if (status)
        return status;
    r->rows_n = (size_t)dims[0];
    r->ids = ids;
    r->scores = scores;
    return read_hashes(r, err);
}

static lcf_status open_file(lcf_retrieved *out, const char *path, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_RETRIEVED_VERSION, err);
    return status ? status : read_arrays(out, err);
}

static lcf_status end_open(lcf_retrieved *out, const char *path, lcf_status status, lcf_err *err)
{
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_retrieved_close(out);
    }
    return status;
}

lcf_status lcf_retrieved_open(lcf_retrieved *out, const char *path, size_t rows_n,
                              size_t examples_n, lcf_err *err)
{
    lcf_status status = open_file(out, path, err);

    if (!status && out->rows_n != rows_n)
        status = LCF_FAIL(err, LCF_EINVAL, "examples of %zu samples for a dataset of %zu",
                          out->rows_n, rows_n);
    if (!status)
        status = check_values(out, examples_n, err);
    return end_open(out, path, status, err);
}

static lcf_status check_origin(const char *dir, const lcf_dataset *dataset,
                               const char *examples_dir, lcf_err *err)
{
    char id[LCF_SHA256_HEX_BYTES];
    lcf_status status = lcf_manifest_made_of(dir, "dataset", dataset->id, err);

    if (!status && examples_dir && lcf_manifest_exists(examples_dir)) {
        status = lcf_manifest_read(id, NULL, examples_dir, err);
        if (!status && (status = lcf_manifest_made_of(dir, "examples", id, err)) == LCF_EINVAL)
            status =
                LCF_FAIL(err, status, "%s was made of other examples than %s", dir, examples_dir);
    }
    if (status == LCF_EINVAL)
        lcf_err_prefix(err, "retrieve again");
    return status;
}

lcf_status lcf_retrieved_open_dir(lcf_retrieved *out, const char *dir, const lcf_dataset *dataset,
                                  const char *examples_dir, size_t examples_n, lcf_err *err)
{
    char *path = lcf_path_join(dir, "retrieved.lcf");
    lcf_status status = path ? check_origin(dir, dataset, examples_dir, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_retrieved_open(out, path, dataset->samples_n, examples_n, err);
    free(path);
    return status;
}

lcf_status lcf_retrieved_open_any(lcf_retrieved *out, const char *path, lcf_err *err)
{
    lcf_status status = open_file(out, path, err);

    if (!status)
        status = check_values(out, out->example_hash ? out->examples_n : LCF_EXAMPLE_NONE, err);
    return end_open(out, path, status, err);
}

void lcf_retrieved_close(lcf_retrieved *r)
{
    lcf_bundle_close(r->bundle);
    memset(r, 0, sizeof(*r));
}

static lcf_status write_arrays(lcf_bundle_writer *w, const lcf_retrieved *r, lcf_err *err)
{
    const uint64_t dims[2] = {r->rows_n, r->rule.k};
    json_t *json = lcf_example_options_to_json(&r->rule);
    char *rule = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    lcf_status status =
        rule ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "the rule of %zu rows", r->rows_n);

    if (!status)
        status = lcf_bundle_add(w, "ids", LCF_U32, dims, 2, r->ids, err);
    if (!status)
        status = lcf_bundle_add(w, "scores", LCF_F32, dims, 2, r->scores, err);
    if (!status)
        status = lcf_bundle_add_text(w, "rule", rule, err);
    if (!status && r->query_hash) {
        const uint64_t queries[2] = {r->rows_n, sizeof(*r->query_hash)};
        const uint64_t examples[2] = {r->examples_n, sizeof(*r->example_hash)};

        status = lcf_bundle_add(w, "query_hash", LCF_U8, queries, 2, r->query_hash, err);
        if (!status)
            status = lcf_bundle_add(w, "example_hash", LCF_U8, examples, 2, r->example_hash, err);
    }
    json_decref(json);
    free(rule);
    return status;
}

lcf_status lcf_retrieved_save(const char *path, const lcf_retrieved *r, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, KIND, LCF_RETRIEVED_VERSION, err);

    if (!status)
        status = write_arrays(w, r, err);
    if (status) {
        lcf_bundle_abandon(w);
        return status;
    }
    return lcf_bundle_commit(w, err);
}

float lcf_retrieved_vote(const lcf_examples *e, const uint32_t *ids, const float *scores, size_t k)
{
    double positive = 0, all = 0;

    for (size_t i = 0; i < k; i++) {
        if (ids[i] == LCF_EXAMPLE_NONE || scores[i] <= 0)
            continue;
        all += (double)scores[i];
        positive += e->label[ids[i]] ? (double)scores[i] : 0;
    }
    return all > 0 ? (float)(positive / all) : 0.5f;
}
