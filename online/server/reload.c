/* The mutex is held for pointers, counts and names, never while a snapshot is opened or closed. */
#include "online/server/reload.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "common/snapshot/snapshot.h"
#include "online/server/prefault.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NICE 10 /* a tenth of a worker's share: 19 would starve where all processors rank */

const char *const LCF_REFUSALS[LCF_REFUSALS_N] = {"checksum", "format", "version", "missing",
                                                  "memory",   "io",     "other"};

struct lcf_reloader {
    lcf_reload_options options;
    char *path;
    char *folder;  /* that answers */
    char *refused; /* the last folder that was refused: not tried again until it changes */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t called, looked;
    _Atomic(lcf_generation *) current; /* written with the mutex */
    lcf_generation *retired;
    lcf_reload_state state;
    uint64_t asked, answered; /* tickets */
    bool force, changed, stop;
};

/* ---- generations ---- */

static void generation_close(lcf_generation *g)
{
    if (!g)
        return;
    for (size_t i = 0; g->contexts && i < g->contexts_n; i++)
        lcf_rank_context_free(g->contexts[i]);
    lcf_rank_close(g->snapshot);
    free(g->contexts);
    free(g);
}

/* Open, verified, every page present, every context warm. */
static lcf_status generation_open(lcf_generation **out, lcf_reloader *r, const char *folder,
                                  lcf_err *err)
{
    lcf_generation *g = lcf_alloc_zero(1, sizeof(*g));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!g)
        return LCF_FAIL(err, LCF_ENOMEM, "generation");
    *g = (lcf_generation){.contexts_n = r->options.contexts_n, .owner = r, .references = 1};
    g->contexts = lcf_alloc_zero(g->contexts_n, sizeof(lcf_rank_context *));
    if (!g->contexts)
        status = LCF_FAIL(err, LCF_ENOMEM, "generation");
    if (!status)
        status = lcf_rank_open(&g->snapshot, folder, err);
    if (!status)
        lcf_prefault(folder);
    for (size_t i = 0; !status && i < g->contexts_n; i++) {
        status = lcf_rank_context_create(&g->contexts[i], g->snapshot, err);
        if (!status)
            lcf_recorder_replay(r->options.recorder, g->contexts[i]);
    }
    if (!status) {
        g->loaded_time = (int64_t)time(NULL);
        *out = g;
        g = NULL;
    }
    generation_close(g);
    return status;
}

/* With the mutex. */
static void give_back(lcf_generation *g)
{
    lcf_reloader *r = g->owner;

    if (--g->references)
        return;
    g->next = r->retired;
    r->retired = g;
    pthread_cond_signal(&r->called);
}

void lcf_generation_release(lcf_generation *g)
{
    lcf_reloader *r = g ? g->owner : NULL;

    if (!g)
        return;
    pthread_mutex_lock(&r->mutex);
    give_back(g);
    pthread_mutex_unlock(&r->mutex);
}

lcf_generation *lcf_reloader_acquire(lcf_reloader *r)
{
    lcf_generation *g;

    pthread_mutex_lock(&r->mutex);
    g = r->current;
    g->references++;
    pthread_mutex_unlock(&r->mutex);
    return g;
}

lcf_generation *lcf_reloader_renew(lcf_reloader *r, lcf_generation *held)
{
    lcf_generation *g;

    /* As long as we hold it no other can have its address. */
    if (held && atomic_load_explicit(&r->current, memory_order_relaxed) == held)
        return held;
    g = lcf_reloader_acquire(r);
    lcf_generation_release(held);
    return g;
}

/* ---- a look ---- */

static size_t refusal_of(lcf_status status)
{
    switch (status) {
    case LCF_ECHECKSUM:
        return 0;
    case LCF_EFORMAT:
    case LCF_EINVAL:
        return 1;
    case LCF_EVERSION:
        return 2;
    case LCF_ENOENT:
        return 3;
    case LCF_ENOMEM:
        return 4;
    case LCF_EIO:
        return 5;
    default:
        return LCF_REFUSALS_N - 1;
    }
}

static void refuse(lcf_reloader *r, char *folder, lcf_status status, const lcf_err *err)
{
    lcf_log(LCF_LOG_ERROR, "snapshot refused, the old one keeps serving: %s", err->text);
    pthread_mutex_lock(&r->mutex);
    r->state.counts.refused_n[refusal_of(status)]++;
    snprintf(r->state.refused, sizeof(r->state.refused), "%s", err->text);
    pthread_mutex_unlock(&r->mutex);
    free(r->refused);
    r->refused = folder;
}

