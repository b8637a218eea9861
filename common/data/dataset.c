/*
 * The dataset: three bundles opened together, every index checked against the others.
 *
 * Invariant: after a successful open no index in any array needs a further test, and every history
 * window lies inside the events of its sample's user.
 */
#include "common/data/dataset.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/check.h"
#include "common/data/fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIKED_RATING 4.0

const char *const LCF_SPLIT_NAMES[3] = {"train", "valid", "test"};

static lcf_status open_bundle(lcf_bundle **out, const char *dir, const char *name, const char *kind,
                              uint32_t version_max, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "a path in %s", dir);
    status = lcf_bundle_open(out, path, kind, version_max, err);
    free(path);
    return status;
}

static lcf_status open_catalogue(lcf_dataset *d, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "items.lcf");
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "a path in %s", dir);
    status = lcf_catalogue_open(&d->catalogue, path, err);
    free(path);
    return status;
}

static lcf_status read_users(lcf_dataset *d, lcf_err *err)
{
    lcf_status status = lcf_strings_get_from(&d->user_id, d->users_bundle, "user_id", true, err);

    if (status)
        return status;
    if (!d->user_id.n)
        return LCF_FAIL(err, LCF_EFORMAT, "user_id lacks its entry 0 (unknown)");
    d->users_n = (uint32_t)d->user_id.n;
    return LCF_OK;
}

/* A user's events are in time order: histories are windows of them. */
static lcf_status check_event_order(const lcf_dataset *d, lcf_err *err)
{
    for (uint32_t user = 0; user < d->users_n; user++)
        for (uint64_t i = d->user_offsets[user]; i + 1 < d->user_offsets[user + 1]; i++)
            if (d->event_time[i + 1] < d->event_time[i])
                return LCF_FAIL(err, LCF_EFORMAT,
                                "event_time[%" PRIu64 "] is earlier than the event before it",
                                i + 1);
    return LCF_OK;
}

static lcf_status read_events(lcf_dataset *d, lcf_err *err)
{
    const lcf_bundle *b = d->samples_bundle;
    const void *item, *time, *rating, *offsets;
    lcf_status status;

    status = lcf_check_array(&item, &d->events_n, b, "event_item", LCF_U32, SIZE_MAX, err);
    if (!status)
        status = lcf_check_array(&time, NULL, b, "event_time", LCF_I64, d->events_n, err);
    if (!status)
        status = lcf_check_array(&rating, NULL, b, "event_rating", LCF_F32, d->events_n, err);
    if (!status)
        status = lcf_check_array(&offsets, NULL, b, "user_offsets", LCF_U64, (size_t)d->users_n + 1,
                                 err);
    if (!status)
        status = lcf_check_u32_below(item, d->events_n, d->catalogue.items_n, "event_item", err);
    if (!status)
        status = lcf_check_offsets(offsets, d->users_n, d->events_n, "user_offsets", err);
    if (status)
        return status;
    d->event_item = item;
    d->event_time = time;
    d->event_rating = rating;
    d->user_offsets = offsets;
    return check_event_order(d, err);
}

static lcf_status read_splits(lcf_dataset *d, lcf_err *err)
{
    const void *data;
    const uint64_t *begin;
    lcf_status status =
        lcf_check_array(&data, NULL, d->samples_bundle, "split_begin", LCF_U64, 4, err);

    if (status)
        return status;
    begin = data;
    status = lcf_check_offsets(begin, 3, d->samples_n, "split_begin", err);
    if (status)
        return status;
    for (int i = 0; i < 4; i++)
        d->split_begin[i] = (size_t)begin[i];
    return LCF_OK;
}

static lcf_status check_histories(const lcf_dataset *d, lcf_err *err)
{
    for (size_t i = 0; i < d->samples_n; i++) {
        uint64_t end = d->sample_history_end[i];
        uint32_t user = d->sample_user[i];

        if (end < d->user_offsets[user] || end > d->user_offsets[user + 1])
            return LCF_FAIL(
                err, LCF_EFORMAT,
                "sample_history_end[%zu] is %" PRIu64 ", outside the events of its user", i, end);
        if (end > d->user_offsets[user] && d->event_time[end - 1] > d->sample_time[i])
            return LCF_FAIL(err, LCF_EFORMAT,
                            "sample_history_end[%zu] lets in an event later than the sample", i);
    }
    return LCF_OK;
}

