/* Upkeep of stores: what is damaged is named and dropped and all else stays; merging twice adds
 * once; a killed one leaves the old store or the new one. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/store/cot_json.h"
#include "common/store/cot_lmdb.h"
#include "tests/unit/store/records.h"
#include "tests/unit/store/work_folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { RECORDS = 600 };

static void digest_of(char out[LCF_SHA256_HEX_BYTES], const char *dir)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    if (records_open(&s, dir, false, &err) || lcf_cot_store_digest(out, s, &err))
        fail_msg("%s", err.text);
    lcf_cot_store_close(s);
}

static void assert_same_stores(const char *a, const char *b)
{
    char x[LCF_SHA256_HEX_BYTES], y[LCF_SHA256_HEX_BYTES];

    digest_of(x, a);
    digest_of(y, b);
    assert_string_equal(x, y);
}

static lcf_status count_sound(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    (void)record;
    (void)err;
    ++*(size_t *)arg;
    return LCF_OK;
}

static void count(void *arg, lcf_hash128 key, const char *why)
{
    (void)key;
    assert_true(*why);
    ++*(size_t *)arg;
}

/* Damages the frames of records [0, n) behind the store's back. */
static void damage(const char *dir, uint64_t n)
{
    lcf_cot_db *db;
    lcf_buf value = LCF_BUF_INIT;

    assert_int_equal(lcf_cot_db_open(&db, dir, LCF_COT_WRITE, NULL), LCF_OK);
    for (uint64_t i = 0; i < n; i++) {
        const lcf_hash128 key = lcf_hash128_of(&i, sizeof(i));
        lcf_cot_pair pair = {LCF_COT_RECORDS, {(const char *)key.bytes, 16}, {NULL, 0}};

        lcf_buf_reset(&value);
        assert_int_equal(lcf_cot_db_get(&value, db, LCF_COT_RECORDS, key.bytes, 16, NULL), LCF_OK);
        value.data[value.len / 2] ^= 0x10;
        pair.value = (lcf_str){value.data, value.len};
        assert_int_equal(lcf_cot_db_put(db, &pair, 1, NULL), LCF_OK);
    }
    lcf_buf_dispose(&value);
    lcf_cot_db_close(db);
}

