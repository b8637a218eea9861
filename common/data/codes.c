/* Codes as a bundle. */
#include "common/data/codes.h"

#include "common/base/file.h"
#include "common/base/manifest.h"

#include <stdlib.h>
#include <string.h>

#define KIND "codes"

static lcf_status read_arrays(lcf_codes *c, size_t users_n, size_t items_n, lcf_err *err)
{
    uint64_t users[2] = {users_n, 0}, items[2] = {items_n, 0};
    const void *data;
    lcf_status status = lcf_bundle_get(&data, c->bundle, "users", LCF_U8, users, 2, err);

    c->users = data;
    if (!status && !users[1])
        status = LCF_FAIL(err, LCF_EFORMAT, "codes of no bits");
    items[1] = users[1];
    if (!status)
        status = lcf_bundle_get(&data, c->bundle, "items", LCF_U8, items, 2, err);
    c->items = data;
    c->bytes = (size_t)users[1];
    c->users_n = users_n;
    c->items_n = items_n;
    return status;
}

lcf_status lcf_codes_open(lcf_codes *out, const char *path, size_t users_n, size_t items_n,
                          lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, KIND, LCF_CODES_VERSION, err);
    if (status)
        return status;
    status = read_arrays(out, users_n, items_n, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_codes_close(out);
    }
    return status;
}

lcf_status lcf_codes_open_dir(lcf_codes *out, const char *dir, const lcf_dataset *d, lcf_err *err)
{
    char *path = lcf_path_join(dir, "codes.lcf");
    lcf_status status =
        path ? lcf_manifest_made_of(dir, "dataset", d->id, err) : LCF_FAIL(err, LCF_ENOMEM, "path");

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_codes_open(out, path, d->users_n, d->catalogue.items_n, err);
    if (status == LCF_EFORMAT || status == LCF_EINVAL)
        lcf_err_prefix(err, "codes must be of this dataset's users and items");
    free(path);
    return status;
}

void lcf_codes_close(lcf_codes *codes)
{
    lcf_bundle_close(codes->bundle);
    memset(codes, 0, sizeof(*codes));
}

lcf_status lcf_codes_save(const char *path, const lcf_codes *codes, lcf_err *err)
{
    const uint64_t users[2] = {codes->users_n, codes->bytes};
    const uint64_t items[2] = {codes->items_n, codes->bytes};
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, KIND, LCF_CODES_VERSION, err);

    if (!status)
        status = lcf_bundle_add(w, "users", LCF_U8, users, 2, codes->users, err);
    if (!status)
        status = lcf_bundle_add(w, "items", LCF_U8, items, 2, codes->items, err);
    return lcf_bundle_finish(w, status, err);
}
