/* From a log of users to the figures of an experiment. */
#include "offline/eval/experiment/experiment.h"

#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "offline/data/byte_stream.h"
#include "offline/data/intern.h"
#include "offline/data/rows.h"
#include "offline/eval/paired_tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES ((size_t)1 << 20)
#define CONFIDENCE 0.95
#define POWER 0.8

enum { COLUMN_USER, COLUMN_ARM, COLUMN_OUTCOME, COLUMN_BEFORE, COLUMNS_N };
static const char *const NAMES[COLUMNS_N] = {"user", "arm", "outcome", "before"};

typedef struct reader {
    const char *path;
    const char *const *arms;
    lcf_buf text;
    lcf_rows rows;
    size_t fields_n, column[COLUMNS_N]; /* field, or SIZE_MAX */
    lcf_intern users;
    size_t arm_capacity, outcome_capacity, before_capacity;
} reader;

static lcf_status read_text(reader *r, lcf_err *err)
{
    lcf_byte_stream *stream = NULL;
    char *piece = lcf_alloc(STEP_BYTES, 1);
    size_t got = STEP_BYTES;
    lcf_status status = piece ? lcf_byte_stream_open(&stream, r->path, err)
                              : LCF_FAIL(err, LCF_ENOMEM, "reader of %s", r->path);

    while (!status && got == STEP_BYTES) {
        status = lcf_byte_stream_read(&got, stream, piece, STEP_BYTES, err);
        if (!status)
            lcf_buf_append(&r->text, piece, got);
    }
    if (!status && r->text.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "bytes of %s", r->path);
    lcf_byte_stream_close(stream);
    free(piece);
    return status;
}

static bool field_is(lcf_str field, const char *name)
{
    return field.len == strlen(name) && !memcmp(field.data, name, field.len);
}

static lcf_status read_header(reader *r, lcf_err *err)
{
    bool there = lcf_rows_next(&r->rows) == LCF_ROW_OK;

    r->fields_n = there ? r->rows.fields_n : 0;
    for (size_t c = 0; c < COLUMNS_N; c++) {
        r->column[c] = SIZE_MAX;
        for (size_t i = 0; i < r->fields_n; i++) {
            if (!field_is(r->rows.fields[i], NAMES[c]))
                continue;
            if (r->column[c] != SIZE_MAX)
                return LCF_FAIL(err, LCF_EFORMAT, "%s: two columns '%s'", r->path, NAMES[c]);
            r->column[c] = i;
        }
        if (c != COLUMN_BEFORE && r->column[c] == SIZE_MAX)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s: no column '%s' in the header; needed are user, arm and outcome",
                            r->path, NAMES[c]);
    }
    return LCF_OK;
}

static lcf_status parse_number(double *out, const reader *r, size_t column, lcf_err *err)
{
    lcf_str text = r->rows.fields[r->column[column]];

    if (lcf_parse_f64(text.data, text.len, out))
        return LCF_OK;
    return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the %s '%.*s' is not a number", r->path,
                    r->rows.line, NAMES[column], (int)(text.len < 40 ? text.len : 40), text.data);
}

static lcf_status grow(lcf_experiment_log *log, reader *r, lcf_err *err)
{
    size_t n = log->n + 1;
    lcf_status status = lcf_grow((void **)&log->arm, &r->arm_capacity, n, 1);

    if (!status)
        status = lcf_grow((void **)&log->outcome, &r->outcome_capacity, n, sizeof(*log->outcome));
    if (!status && r->column[COLUMN_BEFORE] != SIZE_MAX)
        status = lcf_grow((void **)&log->before, &r->before_capacity, n, sizeof(*log->before));
    return status ? LCF_FAIL(err, status, "%zu users", n) : LCF_OK;
}

static lcf_status add_user(reader *r, lcf_err *err)
{
    lcf_str user = r->rows.fields[r->column[COLUMN_USER]];
    size_t before = r->users.n;
    uint32_t idx;
    lcf_status status = lcf_intern_add(&idx, &r->users, user.data, user.len);

    if (status)
        return LCF_FAIL(err, status, "%zu users", before);
    if (r->users.n == before)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: user '%.*s' %s; one row per user is needed",
                        r->path, r->rows.line, (int)(user.len < 40 ? user.len : 40), user.data,
                        user.len ? "was there before" : "has no name");
    return LCF_OK;
}

