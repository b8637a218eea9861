/* Copies, not links: what happens to an artefact afterwards must not reach a snapshot. Committing
 * the stage flushes them to disk. */
#ifndef LCF_COMMON_SNAPSHOT_COPY_H
#define LCF_COMMON_SNAPSHOT_COPY_H

#include "common/base/status.h"

lcf_status snapshot_copy_file(const char *to, const char *from, lcf_err *err);
/* The regular files of a flat folder but its manifest and hidden ones, into a new folder. */
lcf_status snapshot_copy_folder(const char *to, const char *from, lcf_err *err);
/* All regular files of a folder and of those in it, into one that exists. */
lcf_status snapshot_copy_tree(const char *to, const char *from, lcf_err *err);

#endif
