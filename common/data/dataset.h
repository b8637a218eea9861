/*
 * Dataset: catalogue, users, and samples with time-safe histories, as `llmcf prepare` writes them.
 *
 * A dataset is a folder with three bundles. Everything is a view into their maps: read only, valid
 * until close, shared between threads. Index 0 of users, items, brands and categories means
 * "unknown" and is also the padding; what came from the data starts at 1.
 *
 *   items.lcf     lcf_catalogue   what is known about items (the snapshot carries the same file)
 *   users.lcf     user ids
 *   samples.lcf   events (the histories) and samples
 *   fields.lcf    what else is known, where the data has more (common/data/fields.h)
 *
 * Invariant: a sample's history holds only events strictly before it in its user's order, oldest
 * first, at most LCF_HISTORY_MAX, and never the sample's own event.
 *
 * source   schemas/dataset.md, schemas/items.md
 */
#ifndef LCF_COMMON_DATA_DATASET_H
#define LCF_COMMON_DATA_DATASET_H

#include "common/base/bundle.h"
#include "common/base/hash.h"
#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_HISTORY_MAX 20
#define LCF_ITEMS_VERSION 1   /* of items.lcf, kind "items" */
#define LCF_USERS_VERSION 1   /* of users.lcf, kind "users" */
#define LCF_SAMPLES_VERSION 1 /* of samples.lcf, kind "samples" */

/* n strings in one block: string i is chars[offsets[i] .. offsets[i+1]). */
typedef struct lcf_strings {
    size_t n;
    const uint64_t *offsets; /* [n + 1] */
    const char *chars;
    const uint32_t *sorted; /* [n] indices in byte order, or NULL; lcf_strings_find needs it */
} lcf_strings;

lcf_str lcf_strings_get(const lcf_strings *s, size_t idx);
/* The index of that string, or 0 ("unknown") when there is none. O(log n). */
uint32_t lcf_strings_find(const lcf_strings *s, const char *text, size_t len);
/*
 * The table as arrays "<name>.offsets", "<name>.chars" and, with `sorted`, "<name>.sorted" of a
 * bundle.
 *
 * errors   get: EFORMAT missing, or an offset or index out of range, or `sorted` out of order; add:
 * EIO, ENOSPC
 * memory   get: views into the bundle, valid until it is closed
 */
lcf_status lcf_strings_get_from(lcf_strings *out, const lcf_bundle *bundle, const char *name,
                                bool sorted, lcf_err *err);
lcf_status lcf_strings_add_to(lcf_bundle_writer *w, const char *name, const lcf_strings *s,
                              lcf_err *err);

typedef struct lcf_catalogue {
    lcf_bundle *bundle;
    uint32_t items_n, brands_n, categories_n; /* each with the unknown at 0 */
    lcf_strings item_id, title, brand, category;
    lcf_strings text;           /* free text beyond the title; empty strings where there is none */
    const uint32_t *item_brand; /* [items_n] */
    const uint64_t *category_offsets; /* [items_n + 1] into item_categories */
    const uint32_t *item_categories;
} lcf_catalogue;

/* items.lcf of a dataset. errors: as lcf_bundle_open; EFORMAT. memory: views into the file, valid
 * until close */
lcf_status lcf_catalogue_open(lcf_catalogue *out, const char *path, lcf_err *err);
void lcf_catalogue_close(lcf_catalogue *c);
/* Appends "title brand category category text": what encoders see of an item. */
void lcf_catalogue_item_text(lcf_buf *out, const lcf_catalogue *c, uint32_t item);
/* Appends one of these words, if it is not empty, to the text that begins at `begin` of out: for
 * items that are in no catalogue. */
void lcf_item_text_add(lcf_buf *out, size_t begin, lcf_str word);

typedef enum lcf_split { LCF_TRAIN = 0, LCF_VALID = 1, LCF_TEST = 2 } lcf_split;
extern const char *const LCF_SPLIT_NAMES[3]; /* "train", "valid", "test" */

typedef struct lcf_sample {
    uint32_t user, item;
    uint8_t label; /* 0 or 1 */
    lcf_split split;
    int64_t time;            /* seconds since 1970, of the decision */
    const uint32_t *history; /* [history_n] items, oldest first; into the dataset's map */
    uint32_t history_n;      /* <= LCF_HISTORY_MAX */
} lcf_sample;

typedef struct lcf_dataset {
    char id[65]; /* of the manifest */
    lcf_catalogue catalogue;
    lcf_bundle *users_bundle, *samples_bundle;
    uint32_t users_n; /* with the unknown at 0 */
    lcf_strings user_id;
    /* Events that may stand in histories, by user, oldest first. */
    const uint64_t *user_offsets; /* [users_n + 1] into event_* */
    const uint32_t *event_item;
    const int64_t *event_time;
    const float *event_rating; /* NaN where there is none */
    double like;               /* what counts as liked: a rating of at least this (4) */
    size_t events_n;
    /* Samples, ordered by split, then time, then user, then position in the log, then label (1
     * first). */
    size_t samples_n;
    size_t split_begin[4]; /* samples of split s: [split_begin[s], split_begin[s + 1]) */
    const uint32_t *sample_user, *sample_item;
    const uint8_t *sample_label;
    const int64_t *sample_time;
    const struct lcf_fields *fields;    /* NULL where there are none; opened with the dataset */
    const uint64_t *sample_history_end; /* history = event_item[max(user begin, end - 20) .. end) */
} lcf_dataset;

/* errors: ENOENT, EFORMAT, ECHECKSUM as lcf_bundle_open; EFORMAT an index out of range (array and
 * position named) */
lcf_status lcf_dataset_open(lcf_dataset *out, const char *dir, lcf_err *err);
void lcf_dataset_close(lcf_dataset *d);
/* What event idx < events_n says of its item, by its rating: 0 nothing (no rating), 1 not liked, 2
 * liked (d->like or more). */
#define LCF_EVENT_LABELS_N 3
uint8_t lcf_event_label(const lcf_dataset *d, size_t idx);
/* Whether a user is among a share of all, drawn by their ids: the same ones wherever it is asked.
 */
bool lcf_dataset_user_drawn(const lcf_dataset *d, uint32_t user, double share);
/* Samples of a split. */
size_t lcf_dataset_split_n(const lcf_dataset *d, lcf_split split);
lcf_sample lcf_dataset_sample(const lcf_dataset *d, size_t idx);
/*
 * Content hash of a sample: external user and item ids, label, time, external ids of the history.
 * It does not change when other rows are added.
 */
lcf_hash128 lcf_dataset_sample_hash(const lcf_dataset *d, size_t idx);

#endif
