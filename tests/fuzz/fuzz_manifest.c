/*
 * Any bytes as the manifest.json of a folder with one file: verified or refused with a reason.
 */
#include "common/base/file.h"
#include "common/base/manifest.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char g_dir[] = "llmcf-fuzz-XXXXXX";

static void clean_up(void)
{
    (void)lcf_dir_remove(g_dir, NULL);
}

static void write_file(const char *name, const void *data, size_t size)
{
    char *path = lcf_path_join(g_dir, name);
    /* Removed first and written by stdio: nothing waits for the disk. */
    FILE *f = path && (remove(path), true) ? fopen(path, "wb") : NULL;

    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    free(path);
}

static void make_folder(void)
{
    if (!mkdtemp(g_dir))
        abort();
    write_file("a.txt", "hello\n", 6);
    atexit(clean_up);
}

static void check(lcf_status status, const lcf_err *err)
{
    if (status && (err->status != status || !err->text[0]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    char id[65];
    json_t *json = NULL;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    if (!made)
        make_folder();
    made = true;
    write_file("manifest.json", data, size);
    status = lcf_manifest_read(id, &json, g_dir, &err);
    check(status, &err);
    if (!status && strlen(id) != 64)
        abort();
    json_decref(json);
    err = (lcf_err)LCF_ERR_INIT;
    check(lcf_manifest_verify(g_dir, &err), &err);
    err = (lcf_err)LCF_ERR_INIT;
    check(lcf_manifest_verify_fast(g_dir, &err), &err);
    return 0;
}
