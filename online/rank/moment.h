/*
 * What a request says of the moment and of its user: the snapshot's fields, those of the context
 * with one entry each, which the request fills, and those of the user with what the request says in
 * place of the snapshot's. Private to online.
 *
 * Life cycle: init -> take ... -> dispose. One thread.
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
/*
 * All that a request says. An empty text says that there is no value.
 *
 * errors   EINVAL the snapshot has no such field (named), it holds vectors, or it takes a number
 *          and was told none
 */
lcf_status lcf_moment_take(lcf_moment *m, const lcf_rank_request *request, lcf_err *err);

#endif
