/*
 * Sweeps. Invariant: OUT/points/<id>.json is there exactly when that point is finished; it appears
 * whole, before its rankers go.
 */
#include "offline/train/sweep.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/train/sweep_space.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 128
#define LOG_TAIL_BYTES 4096

typedef struct point {
    json_t *params; /* borrowed */
    char id[33];
    json_t *done; /* what <id>.json holds; NULL until finished */
    char *error;  /* why it failed; NULL when it did not */
    pid_t pid;    /* 0: not running */
} point;

typedef struct sweep {
    const lcf_sweep_options *options;
    json_t *space, *params; /* params: [points_n] objects */
    point *points;
    size_t points_n, running, finished;
    bool told; /* the processes, to stop */
    char *dir; /* OUT/points */
    lcf_lock *lock;
    lcf_progress progress;
} sweep;

/* ---- points on disk ---- */

/* OUT/points/<id><suffix>; free() releases it. */
static char *point_path(const sweep *s, const point *p, const char *suffix)
{
    lcf_buf path = LCF_BUF_INIT;

    lcf_buf_printf(&path, "%s/%s%s", s->dir, p->id, suffix);
    return lcf_buf_take(&path);
}

/* Hash of the parameters, and of the manifest of every artefact that they name. */
static lcf_status name_point(point *p, lcf_err *err)
{
    char *text = json_dumps(p->params, JSON_COMPACT | JSON_SORT_KEYS);
    lcf_buf all = LCF_BUF_INIT;
    const char *option;
    json_t *value;
    lcf_status status;

    lcf_buf_append_text(&all, text ? text : "");
    json_object_foreach(p->params, option, value)
    {
        char id[65];

        if (json_is_string(value) && !lcf_manifest_read(id, NULL, json_string_value(value), NULL))
            lcf_buf_printf(&all, "\n%s %s", option, id);
    }
    status = text ? all.status : LCF_ENOMEM;
    if (!status)
        lcf_hash128_hex(p->id, lcf_hash128_of(all.data, all.len));
    lcf_buf_dispose(&all);
    free(text);
    return status ? LCF_FAIL(err, status, "name of a point") : LCF_OK;
}

/* Takes a finished point up; one whose file is damaged is trained again. */
static lcf_status find_done(sweep *s, point *p, lcf_err *err)
{
    char *path = point_path(s, p, ".json");

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->dir);
    if (lcf_path_exists(path) && lcf_json_load(&p->done, path, NULL))
        p->done = NULL;
    if (p->done && !json_is_object(json_object_get(p->done, "report"))) {
        json_decref(p->done);
        p->done = NULL;
    }
    s->finished += p->done != NULL;
    free(path);
    return LCF_OK;
}

static lcf_status make_points(sweep *s, lcf_err *err)
{
    const lcf_sweep_options *o = s->options;
    lcf_status status = o->points ? sweep_random(&s->params, s->space, o->points, o->seed, err)
                                  : sweep_grid(&s->params, s->space, err);

    if (status)
        return status;
    s->points = lcf_alloc_zero(json_array_size(s->params), sizeof(*s->points));
    if (!s->points)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu points", json_array_size(s->params));
    s->points_n = json_array_size(s->params);
    for (size_t i = 0; i < s->points_n && !status; i++) {
        s->points[i].params = json_array_get(s->params, i);
        status = name_point(&s->points[i], err);
        if (!status)
            status = find_done(s, &s->points[i], err);
    }
    return status;
}

/* ---- results.csv ---- */

static double mean_of(const point *p, const char *measure, const char *what)
{
    const json_t *report = json_object_get(p->done, "report");

    return json_number_value(json_object_get(json_object_get(report, measure), what));
}

/* Finished ones by valid AUC, the best first; then those that failed; then those to come. */
static int by_worth(const void *a, const void *b)
{
    const point *p = *(point *const *)a, *q = *(point *const *)b;
    const int stage = (p->done ? 0 : p->error ? 1 : 2) - (q->done ? 0 : q->error ? 1 : 2);
    const double x = p->done ? mean_of(p, "valid_auc", "mean") : 0.0;
    const double y = q->done ? mean_of(q, "valid_auc", "mean") : 0.0;

    if (stage)
        return stage;
    return x != y ? (x < y) - (x > y) : strcmp(p->id, q->id);
}

