/* Copying files of artefacts: see copy.h. */
#include "common/snapshot/copy.h"

#include "common/base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static lcf_status copy_stream(FILE *to, FILE *from, const char *name, lcf_err *err)
{
    char block[1 << 16];
    size_t n;

    while ((n = fread(block, 1, sizeof(block), from)) > 0)
        if (fwrite(block, 1, n, to) != n)
            return LCF_FAIL_ERRNO(err, "cannot write %s", name);
    return ferror(from) ? LCF_FAIL(err, LCF_EIO, "cannot read %s", name) : LCF_OK;
}

lcf_status snapshot_copy_file(const char *to, const char *from, lcf_err *err)
{
    FILE *in = fopen(from, "rbe"), *out = NULL;
    lcf_status status;

    if (!in)
        return LCF_FAIL_ERRNO(err, "cannot open %s", from);
    out = fopen(to, "wbe");
    status = out ? copy_stream(out, in, from, err) : LCF_FAIL_ERRNO(err, "cannot create %s", to);
    if (out && fclose(out) != 0 && !status)
        status = LCF_FAIL_ERRNO(err, "cannot write %s", to);
    fclose(in);
    return status;
}

static lcf_status copy_named(const char *to_dir, const char *from_dir, const char *name,
                             lcf_err *err)
{
    char *to = lcf_path_join(to_dir, name), *from = lcf_path_join(from_dir, name);
    lcf_status status = to && from ? snapshot_copy_file(to, from, err)
                                   : LCF_FAIL(err, LCF_ENOMEM, "path of %s", name);

    free(to);
    free(from);
    return status;
}

lcf_status snapshot_copy_folder(const char *to, const char *from, lcf_err *err)
{
    lcf_status status = lcf_dir_create(to, err);
    DIR *d;
    struct dirent *e;

    if (status)
        return status;
    d = opendir(from);
    if (!d)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", from);
    while (!status && (e = readdir(d)))
        if (e->d_name[0] != '.' && strcmp(e->d_name, "manifest.json"))
            status = copy_named(to, from, e->d_name, err);
    closedir(d);
    return status;
}

/* One entry of a tree; anything but files and folders is left out. */
static lcf_status copy_entry(const char *to, const char *from, lcf_err *err)
{
    struct stat st;
    lcf_status status;

    if (lstat(from, &st) < 0)
        return LCF_FAIL_ERRNO(err, "cannot stat %s", from);
    if (S_ISREG(st.st_mode))
        return snapshot_copy_file(to, from, err);
    if (!S_ISDIR(st.st_mode))
        return LCF_OK;
    status = lcf_dir_create(to, err);
    return status ? status : snapshot_copy_tree(to, from, err);
}

lcf_status snapshot_copy_tree(const char *to, const char *from, lcf_err *err)
{
    lcf_status status = LCF_OK;
    DIR *d = opendir(from);
    struct dirent *e;

    if (!d)
        return LCF_FAIL_ERRNO(err, "cannot open folder %s", from);
    while (!status && (e = readdir(d))) {
        char *into, *source;

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        into = lcf_path_join(to, e->d_name);
        source = lcf_path_join(from, e->d_name);
        status = into && source ? copy_entry(into, source, err)
                                : LCF_FAIL(err, LCF_ENOMEM, "path of %s", e->d_name);
        free(into);
        free(source);
    }
    closedir(d);
    return status;
}
