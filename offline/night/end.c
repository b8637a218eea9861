/* The end of a night: its exit code and its metrics, in the text format of Prometheus. */
#include "offline/night/night.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/str.h"
#include "offline/night/ledger.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Sums of a step over its lines: a night that was killed and gone on with has several. */
typedef struct step_sum {
    double seconds;
    json_int_t rows, tokens, exit_code; /* the exit code: of the last line */
    bool changed;
} step_sum;

static step_sum sum_of(const json_t *lines, const char *name)
{
    step_sum sum = {0};
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
    {
        const char *step = json_string_value(json_object_get(line, "step"));

        if (!step || strcmp(step, name))
            continue;
        sum.seconds += json_number_value(json_object_get(line, "seconds"));
        sum.rows += json_integer_value(json_object_get(line, "rows"));
        sum.tokens += json_integer_value(json_object_get(line, "tokens"));
        sum.exit_code = json_integer_value(json_object_get(line, "exit"));
        sum.changed = sum.changed || json_is_true(json_object_get(line, "changed"));
    }
    return sum;
}

/* Whether line i is the first of its step. */
static bool is_first(const json_t *lines, size_t i, const char *name)
{
    for (size_t j = 0; j < i; j++) {
        const json_t *line = json_array_get(lines, j);
        const char *step = json_string_value(json_object_get(line, "step"));

        if (step && !strcmp(step, name))
            return false;
    }
    return true;
}

/* A label's value, escaped. */
static void append_label(lcf_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            lcf_buf_append_char(out, '\\');
        if (*text == '\n')
            lcf_buf_append_text(out, "\\n");
        else
            lcf_buf_append_char(out, *text);
    }
}

static void append_sample(lcf_buf *out, const char *metric, const char *label, const char *value,
                          double number)
{
    lcf_buf_printf(out, "%s{%s=\"", metric, label);
    append_label(out, value);
    lcf_buf_printf(out, "\"} %.10g\n", number);
}

static void append_type(lcf_buf *out, const char *metric, const char *help)
{
    lcf_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", metric, help, metric);
}

static double seconds_of(const step_sum *s)
{
    return s->seconds;
}

static double rows_of(const step_sum *s)
{
    return (double)s->rows;
}

static double tokens_of(const step_sum *s)
{
    return (double)s->tokens;
}

static double changed_of(const step_sum *s)
{
    return s->changed;
}

static double exit_of(const step_sum *s)
{
    return (double)s->exit_code;
}

static const struct {
    const char *metric, *help;
    double (*value)(const step_sum *s);
} METRICS[] = {
    {"llmcf_night_step_seconds", "Time a step of the last night took.", seconds_of},
    {"llmcf_night_step_rows", "Rows a step worked on.", rows_of},
    {"llmcf_night_step_tokens", "Tokens a step trained on or generated.", tokens_of},
    {"llmcf_night_step_changed", "1 when the step made something new.", changed_of},
    {"llmcf_night_step_exit", "Exit code of a step.", exit_of},
};

static void append_steps(lcf_buf *out, const json_t *lines)
{
    for (size_t m = 0; m < sizeof(METRICS) / sizeof(METRICS[0]); m++) {
        append_type(out, METRICS[m].metric, METRICS[m].help);
        for (size_t i = 0; i < json_array_size(lines); i++) {
            const char *name = json_string_value(json_object_get(json_array_get(lines, i), "step"));
            const step_sum sum = sum_of(lines, name ? name : "");

            if (name && is_first(lines, i, name))
                append_sample(out, METRICS[m].metric, "step", name, METRICS[m].value(&sum));
        }
    }
}

/* When `current` was published, and its name; nothing where there is none. */
static void append_current(lcf_buf *out, const char *root)
{
    char *current = lcf_path_join(root, "current"), *path = NULL, name[NAME_MAX + 1];
    const ssize_t n = current ? readlink(current, name, sizeof(name) - 1) : -1;
    struct stat st;

    if (n > 0) {
        name[n] = '\0';
        path = lcf_path_join(current, "snapshot.json");
    }
    if (path && stat(path, &st) == 0) {
        append_type(out, "llmcf_snapshot_current", "1 for the generation that is current.");
        append_sample(out, "llmcf_snapshot_current", "generation", name, 1);
        append_type(out, "llmcf_snapshot_timestamp_seconds", "When it was made.");
        lcf_buf_printf(out, "llmcf_snapshot_timestamp_seconds %lld\n", (long long)st.st_mtime);
    }
    free(path);
    free(current);
}

static void append_psi(lcf_buf *out, const char *metric, const char *label, const json_t *list)
{
    size_t i;
    json_t *of;

    json_array_foreach(list, i, of)
    {
        const json_t *psi = json_object_get(of, "psi");
        const char *name = json_string_value(json_object_get(of, label));

        if (name && json_is_real(psi))
            append_sample(out, metric, label, name, json_real_value(psi));
    }
}

static lcf_status append_changes(lcf_buf *out, const char *path, lcf_err *err)
{
    json_t *json;
    lcf_status status = lcf_json_load(&json, path, err);

    if (status)
        return status;
    append_type(out, "llmcf_night_feature_psi", "Drift of the new rows from the earlier ones.");
    append_psi(out, "llmcf_night_feature_psi", "feature", json_object_get(json, "features"));
    append_type(out, "llmcf_night_score_psi", "Drift of an arm's scores since the last night.");
    append_psi(out, "llmcf_night_score_psi", "arm", json_object_get(json, "scores"));
    json_decref(json);
    return LCF_OK;
}

static lcf_status write_metrics(const lcf_night_end *o, const json_t *lines, int exit_code,
                                lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    append_type(&text, "llmcf_night_exit", "Exit code of the last night.");
    lcf_buf_printf(&text, "llmcf_night_exit %d\n", exit_code);
    append_type(&text, "llmcf_night_end_timestamp_seconds", "When it ended.");
    lcf_buf_printf(&text, "llmcf_night_end_timestamp_seconds %lld\n", (long long)time(NULL));
    append_steps(&text, lines);
    append_current(&text, o->root);
    if (o->changes && lcf_path_exists(o->changes))
        status = append_changes(&text, o->changes, err);
    if (!status && text.status)
        status = LCF_FAIL(err, text.status, "metrics of the night");
    if (!status)
        status = lcf_file_write(o->metrics, text.data, text.len, err);
    lcf_buf_dispose(&text);
    return status;
}

lcf_status lcf_night_end_run(int *exit_code, const lcf_night_end *o, lcf_err *err)
{
    json_t *lines, *last;
    lcf_status status = ledger_read(&lines, o->night_dir, err);

    *exit_code = 1;
    if (status)
        return status;
    last = json_array_get(lines, json_array_size(lines) - 1);
    if (!o->failed)
        *exit_code = 0;
    else if (json_integer_value(json_object_get(last, "exit")) > 0)
        *exit_code = (int)json_integer_value(json_object_get(last, "exit"));
    if (o->metrics)
        status = write_metrics(o, lines, *exit_code, err);
    json_decref(lines);
    return status;
}
