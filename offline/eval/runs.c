/* From folders of predictions to one folder. It appears in one step. */
#include "offline/eval/runs.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/predictions.h"
#include "offline/data/counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct step {
    const lcf_runs_options *o;
    lcf_manifest *manifest;
    json_t *stats;
    bool has[3]; /* by split */
} step;

static char *split_path(const char *dir, lcf_split split)
{
    lcf_buf name = LCF_BUF_INIT;
    char *path;

    lcf_buf_printf(&name, "%s.lcf", LCF_SPLIT_NAMES[split]);
    path = name.status ? NULL : lcf_path_join(dir, lcf_buf_text(&name));
    lcf_buf_dispose(&name);
    return path;
}

/* ---- what it is made from ---- */

static lcf_status describe_file(step *s, size_t run, lcf_split split, lcf_err *err)
{
    lcf_buf role = LCF_BUF_INIT;
    char *path = split_path(s->o->dirs[run], split);
    lcf_status status = LCF_OK;
    bool there;

    lcf_buf_printf(&role, "%zu/%s", run + 1, LCF_SPLIT_NAMES[split]);
    if (!path || role.status) {
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->o->dirs[run]);
        goto done;
    }
    there = lcf_path_exists(path);
    if (!run)
        s->has[split] = there;
    if (there != s->has[split])
        status = LCF_FAIL(err, LCF_ENOENT,
                          "%s has predictions of the %s split and %s has none: runs of one system "
                          "have the same splits",
                          s->o->dirs[there ? run : 0], LCF_SPLIT_NAMES[split],
                          s->o->dirs[there ? 0 : run]);
    else if (there)
        status = lcf_manifest_input(s->manifest, lcf_buf_text(&role), path, err);
done:
    lcf_buf_dispose(&role);
    free(path);
    return status;
}

static lcf_status describe(step *s, lcf_err *err)
{
    lcf_status status = lcf_manifest_create(&s->manifest, "runs", err);

    for (size_t i = 0; i < s->o->dirs_n && !status; i++) {
        status = describe_file(s, i, LCF_VALID, err);
        if (!status)
            status = describe_file(s, i, LCF_TEST, err);
    }
    if (!status && !s->has[LCF_VALID] && !s->has[LCF_TEST])
        status = LCF_FAIL(err, LCF_ENOENT,
                          "%s: no valid.lcf or test.lcf; `llmcf judge`, `ilm` and `train` write "
                          "them",
                          s->o->dirs[0]);
    return status;
}

/* ---- one file of all ---- */