/* A cell; quoted where it must be. */
static void put_cell(lcf_buf *csv, const char *text)
{
    if (!strpbrk(text, ",\"\n\r")) {
        lcf_buf_append_text(csv, text);
        return;
    }
    lcf_buf_append_char(csv, '"');
    for (; *text; text++) {
        if (*text == '"')
            lcf_buf_append_char(csv, '"');
        lcf_buf_append_char(csv, *text == '\n' || *text == '\r' ? ' ' : *text);
    }
    lcf_buf_append_char(csv, '"');
}

static double mean_best_epoch(const point *p)
{
    const json_t *seeds = json_object_get(json_object_get(p->done, "report"), "seeds"), *seed;
    double sum = 0.0;
    size_t i;

    json_array_foreach(seeds, i, seed) sum +=
        json_number_value(json_object_get(seed, "best_epoch"));
    return sum / (double)json_array_size(seeds);
}

static void put_measures(lcf_buf *csv, const point *p)
{
    if (p->done)
        lcf_buf_printf(csv, "done,%.6f,%.6f,%.6f,%.1f", mean_of(p, "valid_auc", "mean"),
                       mean_of(p, "valid_auc", "sd"), mean_of(p, "valid_logloss", "mean"),
                       mean_best_epoch(p));
    else
        lcf_buf_append_text(csv, p->error ? "failed,,,," : "missing,,,,");
}

static void put_line(lcf_buf *csv, const sweep *s, const point *p)
{
    const char *option;
    json_t *values;

    lcf_buf_printf(csv, "%s,", p->id);
    put_measures(csv, p);
    json_object_foreach(s->space, option, values)
    {
        const json_t *value = json_object_get(p->params, option);

        if (!sweep_space_varies(s->space, option))
            continue;
        lcf_buf_append_char(csv, ',');
        put_cell(csv, json_is_true(value) ? "true" : value ? json_string_value(value) : "false");
    }
    lcf_buf_append_char(csv, ',');
    put_cell(csv, p->error ? p->error : "");
    lcf_buf_append_char(csv, '\n');
}

/* The points in the order of the table; free() releases it. */
static point **in_order(const sweep *s)
{
    point **order = lcf_alloc(s->points_n ? s->points_n : 1, sizeof(*order));

    for (size_t i = 0; order && i < s->points_n; i++)
        order[i] = &s->points[i];
    if (order)
        qsort(order, s->points_n, sizeof(*order), by_worth);
    return order;
}

static lcf_status write_results(const sweep *s, lcf_err *err)
{
    point **order = in_order(s);
    lcf_buf csv = LCF_BUF_INIT;
    const char *option;
    json_t *values;
    lcf_status status;

    if (!order)
        return LCF_FAIL(err, LCF_ENOMEM, "results of %zu points", s->points_n);
    lcf_buf_append_text(&csv, "point,status,valid_auc,valid_auc_sd,valid_logloss,best_epoch");
    json_object_foreach(s->space, option, values)
    {
        if (sweep_space_varies(s->space, option))
            lcf_buf_printf(&csv, ",%s", option);
    }
    lcf_buf_append_text(&csv, ",error\n");
    for (size_t i = 0; i < s->points_n; i++)
        put_line(&csv, s, order[i]);
    status = lcf_file_write_text(s->options->out_dir, "results.csv", &csv, err);
    lcf_buf_dispose(&csv);
    free(order);
    return status;
}

/* ---- processes ---- */

/* In the child: `program train --out ... --json --threads 1 --opt value ...`; returns on failure.
 */