static void exchange(lcf_reloader *r, lcf_generation *next, char *folder)
{
    pthread_mutex_lock(&r->mutex);
    give_back(r->current);
    r->current = next;
    r->state.counts.done_n++;
    r->state.refused[0] = '\0';
    pthread_mutex_unlock(&r->mutex);
    free(r->folder);
    r->folder = folder;
    free(r->refused);
    r->refused = NULL;
    lcf_log(LCF_LOG_INFO, "serving snapshot %s", folder);
    r->options.changed(r->options.arg, next->snapshot);
}

/* What should answer does. */
static void forget_refusal(lcf_reloader *r)
{
    pthread_mutex_lock(&r->mutex);
    r->state.refused[0] = '\0';
    pthread_mutex_unlock(&r->mutex);
    free(r->refused);
    r->refused = NULL;
}

/* The folder that should answer: a generation that was named, or what `path` leads to. */
static lcf_status resolve(char **folder, lcf_reloader *r, lcf_err *err)
{
    char pinned[sizeof(r->state.pinned)];
    char *named = NULL;
    lcf_status status;

    pthread_mutex_lock(&r->mutex);
    memcpy(pinned, r->state.pinned, sizeof(pinned));
    pthread_mutex_unlock(&r->mutex);
    if (!*pinned)
        return lcf_snapshot_resolve(folder, r->path, err);
    named = lcf_path_join(r->path, pinned);
    if (!named)
        return LCF_FAIL(err, LCF_ENOMEM, "path of a snapshot");
    status = lcf_snapshot_resolve(folder, named, err);
    free(named);
    return status;
}

/* True when another generation is in place. */
static bool look(lcf_reloader *r, bool force)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_generation *next = NULL;
    char *folder = NULL;
    lcf_status status = resolve(&folder, r, &err);

    if (status) {
        if (force)
            refuse(r, NULL, status, &err);
        return false;
    }
    if (!force && (!strcmp(folder, r->folder) || (r->refused && !strcmp(folder, r->refused)))) {
        if (!strcmp(folder, r->folder))
            forget_refusal(r);
        free(folder);
        return false;
    }
    status = generation_open(&next, r, folder, &err);
    if (status) {
        refuse(r, folder, status, &err);
        return false;
    }
    exchange(r, next, folder);
    return true;
}

/* ---- the thread ---- */

/* With the mutex, which is free while they are closed. */
static void close_retired(lcf_reloader *r)
{
    lcf_generation *g = r->retired;

    if (!g)
        return;
    r->retired = NULL;
    pthread_mutex_unlock(&r->mutex);
    while (g) {
        lcf_generation *next = g->next;

        generation_close(g);
        g = next;
    }
    malloc_trim(0); /* what a snapshot took goes back, or memory grows with every reload */
    pthread_mutex_lock(&r->mutex);
}

/* With the mutex: until there is something to do; true when it is time for a look. */
static bool await(lcf_reloader *r, const struct timespec *next_look)
{
    int waited = 0;

    while (!r->stop && !r->retired && r->asked == r->answered && waited != ETIMEDOUT)
        waited = r->options.watch_s > 0.0 ? pthread_cond_timedwait(&r->called, &r->mutex, next_look)
                                          : pthread_cond_wait(&r->called, &r->mutex);
    return waited == ETIMEDOUT || r->asked != r->answered;
}

static struct timespec later(double seconds)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    seconds += (double)t.tv_nsec / 1e9;
    t.tv_sec += (time_t)seconds;
    t.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9);
    return t;
}

static void *run(void *arg)
{
    lcf_reloader *r = arg;
    struct timespec next_look = later(r->options.watch_s);

    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE); /* ranking comes first */
    pthread_mutex_lock(&r->mutex);
    while (!r->stop) {
        if (await(r, &next_look)) {
            const uint64_t ticket = r->asked;
            const bool force = r->force;
            bool changed;

            r->force = false;
            pthread_mutex_unlock(&r->mutex);
            changed = look(r, force);
            next_look = later(r->options.watch_s);
            pthread_mutex_lock(&r->mutex);
            r->answered = ticket;
            r->changed = changed;
            pthread_cond_broadcast(&r->looked);
        }
        close_retired(r);
    }
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

