/*
 * Manifest: what an artefact was made from. Every artefact is a folder with `manifest.json` in it.
 *
 * A step describes itself (verb, parameters, inputs), asks whether the artefact that is there was
 * made in just this way, and does nothing if so. Inputs are identified by content: a folder with a
 * manifest by its manifest's `id`, any other file by its SHA-256.
 *
 * source   schemas/manifest.md
 */
#ifndef LCF_COMMON_BASE_MANIFEST_H
#define LCF_COMMON_BASE_MANIFEST_H

#include "common/base/file.h"
#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lcf_manifest lcf_manifest;

/* verb, e.g. "prepare". The program's version enters by itself. */
lcf_status lcf_manifest_create(lcf_manifest **out, const char *verb, lcf_err *err);
void lcf_manifest_free(lcf_manifest *m);
/* A parameter that changes the result (seed, sizes, thresholds; not --threads). Steals nothing from
 * the caller. */
lcf_status lcf_manifest_param_str(lcf_manifest *m, const char *name, const char *value,
                                  lcf_err *err);
lcf_status lcf_manifest_param_i64(lcf_manifest *m, const char *name, int64_t value, lcf_err *err);
lcf_status lcf_manifest_param_f64(lcf_manifest *m, const char *name, double value, lcf_err *err);
/* An input file or artefact folder; it is hashed now. */
lcf_status lcf_manifest_input(lcf_manifest *m, const char *role, const char *path, lcf_err *err);
/* The parameters of json_pack, which are taken over: true and false become 1 and 0, a member that
 * is null is left out. errors: EINVAL also when `params` is NULL, which is how json_pack fails */
lcf_status lcf_manifest_params(lcf_manifest *m, json_t *params, lcf_err *err);
/* Inputs up to the one whose role is NULL; one whose path is NULL is left out. */
typedef struct lcf_input {
    const char *role, *path;
} lcf_input;
lcf_status lcf_manifest_inputs(lcf_manifest *m, const lcf_input *inputs, lcf_err *err);
/* Creates the manifest of a step with all of it; *out is NULL on failure. */
lcf_status lcf_manifest_describe(lcf_manifest **out, const char *verb, json_t *params,
                                 const lcf_input *inputs, lcf_err *err);
/* A figure worth keeping (rows, tokens, AUC): informative, not part of the identity. Steals
 * `value`. */
lcf_status lcf_manifest_stat(lcf_manifest *m, const char *name, json_t *value, lcf_err *err);
/* True when `dir` holds an artefact whose manifest has the same verb, version, parameters and
 * inputs. Then no stage of it will be opened, so what killed writers of it have left goes now, its
 * parts among it. */
bool lcf_manifest_is_current(const lcf_manifest *m, const char *dir);
/* The same, but the parameters and inputs of these names (NULL ends them) may differ or be missing:
 * for what is worth keeping although the data has grown. */
bool lcf_manifest_is_like(const lcf_manifest *m, const char *dir, const char *const *but);
/*
 * Writes dir/manifest.json: identity, statistics, and size, SHA-256 and XXH3 of every other file in
 * `dir` (recursively). The id is the SHA-256 of the identity and the file hashes: it changes
 * exactly when the content does.
 */
lcf_status lcf_manifest_write(lcf_manifest *m, const char *dir, lcf_err *err);
/*
 * The end of a step that filled `stage`: writes the manifest into it and puts it in its place, or
 * removes it when the step failed, which `so_far` says, or when this fails.
 *
 * memory   frees `stage`, also on failure; NULL where the step failed without one
 */
lcf_status lcf_manifest_finish(lcf_manifest *m, lcf_stage *stage, lcf_status so_far, lcf_err *err);
/*
 * lcf_manifest_write for a folder whose files are no function of their content (an LMDB store,
 * which readers touch too): no file is listed, and `content`, a digest that the writer computed,
 * takes the place of the file hashes in the id.
 */
lcf_status lcf_manifest_write_content(lcf_manifest *m, const char *dir, const char *content,
                                      lcf_err *err);
/*
 * Recomputes sizes and hashes of a folder against its manifest.
 *
 * errors   ENOENT no manifest; EFORMAT; ECHECKSUM a file is missing, truncated or changed (named)
 */
lcf_status lcf_manifest_verify(const char *dir, lcf_err *err);
/* The same by XXH3 where it is recorded: against damage, not against malice. At the speed of
 * memory. */
lcf_status lcf_manifest_verify_fast(const char *dir, lcf_err *err);
/* True when dir has a manifest.json. */
bool lcf_manifest_exists(const char *dir);
/* The `id` of the artefact in dir (65 bytes) and, when wanted, its manifest (json_decref). */
lcf_status lcf_manifest_read(char id[65], json_t **json, const char *dir, lcf_err *err);
/* Whether the artefact in dir, as far as it says, was made of the one with this id as its input
 * `role`. errors: EINVAL of another one; those of reading */
lcf_status lcf_manifest_made_of(const char *dir, const char *role, const char *id, lcf_err *err);
/* What lcf_manifest_stat kept under that name in the artefact at dir; the caller's (json_decref).
 * errors: as lcf_manifest_read; EFORMAT there is none */
lcf_status lcf_manifest_read_stat(json_t **out, const char *dir, const char *name, lcf_err *err);

#endif
