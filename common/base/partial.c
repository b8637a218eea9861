/*
 * See the header.
 */
#include "common/base/partial.h"

#include "common/base/mem.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000, PAUSE_MS = 20 };

struct lcf_partial {
    char *path;
    int fd; /* of the folder, with the lock; -1: none */
};

static char *path_of(const char *artefact)
{
    size_t n = strlen(artefact);
    lcf_buf path = LCF_BUF_INIT;

    while (n > 1 && artefact[n - 1] == '/')
        n--;
    lcf_buf_printf(&path, "%.*s.partial", (int)n, artefact);
    return lcf_buf_take(&path);
}

/* A folder's descriptor with the lock, -1 when there is none, it is in use, or somebody removes it
 * at this moment; errno tells. */
static int lock_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat held, named;
    int why;

    if (fd < 0)
        return -1;
    if (!flock(fd, LOCK_EX | LOCK_NB)) {
        if (!fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev)
            return fd;
        errno = EWOULDBLOCK;
    }
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* A killed process holds its lock until the system has taken it down, which may be after whoever
 * killed it begins the next run: so we ask again for a while before the folder counts as taken. */
static lcf_status hold(lcf_partial *p, lcf_err *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

    for (int waited = 0;; waited += PAUSE_MS) {
        lcf_status status = lcf_dir_create(p->path, err);

        if (status)
            return status;
        p->fd = lock_folder(p->path);
        if (p->fd >= 0)
            return LCF_OK;
        if (errno != EWOULDBLOCK && errno != ENOENT) /* ENOENT: it was there a moment ago */
            return LCF_FAIL_ERRNO(err, "cannot lock folder %s", p->path);
        if (waited >= PATIENCE_MS)
            return LCF_FAIL(err, LCF_EBUSY,
                            "another process works on %s; try again when it has ended", p->path);
        nanosleep(&pause, NULL);
    }
}

static void let_go(lcf_partial *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static lcf_status begin(lcf_partial *p, lcf_manifest *m, lcf_err *err)
{
    lcf_status status = lcf_partial_remove(p, err);

    let_go(p);
    if (!status)
        status = hold(p, err);
    return status ? status : lcf_manifest_write(m, p->path, err);
}

lcf_status lcf_partial_open(lcf_partial **out, const char *artefact, lcf_manifest *m, bool fresh,
                            lcf_err *err)
{
    lcf_partial *p = lcf_alloc_zero(1, sizeof(*p));
    lcf_status status;

    *out = NULL;
    if (!p)
        return LCF_FAIL(err, LCF_ENOMEM, "parts of %s", artefact);
    p->fd = -1;
    p->path = path_of(artefact);
    status = p->path ? hold(p, err) : LCF_FAIL(err, LCF_ENOMEM, "parts of %s", artefact);
    if (!status && (fresh || !lcf_manifest_is_current(m, p->path)))
        status = begin(p, m, err);
    if (status) {
        lcf_partial_close(p);
        return status;
    }
    *out = p;
    return LCF_OK;
}

const char *lcf_partial_path(const lcf_partial *p)
{
    return p->path;
}

lcf_status lcf_partial_remove(lcf_partial *p, lcf_err *err)
{
    return lcf_dir_remove(p->path, err);
}

void lcf_partial_close(lcf_partial *p)
{
    if (!p)
        return;
    let_go(p);
    free(p->path);
    free(p);
}

/* Whether all of an identity, or of a part of one, stands in another. */
static bool is_within(json_t *part, const json_t *whole)
{
    const char *name;
    json_t *value;

    if (!json_is_object(part))
        return json_equal(part, whole);
    json_object_foreach(part, name, value)
    {
        if (!is_within(value, json_object_get(whole, name)))
            return false;
    }
    return true;
}

/* Whether a folder was begun as one of parts, and of this artefact: its manifest names no file, and
 * no more of where it comes from than the artefact's does. */
static bool is_of(const char *path, const char *artefact)
{
    json_t *parts = NULL, *made = NULL;
    char id[65];
    bool same = !lcf_manifest_read(id, &parts, path, NULL) &&
                !lcf_manifest_read(id, &made, artefact, NULL) && !json_object_get(parts, "content");

    same = same && !json_object_size(json_object_get(parts, "files")) &&
           is_within(json_object_get(parts, "identity"), json_object_get(made, "identity"));
    json_decref(parts);
    json_decref(made);
    return same;
}

static bool manifest_time(struct timespec *out, const char *dir)
{
    char *path = lcf_path_join(dir, "manifest.json");
    struct stat st;
    const bool found = path && !stat(path, &st);

    free(path);
    if (found)
        *out = st.st_mtim;
    return found;
}

void lcf_partial_remove_leftover(const char *artefact)
{
    char *path = path_of(artefact);
    struct timespec begun, made;
    int fd;

    if (path && manifest_time(&begun, path) && manifest_time(&made, artefact) &&
        (begun.tv_sec < made.tv_sec ||
         (begun.tv_sec == made.tv_sec && begun.tv_nsec < made.tv_nsec)) &&
        is_of(path, artefact)) {
        fd = lock_folder(path);
        if (fd >= 0) {
            (void)lcf_dir_remove(path, NULL);
            close(fd);
        }
    }
    free(path);
}