static lcf_status check_sample_order(const lcf_dataset *d, lcf_err *err)
{
    for (int split = 0; split < 3; split++)
        for (size_t i = d->split_begin[split]; i + 1 < d->split_begin[split + 1]; i++)
            if (d->sample_time[i + 1] < d->sample_time[i])
                return LCF_FAIL(err, LCF_EFORMAT,
                                "sample_time[%zu] is earlier than the sample before it", i + 1);
    return LCF_OK;
}

static lcf_status get_samples(lcf_dataset *d, lcf_err *err)
{
    const lcf_bundle *b = d->samples_bundle;
    const void *user, *item, *label, *time, *end;
    lcf_status status;

    status = lcf_check_array(&user, &d->samples_n, b, "sample_user", LCF_U32, SIZE_MAX, err);
    if (!status)
        status = lcf_check_array(&item, NULL, b, "sample_item", LCF_U32, d->samples_n, err);
    if (!status)
        status = lcf_check_array(&label, NULL, b, "sample_label", LCF_U8, d->samples_n, err);
    if (!status)
        status = lcf_check_array(&time, NULL, b, "sample_time", LCF_I64, d->samples_n, err);
    if (!status)
        status = lcf_check_array(&end, NULL, b, "sample_history_end", LCF_U64, d->samples_n, err);
    if (status)
        return status;
    d->sample_user = user;
    d->sample_item = item;
    d->sample_label = label;
    d->sample_time = time;
    d->sample_history_end = end;
    return LCF_OK;
}

static lcf_status read_samples(lcf_dataset *d, lcf_err *err)
{
    lcf_status status = get_samples(d, err);

    if (!status)
        status = read_splits(d, err);
    if (!status)
        status = lcf_check_u32_below(d->sample_user, d->samples_n, d->users_n, "sample_user", err);
    if (!status)
        status = lcf_check_u32_below(d->sample_item, d->samples_n, d->catalogue.items_n,
                                     "sample_item", err);
    if (!status)
        status = lcf_check_labels(d->sample_label, d->samples_n, "sample_label", err);
    if (!status)
        status = check_sample_order(d, err);
    if (!status)
        status = check_histories(d, err);
    return status;
}

static lcf_status read_all(lcf_dataset *d, const char *dir, lcf_err *err)
{
    lcf_status status =
        open_bundle(&d->users_bundle, dir, "users.lcf", "users", LCF_USERS_VERSION, err);

    if (!status)
        status = open_bundle(&d->samples_bundle, dir, "samples.lcf", "samples", LCF_SAMPLES_VERSION,
                             err);
    if (status)
        return status;
    status = read_users(d, err);
    if (status) {
        lcf_err_prefix(err, "%s/users.lcf", dir);
        return status;
    }
    status = read_events(d, err);
    if (!status)
        status = read_samples(d, err);
    if (status)
        lcf_err_prefix(err, "%s/samples.lcf", dir);
    return status;
}

