/*
 * Manifests. Identity = verb, program version, parameters, inputs; id = SHA-256 of identity and
 * file hashes. Files are listed in byte order of their relative paths, so that the same content
 * gives the same manifest.
 */
#include "common/base/manifest.h"

#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/partial.h"
#include "common/base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_NAME "manifest.json"
#define MANIFEST_FORMAT 1

struct lcf_manifest {
    json_t *identity; /* {verb, version, parameters, inputs} */
    json_t *stats;
};

lcf_status lcf_manifest_create(lcf_manifest **out, const char *verb, lcf_err *err)
{
    lcf_manifest *m = lcf_alloc_zero(1, sizeof(*m));

    *out = NULL;
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", verb);
    m->identity = json_pack("{s:s, s:s, s:{}, s:{}}", "verb", verb, "version", LCF_VERSION,
                            "parameters", "inputs");
    m->stats = json_object();
    if (!m->identity || !m->stats) {
        lcf_manifest_free(m);
        return LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", verb);
    }
    *out = m;
    return LCF_OK;
}

void lcf_manifest_free(lcf_manifest *m)
{
    if (!m)
        return;
    json_decref(m->identity);
    json_decref(m->stats);
    free(m);
}

static lcf_status set_new(json_t *object, const char *name, json_t *value, lcf_err *err)
{
    if (!value || json_object_set_new(object, name, value) < 0)
        return LCF_FAIL(err, LCF_EINVAL,
                        "manifest entry '%s' is not valid UTF-8, not finite, or out of memory",
                        name);
    return LCF_OK;
}

lcf_status lcf_manifest_param_str(lcf_manifest *m, const char *name, const char *value,
                                  lcf_err *err)
{
    return set_new(json_object_get(m->identity, "parameters"), name, json_string(value), err);
}

lcf_status lcf_manifest_param_i64(lcf_manifest *m, const char *name, int64_t value, lcf_err *err)
{
    return set_new(json_object_get(m->identity, "parameters"), name, json_integer(value), err);
}

lcf_status lcf_manifest_param_f64(lcf_manifest *m, const char *name, double value, lcf_err *err)
{
    return set_new(json_object_get(m->identity, "parameters"), name, json_real(value), err);
}

lcf_status lcf_manifest_params(lcf_manifest *m, json_t *params, lcf_err *err)
{
    json_t *all = json_object_get(m->identity, "parameters"), *value;
    const char *name;
    lcf_status status =
        params ? LCF_OK
               : LCF_FAIL(err, LCF_EINVAL,
                          "parameters are not valid UTF-8, not finite, or out of memory");

    json_object_foreach(params, name, value)
    {
        if (!status && !json_is_null(value))
            status = set_new(all, name,
                             json_is_boolean(value) ? json_integer(json_is_true(value))
                                                    : json_incref(value),
                             err);
    }
    json_decref(params);
    return status;
}

lcf_status lcf_manifest_stat(lcf_manifest *m, const char *name, json_t *value, lcf_err *err)
{
    return set_new(m->stats, name, value, err);
}

lcf_status lcf_manifest_input(lcf_manifest *m, const char *role, const char *path, lcf_err *err)
{
    char id[LCF_SHA256_HEX_BYTES];
    struct stat st;
    lcf_status status;

    if (stat(path, &st) < 0)
        return LCF_FAIL_ERRNO(err, "cannot read input %s (%s)", path, role);
    if (S_ISDIR(st.st_mode))
        status = lcf_manifest_read(id, NULL, path, err);
    else
        status = lcf_sha256_file(id, path, err);
    return status ? status
                  : set_new(json_object_get(m->identity, "inputs"), role, json_string(id), err);
}

lcf_status lcf_manifest_inputs(lcf_manifest *m, const lcf_input *inputs, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (; inputs->role && !status; inputs++)
        if (inputs->path)
            status = lcf_manifest_input(m, inputs->role, inputs->path, err);
    return status;
}

lcf_status lcf_manifest_describe(lcf_manifest **out, const char *verb, json_t *params,
                                 const lcf_input *inputs, lcf_err *err)
{
    lcf_status status = lcf_manifest_create(out, verb, err);

    if (!status)
        status = lcf_manifest_params(*out, json_incref(params), err);
    if (!status)
        status = lcf_manifest_inputs(*out, inputs, err);
    json_decref(params);
    if (status) {
        lcf_manifest_free(*out);
        *out = NULL;
    }
    return status;
}

