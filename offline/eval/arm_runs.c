/* Runs of one system as one arm: their rows are the same, their scores one below the other. */
#include "offline/eval/arm_runs.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/predictions.h"

#include <stdlib.h>
#include <string.h>

static const char *const SPLITS[] = {"valid", "test"};
#define SPLITS_N 2

static char *split_path(const char *dir, size_t split)
{
    char name[16];

    strcat(strcpy(name, SPLITS[split]), ".lcf");
    return lcf_path_join(dir, name);
}

/* ---- one split ---- */

typedef struct stack { /* the runs' predictions of one split, and what they become */
    const lcf_arm_options *o;
    size_t split;
    lcf_predictions *runs; /* [runs_n] */
    size_t *keep;          /* [rows_n] of the runs' rows */
    size_t rows_n;
    uint64_t *seeds;
    float *scores; /* [seeds_n, rows_n] */
    size_t seeds_n;
} stack;

static lcf_status open_runs(stack *s, lcf_err *err)
{
    lcf_status status = LCF_OK;

    s->runs = lcf_alloc_zero(s->o->runs_n, sizeof(*s->runs));
    if (!s->runs)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu runs", s->o->runs_n);
    for (size_t i = 0; i < s->o->runs_n && !status; i++) {
        char *path = split_path(s->o->runs[i], s->split);
        status = path ? lcf_predictions_open(&s->runs[i], path, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->o->runs[i]);
        s->seeds_n += s->runs[i].seeds_n;
        free(path);
    }
    return status;
}

/* Whether run `idx` is about the rows of the first, and weighs as much in the arm's means. */
static lcf_status check_run(const stack *s, size_t idx, lcf_err *err)
{
    const lcf_predictions *a = &s->runs[0], *b = &s->runs[idx];

    if (a->seeds_n != b->seeds_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s/%s.lcf has scores of %zu seeds, that of %s of %zu; the runs of an arm "
                        "have as many each",
                        s->o->runs[idx], SPLITS[s->split], b->seeds_n, s->o->runs[0], a->seeds_n);
    if (a->rows_n != b->rows_n)
        return LCF_FAIL(err, LCF_EINVAL, "%s/%s.lcf has %zu rows, that of %s %zu", s->o->runs[idx],
                        SPLITS[s->split], b->rows_n, s->o->runs[0], a->rows_n);
    for (size_t i = 0; i < a->rows_n; i++)
        if (a->row[i] != b->row[i] || a->user[i] != b->user[i] || a->label[i] != b->label[i])
            return LCF_FAIL(err, LCF_EINVAL,
                            "%s/%s.lcf: row %zu is another one than that of %s; the runs of an arm "
                            "are about the same rows",
                            s->o->runs[idx], SPLITS[s->split], i, s->o->runs[0]);
    return LCF_OK;
}

/* The rows of `of` among those of the first run; both ascend. */
static lcf_status match_rows(stack *s, const lcf_predictions *of, lcf_err *err)
{
    const lcf_predictions *first = &s->runs[0];
    size_t at = 0;

    for (size_t i = 0; i < of->rows_n; i++) {
        while (at < first->rows_n && first->row[at] < of->row[i])
            at++;
        if (at == first->rows_n || first->row[at] != of->row[i] || first->user[at] != of->user[i] ||
            first->label[at] != of->label[i])
            return LCF_FAIL(
                err, LCF_EINVAL,
                "%s/%s.lcf lacks row %llu of the data, or has another, which %s is about",
                s->o->runs[0], SPLITS[s->split], (unsigned long long)of->row[i], s->o->rows_of);
        s->keep[s->rows_n++] = at++;
    }
    return LCF_OK;
}

static lcf_status choose_rows(stack *s, lcf_err *err)
{
    char *path = s->o->rows_of ? split_path(s->o->rows_of, s->split) : NULL;
    lcf_predictions of;
    lcf_status status = LCF_OK;

    s->keep = lcf_alloc(s->runs[0].rows_n + 1, sizeof(*s->keep));
    if (!s->keep || (s->o->rows_of && !path))
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu rows", s->runs[0].rows_n);
    else if (path)
        status = lcf_predictions_open(&of, path, err);
    if (!status && path) {
        status = match_rows(s, &of, err);
        lcf_predictions_close(&of);
    }
    for (size_t i = 0; i < s->runs[0].rows_n && !path && !status; i++)
        s->keep[s->rows_n++] = i;
    free(path);
    return status;
}

