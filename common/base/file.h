/*
 * Files: read-only maps, whole reads, and writes that leave either the old content or the new,
 * never a mixture.
 */
#ifndef LCF_COMMON_BASE_FILE_H
#define LCF_COMMON_BASE_FILE_H

#include "common/base/status.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A file mapped read-only; an empty file has bytes_n = 0. */
typedef struct lcf_map {
    const uint8_t *data;
    size_t bytes_n;
} lcf_map;

/*
 * errors   ENOENT, EIO; EFORMAT not a regular file
 * memory   the bytes stay valid until close, which takes a map that was not opened (zeros), too
 */
lcf_status lcf_map_open(lcf_map *out, const char *path, lcf_err *err);
void lcf_map_close(lcf_map *map);

/* The whole file into `buf` (appended). errors: ENOENT, EIO, ELIMIT when larger than bytes_max. */
lcf_status lcf_file_read(lcf_buf *buf, const char *path, size_t bytes_max, lcf_err *err);

/*
 * A file that appears under its name only when complete: write to lcf_out_stream, then commit
 * (fflush, fsync, rename, fsync of the folder). Abandoning it, or dying, leaves the old file.
 */
typedef struct lcf_out lcf_out;
lcf_status lcf_out_open(lcf_out **out, const char *path, lcf_err *err);
FILE *lcf_out_stream(lcf_out *out);
lcf_status lcf_out_commit(lcf_out *out, lcf_err *err); /* frees `out`, also on failure */
void lcf_out_abandon(lcf_out *out);                    /* NULL is fine */
/* The three steps in one for bytes at hand. */
lcf_status lcf_file_write(const char *path, const void *data, size_t n, lcf_err *err);
/* The same as dir/name for a text that was built. errors: ENOMEM also when building it failed */
lcf_status lcf_file_write_text(const char *dir, const char *name, const lcf_buf *text,
                               lcf_err *err);

/*
 * A folder that appears under its name only when complete: create files in lcf_stage_path, then
 * commit (fsync, atomic exchange with an existing folder of that name, removal of the old one).
 * Opening also removes what killed writers of that folder have left behind; a stage that is in use
 * has a shared flock.
 *
 * errors   EEXIST at open: a folder of that name holds files but no manifest.json, so it is none of
 * ours to remove
 */
typedef struct lcf_stage lcf_stage;
lcf_status lcf_stage_open(lcf_stage **out, const char *path, lcf_err *err);
const char *lcf_stage_path(const lcf_stage *stage);
lcf_status lcf_stage_commit(lcf_stage *stage, lcf_err *err); /* frees `stage`, also on failure */
void lcf_stage_abandon(lcf_stage *stage);                    /* NULL is fine; removes the folder */
/* What opening a stage of `path` removes, where none will be opened. */
void lcf_stage_remove_leftovers(const char *path);

lcf_status lcf_dir_create(const char *path, lcf_err *err); /* with parents; existing is fine */
lcf_status lcf_dir_remove(const char *path, lcf_err *err); /* with content; missing is fine */
bool lcf_path_exists(const char *path);
/* True when both are there and are one file. */
bool lcf_path_same(const char *a, const char *b);
/* "dir/name" as a new string; free() releases it. NULL when out of memory. */
char *lcf_path_join(const char *dir, const char *name);

/*
 * An advisory lock (flock) on a file that is created when missing; released by close or when the
 * process dies.
 *
 * errors   EBUSY another process holds it (the message names the file)
 */
typedef struct lcf_lock lcf_lock;
lcf_status lcf_lock_acquire(lcf_lock **out, const char *path, lcf_err *err);
void lcf_lock_release(lcf_lock *lock);

#endif