static lcf_status add_row(lcf_experiment_log *log, reader *r, lcf_err *err)
{
    lcf_str arm;
    lcf_status status;

    if (r->rows.fields_n != r->fields_n)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %zu fields, the header has %zu", r->path,
                        r->rows.line, r->rows.fields_n, r->fields_n);
    arm = r->rows.fields[r->column[COLUMN_ARM]];
    status = grow(log, r, err);
    if (status)
        return status;
    log->arm[log->n] = field_is(arm, r->arms[1]);
    if (!log->arm[log->n] && !field_is(arm, r->arms[0]))
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: the arm '%.*s' is neither '%s' nor '%s'",
                        r->path, r->rows.line, (int)(arm.len < 40 ? arm.len : 40), arm.data,
                        r->arms[0], r->arms[1]);
    status = add_user(r, err);
    if (!status)
        status = parse_number(&log->outcome[log->n], r, COLUMN_OUTCOME, err);
    if (!status && log->before)
        status = parse_number(&log->before[log->n], r, COLUMN_BEFORE, err);
    log->n += !status;
    return status;
}

static bool is_tsv(const char *path)
{
    size_t n = strlen(path);

    if (n > 4 && !strcmp(path + n - 4, ".zst"))
        n -= 4;
    return n > 4 && !memcmp(path + n - 4, ".tsv", 4);
}

lcf_status lcf_experiment_log_read(lcf_experiment_log *out, const char *path,
                                   const char *const arms[2], lcf_err *err)
{
    reader r = {.path = path, .arms = arms};
    bool tsv = is_tsv(path);
    lcf_row_result row = LCF_ROW_OK;
    lcf_status status = read_text(&r, err);

    memset(out, 0, sizeof(*out));
    if (!status && lcf_intern_init(&r.users))
        status = LCF_FAIL(err, LCF_ENOMEM, "users");
    if (!status)
        status =
            lcf_rows_init(&r.rows, lcf_buf_text(&r.text), r.text.len, tsv ? '\t' : ',', !tsv, err);
    if (!status)
        status = read_header(&r, err);
    while (!status && (row = lcf_rows_next(&r.rows)) != LCF_ROW_END)
        status = row == LCF_ROW_OK
                     ? add_row(out, &r, err)
                     : LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", path, r.rows.line, r.rows.reason);
    lcf_rows_dispose(&r.rows);
    lcf_intern_dispose(&r.users);
    lcf_buf_dispose(&r.text);
    return status;
}

void lcf_experiment_log_dispose(lcf_experiment_log *log)
{
    free(log->arm);
    free(log->outcome);
    free(log->before);
    memset(log, 0, sizeof(*log));
}

static void monitor(lcf_experiment *e, const lcf_experiment_log *log)
{
    size_t step = (log->n + LCF_EXPERIMENT_LOOKS_MAX - 1) / LCF_EXPERIMENT_LOOKS_MAX;
    lcf_sequential *s = &e->sequential;

    lcf_sequential_init(s, e->share_b, e->planned_n, CONFIDENCE);
    for (size_t i = 0; i < log->n; i++) {
        lcf_sequential_add(s, log->outcome[i], log->arm[i]);
        if (!e->decided_n && (s->low > 0 || s->high < 0))
            e->decided_n = i + 1;
        if ((i + 1) % step == 0 || i + 1 == log->n)
            e->looks[e->looks_n++] = (lcf_experiment_look){i + 1, s->lift, s->low, s->high, s->p};
    }
}

static const lcf_two_sample *best(const lcf_experiment *e)
{
    return e->has_before ? &e->cuped.adjusted : &e->plain;
}

lcf_status lcf_experiment_analyse(lcf_experiment *out, const lcf_experiment_log *log,
                                  double share_b, double planned_n, lcf_err *err)
{
    double *scratch = lcf_alloc(log->n + 1, sizeof(*scratch));

    memset(out, 0, sizeof(*out));
    if (!scratch)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu users", log->n);
    out->n = log->n;
    out->share_b = share_b;
    out->planned_n = planned_n > 0 ? planned_n : (double)log->n;
    out->plain = lcf_two_sample_compute(log->outcome, log->arm, log->n, CONFIDENCE);
    if (!(out->plain.n[0] >= 2 && out->plain.n[1] >= 2)) {
        free(scratch);
        return LCF_FAIL(err, LCF_EFORMAT, "%g users in one arm and %g in the other: too few",
                        out->plain.n[0], out->plain.n[1]);
    }
    out->mismatch_p = lcf_ratio_mismatch_p(out->plain.n[0], out->plain.n[1], share_b);
    out->has_before = log->before;
    if (log->before)
        out->cuped =
            lcf_cuped_compute(scratch, log->outcome, log->before, log->arm, log->n, CONFIDENCE);
    out->detectable = lcf_detectable(best(out)->se, CONFIDENCE, POWER);
    out->users_needed =
        lcf_users_needed(best(out)->lift, best(out)->se, (double)log->n, CONFIDENCE, POWER);
    monitor(out, log);
    free(scratch);
    return LCF_OK;
}

