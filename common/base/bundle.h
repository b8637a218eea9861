/*
 * Bundle: named, typed arrays in one checksummed file that is mapped, not read. Every binary
 * artefact of the project (dataset, embeddings, ranker weights, example features, predictions) is a
 * bundle with its own `kind` and list of arrays.
 *
 * Life cycle: writer create -> add ... -> commit; reader open -> get ... -> close. An array
 * returned by a get is part of the map: read only, aligned to 64 bytes, valid until close. Open
 * checks magic, version, kind, every bound and every checksum before anything is used. Readers may
 * be shared between threads.
 *
 * source   schemas/bundle.md
 */
#ifndef LCF_COMMON_BASE_BUNDLE_H
#define LCF_COMMON_BASE_BUNDLE_H

#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_BUNDLE_NAME_MAX 64 /* with the NUL */
#define LCF_BUNDLE_DIMS_MAX 4

typedef enum lcf_dtype {
    LCF_U8 = 1,
    LCF_U32 = 2,
    LCF_U64 = 3,
    LCF_I32 = 4,
    LCF_I64 = 5,
    LCF_F32 = 6,
    LCF_F64 = 7,
    LCF_I16 = 8,
} lcf_dtype;

size_t lcf_dtype_bytes(lcf_dtype dtype);

typedef struct lcf_array {
    char name[LCF_BUNDLE_NAME_MAX];
    lcf_dtype dtype;
    uint32_t dims_n;
    uint64_t dims[LCF_BUNDLE_DIMS_MAX];
    const void *data;
    size_t n; /* elements: the product of dims */
} lcf_array;

typedef struct lcf_bundle_writer lcf_bundle_writer;

/* kind: up to 15 characters, e.g. "dataset"; version: that of the kind's schema. */
lcf_status lcf_bundle_create(lcf_bundle_writer **out, const char *path, const char *kind,
                             uint32_t version, lcf_err *err);
/* Writes the bytes now and keeps nothing of `data`. dims_n = 1 and dims[0] = n for a plain array.
 */
lcf_status lcf_bundle_add(lcf_bundle_writer *w, const char *name, lcf_dtype dtype,
                          const uint64_t *dims, uint32_t dims_n, const void *data, lcf_err *err);
lcf_status lcf_bundle_add_1d(lcf_bundle_writer *w, const char *name, lcf_dtype dtype, uint64_t n,
                             const void *data, lcf_err *err);
/* Text (JSON of a configuration, say) as an array of u8. */
lcf_status lcf_bundle_add_text(lcf_bundle_writer *w, const char *name, const char *text,
                               lcf_err *err);
/* Makes the file appear under its path; frees w, also on failure. */
lcf_status lcf_bundle_commit(lcf_bundle_writer *w, lcf_err *err);
void lcf_bundle_abandon(lcf_bundle_writer *w); /* NULL is fine */
/* Commits where all went well `so_far`, else abandons; w may be NULL where it did not. */
lcf_status lcf_bundle_finish(lcf_bundle_writer *w, lcf_status so_far, lcf_err *err);

typedef struct lcf_bundle lcf_bundle;

/*
 * Maps a file and checks all of it. kind NULL accepts any (for inspection).
 *
 * errors   ENOENT, EIO; EFORMAT not a bundle, another kind, damaged directory or truncated;
 *          EVERSION newer than version_max; ECHECKSUM damaged content (the message names the array)
 * memory   what is got out of it are views, valid until close; NULL may be closed
 */
lcf_status lcf_bundle_open(lcf_bundle **out, const char *path, const char *kind,
                           uint32_t version_max, lcf_err *err);
void lcf_bundle_close(lcf_bundle *bundle);
uint32_t lcf_bundle_version(const lcf_bundle *bundle);
const char *lcf_bundle_kind(const lcf_bundle *bundle);
size_t lcf_bundle_arrays_n(const lcf_bundle *bundle);
const lcf_array *lcf_bundle_array(const lcf_bundle *bundle, size_t idx);
/* NULL when there is none of that name. */
const lcf_array *lcf_bundle_find(const lcf_bundle *bundle, const char *name);
/*
 * The array of that name, checked to have this type, dims_n and dims (a dim of 0 in `dims` accepts
 * any and is overwritten with the one found).
 *
 * errors   EFORMAT missing or of another type or shape; the message names file, array and both
 * shapes
 */
lcf_status lcf_bundle_get(const void **data, const lcf_bundle *bundle, const char *name,
                          lcf_dtype dtype, uint64_t *dims, uint32_t dims_n, lcf_err *err);
/* A text array as a NUL-terminated copy; free() releases it. */
lcf_status lcf_bundle_get_text(char **out, const lcf_bundle *bundle, const char *name,
                               lcf_err *err);
/* A text that is JSON; the caller's (json_decref). errors: as lcf_bundle_get_text, lcf_json_parse
 */
lcf_status lcf_bundle_get_json(json_t **out, const lcf_bundle *bundle, const char *name,
                               lcf_err *err);

#endif