uint64_t lcf_reloader_ask(lcf_reloader *r, bool force)
{
    uint64_t ticket;

    pthread_mutex_lock(&r->mutex);
    ticket = ++r->asked;
    r->force |= force;
    pthread_cond_signal(&r->called);
    pthread_mutex_unlock(&r->mutex);
    return ticket;
}

bool lcf_reloader_looked(bool *changed, lcf_reloader *r, uint64_t ticket)
{
    bool looked;

    pthread_mutex_lock(&r->mutex);
    looked = r->answered >= ticket;
    *changed = looked && r->changed;
    pthread_mutex_unlock(&r->mutex);
    return looked;
}

bool lcf_reloader_wait(lcf_reloader *r, uint64_t ticket)
{
    bool changed;

    pthread_mutex_lock(&r->mutex);
    while (r->answered < ticket)
        pthread_cond_wait(&r->looked, &r->mutex);
    changed = r->changed;
    pthread_mutex_unlock(&r->mutex);
    return changed;
}

static lcf_status check_generation(const char *root, const char *name, lcf_err *err)
{
    char *folder = lcf_path_join(root, name), *found = NULL;
    lcf_status status = folder ? lcf_snapshot_resolve(&found, folder, err)
                               : LCF_FAIL(err, LCF_ENOMEM, "path of a snapshot");

    if (status == LCF_ENOENT)
        status = LCF_FAIL(err, LCF_ENOTFOUND, "there is no generation \"%s\"", name);
    free(folder);
    free(found);
    return status;
}

lcf_status lcf_reloader_pin(lcf_reloader *r, const char *generation, lcf_err *err)
{
    char *manifest = lcf_path_join(r->path, "manifest.json");
    const bool is_root = manifest && !lcf_path_exists(manifest);
    lcf_status status = LCF_OK;

    free(manifest);
    if (!manifest)
        return LCF_FAIL(err, LCF_ENOMEM, "path of a snapshot");
    if (!is_root)
        return LCF_FAIL(err, LCF_EINVAL,
                        "this server was given one generation and no root of snapshots");
    if (generation && (!*generation || *generation == '.' || strchr(generation, '/') ||
                       strlen(generation) >= sizeof(r->state.pinned)))
        return LCF_FAIL(err, LCF_EINVAL, "a generation is the name of a folder under the root");
    if (generation)
        status = check_generation(r->path, generation, err);
    if (status)
        return status;
    pthread_mutex_lock(&r->mutex);
    snprintf(r->state.pinned, sizeof(r->state.pinned), "%s", generation ? generation : "");
    pthread_mutex_unlock(&r->mutex);
    return LCF_OK;
}

void lcf_reloader_state(lcf_reload_state *out, lcf_reloader *r)
{
    pthread_mutex_lock(&r->mutex);
    *out = r->state;
    pthread_mutex_unlock(&r->mutex);
}

/* ---- life ---- */

static void init_locks(lcf_reloader *r)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->called, &monotonic);
    pthread_cond_init(&r->looked, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

lcf_status lcf_reloader_create(lcf_reloader **out, const lcf_reload_options *options, lcf_err *err)
{
    lcf_reloader *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_generation *first = NULL;
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "reloader");
    init_locks(r);
    r->options = *options;
    r->path = lcf_strdup(options->path);
    if (!r->path)
        status = LCF_FAIL(err, LCF_ENOMEM, "reloader");
    if (!status)
        status = lcf_snapshot_resolve(&r->folder, r->path, err);
    if (!status)
        status = generation_open(&first, r, r->folder, err);
    r->current = first;
    if (!status && (errno = pthread_create(&r->thread, NULL, run, r)))
        status = LCF_FAIL_ERRNO(err, "cannot start the reloading thread");
    if (!status) {
        r->started = true;
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
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_signal(&r->called);
    pthread_mutex_unlock(&r->mutex);
    if (r->started)
        pthread_join(r->thread, NULL);
    while (r->retired) {
        lcf_generation *g = r->retired;

        r->retired = g->next;
        generation_close(g);
    }
    generation_close(r->current);
    pthread_mutex_destroy(&r->mutex);
    pthread_cond_destroy(&r->called);
    pthread_cond_destroy(&r->looked);
    free(r->path);
    free(r->folder);
    free(r->refused);
    free(r);
}