static void execute(const sweep *s, const point *p, const char *out, const char *report,
                    const char *log)
{
    const char *args[ARGS_MAX] = {"llmcf",     "train", "--quiet", "--json",
                                  "--threads", "1",     "--out",   out};
    char names[ARGS_MAX / 2][64];
    size_t n = 8, names_n = 0;
    const char *option;
    json_t *value;

    json_object_foreach(p->params, option, value)
    {
        if (n + 3 > ARGS_MAX)
            return;
        snprintf(names[names_n], sizeof(names[0]), "--%.60s", option);
        args[n++] = names[names_n++];
        if (json_is_string(value))
            args[n++] = json_string_value(value);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* one sweep at a time works on a point */
    if (!freopen(report, "w", stdout) || !freopen(log, "w", stderr))
        return;
    execv(s->options->program, (char *const *)args);
}

static lcf_status start_point(sweep *s, point *p, lcf_err *err)
{
    char *out = point_path(s, p, ""), *report = point_path(s, p, ".report");
    char *log = point_path(s, p, ".log");
    lcf_status status = LCF_OK;

    if (!out || !report || !log)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths in %s", s->dir);
    else if ((p->pid = fork()) < 0)
        status = LCF_FAIL(err, LCF_EIO, "cannot start a process: %s", strerror(errno));
    if (!status && !p->pid) {
        execute(s, p, out, report, log);
        _exit(1);
    }
    if (status)
        p->pid = 0;
    else
        s->running++;
    free(out);
    free(report);
    free(log);
    return status;
}

/* Up to the last bytes of a log; "" when there is none. */
static void read_tail(char text[LOG_TAIL_BYTES], const char *path)
{
    FILE *file = fopen(path, "r");
    size_t n;

    text[0] = '\0';
    if (!file)
        return;
    if (fseek(file, -(LOG_TAIL_BYTES - 1), SEEK_END))
        rewind(file);
    n = fread(text, 1, LOG_TAIL_BYTES - 1, file);
    fclose(file);
    text[n] = '\0';
}

/* The last line by which a log says what went wrong. */
static char *error_of(const char *path)
{
    static const char head[] = "llmcf train: ";
    char text[LOG_TAIL_BYTES], *found = NULL, *line, *rest = NULL;

    read_tail(text, path);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!strncmp(line, head, sizeof(head) - 1))
            found = line + sizeof(head) - 1;
    return lcf_strdup(found ? found : "it ended without a word; see its log");
}

/* What a process that ended well leaves: <id>.json; its rankers go unless they are kept. */
static lcf_status keep_report(sweep *s, point *p, const char *report_path, lcf_err *err)
{
    char *path = point_path(s, p, ".json"), *rankers = point_path(s, p, "");
    json_t *report = NULL;
    lcf_status status = path && rankers ? lcf_json_load(&report, report_path, err)
                                        : LCF_FAIL(err, LCF_ENOMEM, "paths in %s", s->dir);

    if (!status) {
        p->done = json_pack("{s:i, s:O, s:o}", "version", 1, "params", p->params, "report", report);
        status = p->done ? lcf_json_save(path, p->done, err)
                         : LCF_FAIL(err, LCF_ENOMEM, "report of a point");
    }
    if (!status && !s->options->keep)
        status = lcf_dir_remove(rankers, err);
    s->finished += !status;
    free(path);
    free(rankers);
    return status;
}

/* A process has ended. */
static lcf_status end_point(sweep *s, point *p, int how, lcf_err *err)
{
    char *report = point_path(s, p, ".report"), *log = point_path(s, p, ".log");
    const bool well = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    lcf_status status = LCF_OK;

    p->pid = 0;
    s->running--;
    if (!report || !log)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths in %s", s->dir);
    else if (well)
        status = keep_report(s, p, report, err);
    else if (!lcf_stop_requested())
        p->error = error_of(log);
    if (!status && !well && !lcf_stop_requested() && !p->error)
        status = LCF_FAIL(err, LCF_ENOMEM, "error of a point");
    if (report)
        unlink(report);
    if (!status)
        status = write_results(s, err);
    free(report);
    free(log);
    return status;
}

/* Passes a request to stop on, once: a second signal would not let them finish their batch. */
static void tell_to_stop(sweep *s)
{
    if (s->told || !lcf_stop_requested())
        return;
    s->told = true;
    for (size_t i = 0; i < s->points_n; i++)
        if (s->points[i].pid)
            kill(s->points[i].pid, SIGTERM);
}