void lcf_experiment_figures(lcf_figures *out, const lcf_experiment *e)
{
    const lcf_two_sample *t = e ? best(e) : NULL;

    out->n = 0;
    lcf_figures_add(out, "mean", "_a", t ? t->mean[0] : NAN);
    lcf_figures_add(out, "mean", "_b", t ? t->mean[1] : NAN);
    lcf_figures_add(out, "lift", "", t ? t->lift : NAN);
    lcf_figures_add(out, "lift", "_low", t ? t->low : NAN);
    lcf_figures_add(out, "lift", "_high", t ? t->high : NAN);
    lcf_figures_add(out, "lift", "_p", t ? t->p : NAN);
    lcf_figures_add(out, "relative", "_low", t ? t->relative_low : NAN);
    lcf_figures_add(out, "relative", "_high", t ? t->relative_high : NAN);
    lcf_figures_add(out, "sequential", "_low", e ? e->sequential.low : NAN);
    lcf_figures_add(out, "sequential", "_high", e ? e->sequential.high : NAN);
    lcf_figures_add(out, "sequential", "_p", e ? e->sequential.p : NAN);
    lcf_figures_add(out, "split", "_p", e ? e->mismatch_p : NAN);
    lcf_figures_add(out, "users", "", e ? (double)e->n : NAN);
}

const char *lcf_experiment_verdict(const lcf_experiment *e, const lcf_gate_condition *conditions,
                                   size_t conditions_n)
{
    const lcf_two_sample *t = best(e);
    bool met = true;

    if (e->mismatch_p < LCF_RATIO_MISMATCH_P)
        return "hold";
    for (size_t i = 0; i < conditions_n; i++)
        met = met && conditions[i].met;
    if (conditions_n ? met : t->low > 0)
        return "ship";
    return t->low > 0 || t->high < 0 ? "hold" : "no difference";
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *two_sample(const lcf_two_sample *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "mean_a",
                     number(t->mean[0]), "mean_b", number(t->mean[1]), "lift", number(t->lift),
                     "low", number(t->low), "high", number(t->high), "se", number(t->se), "df",
                     number(t->df), "p", number(t->p), "relative", "value", number(t->relative),
                     "low", number(t->relative_low), "high", number(t->relative_high));
}

static json_t *cuped(const lcf_experiment *e)
{
    json_t *out;

    if (!e->has_before)
        return json_null();
    out = two_sample(&e->cuped.adjusted);
    json_object_set_new(out, "theta", number(e->cuped.theta));
    json_object_set_new(out, "variance_explained", number(e->cuped.explained));
    return out;
}

static json_t *sequential(const lcf_experiment *e)
{
    const lcf_sequential *s = &e->sequential;
    json_t *looks = json_array();

    for (size_t i = 0; i < e->looks_n; i++) {
        const lcf_experiment_look *l = &e->looks[i];
        json_array_append_new(looks,
                              json_pack("{s:I, s:o, s:o, s:o, s:o}", "users", (json_int_t)l->n,
                                        "lift", number(l->lift), "low", number(l->low), "high",
                                        number(l->high), "p", number(l->p)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "lift", number(s->lift), "low",
                     number(s->low), "high", number(s->high), "p", number(s->p), "planned_users",
                     number(e->planned_n), "decided_at_users",
                     e->decided_n ? json_integer((json_int_t)e->decided_n) : json_null(), "looks",
                     looks);
}

static json_t *gate(const lcf_gate_condition *conditions, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:f, s:o, s:b}", "name", conditions[i].name, "op",
                            lcf_gate_op_text(conditions[i].op), "bound", conditions[i].bound,
                            "value", number(conditions[i].value), "met", conditions[i].met));
    return list;
}

lcf_status lcf_experiment_json(json_t **out, const lcf_experiment *e, const char *const arms[2],
                               const lcf_gate_condition *conditions, size_t conditions_n,
                               lcf_err *err)
{
    *out = json_pack("{s:s, s:i, s:s, s:{s:s, s:s}, s:{s:f, s:f, s:f, s:o, s:b}, s:o, s:o, s:o, "
                     "s:o, s:o, s:s, s:o}",
                     "format", "experiment", "version", LCF_EXPERIMENT_VERSION, "program",
                     "llmcf " LCF_VERSION, "arms", "a", arms[0], "b", arms[1], "split", "users_a",
                     e->plain.n[0], "users_b", e->plain.n[1], "planned_share_b", e->share_b, "p",
                     number(e->mismatch_p), "mismatch", e->mismatch_p < LCF_RATIO_MISMATCH_P,
                     "plain", two_sample(&e->plain), "cuped", cuped(e), "detectable",
                     number(e->detectable), "users_needed", number(e->users_needed), "sequential",
                     sequential(e), "verdict", lcf_experiment_verdict(e, conditions, conditions_n),
                     "conditions", gate(conditions, conditions_n));
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "experiment");
}
