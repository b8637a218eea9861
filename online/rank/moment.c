/* Fields of the context and of the user, filled by a request. */
#include "online/rank/moment.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

lcf_status lcf_moment_init(lcf_moment *m, const lcf_snapshot *data)
{
    const lcf_fields *from = &data->fields;

    *m = (lcf_moment){.data = data};
    if (!data->has_fields)
        return LCF_OK;
    m->fields = lcf_alloc(1, sizeof(*m->fields));
    m->offsets = lcf_alloc_zero(from->n + 1, sizeof(*m->offsets));
    m->ids = lcf_alloc_zero((from->n + 1) * LCF_FIELD_VALUES_MAX, sizeof(*m->ids));
    if (!m->fields || !m->offsets || !m->ids)
        return LCF_ENOMEM;
    *m->fields = *from;
    for (size_t i = 0; i < from->n; i++) {
        lcf_field *f = &m->fields->list[i];

        if (f->owner != LCF_FIELD_CONTEXT)
            continue;
        f->entities_n = 1;
        f->offsets = m->offsets[i];
        f->ids = m->ids + i * LCF_FIELD_VALUES_MAX;
    }
    return LCF_OK;
}

void lcf_moment_dispose(lcf_moment *m)
{
    free(m->fields);
    free(m->offsets);
    free(m->ids);
}

/* Nothing is said any more. */
static void reset(lcf_moment *m)
{
    for (size_t i = 0; m->fields && i < m->fields->n; i++) {
        m->offsets[i][1] = 0;
        m->fields->list[i].given = NULL;
    }
}

static lcf_status set(lcf_moment *m, lcf_field_owner owner, const lcf_rank_value *value,
                      lcf_err *err)
{
    const lcf_field_names names = {&m->data->users.user_id, &m->data->catalogue};
    const lcf_field *f = m->fields ? lcf_fields_find(m->fields, owner, value->name) : NULL;
    const lcf_str text = {value->value, strlen(value->value)};
    bool bad = false;
    uint32_t *ids;
    size_t i, n;

    if (!f)
        return LCF_FAIL(err, LCF_EINVAL, "this snapshot has no field \"%.64s\" of the %s",
                        value->name, LCF_FIELD_OWNER_NAMES[owner]);
    if (f->kind == LCF_FIELD_VECTOR)
        return LCF_FAIL(err, LCF_EINVAL, "the field \"%s\" holds vectors, which are not told",
                        f->name);
    i = (size_t)(f - m->fields->list);
    ids = m->ids + i * LCF_FIELD_VALUES_MAX;
    n = lcf_field_encode(ids, &bad, m->fields, f, &names, text);
    if (bad)
        return LCF_FAIL(err, LCF_EINVAL, "the field \"%s\" takes a number, not \"%.64s\"", f->name,
                        value->value);
    if (owner == LCF_FIELD_CONTEXT) {
        m->offsets[i][1] = n;
    } else {
        m->fields->list[i].given = ids;
        m->fields->list[i].given_n = n;
    }
    return LCF_OK;
}

lcf_status lcf_moment_take(lcf_moment *m, const lcf_rank_request *request, lcf_err *err)
{
    lcf_status status = LCF_OK;

    reset(m);
    for (size_t i = 0; i < request->context_n && !status; i++)
        status = set(m, LCF_FIELD_CONTEXT, &request->context[i], err);
    for (size_t i = 0; i < request->user_features_n && !status; i++)
        status = set(m, LCF_FIELD_USER, &request->user_features[i], err);
    return status;
}
