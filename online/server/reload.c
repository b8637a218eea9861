/* Reloading. The mutex is held for the exchange of a pointer and a count, never while a snapshot is
 * opened or closed. */
#include "online/server/reload.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/snapshot/snapshot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lcf_reloader {
    char *path;
    char *folder;  /* that answers */
    char *refused; /* the last folder that could not be opened: not tried again until it changes */
    pthread_mutex_t mutex; /* guards current */
    lcf_generation *current;
    _Atomic uint64_t reloads_n, refused_n;
};

static lcf_status generation_open(lcf_generation **out, const char *folder, lcf_err *err)
{
    lcf_generation *g = lcf_alloc_zero(1, sizeof(*g));
    lcf_status status;

    *out = NULL;
    if (!g)
        return LCF_FAIL(err, LCF_ENOMEM, "generation");
    status = lcf_rank_open(&g->snapshot, folder, err);
    if (status) {
        free(g);
        return status;
    }
    g->loaded_time = (int64_t)time(NULL);
    atomic_init(&g->references, 1);
    *out = g;
    return LCF_OK;
}

void lcf_generation_release(lcf_generation *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1)
        return;
    lcf_rank_close(g->snapshot);
    free(g);
}

lcf_generation *lcf_reloader_acquire(lcf_reloader *r)
{
    lcf_generation *g;

    pthread_mutex_lock(&r->mutex);
    g = r->current;
    atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&r->mutex);
    return g;
}

lcf_status lcf_reloader_create(lcf_reloader **out, const char *path, lcf_err *err)
{
    lcf_reloader *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "reloader");
    pthread_mutex_init(&r->mutex, NULL);
    r->path = lcf_strdup(path);
    if (!r->path)
        status = LCF_FAIL(err, LCF_ENOMEM, "reloader");
    if (!status)
        status = lcf_snapshot_resolve(&r->folder, path, err);
    if (!status)
        status = generation_open(&r->current, r->folder, err);
    if (!status) {
        *out = r;
        r = NULL;
    }
    lcf_reloader_free(r);
    return status;
}

void lcf_reloader_free(lcf_reloader *r)
{
    if (!r)
        return;
    lcf_generation_release(r->current);
    pthread_mutex_destroy(&r->mutex);
    free(r->path);
    free(r->folder);
    free(r->refused);
    free(r);
}

static void refuse(lcf_reloader *r, char *folder, const lcf_err *err)
{
    lcf_log(LCF_LOG_ERROR, "snapshot refused, the old one keeps serving: %s", err->text);
    atomic_fetch_add(&r->refused_n, 1);
    free(r->refused);
    r->refused = folder;
}

static void exchange(lcf_reloader *r, lcf_generation *next, char *folder)
{
    lcf_generation *old;

    pthread_mutex_lock(&r->mutex);
    old = r->current;
    r->current = next;
    pthread_mutex_unlock(&r->mutex);
    free(r->folder);
    r->folder = folder;
    free(r->refused);
    r->refused = NULL;
    atomic_fetch_add(&r->reloads_n, 1);
    lcf_log(LCF_LOG_INFO, "serving snapshot %s", folder);
    lcf_generation_release(old);
}

bool lcf_reloader_poll(lcf_reloader *r, bool force)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_generation *next = NULL;
    char *folder = NULL;

    if (lcf_snapshot_resolve(&folder, r->path, &err)) {
        if (force)
            lcf_log(LCF_LOG_ERROR, "no snapshot to reload: %s", err.text);
        return false;
    }
    if (!force && (!strcmp(folder, r->folder) || (r->refused && !strcmp(folder, r->refused)))) {
        free(folder);
        return false;
    }
    if (generation_open(&next, folder, &err)) {
        refuse(r, folder, &err);
        return false;
    }
    exchange(r, next, folder);
    return true;
}

uint64_t lcf_reloader_reloads(const lcf_reloader *r)
{
    return atomic_load(&r->reloads_n);
}

uint64_t lcf_reloader_refused(const lcf_reloader *r)
{
    return atomic_load(&r->refused_n);
}
