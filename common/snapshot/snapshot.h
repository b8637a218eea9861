/*
 * Snapshot: everything the online ranker needs, immutable, checksummed, in one folder per
 * generation.
 *
 *   <root>/<generation>/manifest.json  items.lcf  users.lcf  item_vectors.lcf  examples/  cot/
 * arms/<name>.lcf <root>/current -> <generation>      moved atomically by publish
 *
 * Opening verifies the manifest (sizes and checksums of all files) before anything is used.
 *
 * source   schemas/snapshot.md
 */
#ifndef LCF_COMMON_SNAPSHOT_SNAPSHOT_H
#define LCF_COMMON_SNAPSHOT_SNAPSHOT_H

#include "common/base/status.h"
#include "common/data/dataset.h"
#include "common/data/embeddings.h"
#include "common/model/ranker.h"
#include "common/store/cot_store.h"
#include "common/store/examples.h"

#define LCF_ARMS_MAX 8

/* users.lcf of a snapshot: ids and, per user, the most recent history. */
typedef struct lcf_user_histories {
    lcf_bundle *bundle;
    uint32_t users_n;
    lcf_strings user_id;
    const uint32_t *history;   /* [users_n, LCF_HISTORY_MAX], oldest first, 0-padded at the end */
    const uint32_t *history_n; /* [users_n] */
} lcf_user_histories;

typedef struct lcf_snapshot {
    char generation[128];
    char id[65];
    lcf_catalogue catalogue;
    lcf_user_histories users;
    lcf_embeddings item_vectors;
    bool has_examples; /* false: published without them, or left out because they could not be
                          opened */
    lcf_examples examples;
    lcf_cot_store *cots; /* NULL without examples */
    size_t arms_n;
    struct {
        char name[32];
        lcf_ranker *ranker;
    } arms[LCF_ARMS_MAX];
    size_t default_arm;
} lcf_snapshot;

/* path: a generation folder, or a root whose `current` is followed. errors: ENOENT, EFORMAT,
 * ECHECKSUM (file named) */
lcf_status lcf_snapshot_open(lcf_snapshot **out, const char *path, lcf_err *err);
void lcf_snapshot_close(lcf_snapshot *s);

typedef struct lcf_snapshot_arm {
    const char *name, *weights_path;
} lcf_snapshot_arm;

typedef struct lcf_publish_options {
    const char *dataset_dir, *vectors_dir, *examples_dir,
        *cot_dir; /* examples and cot may be NULL */
    const lcf_snapshot_arm *arms;
    size_t arms_n;
    const char *default_arm;
    const char *generation; /* name of the new folder, e.g. "20261122T020000Z" */
    size_t keep;            /* generations kept besides current; 0 keeps all */
} lcf_publish_options;

/* Writes, verifies, then moves `current`. A failure leaves `current` as it was. errors: EEXIST that
 * generation exists */
lcf_status lcf_snapshot_publish(const char *root, const lcf_publish_options *options, lcf_err *err);

#endif
