/*
 * A team of threads for short phases: the caller and its helpers share out the tasks of one phase,
 * thousands of phases a second. For work of milliseconds and more, and for tasks that can fail, see
 * pool.h.
 *
 * Tasks are claimed one by one, so a thread that lost its processor to another process delays a
 * phase by the one task that it holds and the rest is done by the others; and whoever waits for it
 * gives it its own processor, so that it need not wait for its turn. A thread without work spins
 * for some microseconds, then sleeps: it leaves its processor to whoever else has work, its own
 * team included. Threads are moved among the processors that whoever made the team might use.
 *
 * Results must not depend on which thread runs a task. Every member flushes denormals to zero.
 */
#ifndef LCF_COMMON_BASE_TEAM_H
#define LCF_COMMON_BASE_TEAM_H

#include "common/base/status.h"

#include <stddef.h>

#define LCF_TEAM_TASKS_MAX 65535

typedef struct lcf_team lcf_team;

/* `member` is in [0, threads) and names per-thread scratch. */
typedef void (*lcf_team_task)(void *arg, size_t task, size_t member);

/* threads = 0 takes the number of processors that this process may use; 1 runs in the caller. */
lcf_status lcf_team_create(lcf_team **out, size_t threads, lcf_err *err);
void lcf_team_free(lcf_team *t);
size_t lcf_team_threads(const lcf_team *t);
/* Returns when all tasks_n <= LCF_TEAM_TASKS_MAX are done. threads: one caller at a time. */
void lcf_team_run(lcf_team *t, size_t tasks_n, lcf_team_task task, void *arg);

#endif