static void damaged_records_are_named_and_dropped(void **state)
{
    lcf_cot_repair_counts counts;
    lcf_cot_store *s;
    size_t named = 0, sound = 0;

    (void)state;
    records_fill("hurt", RECORDS);
    damage("hurt", 5);
    assert_int_equal(records_open(&s, "hurt", false, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_each_sound(s, count_sound, &sound, count, &named, NULL), LCF_OK);
    lcf_cot_store_close(s);
    assert_int_equal(sound, RECORDS - 5);
    assert_int_equal(named, 5);
    named = 0;
    assert_int_equal(lcf_cot_store_repair(&counts, "hurt", count, &named, NULL), LCF_OK);
    assert_int_equal(counts.sound_n, RECORDS - 5);
    assert_int_equal(named, 5);
    assert_true(lcf_path_exists("hurt/data.mdb.damaged"));
    assert_false(lcf_path_exists("hurt/replacing"));
    assert_int_equal(records_open(&s, "hurt", true, NULL), LCF_OK);
    for (uint64_t i = 5; i < RECORDS; i++)
        records_check(s, i);
    assert_int_equal(records_put(s, 0, 5, 5, NULL), LCF_OK); /* generated again */
    lcf_cot_store_close(s);
    records_fill("whole", RECORDS);
    assert_same_stores("hurt", "whole");
}

/* Overwrites one page of the file with noise. */
static void tear(const char *path, uint64_t page)
{
    uint8_t noise[4096];
    lcf_rng rng;
    FILE *f = fopen(path, "r+b");

    lcf_rng_seed(&rng, page, 1);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)lcf_rng_below(&rng, 256);
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)(page * sizeof(noise)), SEEK_SET), 0);
    assert_int_equal(fwrite(noise, sizeof(noise), 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static size_t pages_of(const char *path)
{
    lcf_map map;
    size_t n;

    assert_int_equal(lcf_map_open(&map, path, NULL), LCF_OK);
    n = map.bytes_n / 4096;
    lcf_map_close(&map);
    return n;
}

/* A store with the data of another, made once: filling one trains a dictionary. */
static void copy_store(const char *to, const char *from)
{
    char *source = lcf_path_join(from, "data.mdb"), *target = lcf_path_join(to, "data.mdb");
    lcf_map map;

    records_fresh(to);
    assert_int_equal(lcf_dir_create(to, NULL), LCF_OK);
    assert_int_equal(lcf_map_open(&map, source, NULL), LCF_OK);
    assert_int_equal(lcf_file_write(target, map.data, map.bytes_n, NULL), LCF_OK);
    lcf_map_close(&map);
    free(source);
    free(target);
}

/* Wherever one page is torn, what does not need it is saved, and nothing wrong is read. */
static void torn_pages_cost_their_records_alone(void **state)
{
    size_t pages, refused = 0;

    (void)state;
    records_fill("torn", RECORDS);
    pages = pages_of("torn/data.mdb");
    for (uint64_t page = 2; page < pages; page += 7) {
        lcf_cot_repair_counts counts;
        lcf_cot_store *s;
        size_t named = 0, found = 0;
        lcf_err err = LCF_ERR_INIT;

        copy_store("ripped", "torn");
        tear("ripped/data.mdb", page);
        if (records_open(&s, "ripped", false, NULL))
            refused++;
        else
            lcf_cot_store_close(s);
        if (lcf_cot_store_repair(&counts, "ripped", count, &named, &err))
            fail_msg("page %zu: %s", (size_t)page, err.text);
        assert_int_equal(records_open(&s, "ripped", false, NULL), LCF_OK);
        for (uint64_t i = 0; i < RECORDS; i++) {
            const lcf_hash128 key = lcf_hash128_of(&i, sizeof(i));

            if (lcf_cot_store_has(s, key, NULL))
                continue;
            records_check(s, i);
            found++;
        }
        lcf_cot_store_close(s);
        assert_int_equal(found, counts.sound_n);
        assert_true(found >= 250); /* those without the dictionary, where it lay on that page */
    }
    assert_true(refused > 0);
}

/* The last key of a first page of 64 records. */
static lcf_hash128 key_64(const char *dir)
{
    const lcf_cot_limits limits = {64, SIZE_MAX, SIZE_MAX};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 key;
    lcf_cot_db *db;

    assert_int_equal(lcf_cot_db_open(&db, dir, LCF_COT_READ, NULL), LCF_OK);
    assert_int_equal(lcf_cot_db_scan(&page, db, LCF_COT_RECORDS, NULL, &limits, NULL), LCF_OK);
    assert_int_equal(page.n, 64);
    memcpy(key.bytes, lcf_cot_page_key(&page, 63).data, sizeof(key.bytes));
    lcf_cot_page_dispose(&page);
    lcf_cot_db_close(db);
    return key;
}

/* Gives every node of that key another size and, unless `fill` is negative, other bytes. */
static void rewrite_key(const char *path, lcf_hash128 key, uint8_t size, int fill)
{
    lcf_map map;
    uint8_t *bytes;
    size_t n, found = 0;

    assert_int_equal(lcf_map_open(&map, path, NULL), LCF_OK);
    n = map.bytes_n;
    bytes = lcf_alloc(n, 1);
    assert_non_null(bytes);
    memcpy(bytes, map.data, n);
    lcf_map_close(&map);
    for (size_t at = 2; at + sizeof(key.bytes) <= n; at++)
        if (bytes[at - 2] == sizeof(key.bytes) && !bytes[at - 1] &&
            !memcmp(bytes + at, key.bytes, sizeof(key.bytes))) {
            bytes[at - 2] = size;
            if (fill >= 0)
                memset(bytes + at, fill, sizeof(key.bytes));
            found++;
        }
    assert_true(found > 0);
    assert_int_equal(lcf_file_write(path, bytes, n, NULL), LCF_OK);
    free(bytes);
}

/* A key that has become smaller than those before it, or shorter: the walk ends all the same, and
 * all is saved, because a record says its key itself. */
static void damaged_keys_cost_no_record(void **state)
{
    static const struct {
        uint8_t size;
        int fill;
    } damages[] = {{16, 0}, {15, -1}};

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        lcf_cot_repair_counts counts;
        lcf_cot_store *s;
        lcf_hash128 key;
        size_t sound = 0;
        lcf_err err = LCF_ERR_INIT;

        copy_store("keys", "torn");
        key = key_64("keys");
        rewrite_key("keys/data.mdb", key, damages[i].size, damages[i].fill);
        if (!records_open(&s, "keys", false, NULL)) {
            assert_int_equal(lcf_cot_store_each_sound(s, count_sound, &sound, count, &sound, NULL),
                             LCF_EFORMAT);
            lcf_cot_store_close(s);
        }
        if (lcf_cot_store_repair(&counts, "keys", NULL, NULL, &err))
            fail_msg("%s", err.text);
        assert_int_equal(counts.sound_n, RECORDS);
        assert_int_equal(records_open(&s, "keys", false, NULL), LCF_OK);
        assert_int_equal(lcf_cot_store_has(s, key, NULL), LCF_OK);
        lcf_cot_store_close(s);
    }
}

static void put_changed(lcf_cot_store *s, uint64_t number)
{
    made m;

    records_make(&m, number);
    m.record.text = "another text";
    assert_int_equal(lcf_cot_store_put(s, &m.record, 1, NULL), LCF_OK);
}

/* A record that was replaced does not come back in its older form, nor does a removed one, when a
 * damaged page makes repair look at every page. */
static void repair_brings_back_no_older_version(void **state)
{
    lcf_cot_repair_counts counts;
    lcf_cot_store *s;
    lcf_cot_record *got;
    const uint64_t changed = 7, removed = 9;
    const lcf_hash128 key = lcf_hash128_of(&changed, sizeof(changed));
    const lcf_hash128 gone = lcf_hash128_of(&removed, sizeof(removed));
    size_t saved = 0, pages;

    (void)state;
    copy_store("older", "torn");
    assert_int_equal(records_open(&s, "older", true, NULL), LCF_OK);
    put_changed(s, changed);
    assert_int_equal(lcf_cot_store_remove(s, &gone, 1, NULL), LCF_OK);
    lcf_cot_store_close(s);
    pages = pages_of("older/data.mdb");
    for (uint64_t page = 20; page < pages; page += 9) {
        copy_store("ripped", "older");
        tear("ripped/data.mdb", page);
        assert_int_equal(lcf_cot_store_repair(&counts, "ripped", NULL, NULL, NULL), LCF_OK);
        assert_int_equal(records_open(&s, "ripped", false, NULL), LCF_OK);
        assert_int_equal(lcf_cot_store_has(s, gone, NULL), LCF_ENOTFOUND);
        if (!lcf_cot_store_get(&got, s, key, NULL)) {
            assert_string_equal(got->text, "another text");
            saved++;
            free(got);
        }
        lcf_cot_store_close(s);
    }
    assert_true(saved > 0);
}

static void nothing_to_save_changes_nothing(void **state)
{
    lcf_cot_repair_counts counts;
    char noise[20000];

    (void)state;
    memset(noise, 0x5a, sizeof(noise));
    records_fresh("noise");
    assert_int_equal(lcf_dir_create("noise", NULL), LCF_OK);
    assert_int_equal(lcf_file_write("noise/data.mdb", noise, sizeof(noise), NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_repair(&counts, "noise", NULL, NULL, NULL), LCF_EFORMAT);
    assert_false(lcf_path_exists("noise/data.mdb.damaged"));
    assert_int_equal(lcf_cot_store_repair(&counts, "nowhere", NULL, NULL, NULL), LCF_ENOENT);
}

static void compaction_keeps_the_content(void **state)
{
    lcf_cot_store *s;

    (void)state;
    copy_store("loose", "torn");
    copy_store("tight", "torn");
    assert_int_equal(lcf_cot_store_compact("tight", NULL), LCF_OK);
    assert_same_stores("tight", "loose");
    assert_true(pages_of("tight/data.mdb") < pages_of("loose/data.mdb"));
    assert_int_equal(records_open(&s, "tight", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_compact("tight", NULL), LCF_EBUSY);
    assert_int_equal(records_put(s, RECORDS, RECORDS + 10, 10, NULL), LCF_OK);
    records_check(s, 3);
    records_check(s, RECORDS + 3);
    lcf_cot_store_close(s);
}

/* Killed at any moment, a compaction leaves a store with all records. */
static void killed_compaction_loses_nothing(void **state)
{
    (void)state;
    copy_store("loose", "torn");
    copy_store("killed", "torn");
    for (useconds_t wait = 0; wait < 60000; wait += 6000) {
        const pid_t child = fork();

        assert_true(child >= 0);
        if (!child) {
            for (;;)
                lcf_cot_store_compact("killed", NULL);
        }
        usleep(wait);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_same_stores("killed", "loose");
    }
    assert_int_equal(lcf_cot_store_compact("killed", NULL), LCF_OK);
    assert_false(lcf_path_exists("killed/replacing"));
    assert_same_stores("killed", "loose");
}

/* A folder with a store of schemas/examples. */
static void copy_example(const char *to, const char *name)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096], target[256];
    lcf_map map;

    snprintf(path, sizeof(path), "%s/schemas/examples/%s", source ? source : ".", name);
    snprintf(target, sizeof(target), "%s/data.mdb", to);
    records_fresh(to);
    assert_int_equal(lcf_dir_create(to, NULL), LCF_OK);
    assert_int_equal(lcf_map_open(&map, path, NULL), LCF_OK);
    assert_int_equal(lcf_file_write(target, map.data, map.bytes_n, NULL), LCF_OK);
    lcf_map_close(&map);
}

static lcf_status note_head(void *arg, const lcf_cot_head *head, lcf_err *err)
{
    char *reasons = arg;

    (void)err;
    assert_true((head->score == 0.0f) == (*head->reject_reason != 0));
    if (*head->reject_reason && !strstr(reasons, head->reject_reason))
        strcat(reasons, head->reject_reason);
    return LCF_OK;
}

/* The same records in either version: by key, by their heads, by user and time. */
static void check_example(const char *dir, bool write)
{
    const lcf_cot_select some = {"u3", 1136073600, 1136073600 + 8 * 3600};
    char digest[LCF_SHA256_HEX_BYTES], reasons[64] = "";
    lcf_cot_record *got;
    lcf_hash128 key;
    size_t n = 0;
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    digest_of(digest, dir);
    assert_string_equal(digest, "922d265b21bae5a6765e9e283460f13dd4277a25a45f7a2c3091c2e0ba68df4c");
    if (records_open(&s, dir, write, &err))
        fail_msg("%s", err.text);
    assert_true(lcf_hash128_parse(&key, "f7ab469d1dc79166fc874dadcc0dd854"));
    assert_int_equal(lcf_cot_store_get(&got, s, key, &err), LCF_OK);
    assert_string_equal(got->user_id, "u3");
    assert_true(got->time == 1136073600 + 3 * 3600);
    free(got);
    assert_int_equal(lcf_cot_store_each_of(s, &some, count_sound, &n, &err), LCF_OK);
    assert_int_equal(n, 2); /* of the hours 3, 7 and 11 */
    assert_int_equal(lcf_cot_store_each_head(s, note_head, reasons, &err), LCF_OK);
    assert_non_null(strstr(reasons, "repeats itself"));
    assert_non_null(strstr(reasons, "too short"));
    lcf_cot_store_close(s);
}

/* Version 1 is read, not written, and becomes version 2 by compaction, whenever that is killed. */
static void an_older_store_is_read_and_made_new(void **state)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    copy_example("aged", "cot_store_v1.mdb");
    check_example("aged", false);
    assert_int_equal(records_open(&s, "aged", true, &err), LCF_EVERSION);
    assert_non_null(strstr(err.text, "store compact"));
    for (useconds_t wait = 0; wait < 8000; wait += 1000) {
        pid_t child;

        copy_example("aged", "cot_store_v1.mdb"); /* here: a kill may come before a child's copy */
        child = fork();
        assert_true(child >= 0);
        while (!child)
            lcf_cot_store_compact("aged", NULL);
        usleep(20000 + wait);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        check_example("aged", false);
    }
    assert_int_equal(lcf_cot_store_compact("aged", NULL), LCF_OK);
    check_example("aged", true);
    copy_example("golden", "cot_store.mdb");
    check_example("golden", true);
}

