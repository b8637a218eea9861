/*
 * What a request knows of the moment: the snapshot's fields, those of the context with one entry
 * each, which the request fills. Private to online.
 *
 * Life cycle: init -> reset, set ... -> dispose. One thread.
 */
#ifndef LCF_ONLINE_RANK_MOMENT_H
#define LCF_ONLINE_RANK_MOMENT_H

#include "common/snapshot/snapshot.h"
#include "online/rank/llmcf.h"

typedef struct lcf_moment {
    const lcf_snapshot *data;
    lcf_fields *fields;     /* NULL where the snapshot has none */
    uint64_t (*offsets)[2]; /* [fields] */
    uint32_t *ids;          /* [fields, LCF_FIELD_VALUES_MAX] */
} lcf_moment;

/* errors: ENOMEM, *m is to be disposed of then, too */
lcf_status lcf_moment_init(lcf_moment *m, const lcf_snapshot *data);
void lcf_moment_dispose(lcf_moment *m);
/* No field of the context has a value any more. */
void lcf_moment_reset(lcf_moment *m);
/* errors: EINVAL the snapshot has no such field of the context, or the value is no number (named)
 */
lcf_status lcf_moment_set(lcf_moment *m, const lcf_rank_value *value, lcf_err *err);

#endif
