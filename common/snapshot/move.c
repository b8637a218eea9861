/*
 * Moving `current` without publishing: back to an earlier generation, or on to one that was made
 * elsewhere. Either is verified file by file and opened as a server would before it is current.
 */
#include "common/snapshot/snapshot.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/snapshot/copy.h"
#include "common/snapshot/root.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

lcf_status lcf_snapshot_verify(lcf_publish_result *out, const char *path, lcf_err *err)
{
    lcf_snapshot *s = NULL;
    char *dir = NULL;
    lcf_status status = lcf_snapshot_resolve(&dir, path, err);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_manifest_verify(dir, err);
    if (!status)
        status = lcf_snapshot_open(&s, dir, err);
    if (!status) {
        memcpy(out->generation, s->generation, sizeof(out->generation));
        memcpy(out->id, s->id, sizeof(out->id));
    }
    lcf_snapshot_close(s);
    free(dir);
    return status;
}

/* ---- back ---- */

/* The generation that was current when this one was published; NULL: none is recorded. */
static lcf_status parent_of(char **out, const char *root, const char *generation, lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    json_t *json = NULL;
    const char *parent;
    lcf_status status;

    *out = NULL;
    lcf_buf_printf(&path, "%s/%s/snapshot.json", root, generation);
    status = path.status ? LCF_FAIL(err, path.status, "path of %s", generation)
                         : lcf_json_load(&json, path.data, err);
    parent = json_string_value(json_object_get(json, "parent"));
    if (!status && parent && !(*out = lcf_strdup(parent)))
        status = LCF_FAIL(err, LCF_ENOMEM, "name of a generation");
    json_decref(json);
    lcf_buf_dispose(&path);
    return status;
}

/* Where to: as asked, or the parent of current. */
static lcf_status choose(char **out, const char *root, const char *to, lcf_err *err)
{
    char *current = NULL;
    lcf_status status = snapshot_current(&current, root, err);

    *out = NULL;
    if (!status && !current)
        status = LCF_FAIL(err, LCF_ENOENT, "%s has no current: publish first", root);
    if (!status && to && !(*out = lcf_strdup(to)))
        status = LCF_FAIL(err, LCF_ENOMEM, "name of a generation");
    if (!status && !to)
        status = parent_of(out, root, current, err);
    if (!status && !*out)
        status = LCF_FAIL(err, LCF_ENOENT,
                          "%s does not say what was current before it: name a generation with --to",
                          current);
    free(current);
    return status;
}

lcf_status lcf_snapshot_rollback(lcf_publish_result *out, const char *root, const char *to,
                                 lcf_err *err)
{
    lcf_lock *lock = NULL;
    char *name = NULL, *dir = NULL;
    lcf_status status = to ? snapshot_check_name(to, err) : LCF_OK;

    memset(out, 0, sizeof(*out));
    if (!status)
        status = snapshot_root_lock(&lock, root, err);
    if (!status)
        status = choose(&name, root, to, err);
    if (!status && !(dir = lcf_path_join(root, name)))
        status = LCF_FAIL(err, LCF_ENOMEM, "path of %s", name);
    if (!status && !lcf_path_exists(dir))
        status = LCF_FAIL(err, LCF_ENOENT, "%s is not there any more", dir);
    if (!status)
        status = lcf_snapshot_verify(out, dir, err);
    if (!status)
        status = snapshot_move_current(root, name, "rollback", NULL, err);
    lcf_lock_release(lock);
    free(name);
    free(dir);
    return status;
}

lcf_status lcf_snapshot_retire(size_t *retired_n, size_t *in_use_n, const char *root, size_t keep,
                               lcf_err *err)
{
    lcf_lock *lock = NULL;
    lcf_status status;

    *retired_n = *in_use_n = 0;
    if (!lcf_path_exists(root))
        return LCF_FAIL(err, LCF_ENOENT, "%s: no snapshots there", root);
    status = snapshot_root_lock(&lock, root, err);
    if (!status)
        status = snapshot_root_retire(retired_n, in_use_n, root, keep, err);
    lcf_lock_release(lock);
    return status;
}

/* ---- from elsewhere ---- */

/* Whether the folder is a generation of the root already, under its own name. */
static bool is_in_root(const char *dir, const char *target)
{
    char *here = realpath(dir, NULL), *there = realpath(target, NULL);
    const bool same = here && there && !strcmp(here, there);

    free(here);
    free(there);
    return same;
}

/* What another program wrote there, onto the disk. */
static lcf_status sync_all(const char *dir, lcf_err *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lcf_status status = LCF_OK;

    if (fd < 0 || syncfs(fd) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot flush %s", dir);
    if (fd >= 0)
        close(fd);
    return status;
}

static lcf_status copy_in(const char *target, const char *dir, lcf_err *err)
{
    lcf_publish_result copied;
    lcf_stage *stage = NULL;
    lcf_status status = lcf_stage_open(&stage, target, err);

    if (!status)
        status = snapshot_copy_tree(lcf_stage_path(stage), dir, err);
    if (!status)
        status = lcf_snapshot_verify(&copied, lcf_stage_path(stage), err);
    if (!status)
        return lcf_stage_commit(stage, err);
    lcf_stage_abandon(stage);
    return status;
}

/* The generation under its name in the root, once `made` was read from dir. */
static lcf_status bring_in(const lcf_publish_result *made, const char *target, const char *dir,
                           lcf_err *err)
{
    char id[65];
    lcf_status status;

    if (is_in_root(dir, target))
        return sync_all(target, err);
    if (!lcf_path_exists(target))
        return copy_in(target, dir, err);
    status = lcf_manifest_read(id, NULL, target, err);
    if (!status && strcmp(id, made->id))
        status = LCF_FAIL(err, LCF_EEXIST,
                          "%s exists, made otherwise; a generation is never changed", target);
    return status ? status : lcf_manifest_verify(target, err);
}

lcf_status lcf_snapshot_import(lcf_publish_result *out, const char *root, const char *dir,
                               size_t keep, lcf_err *err)
{
    lcf_lock *lock = NULL;
    char *target = NULL;
    lcf_status status = snapshot_root_lock(&lock, root, err);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = lcf_snapshot_verify(out, dir, err);
    if (!status)
        status = snapshot_check_name(out->generation, err);
    if (!status && !(target = lcf_path_join(root, out->generation)))
        status = LCF_FAIL(err, LCF_ENOMEM, "path of the generation");
    if (!status)
        status = bring_in(out, target, dir, err);
    if (!status)
        status = snapshot_move_current(root, out->generation, "import", NULL, err);
    if (!status)
        status = snapshot_root_retire(&out->retired_n, &out->in_use_n, root, keep, err);
    lcf_lock_release(lock);
    free(target);
    return status;
}
