/*
 * Files and folders that change atomically.
 *
 * Invariant: the temporary name of an output is "<path>.tmp.<pid>.<n>" beside its target, so that
 * the rename stays on one file system, and a crash leaves only a name that nothing reads.
 */
#include "common/base/file.h"

#include "common/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

lcf_status lcf_map_open(lcf_map *out, const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;
    struct stat st;
    void *data;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *out = (lcf_map){NULL, 0};
    if (fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot open %s", path);
    if (fstat(fd, &st) < 0) {
        status = LCF_FAIL_ERRNO(err, "cannot stat %s", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = LCF_FAIL(err, LCF_EFORMAT, "%s is not a regular file", path);
    } else if (st.st_size > 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = LCF_FAIL_ERRNO(err, "cannot map %s", path);
        else
            *out = (lcf_map){data, (size_t)st.st_size};
    }
    close(fd);
    return status;
}

void lcf_map_close(lcf_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes_n);
    *map = (lcf_map){NULL, 0};
}

lcf_status lcf_file_read(lcf_buf *buf, const char *path, size_t bytes_max, lcf_err *err)
{
    lcf_status status = LCF_OK;
    size_t start = buf->len, n;
    char chunk[1 << 14];
    FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "rb");

    if (!f)
        return LCF_FAIL_ERRNO(err, "cannot open %s", path);
    while (!status && (n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        if (buf->len - start + n > bytes_max)
            status = LCF_FAIL(err, LCF_ELIMIT, "%s is larger than %zu bytes", path, bytes_max);
        else
            lcf_buf_append(buf, chunk, n);
    }
    if (!status && ferror(f))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", path);
    if (!status && buf->status)
        status = LCF_FAIL(err, buf->status, "content of %s", path);
    if (f != stdin)
        fclose(f);
    return status;
}

bool lcf_path_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

bool lcf_path_same(const char *a, const char *b)
{
    struct stat x, y;

    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

char *lcf_path_join(const char *dir, const char *name)
{
    lcf_buf buf = LCF_BUF_INIT;

    lcf_buf_printf(&buf, "%s%s%s", dir, *dir && dir[strlen(dir) - 1] == '/' ? "" : "/", name);
    return lcf_buf_take(&buf);
}

/* The path without trailing slashes, so that "<path>.tmp..." lies beside it and not inside. */
static char *without_slash(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return lcf_strndup(path, n);
}

static char *temporary_name(const char *path)
{
    static _Atomic unsigned counter;
    lcf_buf buf = LCF_BUF_INIT;

    lcf_buf_printf(&buf, "%s.tmp.%ld.%u", path, (long)getpid(), atomic_fetch_add(&counter, 1));
    return lcf_buf_take(&buf);
}

static lcf_status sync_fd_of(const char *path, int flags, lcf_err *err)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot open %s to flush it", path);
    if (fsync(fd) < 0) {
        lcf_status status = LCF_FAIL_ERRNO(err, "cannot flush %s", path);
        close(fd);
        return status;
    }
    close(fd);
    return LCF_OK;
}

/* Makes a rename in the folder of `path` durable. The path is spoilt: after a rename nothing may
 * need memory any more. */
static lcf_status sync_parent(char *path, lcf_err *err)
{
    return sync_fd_of(dirname(path), O_RDONLY | O_DIRECTORY, err);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

lcf_status lcf_dir_remove(const char *path, lcf_err *err)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return LCF_FAIL_ERRNO(err, "cannot remove %s", path);
    return LCF_OK;
}

/* ---- what killed writers leave ---- */

/* ".tmp.", a number, a dot, a number: what temporary_name appends. */
static bool is_temporary(const char *end)
{
    static const char mark[] = ".tmp.";
    size_t n;

    if (strncmp(end, mark, sizeof(mark) - 1))
        return false;
    end += sizeof(mark) - 1;
    n = strspn(end, "0123456789");
    if (!n || end[n] != '.')
        return false;
    end += n + 1;
    n = strspn(end, "0123456789");
    return n && !end[n];
}

/* A temporary file or folder that nobody has a flock on is nobody's. */
static void remove_if_left(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return;
    if (!flock(fd, LOCK_EX | LOCK_NB))
        (void)lcf_dir_remove(path, NULL);
    close(fd);
}

/* Removes what killed writers of this path have left beside it; as far as it can, for it is only
 * room. */
static void remove_leftovers(const char *path)
{
    char *parent = lcf_strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *folder = slash ? (slash > parent ? parent : "/") : ".";
    const size_t n = strlen(name);
    struct dirent *entry;
    DIR *dir;

    if (slash)
        *slash = '\0';
    dir = parent ? opendir(folder) : NULL;
    while (dir && (entry = readdir(dir))) {
        char *left;

        if (strncmp(entry->d_name, name, n) || !is_temporary(entry->d_name + n))
            continue;
        left = lcf_path_join(folder, entry->d_name);
        if (left)
            remove_if_left(left);
        free(left);
    }
    if (dir)
        closedir(dir);
    free(parent);
}

/* ---- files ---- */

struct lcf_out {
    char *path, *temporary;
    FILE *stream;
};

lcf_status lcf_out_open(lcf_out **out, const char *path, lcf_err *err)
{
    lcf_status status;
    lcf_out *o = lcf_alloc_zero(1, sizeof(*o));

    *out = NULL;
    if (!o)
        return LCF_FAIL(err, LCF_ENOMEM, "output %s", path);
    o->path = lcf_strdup(path);
    o->temporary = o->path ? temporary_name(path) : NULL;
    if (!o->temporary) {
        status = LCF_FAIL(err, LCF_ENOMEM, "output %s", path);
        goto done;
    }
    remove_leftovers(path);
    o->stream = fopen(o->temporary, "wbe");
    if (!o->stream) {
        status = LCF_FAIL_ERRNO(err, "cannot create %s", o->temporary);
        goto done;
    }
    (void)flock(fileno(o->stream), LOCK_SH | LOCK_NB); /* somebody is at work on it */
    *out = o;
    o = NULL;
    status = LCF_OK;
done:
    lcf_out_abandon(o);
    return status;
}

FILE *lcf_out_stream(lcf_out *out)
{
    return out->stream;
}

lcf_status lcf_out_commit(lcf_out *out, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (fflush(out->stream) || ferror(out->stream) || fsync(fileno(out->stream)) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot write %s", out->path);
    /* While it is open, and so locked. */
    if (!status && rename(out->temporary, out->path) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot rename %s to %s", out->temporary, out->path);
    if (!status) {
        free(out->temporary);
        out->temporary = NULL;
        status = sync_parent(out->path, err);
    }
    lcf_out_abandon(out);
    return status;
}

void lcf_out_abandon(lcf_out *out)
{
    if (!out)
        return;
    if (out->stream)
        fclose(out->stream);
    if (out->temporary)
        unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    free(out);
}

lcf_status lcf_file_write(const char *path, const void *data, size_t n, lcf_err *err)
{
    lcf_out *out;
    lcf_status status = lcf_out_open(&out, path, err);

    if (status)
        return status;
    if (n && fwrite(data, 1, n, out->stream) != n) {
        status = LCF_FAIL_ERRNO(err, "cannot write %s", path);
        lcf_out_abandon(out);
        return status;
    }
    return lcf_out_commit(out, err);
}

lcf_status lcf_file_write_text(const char *dir, const char *name, const lcf_buf *text, lcf_err *err)
{
    char *path = text->status ? NULL : lcf_path_join(dir, name);
    lcf_status status = path ? lcf_file_write(path, lcf_buf_text(text), text->len, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "%s in %s", name, dir);

    free(path);
    return status;
}

lcf_status lcf_dir_create(const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;
    struct stat st;
    char *copy = lcf_strdup(path);

    if (!copy)
        return LCF_FAIL(err, LCF_ENOMEM, "path %s", path);
    for (char *p = copy + 1; !status && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
            status = LCF_FAIL_ERRNO(err, "cannot create folder %s", copy);
        *p = '/';
    }
    if (!status && mkdir(copy, 0777) < 0 && errno != EEXIST)
        status = LCF_FAIL_ERRNO(err, "cannot create folder %s", path);
    if (!status && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        status = LCF_FAIL(err, LCF_EEXIST, "%s exists and is no folder", path);
    free(copy);
    return status;
}

struct lcf_stage {
    char *path, *temporary;
    int fd; /* of the temporary folder, with a shared flock on it: somebody is at work there */
};

/* Makes the temporary folder and says that it is in use. */
static lcf_status begin_temporary(lcf_stage *s, lcf_err *err)
{
    lcf_status status = lcf_dir_remove(s->temporary, err);

    if (!status)
        status = lcf_dir_create(s->temporary, err);
    if (status)
        return status;
    s->fd = open(s->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", s->temporary);
    if (flock(s->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return LCF_FAIL(err, LCF_EBUSY, "another process writes %s; try again when it has ended",
                        s->path);
    return LCF_OK;
}

/* The commit will remove what is at `path`: it must be nothing, an empty folder, or an artefact. */
static lcf_status check_replaceable(const char *path, lcf_err *err)
{
    char *manifest = lcf_path_join(path, "manifest.json");
    bool artefact = manifest && lcf_path_exists(manifest);
    DIR *dir = artefact || !manifest ? NULL : opendir(path);
    const struct dirent *entry = NULL;
    bool empty = true, named = manifest;

    free(manifest);
    if (!named)
        return LCF_FAIL(err, LCF_ENOMEM, "output folder %s", path);
    while (dir && empty && (entry = readdir(dir)))
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    if (dir)
        closedir(dir);
    return empty ? LCF_OK
                 : LCF_FAIL(err, LCF_EEXIST,
                            "%s is there and is no artefact (it has no manifest.json): it would be "
                            "lost; choose another output folder or remove it",
                            path);
}

lcf_status lcf_stage_open(lcf_stage **out, const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;
    lcf_stage *s = lcf_alloc_zero(1, sizeof(*s));

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "output folder %s", path);
    s->fd = -1;
    s->path = without_slash(path);
    s->temporary = s->path ? temporary_name(s->path) : NULL;
    if (!s->temporary)
        status = LCF_FAIL(err, LCF_ENOMEM, "output folder %s", path);
    if (!status)
        status = check_replaceable(s->path, err);
    if (!status) {
        remove_leftovers(s->path);
        status = begin_temporary(s, err);
    }
    if (status) {
        lcf_stage_abandon(s);
        return status;
    }
    *out = s;
    return LCF_OK;
}

const char *lcf_stage_path(const lcf_stage *stage)
{
    return stage->temporary;
}

static _Thread_local lcf_err *sync_err; /* nftw passes no argument */

static int sync_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (type == FTW_F)
        return sync_fd_of(path, O_RDONLY, sync_err) ? -1 : 0;
    return type == FTW_DP ? (sync_fd_of(path, O_RDONLY | O_DIRECTORY, sync_err) ? -1 : 0) : 0;
}

lcf_status lcf_stage_commit(lcf_stage *stage, lcf_err *err)
{
    lcf_status status = LCF_OK;

    sync_err = err;
    if (nftw(stage->temporary, sync_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        status = err && err->status ? err->status
                                    : LCF_FAIL_ERRNO(err, "cannot flush %s", stage->temporary);
    if (!status && rename(stage->temporary, stage->path) < 0) {
        if (errno != ENOTEMPTY && errno != EEXIST)
            status = LCF_FAIL_ERRNO(err, "cannot rename %s to %s", stage->temporary, stage->path);
        else if (renameat2(AT_FDCWD, stage->temporary, AT_FDCWD, stage->path, RENAME_EXCHANGE) < 0)
            status =
                LCF_FAIL_ERRNO(err, "cannot exchange %s with %s", stage->temporary, stage->path);
    }
    if (!status)
        status = sync_parent(stage->path, err);
    lcf_stage_abandon(stage); /* removes what is under the temporary name: nothing, the old folder,
                                 or the failed one */
    return status;
}

void lcf_stage_abandon(lcf_stage *stage)
{
    if (!stage)
        return;
    if (stage->temporary)
        (void)lcf_dir_remove(stage->temporary, NULL);
    if (stage->fd >= 0)
        close(stage->fd);
    free(stage->temporary);
    free(stage->path);
    free(stage);
}

void lcf_stage_remove_leftovers(const char *path)
{
    char *named = without_slash(path);

    if (named)
        remove_leftovers(named);
    free(named);
}

struct lcf_lock {
    int fd;
};

lcf_status lcf_lock_acquire(lcf_lock **out, const char *path, lcf_err *err)
{
    lcf_status status = LCF_OK;
    lcf_lock *lock = lcf_alloc_zero(1, sizeof(*lock));

    *out = NULL;
    if (!lock)
        return LCF_FAIL(err, LCF_ENOMEM, "lock %s", path);
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->fd < 0)
        status = LCF_FAIL_ERRNO(err, "cannot open lock file %s", path);
    else if (flock(lock->fd, LOCK_EX | LOCK_NB) < 0)
        status =
            errno == EWOULDBLOCK
                ? LCF_FAIL(err, LCF_EBUSY,
                           "%s is locked by another process; try again when it has ended", path)
                : LCF_FAIL_ERRNO(err, "cannot lock %s", path);
    if (status) {
        lcf_lock_release(lock);
        return status;
    }
    *out = lock;
    return LCF_OK;
}

void lcf_lock_release(lcf_lock *lock)
{
    if (!lock)
        return;
    if (lock->fd >= 0)
        close(lock->fd);
    free(lock);
}
