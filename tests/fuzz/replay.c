/*
 * The main of every fuzz target in an ordinary build: runs each file of a corpus folder through
 * LLVMFuzzerTestOneInput, then seeded mutations of them. The same folder gives the same inputs on
 * every run.
 *
 * usage    fuzz_x FOLDER [MUTATIONS]
 * exit     0 all inputs were survived; 1 the folder is missing, empty or unreadable
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MUTATIONS = 4000, FILE_BYTES_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct corpus {
    lcf_buf *files;
    size_t n;
} corpus;

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static lcf_status load_file(corpus *c, const char *folder, const char *name, lcf_err *err)
{
    char *path = lcf_path_join(folder, name);
    struct stat info;
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "%s", name);
    if (stat(path, &info))
        status = LCF_FAIL_ERRNO(err, "%s", path);
    else if (S_ISREG(info.st_mode))
        status = lcf_file_read(&c->files[c->n++], path, FILE_BYTES_MAX, err);
    free(path);
    return status;
}

/* In alphabetical order, so that mutations do not depend on the file system. */
static lcf_status load(corpus *c, const char *folder, lcf_err *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_input, alphasort);
    lcf_status status = LCF_OK;

    if (n < 0)
        return LCF_FAIL_ERRNO(err, "corpus folder %s", folder);
    c->files = lcf_alloc_zero((size_t)n + 1, sizeof(*c->files));
    if (!c->files)
        status = LCF_FAIL(err, LCF_ENOMEM, "%d files", n);
    for (int i = 0; i < n; i++) {
        if (!status)
            status = load_file(c, folder, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    if (!status && !c->n)
        status = LCF_FAIL(err, LCF_ENOENT, "corpus folder %s is empty", folder);
    return status;
}

/* An exact copy on the heap: reading one byte too far is caught by the sanitizer. */
static void run_input(const void *data, size_t n)
{
    uint8_t *copy = lcf_alloc(n ? n : 1, 1);

    if (!copy)
        abort();
    if (n)
        memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void flip_bits(lcf_buf *b, lcf_rng *rng)
{
    for (uint64_t k = 1 + lcf_rng_below(rng, 8); k > 0; k--)
        b->data[lcf_rng_below(rng, b->len)] ^= (char)(1 << lcf_rng_below(rng, 8));
}

/* A field that says zero, everything, or too much. */
static void set_field(lcf_buf *b, lcf_rng *rng)
{
    static const uint64_t VALUES[] = {
        0, 1, UINT64_MAX, INT64_MAX, UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 62, 0x7f};
    uint64_t value = VALUES[lcf_rng_below(rng, 8)];
    size_t width = (size_t)1 << lcf_rng_below(rng, 4);

    if (width > b->len)
        width = b->len;
    memcpy(b->data + lcf_rng_below(rng, b->len - width + 1), &value, width);
}

/* The head of one file and the tail of another. */
static void splice(lcf_buf *b, const lcf_buf *other, lcf_rng *rng)
{
    size_t from = (size_t)lcf_rng_below(rng, other->len + 1);

    b->len = (size_t)lcf_rng_below(rng, b->len + 1);
    lcf_buf_append(b, lcf_buf_text(other) + from, other->len - from);
}

static void run_mutation(const corpus *c, uint64_t seed)
{
    lcf_buf b = LCF_BUF_INIT;
    const lcf_buf *first, *second;
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    first = &c->files[lcf_rng_below(&rng, c->n)];
    second = &c->files[lcf_rng_below(&rng, c->n)];
    lcf_buf_append(&b, lcf_buf_text(first), first->len);
    for (uint64_t k = 1 + lcf_rng_below(&rng, 2); k > 0 && b.len; k--)
        switch (lcf_rng_below(&rng, 4)) {
        case 0:
            flip_bits(&b, &rng);
            break;
        case 1:
            set_field(&b, &rng);
            break;
        case 2:
            b.len = (size_t)lcf_rng_below(&rng, b.len + 1);
            break;
        default:
            splice(&b, second, &rng);
        }
    if (b.status)
        abort();
    run_input(lcf_buf_text(&b), b.len);
    lcf_buf_dispose(&b);
}

int main(int argc, char **argv)
{
    uint64_t mutations_n = MUTATIONS;
    corpus c = {NULL, 0};
    lcf_err err = LCF_ERR_INIT;

    if (argc < 2 || argc > 3 ||
        (argc == 3 && !lcf_parse_u64(argv[2], strlen(argv[2]), &mutations_n))) {
        fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
        return 1;
    }
    if (load(&c, argv[1], &err)) {
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
        return 1;
    }
    for (size_t i = 0; i < c.n; i++)
        run_input(lcf_buf_text(&c.files[i]), c.files[i].len);
    for (uint64_t seed = 0; seed < mutations_n; seed++)
        run_mutation(&c, seed);
    printf("%zu files and %llu mutations survived\n", c.n, (unsigned long long)mutations_n);
    for (size_t i = 0; i < c.n; i++)
        lcf_buf_dispose(&c.files[i]);
    free(c.files);
    return 0;
}
