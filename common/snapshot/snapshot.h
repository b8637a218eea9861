/*
 * Snapshot: everything the online ranker needs, immutable, checksummed, in one folder per
 * generation.
 *
 *   <root>/<generation>/   manifest.json   sizes and SHA-256 of all that follows
 *                          snapshot.json   generation, arms, default arm, what is there
 *                          items.lcf  users.lcf  item_vectors.lcf
 *                          examples/  cot/   where published with examples
 *                          neighbours.lcf    where there are not too many of them
 *                          fields.lcf        where the data has fields of its own
 *                          text_encoder.lcf  where the item vectors came with a lexical encoder
 *                          arms/<name>.lcf
 *                          tokens/<name>.lcf  of arms that have constants of items and examples
 *   <root>/current -> <generation>         moved atomically by publish
 *   <root>/publish.lock                    held by the one who changes the root
 *   <root>/history.jsonl                   every move of `current`
 *
 * Life cycle: publish writes a generation; open -> read ... -> close. Opening verifies the manifest
 * (sizes and checksums of all files) before anything is used. A snapshot is read only, may be
 * shared between threads, and is not retired while it is open.
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
#include "common/store/neighbours.h"
#include "common/text/text_encoder.h"

#define LCF_ARMS_MAX 8
#define LCF_SNAPSHOT_FORMAT 1        /* of snapshot.json */
#define LCF_USER_HISTORIES_VERSION 3 /* of a snapshot's users.lcf, kind "user_histories" */
#define LCF_GENERATION_BYTES 128     /* with the NUL */
#define LCF_ARM_NAME_BYTES 32        /* with the NUL */

/* users.lcf of a snapshot: ids and, per user, the most recent history. */
typedef struct lcf_user_histories {
    lcf_bundle *bundle;
    uint32_t users_n;
    lcf_strings user_id;
    const uint32_t *history;   /* [users_n, LCF_HISTORY_MAX], oldest first, 0-padded at the end */
    const uint32_t *history_n; /* [users_n], each <= LCF_HISTORY_MAX */
    const uint8_t
        *history_label; /* [users_n, LCF_HISTORY_MAX] lcf_event_label; NULL in version 1 */
    const int64_t
        *history_time; /* [users_n, LCF_HISTORY_MAX] of the events; NULL before version 3 */
} lcf_user_histories;

/* errors: as lcf_bundle_open; EFORMAT also when an item is not below items_n */
lcf_status lcf_user_histories_open(lcf_user_histories *out, const char *path, uint32_t items_n,
                                   lcf_err *err);
void lcf_user_histories_close(lcf_user_histories *u);
/* The last LCF_HISTORY_MAX events of every user of the dataset. */
lcf_status lcf_user_histories_save(const char *path, const lcf_dataset *d, lcf_err *err);

typedef struct lcf_snapshot {
    char generation[LCF_GENERATION_BYTES];
    char id[65];  /* of the manifest */
    int claim_fd; /* keeps its folder from being retired; -1: none */
    lcf_catalogue catalogue;
    lcf_user_histories users;
    lcf_embeddings item_vectors;
    bool has_examples;
    lcf_examples examples;
    bool has_neighbours;
    lcf_neighbours neighbours; /* rows are item indices */
    bool has_knowledge;
    lcf_knowledge knowledge;
    bool has_fields;
    lcf_fields fields; /* of users and items; those of the context have no entries, a request has */
    bool has_text_encoder;
    lcf_text_encoder text_encoder; /* made item_vectors */
    lcf_cot_store *cots;           /* NULL when published without */
    size_t arms_n;
    struct {
        char name[LCF_ARM_NAME_BYTES];
        lcf_ranker *ranker;
    } arms[LCF_ARMS_MAX];
    size_t default_arm;
} lcf_snapshot;

