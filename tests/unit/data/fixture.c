/* Tiny logs and datasets: see fixture.h. */
#include "tests/unit/data/fixture.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "offline/data/prepare.h"

#include <stdio.h>
#include <stdlib.h>

char *lcf_fixture_dir(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = lcf_path_join(parent && *parent ? parent : ".", "lcf-fixture-XXXXXX");

    LCF_ASSERT(path && mkdtemp(path));
    return path;
}

static lcf_status write_text(const char *dir, const char *name, lcf_buf *text, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status = text->status;

    if (!path || status)
        status = LCF_FAIL(err, LCF_ENOMEM, "%s", name);
    if (!status)
        status = lcf_file_write(path, text->data, text->len, err);
    free(path);
    return status;
}

static const char *const CATEGORIES[] = {"Boots", "Lamps", "Tents", "Mugs"};
static const char *const BRANDS[] = {"Northwind", "Alder", "Quill"};

static void print_items(lcf_buf *out, size_t n)
{
    lcf_buf_append_text(out, "item_id\ttitle\tbrand\tcategories\ttext\n");
    for (size_t i = 1; i <= n; i++)
        lcf_buf_printf(out, "i%zu\t%s %s No. %zu\t%s\t%s|Gifts\ta %s to keep\n", i, BRANDS[i % 3],
                       CATEGORIES[i % 4], i, BRANDS[i % 3], CATEGORIES[i % 4], CATEGORIES[i % 4]);
}

static void print_rows(lcf_buf *out, const lcf_fixture_options *o)
{
    lcf_rng rng;

    lcf_rng_seed(&rng, o->seed, 0);
    lcf_buf_printf(out, "user_id\titem_id\ttimestamp%s\n", o->ratings ? "\trating" : "");
    for (size_t row = 0; row < o->rows_per_user; row++) {
        for (size_t user = 1; user <= o->users_n; user++) {
            size_t item = 1 + (size_t)lcf_rng_below(&rng, o->items_n);
            bool liked = item % 2 == user % 2;

            lcf_buf_printf(out, "u%zu\ti%zu\t%zu", user, item, 1000000 + row * 1000 + user);
            if (o->ratings)
                lcf_buf_printf(out, "\t%d", liked ? 5 : 2);
            lcf_buf_append_char(out, '\n');
        }
    }
}

lcf_status lcf_fixture_write_log(const char *dir, const lcf_fixture_options *options, lcf_err *err)
{
    lcf_fixture_options defaults = LCF_FIXTURE_OPTIONS_INIT;
    lcf_buf items = LCF_BUF_INIT, rows = LCF_BUF_INIT;
    lcf_status status;

    print_items(&items, options ? options->items_n : defaults.items_n);
    print_rows(&rows, options ? options : &defaults);
    status = write_text(dir, "items.tsv", &items, err);
    if (!status)
        status = write_text(dir, "interactions.tsv", &rows, err);
    lcf_buf_dispose(&items);
    lcf_buf_dispose(&rows);
    return status;
}

lcf_status lcf_fixture_write_dataset(const char *dir, const lcf_fixture_options *options,
                                     lcf_err *err)
{
    lcf_prepare_options prepare = LCF_PREPARE_OPTIONS_INIT;
    char *raw = lcf_fixture_dir();
    lcf_status status = lcf_fixture_write_log(raw, options, err);

    prepare.input_dir = raw;
    prepare.out_dir = dir;
    if (!status)
        status = lcf_prepare(NULL, NULL, &prepare, err);
    lcf_dir_remove(raw, NULL);
    free(raw);
    return status;
}