bool lcf_manifest_is_current(const lcf_manifest *m, const char *dir)
{
    json_t *json, *inputs;
    char id[65];
    bool same;

    if (lcf_manifest_read(id, &json, dir, NULL))
        return false;
    inputs = json_object_get(json, "identity");
    same = inputs && json_equal(inputs, m->identity);
    json_decref(json);
    if (same) {
        lcf_stage_remove_leftovers(dir);
        lcf_partial_remove_leftover(dir);
    }
    return same;
}

/* A copy of an identity without the parameters and inputs of these names; NULL out of memory. */
static json_t *identity_without(const json_t *identity, const char *const *names)
{
    json_t *copy = json_deep_copy(identity);

    for (; copy && *names; names++) {
        json_object_del(json_object_get(copy, "parameters"), *names);
        json_object_del(json_object_get(copy, "inputs"), *names);
    }
    return copy;
}

bool lcf_manifest_is_like(const lcf_manifest *m, const char *dir, const char *const *but)
{
    json_t *json, *there, *wanted;
    char id[65];
    bool same;

    if (lcf_manifest_read(id, &json, dir, NULL))
        return false;
    there = identity_without(json_object_get(json, "identity"), but);
    wanted = identity_without(m->identity, but);
    same = there && wanted && json_equal(there, wanted);
    json_decref(there);
    json_decref(wanted);
    json_decref(json);
    return same;
}

/* ---- the files of a folder ---- */

typedef struct file_list {
    char **paths; /* relative to the folder, ascending */
    size_t n, capacity;
} file_list;

static void file_list_dispose(file_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->paths[i]);
    free(list->paths);
}

static lcf_status list_files(file_list *list, const char *dir, const char *relative, lcf_err *err);

static lcf_status list_entry(file_list *list, const char *dir, char *relative, lcf_err *err)
{
    char *path = lcf_path_join(dir, relative);
    struct stat st;
    lcf_status status = LCF_OK;

    if (!path ||
        lcf_grow((void **)&list->paths, &list->capacity, list->n + 1, sizeof(*list->paths))) {
        status = LCF_FAIL(err, LCF_ENOMEM, "file list of %s", dir);
    } else if (lstat(path, &st) < 0) {
        status = LCF_FAIL_ERRNO(err, "cannot stat %s", path);
    } else if (S_ISDIR(st.st_mode)) {
        status = list_files(list, dir, relative, err);
    } else if (S_ISREG(st.st_mode) && strcmp(relative, MANIFEST_NAME)) {
        list->paths[list->n++] = relative;
        relative = NULL;
    }
    free(relative);
    free(path);
    return status;
}

static lcf_status list_files(file_list *list, const char *dir, const char *relative, lcf_err *err)
{
    lcf_status status = LCF_OK;
    char *path = *relative ? lcf_path_join(dir, relative) : lcf_strdup(dir);
    DIR *d = path ? opendir(path) : NULL;
    struct dirent *e;

    if (!path)
        status = LCF_FAIL(err, LCF_ENOMEM, "file list of %s", dir);
    else if (!d)
        status = LCF_FAIL_ERRNO(err, "cannot open folder %s", path);
    while (!status && (e = readdir(d))) {
        char *name;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        name = *relative ? lcf_path_join(relative, e->d_name) : lcf_strdup(e->d_name);
        status = name ? list_entry(list, dir, name, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "file list of %s", dir);
    }
    if (d)
        closedir(d);
    free(path);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

#define XXH3_HEX_BYTES 17 /* with the NUL */

static lcf_status xxh3_file(char out[XXH3_HEX_BYTES], uint64_t *bytes_n, const char *path,
                            lcf_err *err)
{
    uint64_t hash;
    lcf_status status = lcf_hash64_file(&hash, bytes_n, path, err);

    if (!status)
        snprintf(out, XXH3_HEX_BYTES, "%016llx", (unsigned long long)hash);
    return status;
}

/* {path: {bytes, sha256, xxh3}} of every regular file below dir but the manifest itself. */
static lcf_status hash_files(json_t **out, const char *dir, lcf_err *err)
{
    file_list list = {NULL, 0, 0};
    lcf_status status = list_files(&list, dir, "", err);
    json_t *files = json_object();

    *out = NULL;
    if (!status && !files)
        status = LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);
    if (!status && list.n)
        qsort(list.paths, list.n, sizeof(*list.paths), compare_paths);
    for (size_t i = 0; !status && i < list.n; i++) {
        char sha256[LCF_SHA256_HEX_BYTES], xxh3[XXH3_HEX_BYTES];
        uint64_t bytes_n;
        char *path = lcf_path_join(dir, list.paths[i]);

        status = path ? lcf_sha256_file(sha256, path, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);
        if (!status)
            status = xxh3_file(xxh3, &bytes_n, path, err);
        if (!status)
            status = set_new(files, list.paths[i],
                             json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)bytes_n, "sha256",
                                       sha256, "xxh3", xxh3),
                             err);
        free(path);
    }
    if (status)
        json_decref(files);
    else
        *out = files;
    file_list_dispose(&list);
    return status;
}

