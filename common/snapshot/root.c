/*
 * The root of snapshots: see root.h.
 *
 * Invariant: a generation is removed only while this process holds the root's lock and the folder's
 * exclusive flock, and never while `current` names it. A reader that got its shared flock before is
 * left alone; one that comes after finds the folder gone from its path and looks up `current`
 * again.
 */
#include "common/snapshot/root.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/torn_line.h"
#include "common/snapshot/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETIRED_PREFIX ".retired-"
#define HISTORY_NAME "history.jsonl"

/* ---- names and the lock ---- */

bool snapshot_name_is_plain(const char *name, size_t bytes_max)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", name[i]))
            return false;
    return n > 0 && n < bytes_max && name[0] != '.';
}

lcf_status snapshot_check_name(const char *name, lcf_err *err)
{
    if (!snapshot_name_is_plain(name, LCF_GENERATION_BYTES) || !strcmp(name, "current") ||
        !strcmp(name, "publish.lock") || !strcmp(name, HISTORY_NAME) ||
        strstr(name, SNAPSHOT_STAGE_MARK))
        return LCF_FAIL(err, LCF_EINVAL,
                        "generation '%s': letters, digits, '-', '_' and '.', not beginning with a "
                        "dot, and not current",
                        name);
    return LCF_OK;
}

lcf_status snapshot_root_lock(lcf_lock **out, const char *root, lcf_err *err)
{
    char *path = lcf_path_join(root, "publish.lock");
    lcf_status status =
        path ? lcf_dir_create(root, err) : LCF_FAIL(err, LCF_ENOMEM, "path of the lock");

    *out = NULL;
    if (!status)
        status = lcf_lock_acquire(out, path, err);
    free(path);
    return status;
}

/* ---- current ---- */

static lcf_status sync_folder(const char *path, lcf_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lcf_status status = LCF_OK;

    if (fd < 0 || fsync(fd) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot flush folder %s", path);
    if (fd >= 0)
        close(fd);
    return status;
}

lcf_status snapshot_current(char **out, const char *root, lcf_err *err)
{
    char *path = lcf_path_join(root, "current"), name[PATH_MAX];
    const ssize_t n = path ? readlink(path, name, sizeof(name) - 1) : -1;
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!path)
        status = LCF_FAIL(err, LCF_ENOMEM, "path of current");
    else if (n < 0 && errno != ENOENT)
        status = LCF_FAIL_ERRNO(err, "cannot read %s", path);
    if (n > 0) {
        name[n] = '\0';
        *out = lcf_strdup(name);
        if (!*out)
            status = LCF_FAIL(err, LCF_ENOMEM, "name of current");
    }
    free(path);
    return status;
}

/* What happens to `current`, a line of its own; free() it. */
static char *history_line(const char *action, const char *from, const char *to, const char *gate)
{
    json_t *json = json_pack("{s:I, s:s, s:s?, s:s, s:s?}", "time", (json_int_t)time(NULL),
                             "action", action, "from", from, "to", to, "gate", gate);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    lcf_buf line = LCF_BUF_INIT;

    if (text)
        lcf_buf_printf(&line, "%s\n", text);
    free(text);
    json_decref(json);
    if (text && !line.status)
        return lcf_buf_take(&line);
    lcf_buf_dispose(&line);
    return NULL;
}

static bool take_back(int fd, off_t before)
{
    const int why = errno;
    const bool done = ftruncate(fd, before) == 0;

    errno = why;
    return done;
}

/* The line at the end of the file, on disk, or nothing of it; *before: where it begins. */
static bool append_line(int fd, off_t *before, const char *line)
{
    const size_t n = strlen(line);

    if (!lcf_cut_torn_line(fd) || (*before = lseek(fd, 0, SEEK_END)) < 0)
        return false;
    errno = ENOSPC; /* where less than all of it is written */
    if (write(fd, line, n) == (ssize_t)n && fsync(fd) == 0)
        return true;
    take_back(fd, *before);
    return false;
}

/* A line of the history, before the move that it tells of: a move without its line cannot happen.
 * *fd: to take it back. */
static lcf_status note(int *fd, off_t *before, const char *root, const char *line, lcf_err *err)
{
    char *path = lcf_path_join(root, HISTORY_NAME);
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of " HISTORY_NAME);
    *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (*fd < 0 || !append_line(*fd, before, line))
        status = LCF_FAIL_ERRNO(err, "current stays as it is: cannot write %s", path);
    free(path);
    return status;
}