static lcf_status open_fields(lcf_dataset *d, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "fields.lcf");
    lcf_fields *fields = NULL;
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (lcf_path_exists(path)) {
        fields = lcf_alloc_zero(1, sizeof(*fields));
        status = fields ? lcf_fields_open(fields, path, err)
                        : LCF_FAIL(err, LCF_ENOMEM, "fields of a dataset");
    }
    d->fields = fields;
    if (!status && fields) {
        status = lcf_fields_check(fields, d->users_n, &d->catalogue, d->samples_n, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    free(path);
    return status;
}

/* Who the dataset is, and from which rating on its items are liked: --like of `prepare`. */
static lcf_status read_manifest(lcf_dataset *d, const char *dir, lcf_err *err)
{
    json_t *manifest = NULL;
    lcf_status status = lcf_manifest_read(d->id, &manifest, dir, err);
    const json_t *identity = json_object_get(manifest, "identity");
    const json_t *like = json_object_get(json_object_get(identity, "parameters"), "like");

    d->like = json_is_number(like) ? json_number_value(like) : LIKED_RATING;
    json_decref(manifest);
    return status;
}

lcf_status lcf_dataset_open(lcf_dataset *out, const char *dir, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = read_manifest(out, dir, err);
    if (!status)
        status = open_catalogue(out, dir, err);
    if (!status)
        status = read_all(out, dir, err);
    if (!status)
        status = open_fields(out, dir, err);
    if (status)
        lcf_dataset_close(out);
    return status;
}

void lcf_dataset_close(lcf_dataset *d)
{
    lcf_catalogue_close(&d->catalogue);
    lcf_bundle_close(d->users_bundle);
    lcf_bundle_close(d->samples_bundle);
    if (d->fields)
        lcf_fields_close((lcf_fields *)(uintptr_t)d->fields);
    free((void *)(uintptr_t)d->fields);
    memset(d, 0, sizeof(*d));
}

static lcf_split split_of(const lcf_dataset *d, size_t idx)
{
    if (idx < d->split_begin[LCF_VALID])
        return LCF_TRAIN;
    return idx < d->split_begin[LCF_TEST] ? LCF_VALID : LCF_TEST;
}

uint8_t lcf_event_label(const lcf_dataset *d, size_t idx)
{
    const float rating = d->event_rating[idx];

    if (isnan(rating))
        return 0;
    return rating >= d->like ? 2 : 1;
}

bool lcf_dataset_user_drawn(const lcf_dataset *d, uint32_t user, double share)
{
    const lcf_str id = lcf_strings_get(&d->user_id, user);

    return share >= 1.0 || (double)lcf_hash64(id.data, id.len, 1) < share * 0x1p64;
}

size_t lcf_dataset_split_n(const lcf_dataset *d, lcf_split split)
{
    return d->split_begin[split + 1] - d->split_begin[split];
}

lcf_sample lcf_dataset_sample(const lcf_dataset *d, size_t idx)
{
    lcf_sample s;
    uint64_t begin, end;

    LCF_ASSERT(idx < d->samples_n);
    end = d->sample_history_end[idx];
    begin = d->user_offsets[d->sample_user[idx]];
    if (end - begin > LCF_HISTORY_MAX)
        begin = end - LCF_HISTORY_MAX;
    s.user = d->sample_user[idx];
    s.item = d->sample_item[idx];
    s.label = d->sample_label[idx];
    s.split = split_of(d, idx);
    s.time = d->sample_time[idx];
    s.history = d->event_item + begin;
    s.history_n = (uint32_t)(end - begin);
    return s;
}

/* Little-endian whatever the machine. */
static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_hash(uint8_t *at, lcf_str text)
{
    lcf_hash128 hash = lcf_hash128_of(text.data, text.len);

    memcpy(at, hash.bytes, sizeof(hash.bytes));
    return at + sizeof(hash.bytes);
}

/*
 * Ids enter as their own hashes, so that the record has a fixed layout and two lists of ids never
 * run into each other: user 16, item 16, label 8, time 8, history_n 8, then 16 each.
 */
lcf_hash128 lcf_dataset_sample_hash(const lcf_dataset *d, size_t idx)
{
    uint8_t record[16 + 16 + 8 + 8 + 8 + 16 * LCF_HISTORY_MAX], *at = record;
    lcf_sample s = lcf_dataset_sample(d, idx);

    at = put_hash(at, lcf_strings_get(&d->user_id, s.user));
    at = put_hash(at, lcf_strings_get(&d->catalogue.item_id, s.item));
    at = put_u64(at, s.label);
    at = put_u64(at, (uint64_t)s.time);
    at = put_u64(at, s.history_n);
    for (uint32_t i = 0; i < s.history_n; i++)
        at = put_hash(at, lcf_strings_get(&d->catalogue.item_id, s.history[i]));
    return lcf_hash128_of(record, (size_t)(at - record));
}
