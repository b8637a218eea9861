/* The three bundles of a dataset, written from its arrays: see dataset_write.h. */
#include "offline/data/dataset_write.h"

#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/data/fields.h"

#include <stdlib.h>

static lcf_status add_items(lcf_bundle_writer *w, const lcf_catalogue *c, lcf_err *err)
{
    lcf_status status;

    status = lcf_strings_add_to(w, "item_id", &c->item_id, err);
    if (!status)
        status = lcf_strings_add_to(w, "title", &c->title, err);
    if (!status)
        status = lcf_strings_add_to(w, "brand", &c->brand, err);
    if (!status)
        status = lcf_strings_add_to(w, "category", &c->category, err);
    if (!status)
        status = lcf_strings_add_to(w, "text", &c->text, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "item_brand", LCF_U32, c->items_n, c->item_brand, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "category_offsets", LCF_U64, (uint64_t)c->items_n + 1,
                                   c->category_offsets, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "item_categories", LCF_U32, c->category_offsets[c->items_n],
                                   c->item_categories, err);
    return status;
}

lcf_status lcf_catalogue_save(const char *path, const lcf_catalogue *c, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, "items", LCF_ITEMS_VERSION, err);

    return status ? status : lcf_bundle_finish(w, add_items(w, c, err), err);
}

static lcf_status save_users(const char *path, const lcf_dataset *d, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, "users", LCF_USERS_VERSION, err);

    return status ? status
                  : lcf_bundle_finish(w, lcf_strings_add_to(w, "user_id", &d->user_id, err), err);
}

static lcf_status add_samples(lcf_bundle_writer *w, const lcf_dataset *d, lcf_err *err)
{
    uint64_t split_begin[4];
    size_t n = d->samples_n;
    lcf_status status;

    for (int i = 0; i < 4; i++)
        split_begin[i] = d->split_begin[i];
    status = lcf_bundle_add_1d(w, "user_offsets", LCF_U64, (uint64_t)d->users_n + 1,
                               d->user_offsets, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "event_item", LCF_U32, d->events_n, d->event_item, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "event_time", LCF_I64, d->events_n, d->event_time, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "event_rating", LCF_F32, d->events_n, d->event_rating, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "split_begin", LCF_U64, 4, split_begin, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sample_user", LCF_U32, n, d->sample_user, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sample_item", LCF_U32, n, d->sample_item, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sample_label", LCF_U8, n, d->sample_label, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sample_time", LCF_I64, n, d->sample_time, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "sample_history_end", LCF_U64, n, d->sample_history_end, err);
    return status;
}

static lcf_status save_samples(const char *path, const lcf_dataset *d, lcf_err *err)
{
    lcf_bundle_writer *w = NULL;
    lcf_status status = lcf_bundle_create(&w, path, "samples", LCF_SAMPLES_VERSION, err);

    return status ? status : lcf_bundle_finish(w, add_samples(w, d, err), err);
}

static lcf_status save_items(const char *path, const lcf_dataset *d, lcf_err *err)
{
    return lcf_catalogue_save(path, &d->catalogue, err);
}

static lcf_status save_fields(const char *path, const lcf_dataset *d, lcf_err *err)
{
    return d->fields ? lcf_fields_save(path, d->fields, err) : LCF_OK;
}

lcf_status lcf_dataset_save(const char *dir, const lcf_dataset *d, lcf_err *err)
{
    static const struct {
        const char *name;
        lcf_status (*save)(const char *path, const lcf_dataset *d, lcf_err *err);
    } parts[] = {{"items.lcf", save_items},
                 {"users.lcf", save_users},
                 {"samples.lcf", save_samples},
                 {"fields.lcf", save_fields}};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !status; i++) {
        char *path = lcf_path_join(dir, parts[i].name);

        if (!path)
            return LCF_FAIL(err, LCF_ENOMEM, "a path in %s", dir);
        status = parts[i].save(path, d, err);
        free(path);
    }
    return status;
}