static lcf_status check_same_rows(const lcf_predictions *a, const lcf_predictions *b, lcf_err *err)
{
    if (a->rows_n != b->rows_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu rows there, %zu here", a->rows_n, b->rows_n);
    for (size_t i = 0; i < a->rows_n; i++)
        if (a->row[i] != b->row[i] || a->user[i] != b->user[i] || a->label[i] != b->label[i])
            return LCF_FAIL(
                err, LCF_EFORMAT,
                "prediction %zu is about sample %" PRIu64 " of user %" PRIu32
                ", label %u, there and sample %" PRIu64 " of user %" PRIu32 ", label %u, here",
                i, a->row[i], a->user[i], a->label[i], b->row[i], b->user[i], b->label[i]);
    return LCF_OK;
}

static bool all_differ(const uint64_t *seeds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (seeds[i] == seeds[k])
                return false;
    return true;
}

/* Columns of all, below each other: seeds [n] and scores [n, rows] are made here. */
static lcf_status join(lcf_predictions *out, const lcf_predictions *runs, size_t runs_n,
                       lcf_err *err)
{
    size_t scores_n, seeds_n = 0, at = 0;
    uint64_t *seeds;
    float *scores;

    for (size_t i = 0; i < runs_n; i++)
        seeds_n += runs[i].seeds_n;
    if (!lcf_mul_size(&scores_n, seeds_n, runs[0].rows_n))
        return LCF_FAIL(err, LCF_ELIMIT, "%zu runs of %zu rows", seeds_n, runs[0].rows_n);
    out->seeds = seeds = lcf_alloc(seeds_n + 1, sizeof(*seeds));
    out->scores = scores = lcf_alloc(scores_n + 1, sizeof(*scores));
    if (!seeds || !scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu runs of %zu rows", seeds_n, runs[0].rows_n);
    out->rows_n = runs[0].rows_n;
    out->row = runs[0].row;
    out->user = runs[0].user;
    out->label = runs[0].label;
    out->seeds_n = seeds_n;
    for (size_t i = 0; i < runs_n; at += runs[i++].seeds_n) {
        memcpy(seeds + at, runs[i].seeds, runs[i].seeds_n * sizeof(*seeds));
        memcpy(scores + at * out->rows_n, runs[i].scores,
               runs[i].seeds_n * out->rows_n * sizeof(*scores));
    }
    if (!all_differ(seeds, seeds_n))
        for (size_t i = 0; i < seeds_n; i++)
            seeds[i] = i + 1;
    return LCF_OK;
}

static lcf_status count_rows(step *s, lcf_split split, const lcf_predictions *p, lcf_err *err)
{
    const char *key = split == LCF_VALID ? "valid_rows" : "test_rows";

    if (json_object_set_new(s->stats, "runs", json_integer((json_int_t)p->seeds_n)) ||
        json_object_set_new(s->stats, key, json_integer((json_int_t)p->rows_n)))
        return LCF_FAIL(err, LCF_ENOMEM, "counts of runs");
    return LCF_OK;
}

static lcf_status join_split(step *s, const char *dir, lcf_split split, lcf_err *err)
{
    const size_t n = s->o->dirs_n;
    lcf_predictions *runs = lcf_alloc_zero(n, sizeof(*runs)), all = {0};
    char *path = split_path(dir, split);
    lcf_status status = runs && path ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu runs", n);

    for (size_t i = 0; i < n && !status; i++) {
        char *from = split_path(s->o->dirs[i], split);
        status = from ? lcf_predictions_open(&runs[i], from, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->o->dirs[i]);
        free(from);
        if (!status && i && (status = check_same_rows(&runs[0], &runs[i], err)))
            lcf_err_prefix(err, "%s split: %s and %s are about different rows",
                           LCF_SPLIT_NAMES[split], s->o->dirs[0], s->o->dirs[i]);
    }
    if (!status)
        status = join(&all, runs, n, err);
    if (!status)
        status = lcf_predictions_save(path, &all, err);
    if (!status)
        status = count_rows(s, split, &all, err);
    free((void *)all.seeds);
    free((void *)all.scores);
    for (size_t i = 0; runs && i < n; i++)
        lcf_predictions_close(&runs[i]);
    free(runs);
    free(path);
    return status;
}

/* ---- the step ---- */

static lcf_status make(step *s, lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, s->o->out, err);

    if (status)
        return status;
    s->stats = json_object();
    for (int split = LCF_VALID; split <= LCF_TEST && !status; split++)
        if (s->has[split])
            status = join_split(s, lcf_stage_path(stage), (lcf_split)split, err);
    if (!status)
        status = lcf_counts_keep(s->manifest, s->stats, err);
    if (!status)
        status = lcf_manifest_write(s->manifest, lcf_stage_path(stage), err);
    if (!status)
        return lcf_stage_commit(stage, err);
    lcf_stage_abandon(stage);
    return status;
}

lcf_status lcf_runs_step(json_t **stats, bool *current, const lcf_runs_options *options,
                         lcf_err *err)
{
    step s = {.o = options};
    lcf_status status = describe(&s, err);

    *stats = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out);
    if (*current)
        status = lcf_counts_read(stats, options->out, err);
    else if (!status)
        status = make(&s, err);
    if (!status && !*current)
        *stats = json_incref(s.stats);
    json_decref(s.stats);
    lcf_manifest_free(s.manifest);
    return status;
}
