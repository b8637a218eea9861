/* Counts in manifests: see counts.h. */
#include "offline/data/counts.h"

lcf_status lcf_counts_keep(lcf_manifest *m, json_t *stats, lcf_err *err)
{
    const char *key;
    json_t *value;
    lcf_status status = stats ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "statistics of a step");

    json_object_foreach(stats, key, value)
    {
        if (!status)
            status = lcf_manifest_stat(m, key, json_incref(value), err);
    }
    return status;
}

lcf_status lcf_counts_read(json_t **stats, const char *dir, lcf_err *err)
{
    char id[65];
    json_t *manifest = NULL;
    lcf_status status = lcf_manifest_read(id, &manifest, dir, err);

    if (!status)
        *stats = json_incref(json_object_get(manifest, "stats"));
    json_decref(manifest);
    return status;
}
