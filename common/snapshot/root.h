/*
 * The root of snapshots: who may change it, where `current` points, which generations there are,
 * and which of them somebody reads.
 */
#ifndef LCF_COMMON_SNAPSHOT_ROOT_H
#define LCF_COMMON_SNAPSHOT_ROOT_H

#include "common/base/file.h"
#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define SNAPSHOT_STAGE_MARK ".tmp." /* in the name of a folder that is being written */

/* Letters, digits, '-', '_' and '.', not beginning with a dot, shorter than bytes_max. */
bool snapshot_name_is_plain(const char *name, size_t bytes_max);
/* errors: EINVAL no name of a generation */
lcf_status snapshot_check_name(const char *name, lcf_err *err);

/* The root, made where missing, for one who changes it. errors: EBUSY another does */
lcf_status snapshot_root_lock(lcf_lock **out, const char *root, lcf_err *err);

/* The name that `current` has, free() it; NULL where there is none. errors: ENOMEM, EIO */
lcf_status snapshot_current(char **out, const char *root, lcf_err *err);

/*
 * Points `current` to a generation, on disk when it returns, once it is noted in history.jsonl: no
 * move is without its line, and one that fails takes it back. Killed between the two, the line of a
 * move stays that did not happen.
 *
 * action   "publish", "rollback" or "import"
 * gate     "passed", "forced" or NULL
 *
 * errors   ENOSPC, EIO, EPERM: `current` is as it was; EIO also where the folder cannot be flushed
 */
lcf_status snapshot_move_current(const char *root, const char *generation, const char *action,
                                 const char *gate, lcf_err *err);

/*
 * Removes all but the newest `keep` generations besides current, except those that a reader has
 * open, and what a killed writer left half written or half removed.
 */
lcf_status snapshot_root_retire(size_t *retired_n, size_t *in_use_n, const char *root, size_t keep,
                                lcf_err *err);

/*
 * A reader's claim on a generation: while *fd is open the folder is not removed. A flock on the
 * folder itself, so nothing is written.
 *
 * errors   ENOENT the folder is gone, or is being removed
 */
lcf_status snapshot_claim(int *fd, const char *dir, lcf_err *err);

#endif