static void note_conflict(void *arg, lcf_hash128 key)
{
    (void)key;
    ++*(size_t *)arg;
}

static void merging_twice_adds_once(void **state)
{
    lcf_cot_merge_counts counts = {0, 0, 0};
    lcf_cot_store *to, *from;
    size_t conflicts = 0;

    (void)state;
    records_fill("to", 100);
    records_fresh("from");
    assert_int_equal(records_open(&from, "from", true, NULL), LCF_OK);
    assert_int_equal(records_put(from, 90, 400, 50, NULL), LCF_OK);
    put_changed(from, 95);
    assert_int_equal(records_open(&to, "to", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_merge(&counts, to, from, note_conflict, &conflicts, NULL),
                     LCF_OK);
    assert_int_equal(counts.added_n, 300);
    assert_int_equal(counts.same_n, 9);
    assert_int_equal(counts.conflict_n, 1);
    assert_int_equal(conflicts, 1);
    for (uint64_t i = 0; i < 400; i++)
        records_check(to, i);
    counts = (lcf_cot_merge_counts){0, 0, 0};
    assert_int_equal(lcf_cot_store_merge(&counts, to, from, NULL, NULL, NULL), LCF_OK);
    assert_int_equal(counts.added_n, 0);
    assert_int_equal(counts.same_n, 309);
    lcf_cot_store_close(from);
    lcf_cot_store_close(to);
}

static void exported_records_come_back(void **state)
{
    lcf_cot_merge_counts counts = {0, 0, 0};
    lcf_cot_store *s;
    uint64_t written;
    FILE *f = tmpfile();
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_non_null(f);
    records_fill("out", 150);
    assert_int_equal(lcf_cot_export(f, &written, "out", 0, 0, NULL), LCF_OK);
    assert_int_equal(written, 150);
    records_fresh("in");
    assert_int_equal(records_open(&s, "in", true, NULL), LCF_OK);
    for (int again = 0; again < 2; again++) {
        rewind(f);
        if (lcf_cot_import(&counts, s, f, "lines", NULL, NULL, &err))
            fail_msg("%s", err.text);
    }
    assert_int_equal(counts.added_n, 150);
    assert_int_equal(counts.same_n, 150);
    lcf_cot_store_close(s);
    assert_same_stores("in", "out");
    fclose(f);
}

static void lines_that_are_no_records_are_named(void **state)
{
    static const char *const lines[][2] = {
        {"{\"key\": \"00\"}\n", "lines:1: key is not 32 hexadecimal"},
        {"\n[1]\n", "lines:2"},
        {"{\"key\": 3}\n", "lines:1"},
        {"not json\n", "lines:1"},
    };
    lcf_cot_store *s;

    (void)state;
    records_fresh("lines");
    assert_int_equal(records_open(&s, "lines", true, NULL), LCF_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        lcf_cot_merge_counts counts = {0, 0, 0};
        lcf_err err = LCF_ERR_INIT;
        FILE *f = tmpfile();

        assert_non_null(f);
        assert_true(fputs(lines[i][0], f) >= 0);
        rewind(f);
        assert_int_equal(lcf_cot_import(&counts, s, f, "lines", NULL, NULL, &err), LCF_EFORMAT);
        if (!strstr(err.text, lines[i][1]))
            fail_msg("'%s' does not say '%s'", err.text, lines[i][1]);
        fclose(f);
    }
    lcf_cot_store_close(s);
}

/* One that never ends takes no more memory than the longest. */
static void a_line_is_bounded(void **state)
{
    lcf_cot_merge_counts counts = {0, 0, 0};
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    FILE *zeros = fopen("/dev/zero", "rb");

    (void)state;
    assert_non_null(zeros);
    records_fresh("line");
    assert_int_equal(records_open(&s, "line", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_import(&counts, s, zeros, "lines", NULL, NULL, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "lines:1: longer than"));
    lcf_cot_store_close(s);
    fclose(zeros);
}

static void old_records_go(void **state)
{
    lcf_cot_store *s;
    uint64_t removed;

    (void)state;
    records_fill("old", 200);
    assert_int_equal(records_open(&s, "old", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_gc(&removed, s, 1000000000 - 149, NULL, NULL), LCF_OK);
    assert_int_equal(removed, 50);
    records_check(s, 149);
    for (uint64_t i = 150; i < 200; i++)
        assert_int_equal(lcf_cot_store_has(s, lcf_hash128_of(&i, sizeof(i)), NULL), LCF_ENOTFOUND);
    assert_int_equal(lcf_cot_store_gc(&removed, s, INT64_MIN, "0123456789abcdef", NULL), LCF_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(lcf_cot_store_gc(&removed, s, INT64_MIN, "another", NULL), LCF_OK);
    assert_int_equal(removed, 150);
    lcf_cot_store_close(s);
}

static void recompressed_records_are_the_same(void **state)
{
    lcf_cot_store_stats before, after;
    lcf_cot_store *s;

    (void)state;
    copy_store("loose", "torn");
    copy_store("again", "torn");
    assert_int_equal(records_open(&s, "again", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&before, s, NULL), LCF_OK);
    assert_int_equal(before.dictionaries_n, 1); /* trained on half, the first records without it */
    assert_int_equal(lcf_cot_store_recompress(s, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&after, s, NULL), LCF_OK);
    assert_int_equal(after.dictionaries_n, 1);
    assert_true(after.stored_bytes < before.stored_bytes);
    assert_int_equal(records_put(s, RECORDS, RECORDS + 5, 5, NULL), LCF_OK);
    records_check(s, 3);
    records_check(s, RECORDS + 3);
    for (uint64_t i = RECORDS; i < RECORDS + 5; i++) {
        const lcf_hash128 key = lcf_hash128_of(&i, sizeof(i));

        assert_int_equal(lcf_cot_store_remove(s, &key, 1, NULL), LCF_OK);
    }
    lcf_cot_store_close(s);
    assert_same_stores("again", "loose");
}

/* Killed while it trains or writes, recompressing leaves records of several dictionaries, each of
 * which is read; done once more, there is one dictionary. */
static void killed_recompression_loses_nothing(void **state)
{
    lcf_cot_store_stats stats;
    lcf_cot_store *s;

    (void)state;
    copy_store("loose", "torn");
    copy_store("killed", "torn");
    for (useconds_t wait = 5000; wait < 300000; wait += 45000) {
        const pid_t child = fork();

        assert_true(child >= 0);
        if (!child) {
            if (records_open(&s, "killed", true, NULL))
                _exit(1);
            for (uint64_t n = 0;; n++) /* other records each time, so other dictionaries */
                if (records_put(s, RECORDS + n % 7, RECORDS + n % 7 + 1, 1, NULL) ||
                    lcf_cot_store_recompress(s, NULL))
                    _exit(2);
        }
        usleep(wait);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(records_open(&s, "killed", false, NULL), LCF_OK);
        for (uint64_t i = 0; i < RECORDS; i++)
            records_check(s, i);
        lcf_cot_store_close(s);
    }
    assert_int_equal(records_open(&s, "killed", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_recompress(s, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&stats, s, NULL), LCF_OK);
    assert_int_equal(stats.dictionaries_n, 1);
    lcf_cot_store_close(s);
}

/* What a selection gives: the numbers of the records, in its order. */
typedef struct found {
    uint64_t numbers[RECORDS];
    size_t n;
} found;

static lcf_status note_found(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    found *f = arg;

    (void)err;
    assert_true(f->n < RECORDS);
    f->numbers[f->n++] = (uint64_t)(1000000000 - record->time);
    return LCF_OK;
}

/* User u7 has the numbers 7, 57, 107 ...; times fall with the number. */
static void check_selections(lcf_cot_store *s, uint64_t n)
{
    const lcf_cot_select of_user = {"u7", INT64_MIN, INT64_MAX}, nobody = {"u70", 0, INT64_MAX};
    const lcf_cot_select span = {NULL, 1000000000 - 30, 1000000000 - 10};
    const lcf_cot_select both = {"u7", 1000000000 - 110, 1000000000 - 20};
    found f = {.n = 0};

    assert_int_equal(lcf_cot_store_each_of(s, &of_user, note_found, &f, NULL), LCF_OK);
    assert_int_equal(f.n, (n + 42) / 50);
    for (size_t i = 0; i < f.n; i++)
        assert_int_equal(f.numbers[i], 7 + 50 * (f.n - 1 - i));
    f.n = 0;
    assert_int_equal(lcf_cot_store_each_of(s, &nobody, note_found, &f, NULL), LCF_OK);
    assert_int_equal(f.n, 0);
    assert_int_equal(lcf_cot_store_each_of(s, &span, note_found, &f, NULL), LCF_OK);
    assert_int_equal(f.n, 21);
    assert_int_equal(f.numbers[0], 30);
    assert_int_equal(f.numbers[20], 10);
    f.n = 0;
    assert_int_equal(lcf_cot_store_each_of(s, &both, note_found, &f, NULL), LCF_OK);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.numbers[0], 107);
}

static bool index_is_whole(lcf_cot_store *s)
{
    bool whole = false;

    assert_int_equal(lcf_cot_store_check_index(&whole, s, NULL), LCF_OK);
    return whole;
}

/* Found by the tables while writing and after; without them by looking at all; and completed by the
 * next writer where a crash has cut them short. */
static void users_and_times_are_found(void **state)
{
    const uint64_t removed = 57;
    const lcf_hash128 gone = lcf_hash128_of(&removed, sizeof(removed));
    lcf_cot_store *s;
    lcf_cot_db *db;
    found f = {.n = 0};
    const lcf_cot_select of_user = {"u7", INT64_MIN, INT64_MAX};

    (void)state;
    records_fresh("listed");
    assert_int_equal(records_open(&s, "listed", true, NULL), LCF_OK);
    assert_int_equal(records_put(s, 0, 200, 50, NULL), LCF_OK);
    check_selections(s, 200);
    assert_true(index_is_whole(s));
    lcf_cot_store_close(s);
    assert_int_equal(records_open(&s, "listed", false, NULL), LCF_OK);
    assert_true(index_is_whole(s));
    check_selections(s, 200);
    lcf_cot_store_close(s);
    assert_int_equal(lcf_cot_db_open(&db, "listed", LCF_COT_WRITE, NULL), LCF_OK);
    assert_int_equal(lcf_cot_db_clear(db, LCF_COT_BY_USER, NULL), LCF_OK);
    lcf_cot_db_close(db);
    assert_int_equal(records_open(&s, "listed", false, NULL), LCF_OK);
    assert_false(index_is_whole(s));
    check_selections(s, 200);
    lcf_cot_store_close(s);
    assert_int_equal(records_open(&s, "listed", true, NULL), LCF_OK);
    assert_true(index_is_whole(s));
    assert_int_equal(lcf_cot_store_remove(s, &gone, 1, NULL), LCF_OK);
    assert_true(index_is_whole(s));
    assert_int_equal(lcf_cot_store_each_of(s, &of_user, note_found, &f, NULL), LCF_OK);
    assert_int_equal(f.n, 3);
    lcf_cot_store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_records_are_named_and_dropped),
        cmocka_unit_test(torn_pages_cost_their_records_alone),
        cmocka_unit_test(damaged_keys_cost_no_record),
        cmocka_unit_test(repair_brings_back_no_older_version),
        cmocka_unit_test(nothing_to_save_changes_nothing),
        cmocka_unit_test(compaction_keeps_the_content),
        cmocka_unit_test(killed_compaction_loses_nothing),
        cmocka_unit_test(an_older_store_is_read_and_made_new),
        cmocka_unit_test(merging_twice_adds_once),
        cmocka_unit_test(exported_records_come_back),
        cmocka_unit_test(lines_that_are_no_records_are_named),
        cmocka_unit_test(a_line_is_bounded),
        cmocka_unit_test(old_records_go),
        cmocka_unit_test(users_and_times_are_found),
        cmocka_unit_test(recompressed_records_are_the_same),
        cmocka_unit_test(killed_recompression_loses_nothing),
    };

    return cmocka_run_group_tests(tests, work_folder_enter, work_folder_leave);
}
