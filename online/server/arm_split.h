/*
 * A split of users between arms: who asks for no arm gets one by a hash of the user's id, so that a
 * user stays with an arm for as long as the shares stay. Private to online/server.
 */
#ifndef LCF_ONLINE_SERVER_ARM_SPLIT_H
#define LCF_ONLINE_SERVER_ARM_SPLIT_H

#include "common/base/status.h"
#include "online/rank/llmcf.h"

#include <stdbool.h>
#include <stddef.h>

#define LCF_ARM_SPLIT_MAX 8

typedef struct lcf_arm_split {
    size_t n; /* 0: there is none */
    char names[LCF_ARM_SPLIT_MAX][64];
    double until[LCF_ARM_SPLIT_MAX]; /* of [0, 1): the end of each arm's part */
} lcf_arm_split;

/*
 * "NAME=SHARE,NAME=SHARE": shares are positive and relative to their sum.
 *
 * errors   EINVAL  not of that form, a name twice, more than LCF_ARM_SPLIT_MAX
 */
lcf_status lcf_arm_split_parse(lcf_arm_split *out, const char *text, lcf_err *err);
/*
 * The arm of a user (NULL or "": somebody unknown, always the same one) and with which probability
 * a user is answered by it. *arm is NULL where there is no split (the probability is 1 then), and
 * where the snapshot lacks that arm: its default answers, whose probability is that of its own
 * users and of those of all arms that are lacking.
 *
 * returns  false where the snapshot lacks it
 */
bool lcf_arm_split_of(const char **arm, double *propensity, const lcf_arm_split *s,
                      const char *user_id, const lcf_ranker_snapshot *snapshot);
/* Logs a warning for every arm of the split that the snapshot lacks. */
void lcf_arm_split_check(const lcf_arm_split *s, const lcf_ranker_snapshot *snapshot);

#endif
