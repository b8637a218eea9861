/*
 * The front: one thread that holds all connections, reads requests, refuses what is malformed, too
 * much or not allowed, answers what takes no ranking, and sends what the workers answered. Private
 * to online/server.
 */
#ifndef LCF_ONLINE_SERVER_FRONT_H
#define LCF_ONLINE_SERVER_FRONT_H

#include "online/server/shared.h"

typedef struct lcf_front lcf_front;

/* A listening socket. It stays the caller's. */
typedef struct lcf_listener {
    int fd;
    bool inherited; /* from whoever started us, and listened to after us */
} lcf_listener;

#define LCF_LISTENERS_MAX 8

/* errors: ENOMEM, EIO */
lcf_status lcf_front_create(lcf_front **out, lcf_shared *shared, const lcf_listener *listeners,
                            size_t listeners_n, lcf_err *err);
lcf_metrics *lcf_front_metrics(lcf_front *f);
lcf_status lcf_front_start(lcf_front *f, lcf_err *err);
/* After shared->draining was set and the front was woken: until everything is answered. */
void lcf_front_join(lcf_front *f);
void lcf_front_free(lcf_front *f); /* after join; NULL is fine */

#endif