static lcf_status stack_scores(stack *s, lcf_err *err)
{
    const size_t rows_n = s->rows_n;
    lcf_status status = LCF_OK;
    size_t bytes, at = 0;

    s->seeds = lcf_alloc(s->seeds_n + 1, sizeof(*s->seeds));
    if (lcf_mul_size(&bytes, s->seeds_n * sizeof(*s->scores), rows_n + 1))
        s->scores = lcf_alloc(bytes, 1);
    if (!s->seeds || !s->scores)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu x %zu scores", s->seeds_n, rows_n);
    for (size_t i = 0; i < s->o->runs_n && !status; i++) {
        const lcf_predictions *run = &s->runs[i];
        status = check_run(s, i, err);
        for (size_t seed = 0; seed < run->seeds_n && !status; seed++)
            for (size_t row = 0; row < rows_n; row++)
                s->scores[(at + seed) * rows_n + row] =
                    run->scores[seed * run->rows_n + s->keep[row]];
        at += run->seeds_n;
    }
    for (size_t i = 0; i < s->seeds_n; i++)
        s->seeds[i] = i + 1;
    return status;
}

static lcf_status save(const stack *s, const char *dir, lcf_err *err)
{
    const lcf_predictions *first = &s->runs[0];
    char *path = split_path(dir, s->split);
    uint64_t *row = lcf_alloc(s->rows_n + 1, sizeof(*row));
    uint32_t *user = lcf_alloc(s->rows_n + 1, sizeof(*user));
    uint8_t *label = lcf_alloc(s->rows_n + 1, sizeof(*label));
    lcf_status status;

    if (!path || !row || !user || !label) {
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu rows in %s", s->rows_n, dir);
        goto done;
    }
    for (size_t i = 0; i < s->rows_n; i++) {
        row[i] = first->row[s->keep[i]];
        user[i] = first->user[s->keep[i]];
        label[i] = first->label[s->keep[i]];
    }
    status = lcf_predictions_save(
        path,
        &(lcf_predictions){NULL, s->rows_n, s->seeds_n, row, user, label, s->seeds, s->scores},
        err);
done:
    free(path);
    free(row);
    free(user);
    free(label);
    return status;
}

static lcf_status make_split(size_t *seeds_n, const lcf_arm_options *o, size_t split,
                             const char *dir, lcf_err *err)
{
    stack s = {.o = o, .split = split};
    lcf_status status = open_runs(&s, err);

    if (!status)
        status = choose_rows(&s, err);
    if (!status)
        status = stack_scores(&s, err);
    if (!status)
        status = save(&s, dir, err);
    *seeds_n = s.seeds_n;
    for (size_t i = 0; s.runs && i < o->runs_n; i++)
        lcf_predictions_close(&s.runs[i]);
    free(s.runs);
    free(s.keep);
    free(s.seeds);
    free(s.scores);
    return status;
}

/* ---- the step ---- */

/* An arm that took a run's place, or that of the folder around it, would end what it is made of. */
static lcf_status check_out(const lcf_arm_options *o, lcf_err *err)
{
    for (size_t i = 0; i < o->runs_n; i++) {
        char *around = lcf_path_join(o->runs[i], "..");
        const bool same =
            around && (lcf_path_same(o->out, o->runs[i]) || lcf_path_same(o->out, around));

        if (!around)
            return LCF_FAIL(err, LCF_ENOMEM, "path in %s", o->runs[i]);
        free(around);
        if (same)
            return LCF_FAIL(err, LCF_EUSAGE, "%s would replace the run %s; give it another name",
                            o->out, o->runs[i]);
    }
    return LCF_OK;
}