/* Waits for one process to end. */
static lcf_status wait_one(sweep *s, lcf_err *err)
{
    const struct timespec pause = {0, 20000000};
    int how;
    pid_t pid;

    while ((pid = waitpid(-1, &how, WNOHANG)) <= 0) {
        if (pid < 0 && errno != EINTR)
            return LCF_FAIL(err, LCF_EIO, "waiting for a process: %s", strerror(errno));
        tell_to_stop(s);
        nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < s->points_n; i++)
        if (s->points[i].pid == pid)
            return end_point(s, &s->points[i], how, err);
    return LCF_OK;
}

/* After an error of our own, no process is left behind. */
static void end_all(sweep *s)
{
    for (size_t i = 0; i < s->points_n; i++)
        if (s->points[i].pid) {
            kill(s->points[i].pid, SIGTERM);
            waitpid(s->points[i].pid, NULL, 0);
        }
}

static lcf_status run_all(sweep *s, lcf_err *err)
{
    lcf_status status = write_results(s, err);
    size_t next = 0, failed = 0;

    lcf_progress_start(&s->progress, "sweep", "points", s->points_n);
    while (!status && !lcf_stop_requested()) {
        while (next < s->points_n && s->points[next].done)
            next++;
        if (next < s->points_n && s->running < s->options->jobs)
            status = start_point(s, &s->points[next++], err);
        else if (s->running)
            status = wait_one(s, err);
        else
            break;
        lcf_progress_update(&s->progress, s->finished);
    }
    while (!status && s->running)
        status = wait_one(s, err);
    lcf_progress_end(&s->progress);
    if (status) {
        end_all(s);
        return status;
    }
    if (lcf_stop_requested())
        return LCF_FAIL(err, LCF_ECANCELED, "stopped after %zu of %zu points", s->finished,
                        s->points_n);
    for (size_t i = 0; i < s->points_n; i++)
        failed += s->points[i].error != NULL;
    if (failed == s->points_n)
        return LCF_FAIL(err, LCF_EINVAL, "every point failed, the first with: %s",
                        s->points[0].error);
    return LCF_OK;
}

/* ---- together ---- */

static json_t *results_json(const sweep *s)
{
    point **order = in_order(s);
    json_t *all = json_array();
    int failed = !order || !all;

    for (size_t i = 0; i < s->points_n && !failed; i++) {
        const point *p = order[i];

        if (p->done)
            failed = json_array_append_new(all, json_pack("{s:s, s:O, s:f}", "point", p->id,
                                                          "params", p->params, "valid_auc",
                                                          mean_of(p, "valid_auc", "mean")));
        else
            failed =
                json_array_append_new(all, json_pack("{s:s, s:O, s:s}", "point", p->id, "params",
                                                     p->params, "error", p->error ? p->error : ""));
    }
    free(order);
    if (failed) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static void sweep_dispose(sweep *s)
{
    for (size_t i = 0; i < s->points_n; i++) {
        json_decref(s->points[i].done);
        free(s->points[i].error);
    }
    free(s->points);
    free(s->dir);
    lcf_lock_release(s->lock);
    json_decref(s->space);
    json_decref(s->params);
}

/* Two sweeps in one folder would train the same points. */
static lcf_status lock_out(sweep *s, lcf_err *err)
{
    char *path = lcf_path_join(s->options->out_dir, "lock");
    lcf_status status = path ? lcf_lock_acquire(&s->lock, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->options->out_dir);

    free(path);
    return status;
}

lcf_status lcf_sweep(json_t **results, const lcf_sweep_options *options, lcf_err *err)
{
    sweep s = {.options = options};
    lcf_status status = sweep_space_load(&s.space, options->space_path, err);

    LCF_ASSERT(options->jobs >= 1 && options->jobs <= LCF_SWEEP_JOBS_MAX);
    if (!status) {
        s.dir = lcf_path_join(options->out_dir, "points");
        status = s.dir ? lcf_dir_create(s.dir, err)
                       : LCF_FAIL(err, LCF_ENOMEM, "path in %s", options->out_dir);
    }
    if (!status)
        status = lock_out(&s, err);
    if (!status)
        status = make_points(&s, err);
    if (!status)
        status = run_all(&s, err);
    if (!status && results) {
        *results = results_json(&s);
        if (!*results)
            status = LCF_FAIL(err, LCF_ENOMEM, "results");
    }
    sweep_dispose(&s);
    return status;
}