/* content may be NULL: then the files are the content. */
static lcf_status identity_hash(char id[65], const json_t *identity, const json_t *files,
                                const char *content, lcf_err *err)
{
    json_t *all =
        json_pack("{s:O, s:O, s:s*}", "identity", identity, "files", files, "content", content);
    char *text =
        all ? json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    lcf_status status = text ? lcf_sha256_hex(id, text, strlen(text), err)
                             : LCF_FAIL(err, LCF_ENOMEM, "manifest id");

    free(text);
    json_decref(all);
    return status;
}

static lcf_status save(const lcf_manifest *m, const char *dir, const json_t *files,
                       const char *content, lcf_err *err)
{
    char id[65], *path = lcf_path_join(dir, MANIFEST_NAME);
    json_t *json = NULL;
    lcf_status status = path ? identity_hash(id, m->identity, files, content, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);

    if (!status) {
        json = json_pack("{s:i, s:s, s:O, s:O, s:s*, s:O}", "format", MANIFEST_FORMAT, "id", id,
                         "identity", m->identity, "files", files, "content", content, "stats",
                         m->stats);
        status = json ? lcf_json_save(path, json, err)
                      : LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);
    }
    json_decref(json);
    free(path);
    return status;
}

lcf_status lcf_manifest_write(lcf_manifest *m, const char *dir, lcf_err *err)
{
    json_t *files = NULL;
    lcf_status status = hash_files(&files, dir, err);

    if (!status)
        status = save(m, dir, files, NULL, err);
    json_decref(files);
    return status;
}

lcf_status lcf_manifest_finish(lcf_manifest *m, lcf_stage *stage, lcf_status so_far, lcf_err *err)
{
    const lcf_status status = so_far ? so_far : lcf_manifest_write(m, lcf_stage_path(stage), err);

    if (!status)
        return lcf_stage_commit(stage, err);
    lcf_stage_abandon(stage);
    return status;
}

lcf_status lcf_manifest_write_content(lcf_manifest *m, const char *dir, const char *content,
                                      lcf_err *err)
{
    json_t *files = json_object();
    lcf_status status = files ? save(m, dir, files, content, err)
                              : LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);

    json_decref(files);
    return status;
}

lcf_status lcf_manifest_made_of(const char *dir, const char *role, const char *id, lcf_err *err)
{
    char own[LCF_SHA256_HEX_BYTES];
    json_t *json = NULL;
    lcf_status status = lcf_manifest_exists(dir) ? lcf_manifest_read(own, &json, dir, err) : LCF_OK;
    const json_t *inputs = json_object_get(json_object_get(json, "identity"), "inputs");
    const char *made_of = json_string_value(json_object_get(inputs, role));

    if (!status && made_of && strcmp(made_of, id) != 0)
        status = LCF_FAIL(err, LCF_EINVAL, "%s was made of another %s", dir, role);
    json_decref(json);
    return status;
}

bool lcf_manifest_exists(const char *dir)
{
    char *path = lcf_path_join(dir, MANIFEST_NAME);
    bool exists = path && lcf_path_exists(path);

    free(path);
    return exists;
}