/* Which splits the runs have: those of the first. */
static lcf_status find_splits(bool has[SPLITS_N], const lcf_arm_options *o, lcf_err *err)
{
    for (size_t i = 0; i < o->runs_n; i++)
        for (size_t split = 0; split < SPLITS_N; split++) {
            char *path = split_path(o->runs[i], split);
            const bool there = path && lcf_path_exists(path);
            if (!path)
                return LCF_FAIL(err, LCF_ENOMEM, "path in %s", o->runs[i]);
            free(path);
            if (i && there != has[split])
                return LCF_FAIL(err, LCF_EINVAL, "%s has %s.lcf, and %s has not",
                                o->runs[there ? i : 0], SPLITS[split], o->runs[there ? 0 : i]);
            has[split] = there;
        }
    for (size_t split = 0; split < SPLITS_N && o->rows_of; split++) {
        char *path = split_path(o->rows_of, split);
        if (!path)
            return LCF_FAIL(err, LCF_ENOMEM, "path in %s", o->rows_of);
        has[split] = has[split] && lcf_path_exists(path);
        free(path);
    }
    return has[0] || has[1]
               ? LCF_OK
               : LCF_FAIL(err, LCF_ENOENT, "%s has neither valid.lcf nor test.lcf%s%s", o->runs[0],
                          o->rows_of ? " that is also in " : "", o->rows_of ? o->rows_of : "");
}

static lcf_status describe(lcf_manifest *m, const lcf_arm_options *o, const bool has[SPLITS_N],
                           lcf_err *err)
{
    lcf_status status = LCF_OK;

    /* rows_of is what comes behind the runs */
    for (size_t i = 0; i < (o->runs_n + !!o->rows_of) * SPLITS_N && !status; i++) {
        const size_t split = i % SPLITS_N;
        const char *dir = i / SPLITS_N < o->runs_n ? o->runs[i / SPLITS_N] : o->rows_of;
        lcf_buf role = LCF_BUF_INIT;
        char *path = split_path(dir, split);
        lcf_buf_printf(&role, "%s-%zu", SPLITS[split], i / SPLITS_N + 1);
        if (dir == o->rows_of)
            lcf_buf_append_text(&role, "-rows");
        if (!path || role.status)
            status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
        else if (has[split])
            status = lcf_manifest_input(m, lcf_buf_text(&role), path, err);
        free(path);
        lcf_buf_dispose(&role);
    }
    return status;
}

static lcf_status make(size_t *seeds_n, lcf_manifest *m, const lcf_arm_options *o,
                       const bool has[SPLITS_N], lcf_err *err)
{
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, o->out, err);

    for (size_t split = 0; split < SPLITS_N && !status; split++)
        if (has[split])
            status = make_split(seeds_n, o, split, lcf_stage_path(stage), err);
    if (!status)
        status = lcf_manifest_stat(m, "seeds", json_integer((json_int_t)*seeds_n), err);
    return lcf_manifest_finish(m, stage, status, err);
}

static lcf_status read_seeds(size_t *seeds_n, const char *dir, lcf_err *err)
{
    json_t *seeds = NULL;
    lcf_status status = lcf_manifest_read_stat(&seeds, dir, "seeds", err);

    *seeds_n = status ? 0 : (size_t)json_integer_value(seeds);
    json_decref(seeds);
    return status;
}

lcf_status lcf_arm_step(size_t *seeds_n, bool *current, const lcf_arm_options *options,
                        lcf_err *err)
{
    bool has[SPLITS_N] = {false, false};
    lcf_manifest *m = NULL;
    lcf_status status = check_out(options, err);

    *seeds_n = 0;
    if (!status)
        status = find_splits(has, options, err);
    if (!status)
        status = lcf_manifest_create(&m, "arm", err);
    if (!status)
        status = describe(m, options, has, err);
    *current = !status && !options->force && lcf_manifest_is_current(m, options->out);
    if (*current)
        status = read_seeds(seeds_n, options->out, err);
    else if (!status)
        status = make(seeds_n, m, options, has, err);
    lcf_manifest_free(m);
    return status;
}
