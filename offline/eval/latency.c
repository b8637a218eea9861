/* Quantiles of the timings in lines of ranking responses. */
#include "offline/eval/latency.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOTAL, RETRIEVE, SCORE, TIMES_N };
static const char *const TIMES[TIMES_N] = {"total_ms", "retrieve_ms", "score_ms"};

typedef struct timings {
    size_t n, capacity[TIMES_N];
    double *ms[TIMES_N]; /* [n] */
} timings;

static lcf_status add_answer(lcf_latency *out, timings *t, const json_t *answer, lcf_err *err)
{
    const json_t *times = json_object_get(answer, "timings");
    lcf_status status = LCF_OK;

    for (size_t k = 0; k < TIMES_N && !status; k++) {
        if (lcf_grow((void **)&t->ms[k], &t->capacity[k], t->n + 1, sizeof(double)))
            return LCF_FAIL(err, LCF_ENOMEM, "%zu timings", t->n + 1);
        status = lcf_json_f64(&t->ms[k][t->n], times, TIMES[k], err);
        if (!status && t->ms[k][t->n] < 0)
            status = LCF_FAIL(err, LCF_EFORMAT, "'%s' is negative", TIMES[k]);
    }
    if (status)
        return status;
    t->n++;
    out->degraded_n += json_object_get(answer, "degraded") != NULL;
    out->candidates_mean += (double)json_array_size(json_object_get(answer, "results"));
    return LCF_OK;
}

static lcf_status add_line(lcf_latency *out, timings *t, const char *line, size_t n,
                           const char *source, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status = lcf_json_parse(&json, line, n, source, err);

    if (!status && json_object_get(json, "error")) {
        out->errors_n++;
    } else if (!status && !json_object_get(json, "timings")) {
        status = LCF_FAIL(err, LCF_EFORMAT,
                          "%s: no 'timings': not an answer of `llmcf rank --lines`", source);
    } else if (!status) {
        status = add_answer(out, t, json, err);
        if (status)
            lcf_err_prefix(err, "%s", source);
    }
    json_decref(json);
    return status;
}

static int compare_f64(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Quantiles of type 7, as everywhere in the report. */
static void fill_quantiles(double *out, double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_f64);
    for (size_t i = 0; i < LCF_LATENCY_POINTS; i++) {
        double at = (double)i / (LCF_LATENCY_POINTS - 1) * (double)(n - 1);
        size_t k = (size_t)at;
        double next = k + 1 < n ? values[k + 1] : values[k];
        out[i] = values[k] + (at - (double)k) * (next - values[k]);
    }
}

static void summarise(lcf_latency *out, timings *t)
{
    out->known = true;
    out->answers_n = t->n;
    out->candidates_mean /= (double)t->n;
    fill_quantiles(out->total_ms, t->ms[TOTAL], t->n);
    fill_quantiles(out->retrieve_ms, t->ms[RETRIEVE], t->n);
    fill_quantiles(out->score_ms, t->ms[SCORE], t->n);
    for (size_t i = 0; i < t->n; i++)
        out->mean_ms += t->ms[TOTAL][i] / (double)t->n;
    out->max_ms = t->ms[TOTAL][t->n - 1];
}

static lcf_status read_lines(lcf_latency *out, timings *t, const char *at, size_t bytes_n,
                             const char *path, lcf_err *err)
{
    const char *end = at + bytes_n;
    lcf_status status = LCF_OK;

    for (size_t number = 1; at < end && !status; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline ? newline : end) - at);
        lcf_buf source = LCF_BUF_INIT;
        lcf_buf_printf(&source, "%s:%zu", path, number);
        if (source.status)
            status = LCF_FAIL(err, LCF_ENOMEM, "%s", path);
        else if (n)
            status = add_line(out, t, at, n, lcf_buf_text(&source), err);
        lcf_buf_dispose(&source);
        at += n + (newline != NULL);
    }
    if (!status && !t->n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: no line is an answer", path);
    return status;
}

lcf_status lcf_latency_parse(lcf_latency *out, const char *text, size_t n, const char *source,
                             lcf_err *err)
{
    timings t = {0};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = read_lines(out, &t, text, n, source, err);
    if (!status)
        summarise(out, &t);
    for (size_t k = 0; k < TIMES_N; k++)
        free(t.ms[k]);
    if (status)
        memset(out, 0, sizeof(*out));
    return status;
}

lcf_status lcf_latency_read(lcf_latency *out, const char *path, lcf_err *err)
{
    lcf_map map = {NULL, 0};
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_map_open(&map, path, err);
    if (!status)
        status = lcf_latency_parse(out, (const char *)map.data, map.bytes_n, path, err);
    lcf_map_close(&map);
    return status;
}

static json_t *quantiles(const double *ms)
{
    return json_pack("{s:f, s:f, s:f}", "p50", ms[50], "p90", ms[90], "p99", ms[99]);
}

json_t *lcf_latency_json(const lcf_latency *l)
{
    if (!l->known)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o, s:o}", "answers",
                     (json_int_t)l->answers_n, "errors", (json_int_t)l->errors_n, "degraded",
                     (json_int_t)l->degraded_n, "candidates_mean", l->candidates_mean, "mean_ms",
                     l->mean_ms, "max_ms", l->max_ms, "total_ms", quantiles(l->total_ms),
                     "retrieve_ms", quantiles(l->retrieve_ms), "score_ms", quantiles(l->score_ms));
}