/*
 * path: a generation folder, or a root whose `current` is followed.
 *
 * errors   ENOENT; EFORMAT, EVERSION; ECHECKSUM a file is damaged or missing (named); EFORMAT also
 * where parts do not fit each other, e.g. an arm that reads examples with neither examples nor an
 * arm without them
 */
lcf_status lcf_snapshot_open(lcf_snapshot **out, const char *path, lcf_err *err);
void lcf_snapshot_close(lcf_snapshot *s); /* NULL is fine */
/* For publish: a folder whose manifest is not written yet, so that there is no id. */
lcf_status lcf_snapshot_open_stage(lcf_snapshot **out, const char *dir, lcf_err *err);

/*
 * The folder that `path` names: itself, or the target of its `current`. free() releases it. What a
 * server compares to see that there is a new generation.
 *
 * errors   ENOENT neither a generation nor a root
 */
lcf_status lcf_snapshot_resolve(char **out, const char *path, lcf_err *err);

typedef struct lcf_snapshot_arm {
    const char *name, *weights_path;
} lcf_snapshot_arm;

typedef struct lcf_publish_options {
    const char *dataset_dir, *vectors_dir;
    const char *examples_dir, *cot_dir, *knowledge_dir; /* may be NULL */
    const lcf_snapshot_arm *arms;
    size_t arms_n;
    const char *default_arm; /* NULL: the last one */
    const char *generation;  /* name of the new folder, e.g. "20261122T020000Z" */
    size_t keep;             /* older generations kept besides current; SIZE_MAX keeps all */
    bool force;              /* publish even when current was made from just these inputs */
    const char *gate; /* for the record: "passed", "forced" (it was not), NULL (there was none) */
} lcf_publish_options;

typedef struct lcf_publish_result {
    char generation[LCF_GENERATION_BYTES]; /* that current now names */
    char id[65];
    bool unchanged; /* current was made from just these inputs: nothing was written */
    size_t retired_n;
    size_t in_use_n; /* older than `keep` generations, but somebody reads them */
} lcf_publish_result;

/*
 * Writes a generation, opens it as a server would, then moves `current` and removes what is older
 * than `keep` generations and not open. A failure or a kill leaves `current` as it was; what a
 * killed publisher left behind, the next one removes.
 *
 * errors   EEXIST that generation exists, made otherwise or with force; EBUSY another publisher;
 * EINVAL names or arms that cannot be published; those of the inputs; EIO, ENOSPC
 */
lcf_status lcf_snapshot_publish(lcf_publish_result *out, const char *root,
                                const lcf_publish_options *options, lcf_err *err);

/*
 * Every file of a generation by SHA-256, and that it opens; *out receives its name and id.
 *
 * errors   as lcf_snapshot_open
 */
lcf_status lcf_snapshot_verify(lcf_publish_result *out, const char *path, lcf_err *err);
/*
 * Verifies an earlier generation, then moves `current` to it.
 *
 * to       its name; NULL: what was current when the present one was published
 * errors   ENOENT there is none, or not any more; EBUSY another changes the root; those of
 * lcf_snapshot_verify
 */
lcf_status lcf_snapshot_rollback(lcf_publish_result *out, const char *root, const char *to,
                                 lcf_err *err);
/*
 * A generation that was made elsewhere: verified in dir, copied into the root and verified there
 * (one that was copied to its place in the root already is taken as it is), then made current.
 *
 * errors   EEXIST another generation of that name; EBUSY; those of lcf_snapshot_verify; EIO, ENOSPC
 */
lcf_status lcf_snapshot_import(lcf_publish_result *out, const char *root, const char *dir,
                               size_t keep, lcf_err *err);
/*
 * Removes all but the newest `keep` generations besides current. One that a reader has open, in any
 * process of this machine, stays and is counted.
 *
 * errors   ENOENT no root; EBUSY; EIO
 */
lcf_status lcf_snapshot_retire(size_t *retired_n, size_t *in_use_n, const char *root, size_t keep,
                               lcf_err *err);

#endif
