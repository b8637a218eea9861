/*
 * A worker: one thread with its ranking context and counters, which answers what the front put into
 * the queue. Private to online/server.
 */
#ifndef LCF_ONLINE_SERVER_WORKER_H
#define LCF_ONLINE_SERVER_WORKER_H

#include "online/server/shared.h"

typedef struct lcf_worker lcf_worker;

/* idx: which of the contexts of a generation is his. errors: ENOMEM, EIO no thread can be had */
lcf_status lcf_worker_start(lcf_worker **out, lcf_shared *shared, size_t idx, lcf_err *err);
lcf_metrics *lcf_worker_metrics(lcf_worker *w);
/* For how long it has been answering the request that it has now; 0: none. Any thread. */
double lcf_worker_busy_s(const lcf_worker *w);
/* Waits until the queue is closed and empty; NULL is fine. */
void lcf_worker_join(lcf_worker *w);
void lcf_worker_free(lcf_worker *w); /* after join; NULL is fine */

#endif
