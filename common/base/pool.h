/*
 * Thread pool: runs n independent tasks on a fixed number of threads; tasks are taken dynamically,
 * one at a time.
 *
 * Results must not depend on which thread runs a task: a task writes only what belongs to its
 * index. Every worker flushes denormals to zero (Adam's moments of rarely touched rows decay into
 * them).
 */
#ifndef LCF_COMMON_BASE_POOL_H
#define LCF_COMMON_BASE_POOL_H

#include "common/base/status.h"

#include <stddef.h>

/* The processors that this process may use; at least 1. */
size_t lcf_processors(void);

typedef struct lcf_pool lcf_pool;

/* A task; `worker` is in [0, threads) and names per-thread scratch. A negative status stops further
 * tasks. */
typedef lcf_status (*lcf_task)(void *arg, size_t task, size_t worker, lcf_err *err);

/* threads = 0 takes the number of processors this process may use. threads = 1 runs in the caller.
 */
lcf_status lcf_pool_create(lcf_pool **out, size_t threads, lcf_err *err);
void lcf_pool_free(lcf_pool *pool);
size_t lcf_pool_threads(const lcf_pool *pool);
/* Returns when all tasks are done: OK or the failure of the lowest-numbered failed task. Not
 * reentrant. */
lcf_status lcf_pool_run(lcf_pool *pool, size_t tasks_n, lcf_task task, void *arg, lcf_err *err);

/* Flush-to-zero and denormals-are-zero for the calling thread (x86; nothing elsewhere). */
void lcf_flush_denormals(void);

#endif