static lcf_status point(const char *root, const char *generation, lcf_err *err)
{
    char *current = lcf_path_join(root, "current"), *next = lcf_path_join(root, ".current.tmp");
    lcf_status status = LCF_OK;

    if (!current || !next)
        status = LCF_FAIL(err, LCF_ENOMEM, "path of current");
    else if ((unlink(next) < 0 && errno != ENOENT) || symlink(generation, next) < 0 ||
             rename(next, current) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot make %s point to %s", current, generation);
    free(current);
    free(next);
    return status;
}

lcf_status snapshot_move_current(const char *root, const char *generation, const char *action,
                                 const char *gate, lcf_err *err)
{
    char *from = NULL, *line = NULL;
    int fd = -1;
    off_t before = 0;
    lcf_status status = snapshot_current(&from, root, err);

    if (status || (from && !strcmp(from, generation)))
        goto done;
    line = history_line(action, from, generation, gate);
    status = line ? note(&fd, &before, root, line, err)
                  : LCF_FAIL(err, LCF_ENOMEM, "a line of " HISTORY_NAME);
    if (status)
        goto done;
    status = point(root, generation, err);
    if (status && !take_back(fd, before))
        lcf_err_prefix(err, HISTORY_NAME " tells of a move that did not happen");
    if (!status)
        status = sync_folder(root, err);
done:
    if (fd >= 0)
        close(fd);
    free(line);
    free(from);
    return status;
}

/* ---- claims ---- */

/* Whether the open folder still has that path. */
static bool is_at(int fd, const char *path)
{
    struct stat open_one, there;

    return !fstat(fd, &open_one) && !stat(path, &there) && open_one.st_ino == there.st_ino &&
           open_one.st_dev == there.st_dev;
}

lcf_status snapshot_claim(int *fd, const char *dir, lcf_err *err)
{
    lcf_status status = LCF_OK;

    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", dir);
    if (flock(*fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        status = LCF_FAIL(err, LCF_ENOENT, "%s is being retired", dir);
    else if (!is_at(*fd, dir))
        status = LCF_FAIL(err, LCF_ENOENT, "%s was retired", dir);
    /* A file system without flock has no claims: then it is as it would be without them. */
    if (status) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

/* ---- retiring ---- */

typedef struct generation {
    char *name;
    struct timespec time; /* of its snapshot.json */
} generation;

typedef struct generations {
    generation *list;
    size_t n, capacity;
} generations;

static int newest_first(const void *a, const void *b)
{
    const generation *x = a, *y = b;

    if (x->time.tv_sec != y->time.tv_sec)
        return x->time.tv_sec < y->time.tv_sec ? 1 : -1;
    if (x->time.tv_nsec != y->time.tv_nsec)
        return x->time.tv_nsec < y->time.tv_nsec ? 1 : -1;
    return strcmp(y->name, x->name);
}

static lcf_status add_generation(generations *all, const char *root, const char *name, lcf_err *err)
{
    struct stat st;
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    lcf_buf_printf(&path, "%s/%s/snapshot.json", root, name);
    if (path.status)
        status = LCF_FAIL(err, LCF_ENOMEM, "list of generations");
    else if (lstat(path.data, &st) == 0) {
        status = lcf_grow((void **)&all->list, &all->capacity, all->n + 1, sizeof(*all->list));
        char *copy = status ? NULL : lcf_strdup(name);
        if (!copy)
            status = LCF_FAIL(err, LCF_ENOMEM, "list of generations");
        else
            all->list[all->n++] = (generation){copy, st.st_mtim};
    }
    lcf_buf_dispose(&path);
    return status;
}

/* Whether an entry of the root is the folder that `current` leads to, however that is written: an
 * operator's `ln` may have given it a slash at the end, or the whole path. */
static bool is_folder(int root_fd, const char *name, const struct stat *current)
{
    struct stat st;

    return !fstatat(root_fd, name, &st, 0) && st.st_dev == current->st_dev &&
           st.st_ino == current->st_ino;
}

/* Lists the generations of the root, removing what a killed writer left half written or half
 * removed: the lock is ours, so nobody is at work on it. */
static lcf_status list_generations(generations *all, const char *root, lcf_err *err)
{
    struct stat current = {0};
    lcf_status status = LCF_OK;
    DIR *d = opendir(root);
    struct dirent *e;

    if (!d)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", root);
    if (fstatat(dirfd(d), "current", &current, 0) < 0 && errno != ENOENT)
        status = LCF_FAIL_ERRNO(err, "cannot follow %s/current", root);
    while (!status && (e = readdir(d))) {
        if (!strncmp(e->d_name, RETIRED_PREFIX, strlen(RETIRED_PREFIX)) ||
            strstr(e->d_name, SNAPSHOT_STAGE_MARK)) {
            char *path = lcf_path_join(root, e->d_name);
            status = path ? lcf_dir_remove(path, err) : LCF_FAIL(err, LCF_ENOMEM, "a path");
            free(path);
        } else if (e->d_name[0] != '.' && strcmp(e->d_name, "current") &&
                   !is_folder(dirfd(d), e->d_name, &current)) {
            status = add_generation(all, root, e->d_name, err);
        }
    }
    closedir(d);
    return status;
}

/* Out of the way under the exclusive flock, so that no reader claims it any more, then removed. */
static lcf_status remove_generation(bool *in_use, const char *root, const char *name, lcf_err *err)
{
    lcf_buf from = LCF_BUF_INIT, to = LCF_BUF_INIT;
    lcf_status status = LCF_OK;
    int fd = -1;

    *in_use = false;
    lcf_buf_printf(&from, "%s/%s", root, name);
    lcf_buf_printf(&to, "%s/" RETIRED_PREFIX "%s", root, name);
    if (from.status || to.status) {
        status = LCF_FAIL(err, LCF_ENOMEM, "path of generation %s", name);
        goto done;
    }
    fd = open(from.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        status = LCF_FAIL_ERRNO(err, "cannot open folder %s", from.data);
        goto done;
    }
    *in_use = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (*in_use)
        goto done;
    if (rename(from.data, to.data) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot retire %s", from.data);
    else
        status = lcf_dir_remove(to.data, err);
done:
    if (fd >= 0)
        close(fd);
    lcf_buf_dispose(&from);
    lcf_buf_dispose(&to);
    return status;
}

lcf_status snapshot_root_retire(size_t *retired_n, size_t *in_use_n, const char *root, size_t keep,
                                lcf_err *err)
{
    generations all = {NULL, 0, 0};
    lcf_status status = list_generations(&all, root, err);

    *retired_n = *in_use_n = 0;
    if (!status && all.n)
        qsort(all.list, all.n, sizeof(*all.list), newest_first);
    for (size_t i = keep; !status && i < all.n; i++) {
        bool in_use;

        status = remove_generation(&in_use, root, all.list[i].name, err);
        *in_use_n += !status && in_use;
        *retired_n += !status && !in_use;
    }
    for (size_t i = 0; i < all.n; i++)
        free(all.list[i].name);
    free(all.list);
    return status;
}
