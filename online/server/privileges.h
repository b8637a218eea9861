/* Becoming another user for good. Private to online/server. */
#ifndef LCF_ONLINE_SERVER_PRIVILEGES_H
#define LCF_ONLINE_SERVER_PRIVILEGES_H

#include "common/base/status.h"

#include <sys/types.h>

typedef struct lcf_user {
    uid_t uid;
    gid_t gid;
    char name[64];
} lcf_user;

/* errors: EINVAL there is no such user */
lcf_status lcf_user_find(lcf_user *out, const char *name, lcf_err *err);
/*
 * The process takes that user's ids and groups, and cannot go back. Nothing happens where it is
 * that user already.
 *
 * errors   EIO it may not
 * threads  before any other thread
 */
lcf_status lcf_user_become(const lcf_user *user, lcf_err *err);

#endif
