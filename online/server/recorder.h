/*
 * A few of the latest ranking requests as they came, to warm a new snapshot with. Workers keep one
 * now and then, the reloader ranks them all. Any thread; a worker never waits.
 */
#ifndef LCF_ONLINE_SERVER_RECORDER_H
#define LCF_ONLINE_SERVER_RECORDER_H

#include "common/base/str.h"
#include "online/rank/llmcf.h"

#define LCF_RECORDED_N 16
#define LCF_RECORDED_EVERY 64 /* once there are so many: one request in ... */

typedef struct lcf_recorder lcf_recorder;

lcf_status lcf_recorder_create(lcf_recorder **out, lcf_err *err);
void lcf_recorder_free(lcf_recorder *r); /* NULL is fine */
/* Keeps the body of a request that was answered, or not. */
void lcf_recorder_keep(lcf_recorder *r, const char *body, size_t n, bool binary);
/*
 * Ranks them with `c`, whatever comes of it, and once the largest request there may be, of unknown
 * items: from then on the context has all the memory that it takes.
 */
void lcf_recorder_replay(lcf_recorder *r, lcf_rank_context *c);

#endif
