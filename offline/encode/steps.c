/* What the steps share. */
#include "offline/encode/steps.h"

#include "common/base/json.h"
#include "common/base/manifest.h"

lcf_status lcf_step_stats(json_t **out, const char *dir, lcf_err *err)
{
    char id[65];
    json_t *manifest;
    lcf_status status = lcf_manifest_read(id, &manifest, dir, err);

    *out = NULL;
    if (status)
        return status;
    *out = json_deep_copy(json_object_get(json_object_get(manifest, "stats"), "counts"));
    json_decref(manifest);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_EFORMAT, "%s: no counts in its manifest", dir);
}
