/*
 * users.lcf of a snapshot: the user ids of a dataset, each with its latest items, so that serving
 * needs no event log.
 *
 * Invariant: after a successful open every history fits, and every item in it can be used without a
 * further test.
 */
#include "common/snapshot/snapshot.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define KIND "user_histories"

static lcf_status check_histories(const lcf_user_histories *u, uint32_t items_n, lcf_err *err)
{
    for (size_t i = 0; i < u->users_n; i++)
        if (u->history_n[i] > LCF_HISTORY_MAX)
            return LCF_FAIL(err, LCF_EFORMAT, "history_n[%zu] is %u, more than %d", i,
                            u->history_n[i], LCF_HISTORY_MAX);
    for (size_t i = 0; i < (size_t)u->users_n * LCF_HISTORY_MAX; i++)
        if (u->history[i] >= items_n)
            return LCF_FAIL(err, LCF_EFORMAT, "history[%zu] is %u, there are %u items", i,
                            u->history[i], items_n);
    return LCF_OK;
}

static lcf_status read_arrays(lcf_user_histories *u, lcf_err *err)
{
    uint64_t dims[2], dims_n[1];
    const void *history, *history_n, *label, *time;
    lcf_status status = lcf_strings_get_from(&u->user_id, u->bundle, "user_id", true, err);

    if (status)
        return status;
    if (u->user_id.n == 0)
        return LCF_FAIL(err, LCF_EFORMAT, "user_id lacks its entry 0 (unknown)");
    u->users_n = (uint32_t)u->user_id.n;
    dims[0] = dims_n[0] = u->users_n;
    dims[1] = LCF_HISTORY_MAX;
    status = lcf_bundle_get(&history, u->bundle, "history", LCF_U32, dims, 2, err);
    if (!status)
        status = lcf_bundle_get(&history_n, u->bundle, "history_n", LCF_U32, dims_n, 1, err);
    if (status)
        return status;
    u->history = history;
    u->history_n = history_n;
    if (lcf_bundle_version(u->bundle) < 2) /* histories without labels */
        return LCF_OK;
    status = lcf_bundle_get(&label, u->bundle, "history_label", LCF_U8, dims, 2, err);
    if (status)
        return status;
    u->history_label = label;
    if (lcf_bundle_version(u->bundle) < 3) /* histories without times */
        return LCF_OK;
    status = lcf_bundle_get(&time, u->bundle, "history_time", LCF_I64, dims, 2, err);
    u->history_time = status ? NULL : time;
    return status;
}

lcf_status lcf_user_histories_open(lcf_user_histories *out, const char *path, uint32_t items_n,
                                   lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_USER_HISTORIES_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, err);
    if (!status)
        status = check_histories(out, items_n, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_user_histories_close(out);
    }
    return status;
}

void lcf_user_histories_close(lcf_user_histories *u)
{
    lcf_bundle_close(u->bundle);
    memset(u, 0, sizeof(*u));
}

/* What is written, [users_n, LCF_HISTORY_MAX] but for history_n. */
typedef struct latest {
    uint32_t *history, *history_n;
    uint8_t *label;
    int64_t *time;
} latest;

static bool latest_alloc(latest *l, size_t users_n)
{
    l->history = lcf_alloc_zero(users_n, LCF_HISTORY_MAX * sizeof(*l->history));
    l->history_n = lcf_alloc_zero(users_n, sizeof(*l->history_n));
    l->label = lcf_alloc_zero(users_n, LCF_HISTORY_MAX * sizeof(*l->label));
    l->time = lcf_alloc_zero(users_n, LCF_HISTORY_MAX * sizeof(*l->time));
    return l->history && l->history_n && l->label && l->time;
}

static void latest_free(latest *l)
{
    free(l->history);
    free(l->history_n);
    free(l->label);
    free(l->time);
}

static void take_latest(latest *l, const lcf_dataset *d)
{
    for (uint32_t user = 0; user < d->users_n; user++) {
        const size_t to = (size_t)user * LCF_HISTORY_MAX;
        uint64_t begin = d->user_offsets[user], end = d->user_offsets[user + 1];

        if (end - begin > LCF_HISTORY_MAX)
            begin = end - LCF_HISTORY_MAX;
        l->history_n[user] = (uint32_t)(end - begin);
        for (uint64_t i = begin; i < end; i++) {
            l->history[to + (i - begin)] = d->event_item[i];
            l->label[to + (i - begin)] = lcf_event_label(d, i);
            l->time[to + (i - begin)] = d->event_time[i];
        }
    }
}

static lcf_status write_arrays(lcf_bundle_writer *w, const lcf_dataset *d, const latest *l,
                               lcf_err *err)
{
    const uint64_t dims[2] = {d->users_n, LCF_HISTORY_MAX};
    lcf_status status = lcf_strings_add_to(w, "user_id", &d->user_id, err);

    if (!status)
        status = lcf_bundle_add(w, "history", LCF_U32, dims, 2, l->history, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "history_n", LCF_U32, d->users_n, l->history_n, err);
    if (!status)
        status = lcf_bundle_add(w, "history_label", LCF_U8, dims, 2, l->label, err);
    if (!status)
        status = lcf_bundle_add(w, "history_time", LCF_I64, dims, 2, l->time, err);
    return status;
}

lcf_status lcf_user_histories_save(const char *path, const lcf_dataset *d, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    latest l = {NULL, NULL, NULL, NULL};
    lcf_status status;

    if (!latest_alloc(&l, d->users_n)) {
        status = LCF_FAIL(err, LCF_ENOMEM, "histories of %u users", d->users_n);
        goto done;
    }
    take_latest(&l, d);
    status = lcf_bundle_create(&w, path, KIND, LCF_USER_HISTORIES_VERSION, err);
    if (status)
        goto done;
    status = write_arrays(w, d, &l, err);
    if (status) {
        lcf_bundle_abandon(w);
        goto done;
    }
    status = lcf_bundle_commit(w, err);
done:
    latest_free(&l);
    return status;
}
