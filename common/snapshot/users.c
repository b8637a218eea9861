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
    const void *history, *history_n, *label;
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
    u->history_label = status ? NULL : label;
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

static lcf_status write_arrays(lcf_bundle_writer *w, const lcf_dataset *d, const uint32_t *history,
                               const uint32_t *history_n, const uint8_t *label, lcf_err *err)
{
    const uint64_t dims[2] = {d->users_n, LCF_HISTORY_MAX};
    lcf_status status = lcf_strings_add_to(w, "user_id", &d->user_id, err);

    if (!status)
        status = lcf_bundle_add(w, "history", LCF_U32, dims, 2, history, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "history_n", LCF_U32, d->users_n, history_n, err);
    if (!status)
        status = lcf_bundle_add(w, "history_label", LCF_U8, dims, 2, label, err);
    return status;
}

static void take_latest(uint32_t *history, uint32_t *history_n, uint8_t *label,
                        const lcf_dataset *d)
{
    for (uint32_t user = 0; user < d->users_n; user++) {
        uint64_t begin = d->user_offsets[user], end = d->user_offsets[user + 1];
        if (end - begin > LCF_HISTORY_MAX)
            begin = end - LCF_HISTORY_MAX;
        history_n[user] = (uint32_t)(end - begin);
        memcpy(history + (size_t)user * LCF_HISTORY_MAX, d->event_item + begin,
               (size_t)(end - begin) * sizeof(*history));
        for (uint64_t i = begin; i < end; i++)
            label[(size_t)user * LCF_HISTORY_MAX + (i - begin)] =
                lcf_event_label(d->event_rating[i]);
    }
}

lcf_status lcf_user_histories_save(const char *path, const lcf_dataset *d, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    uint32_t *history = lcf_alloc_zero(d->users_n, LCF_HISTORY_MAX * sizeof(*history));
    uint32_t *history_n = lcf_alloc_zero(d->users_n, sizeof(*history_n));
    uint8_t *label = lcf_alloc_zero(d->users_n, LCF_HISTORY_MAX);
    lcf_status status;

    if (!history || !history_n || !label) {
        status = LCF_FAIL(err, LCF_ENOMEM, "histories of %u users", d->users_n);
        goto done;
    }
    take_latest(history, history_n, label, d);
    status = lcf_bundle_create(&w, path, KIND, LCF_USER_HISTORIES_VERSION, err);
    if (status)
        goto done;
    status = write_arrays(w, d, history, history_n, label, err);
    if (status) {
        lcf_bundle_abandon(w);
        goto done;
    }
    status = lcf_bundle_commit(w, err);
done:
    free(history);
    free(history_n);
    free(label);
    return status;
}
