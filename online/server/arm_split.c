/* Users by arm. */
#include "online/server/arm_split.h"

#include "common/base/hash.h"
#include "common/base/progress.h"
#include "common/base/str.h"

#include <string.h>

#define SEED 0x61726d73 /* of the hash: no other use of user ids has it */

static lcf_status add_part(lcf_arm_split *s, const char *part, size_t len, lcf_err *err)
{
    const char *equals = memchr(part, '=', len);
    const size_t name_n = equals ? (size_t)(equals - part) : 0;
    double share;

    if (!name_n || name_n >= sizeof(s->names[0]) || s->n == LCF_ARM_SPLIT_MAX ||
        !lcf_parse_f64(equals + 1, len - name_n - 1, &share) || !(share > 0))
        return LCF_FAIL(err, LCF_EINVAL,
                        "cannot read '%.*s' of the arms; write up to %d of them as "
                        "llm-cf=90,backbone=10",
                        (int)len, part, LCF_ARM_SPLIT_MAX);
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->names[i]) == name_n && !memcmp(s->names[i], part, name_n))
            return LCF_FAIL(err, LCF_EINVAL, "the arm %s stands twice in the split", s->names[i]);
    memcpy(s->names[s->n], part, name_n);
    s->names[s->n][name_n] = '\0';
    s->until[s->n] = share + (s->n ? s->until[s->n - 1] : 0);
    s->n++;
    return LCF_OK;
}

lcf_status lcf_arm_split_parse(lcf_arm_split *out, const char *text, lcf_err *err)
{
    lcf_status status = LCF_OK;
    double sum;

    memset(out, 0, sizeof(*out));
    for (const char *part = text; part && !status;) {
        const size_t len = strcspn(part, ",");

        status = add_part(out, part, len, err);
        part = part[len] ? part + len + 1 : NULL;
    }
    sum = out->n ? out->until[out->n - 1] : 1.0;
    for (size_t i = 0; i < out->n; i++)
        out->until[i] /= sum;
    return status;
}

static bool has_arm(const lcf_rank_info *info, const char *name)
{
    for (size_t i = 0; i < info->arms_n; i++)
        if (!strcmp(info->arms[i], name))
            return true;
    return false;
}

/* Who answers the users of an arm. */
static const char *answering(const lcf_rank_info *info, const char *name)
{
    return has_arm(info, name) ? name : info->default_arm;
}

bool lcf_arm_split_of(const char **arm, double *propensity, const lcf_arm_split *s,
                      const char *user_id, const lcf_ranker_snapshot *snapshot)
{
    const char *id = user_id ? user_id : "";
    const double at = (double)(lcf_hash64(id, strlen(id), SEED) >> 11) * 0x1p-53;
    const char *answers;
    lcf_rank_info info;
    size_t own = 0;

    *arm = NULL;
    *propensity = 1.0;
    if (!s->n)
        return true;
    lcf_rank_info_of(&info, snapshot);
    while (own + 1 < s->n && at >= s->until[own])
        own++;
    answers = answering(&info, s->names[own]);
    *propensity = 0.0;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(answering(&info, s->names[i]), answers))
            *propensity += s->until[i] - (i ? s->until[i - 1] : 0.0);
    if (!has_arm(&info, s->names[own]))
        return false;
    *arm = s->names[own];
    return true;
}

void lcf_arm_split_check(const lcf_arm_split *s, const lcf_ranker_snapshot *snapshot)
{
    lcf_rank_info info;

    lcf_rank_info_of(&info, snapshot);
    for (size_t i = 0; i < s->n; i++)
        if (!has_arm(&info, s->names[i]))
            lcf_log(LCF_LOG_WARN,
                    "snapshot %s has no arm %s: its users get %s, and are told 'unknown_arm'",
                    info.generation, s->names[i], info.default_arm);
}
