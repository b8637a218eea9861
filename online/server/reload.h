/*
 * The snapshot that answers, and how it is exchanged while requests run.
 *
 * One thread (the main one) opens new generations and puts them in place; workers take a reference,
 * rank, and give it back. A generation is closed by whoever gives back its last reference, so a
 * reload never waits for a request and a request never waits for a reload.
 */
#ifndef LCF_ONLINE_SERVER_RELOAD_H
#define LCF_ONLINE_SERVER_RELOAD_H

#include "common/base/status.h"
#include "online/rank/llmcf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lcf_generation {
    lcf_ranker_snapshot *snapshot;
    int64_t loaded_time; /* seconds since 1970 */
    _Atomic uint64_t references;
} lcf_generation;

typedef struct lcf_reloader lcf_reloader;

/* Opens the first generation. errors: as lcf_rank_open */
lcf_status lcf_reloader_create(lcf_reloader **out, const char *path, lcf_err *err);
/* After all references but the reloader's own were given back. */
void lcf_reloader_free(lcf_reloader *r);

/*
 * Opens what `path` now names when that is another folder than before (or always, with force) and
 * puts it in place; a snapshot that cannot be opened is logged once and the old one stays.
 *
 * returns  true when another generation is in place
 * threads  one thread only
 */
bool lcf_reloader_poll(lcf_reloader *r, bool force);
uint64_t lcf_reloader_reloads(const lcf_reloader *r);
uint64_t lcf_reloader_refused(const lcf_reloader *r);

/* A reference to the generation in place. Any thread. */
lcf_generation *lcf_reloader_acquire(lcf_reloader *r);
void lcf_generation_release(lcf_generation *g); /* NULL is fine */

#endif
