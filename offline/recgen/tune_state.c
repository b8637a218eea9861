/*
 * What a run of tuning keeps from step to step: the curve of its loss, and checkpoints. Order of
 * writes at a checkpoint: state-<step>.json, then checkpoint.lcf (which knows its step), then the
 * states of other steps are removed: whenever the process dies, the checkpoint that is there has
 * its state beside it.
 */
#include "offline/recgen/tune_internal.h"

#include "common/base/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CURVE_POINTS 50 /* of the loss in the report, at most */

/* ---- processes ---- */

lcf_status tune_agree(const tuning *t, double *value, lcf_err *err)
{
    lcf_comm *comm = t->o->train.comm;

    if (!comm)
        return LCF_OK;
    if (!tune_is_first(t))
        *value = 0.0;
    return comm->sum_f64(comm, value, 1, err);
}

/* ---- the curve ---- */

lcf_status tune_add_point(tuning *t, uint64_t step, lcf_err *err)
{
    if (json_array_append_new(t->curve, json_pack("{s:I, s:f}", "step", (json_int_t)step, "loss",
                                                  t->window_loss / (double)t->window_n)))
        return LCF_FAIL(err, LCF_ENOMEM, "loss curve");
    t->window_loss = 0.0;
    t->window_n = 0;
    return LCF_OK;
}

/* Two points of a curve become one. Its first point stands at the end of the first window, so the
 * curve itself says how long the windows are. */
static lcf_status halve(tuning *t, lcf_err *err)
{
    size_t n = json_array_size(t->curve) / 2;

    for (size_t i = 0; i < n; i++) {
        json_t *first = json_array_get(t->curve, i), *second = json_array_get(t->curve, i + 1);
        double a = json_number_value(json_object_get(first, "loss"));
        double b = json_number_value(json_object_get(second, "loss"));
        if (json_object_set_new(second, "loss", json_real((a + b) / 2.0)) ||
            json_array_remove(t->curve, i))
            return LCF_FAIL(err, LCF_ENOMEM, "loss curve");
    }
    return LCF_OK;
}

/* How many steps will be made is not known where the time is limited: the windows begin with one
 * step and are doubled as the curve gets too long. */
lcf_status tune_record_loss(tuning *t, uint64_t step, double loss, lcf_err *err)
{
    json_int_t window = json_integer_value(json_object_get(json_array_get(t->curve, 0), "step"));
    lcf_status status;

    t->window_loss += loss;
    t->window_n++;
    if (window && t->window_n < (uint64_t)window)
        return LCF_OK;
    status = tune_add_point(t, step, err);
    return status || json_array_size(t->curve) < CURVE_POINTS ? status : halve(t, err);
}

/* ---- checkpoints ---- */

static char *state_path(const tuning *t, uint64_t step)
{
    char name[48];

    snprintf(name, sizeof(name), "state-%llu.json", (unsigned long long)step);
    return lcf_path_join(t->work, name);
}

static lcf_status save_state(tuning *t, uint64_t step, lcf_err *err)
{
    json_t *state = json_pack("{s:O, s:O, s:f, s:I, s:I, s:I, s:I}", "before", t->before_json,
                              "loss", t->curve, "window_loss", t->window_loss, "window_n",
                              (json_int_t)t->window_n, "tokens", (json_int_t)t->tokens, "truncated",
                              (json_int_t)t->truncated, "lost", (json_int_t)t->lost);
    char *path = state_path(t, step);
    lcf_status status = state && path ? lcf_json_save(path, state, err)
                                      : LCF_FAIL(err, LCF_ENOMEM, "checkpoint state");

    json_decref(state);
    free(path);
    return status;
}

lcf_status tune_save_checkpoint(tuning *t, uint64_t *last, lcf_err *err)
{
    uint64_t step = lcf_llama_trainer_step_n(t->trainer);
    lcf_status status;

    if (!tune_is_first(t))
        return LCF_OK;
    status = save_state(t, step, err);
    if (!status)
        status = lcf_llama_trainer_save(t->trainer, t->checkpoint, err);
    if (!status && *last != step) {
        char *old = state_path(t, *last);
        if (old)
            unlink(old);
        free(old);
        *last = step;
    }
    return status;
}

static lcf_status load_state(tuning *t, uint64_t step, lcf_err *err)
{
    char *path = state_path(t, step);
    json_t *state = NULL;
    uint64_t window_n = 0;
    lcf_status status =
        path ? lcf_json_load(&state, path, err) : LCF_FAIL(err, LCF_ENOMEM, "checkpoint state");

    if (!status)
        status = lcf_json_f64(&t->window_loss, state, "window_loss", err);
    if (!status)
        status = lcf_json_u64(&window_n, state, "window_n", err);
    if (!status)
        status = lcf_json_u64(&t->tokens, state, "tokens", err);
    if (!status)
        status = lcf_json_u64(&t->truncated, state, "truncated", err);
    if (!status)
        status = lcf_json_u64(&t->lost, state, "lost", err);
    if (!status && (!json_is_object(json_object_get(state, "before")) ||
                    !json_is_array(json_object_get(state, "loss"))))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: not the state of a tuning run", path);
    if (!status) {
        json_decref(t->before_json);
        json_decref(t->curve);
        t->before_json = json_incref(json_object_get(state, "before"));
        t->curve = json_incref(json_object_get(state, "loss"));
        t->window_n = window_n;
    }
    json_decref(state);
    free(path);
    return status;
}

lcf_status tune_resume(tuning *t, bool *resumed, lcf_err *err)
{
    double found = !t->o->force && lcf_manifest_is_current(t->manifest, t->work) &&
                   lcf_path_exists(t->checkpoint);
    lcf_status status = tune_agree(t, &found, err);
    uint64_t step;

    *resumed = false;
    if (status || found == 0.0)
        return status;
    status = lcf_llama_trainer_load(t->trainer, t->checkpoint, err);
    step = lcf_llama_trainer_step_n(t->trainer);
    if (!status)
        status = load_state(t, step, err);
    if (status) {
        lcf_err_prefix(err, "checkpoint cannot be used; remove %s to start afresh", t->work);
        return status;
    }
    lcf_log(LCF_LOG_INFO, "resumed step=%llu checkpoint=%s", (unsigned long long)step,
            t->checkpoint);
    *resumed = true;
    return LCF_OK;
}

lcf_status tune_open_work(tuning *t, lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    size_t n = strlen(t->o->out);
    char *lock;
    lcf_status status;

    while (n > 1 && t->o->out[n - 1] == '/')
        n--;
    lcf_buf_append(&path, t->o->out, n);
    lcf_buf_append_text(&path, ".work");
    t->work = lcf_buf_take(&path);
    t->checkpoint = t->work ? lcf_path_join(t->work, "checkpoint.lcf") : NULL;
    lock = t->work ? lcf_path_join(t->work, "lock") : NULL;
    if (!t->checkpoint || !lock) {
        free(lock);
        return LCF_FAIL(err, LCF_ENOMEM, "path of the work folder");
    }
    status = tune_is_first(t) ? lcf_dir_create(t->work, err) : LCF_OK;
    if (!status && tune_is_first(t))
        status = lcf_lock_acquire(&t->lock, lock, err);
    free(lock);
    return status;
}