lcf_status lcf_manifest_read(char id[65], json_t **json, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, MANIFEST_NAME);
    const char *text;
    uint64_t format;
    json_t *j = NULL;
    lcf_status status =
        path ? lcf_json_load(&j, path, err) : LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);

    if (json)
        *json = NULL;
    if (!status)
        status = lcf_json_u64(&format, j, "format", err);
    if (!status && format != MANIFEST_FORMAT)
        status = LCF_FAIL(err, LCF_EVERSION, "format %llu, this program reads %d",
                          (unsigned long long)format, MANIFEST_FORMAT);
    if (!status)
        status = lcf_json_str(&text, j, "id", err);
    if (!status && strlen(text) != 64)
        status = LCF_FAIL(err, LCF_EFORMAT, "'id' must have 64 digits");
    if (!status)
        memcpy(id, text, 65);
    if (status)
        lcf_err_prefix(err, "%s", path ? path : dir);
    if (!status && json) {
        *json = j;
        j = NULL;
    }
    json_decref(j);
    free(path);
    return status;
}

/* Whether the name stays below its folder. */
static bool name_is_inside(const char *name)
{
    return name[0] && name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 &&
           !strstr(name, "/../");
}

/* One file against what is recorded of it; by XXH3 where `fast` and recorded. */
static lcf_status verify_file(const char *dir, const char *name, const json_t *recorded, bool fast,
                              lcf_err *err)
{
    const char *xxh3 = json_string_value(json_object_get(recorded, "xxh3"));
    const char *sha256 = json_string_value(json_object_get(recorded, "sha256"));
    const bool by_xxh3 = fast && xxh3;
    const char *wanted = by_xxh3 ? xxh3 : sha256;
    char found[LCF_SHA256_HEX_BYTES], *path = lcf_path_join(dir, name);
    uint64_t bytes_n;
    struct stat st;
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "manifest of %s", dir);
    if (!name_is_inside(name) || stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
        status = LCF_FAIL(err, LCF_ECHECKSUM, "%s/%s is missing", dir, name);
        goto done;
    }
    bytes_n = (uint64_t)st.st_size;
    status = by_xxh3 ? xxh3_file(found, &bytes_n, path, err) : lcf_sha256_file(found, path, err);
    if (!status && (!wanted || strcmp(wanted, found) != 0 ||
                    json_integer_value(json_object_get(recorded, "bytes")) != (json_int_t)bytes_n))
        status = LCF_FAIL(err, LCF_ECHECKSUM,
                          "%s/%s is damaged: %llu bytes with another %s or size than recorded", dir,
                          name, (unsigned long long)bytes_n, by_xxh3 ? "XXH3" : "SHA-256");
done:
    free(path);
    return status;
}

static lcf_status verify(const char *dir, bool fast, lcf_err *err)
{
    char id[65], recomputed[65];
    json_t *json = NULL, *files, *identity, *recorded;
    const char *name;
    lcf_status status = lcf_manifest_read(id, &json, dir, err);

    if (status)
        return status;
    files = json_object_get(json, "files");
    identity = json_object_get(json, "identity");
    if (!json_is_object(files) || !json_is_object(identity))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s/%s: 'files' and 'identity' must be objects", dir,
                          MANIFEST_NAME);
    if (!status)
        json_object_foreach(files, name, recorded)
        {
            status = verify_file(dir, name, recorded, fast, err);
            if (status)
                break;
        }
    if (!status)
        status = identity_hash(recomputed, identity, files,
                               json_string_value(json_object_get(json, "content")), err);
    if (!status && strcmp(id, recomputed))
        status = LCF_FAIL(err, LCF_ECHECKSUM, "%s/%s was changed after it was written", dir,
                          MANIFEST_NAME);
    json_decref(json);
    return status;
}

lcf_status lcf_manifest_verify(const char *dir, lcf_err *err)
{
    return verify(dir, false, err);
}

lcf_status lcf_manifest_verify_fast(const char *dir, lcf_err *err)
{
    return verify(dir, true, err);
}

lcf_status lcf_manifest_read_stat(json_t **out, const char *dir, const char *name, lcf_err *err)
{
    char id[65];
    json_t *manifest = NULL;
    lcf_status status = lcf_manifest_read(id, &manifest, dir, err);

    *out = NULL;
    if (status)
        return status;
    *out = json_incref(json_object_get(json_object_get(manifest, "stats"), name));
    json_decref(manifest);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_EFORMAT, "%s: no %s in its manifest", dir, name);
}
