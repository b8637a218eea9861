/*
 * The snapshot that answers, and how it is exchanged while requests run.
 *
 * One thread of low priority looks for another generation, opens and verifies it, makes a ranking
 * context for every worker, touches every page, ranks recorded requests with it, and only then puts
 * it in place; it also closes the old one, once the last reference was given back. So a worker only
 * ever exchanges a pointer: no request waits for a reload, and no reload waits for a request.
 *
 * Life cycle: create (opens the first generation, starts the thread) -> acquire, release ... ->
 * free. Everything may be called by any thread.
 */
#ifndef LCF_ONLINE_SERVER_RELOAD_H
#define LCF_ONLINE_SERVER_RELOAD_H

#include "common/base/status.h"
#include "online/rank/llmcf.h"
#include "online/server/recorder.h"

#include <stdbool.h>
#include <stdint.h>

#define LCF_REFUSALS_N 7
extern const char *const LCF_REFUSALS[LCF_REFUSALS_N]; /* reasons, the last for all others */

typedef struct lcf_reloader lcf_reloader;

typedef struct lcf_generation {
    lcf_ranker_snapshot *snapshot;
    lcf_rank_context **contexts; /* [contexts_n], warm; each for one thread */
    size_t contexts_n;
    int64_t loaded_time; /* seconds since 1970 */
    lcf_reloader *owner; /* guards what follows */
    uint64_t references;
    struct lcf_generation *next; /* to be closed */
} lcf_generation;

typedef struct lcf_reload_options {
    const char *path; /* a root, whose `current` is followed, or a generation */
    size_t contexts_n;
    double watch_s;         /* how often `path` is looked at; 0: only when asked */
    lcf_recorder *recorder; /* requests to warm with */
    /* Another generation is in place; by the reloader's thread. */
    void (*changed)(void *arg, const lcf_ranker_snapshot *snapshot);
    void *arg;
} lcf_reload_options;

/* errors: as lcf_rank_open */
lcf_status lcf_reloader_create(lcf_reloader **out, const lcf_reload_options *options, lcf_err *err);
/* After all references but the reloader's own were given back; NULL is fine. */
void lcf_reloader_free(lcf_reloader *r);

/*
 * Asks for a look: a folder that is another than before is opened, with force any. A snapshot that
 * cannot be put in place is logged and counted, and not tried again until it is asked for with
 * force or `path` names another; the one in place stays.
 *
 * returns  a ticket for lcf_reloader_wait
 */
uint64_t lcf_reloader_ask(lcf_reloader *r, bool force);
/* Whether that look is over, and whether it has put another generation in place. */
bool lcf_reloader_looked(bool *changed, lcf_reloader *r, uint64_t ticket);
/* Waits for it: true when it has put another generation in place. */
bool lcf_reloader_wait(lcf_reloader *r, uint64_t ticket);
/*
 * Follows the generation of that name under the root from the next look on, or `current` again
 * (NULL).
 *
 * errors   EINVAL the name is none, or the server was given a generation and no root; ENOTFOUND;
 * ENOMEM
 */
lcf_status lcf_reloader_pin(lcf_reloader *r, const char *generation, lcf_err *err);

typedef struct lcf_reload_counts {
    uint64_t done_n;
    uint64_t refused_n[LCF_REFUSALS_N];
} lcf_reload_counts;

typedef struct lcf_reload_state {
    lcf_reload_counts counts;
    char pinned[128];               /* "" while `current` is followed */
    char refused[LCF_ERR_TEXT_MAX]; /* why the snapshot that should answer does not; or "" */
} lcf_reload_state;

void lcf_reloader_state(lcf_reload_state *out, lcf_reloader *r);

/* A reference to the generation in place. */
lcf_generation *lcf_reloader_acquire(lcf_reloader *r);
void lcf_generation_release(lcf_generation *g); /* NULL is fine */
/*
 * `held` while it is the one in place, or a reference to what is, with `held` (which may be NULL)
 * given back. Takes a lock only where it has changed: no request waits for a thread of lower
 * priority that was stopped while it held one.
 */
lcf_generation *lcf_reloader_renew(lcf_reloader *r, lcf_generation *held);

#endif
