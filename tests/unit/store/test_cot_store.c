/*
 * The CoT store: what is put comes back, and what is damaged, full, locked, newer or killed gives a
 * status, never something else than what was put.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "common/store/cot_check.h"
#include "common/store/cot_lmdb.h"
#include "common/store/cot_record.h"
#include "common/store/cot_record.pb-c.h"
#include "common/store/cot_store.h"
#include "tests/unit/store/records.h"
#include "tests/unit/store/work_folder.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    lcf_hash128 absent = {{1, 2, 3}};
    lcf_cot_record *got;
    made m;

    (void)state;
    records_fresh("round");
    assert_int_equal(records_open(&s, "round", false, NULL), LCF_ENOENT);
    assert_int_equal(records_open(&s, "round", true, &err), LCF_OK);
    assert_int_equal(records_put(s, 0, 100, 7, &err), LCF_OK);
    for (uint64_t i = 0; i < 100; i++)
        records_check(s, i);
    assert_int_equal(lcf_cot_store_has(s, absent, &err), LCF_ENOTFOUND);
    assert_int_equal(lcf_cot_store_get(&got, s, absent, &err), LCF_ENOTFOUND);
    assert_null(got);
    assert_int_equal(err.status, LCF_OK); /* no message for what is no failure */

    records_make(&m, 5); /* an existing key is replaced */
    m.record.text = "another text, with \xc3\xa9 and \xe2\x9c\x93";
    assert_int_equal(lcf_cot_store_put(s, &m.record, 1, &err), LCF_OK);
    lcf_cot_store_close(s);
    assert_int_equal(records_open(&s, "round", false, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_get(&got, s, m.record.key, &err), LCF_OK);
    records_assert_same(got, &m.record);
    free(got);
    assert_int_equal(lcf_cot_store_put(s, &m.record, 1, &err), LCF_EINVAL); /* read only */
    lcf_cot_store_close(s);
}

static void test_refuses_bad_records(void **state)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    made good, bad;
    lcf_cot_record pair[2];

    (void)state;
    records_fresh("bad");
    assert_int_equal(records_open(&s, "bad", true, &err), LCF_OK);
    records_make(&good, 1);
    records_make(&bad, 2);
    strcpy(bad.text, "half a character \xe2\x9c");
    pair[0] = good.record;
    pair[1] = bad.record;
    assert_int_equal(lcf_cot_store_put(s, pair, 2, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "text"));
    assert_int_equal(lcf_cot_store_has(s, good.record.key, &err), LCF_ENOTFOUND); /* all or none */
    pair[1] = good.record;
    pair[1].score = 0.0f / (float)strlen("");
    assert_int_equal(lcf_cot_store_put(s, pair, 2, &err), LCF_EINVAL);
    lcf_cot_store_close(s);
}

static void test_dictionary_and_growth(void **state)
{
    lcf_cot_store *s;
    lcf_cot_store_stats before, after;
    lcf_err err = LCF_ERR_INIT;
    double ratio_before, ratio_after;

    (void)state;
    records_fresh("grow");
    assert_int_equal(records_open(&s, "grow", true, &err), LCF_OK);
    assert_int_equal(records_put(s, 0, 256, 64, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&before, s, &err), LCF_OK);
    assert_int_equal(before.records_n, 256);
    assert_int_equal(before.dictionaries_n, 0);
    /* beyond the first 4 MiB of map */
    assert_int_equal(records_put(s, 256, 16000, 500, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&after, s, &err), LCF_OK);
    assert_int_equal(after.records_n, 16000);
    assert_int_equal(after.dictionaries_n, 1);
    ratio_before = (double)before.raw_bytes / (double)before.stored_bytes;
    ratio_after = (double)(after.raw_bytes - before.raw_bytes) /
                  (double)(after.stored_bytes - before.stored_bytes);
    print_message("ratio without dictionary %.2f, with %.2f; %llu bytes stored\n", ratio_before,
                  ratio_after, (unsigned long long)after.stored_bytes);
    assert_true(ratio_after > 1.2 * ratio_before);
    assert_true(after.stored_bytes > 4u << 20);
    lcf_cot_store_close(s);
    assert_int_equal(records_open(&s, "grow", true, &err), LCF_OK);
    for (uint64_t i = 0; i < 16000; i += 13) /* of before the dictionary and after */
        records_check(s, i);
    assert_int_equal(records_put(s, 16000, 16010, 10, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&after, s, &err), LCF_OK);
    assert_int_equal(after.dictionaries_n, 1);
    lcf_cot_store_close(s);
}

typedef struct visit {
    lcf_cot_store *store;
    lcf_hash128 last;
    size_t n, stop_at;
} visit;

static lcf_status count_visit(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    visit *v = arg;

    if (v->n)
        assert_true(memcmp(v->last.bytes, record->key.bytes, 16) < 0);
    v->last = record->key;
    assert_int_equal(lcf_cot_store_has(v->store, record->key, err), LCF_OK); /* no deadlock */
    return ++v->n == v->stop_at ? LCF_ECANCELED : LCF_OK;
}

static void test_each(void **state)
{
    visit v = {0};
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    records_fill("each", 500);
    assert_int_equal(records_open(&v.store, "each", false, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_each(v.store, count_visit, &v, &err), LCF_OK);
    assert_int_equal(v.n, 500);
    v.n = 0;
    v.stop_at = 70;
    assert_int_equal(lcf_cot_store_each(v.store, count_visit, &v, &err), LCF_ECANCELED);
    assert_int_equal(v.n, 70);
    lcf_cot_store_close(v.store);
}

/* Runs fn in a child process; its return value is the child's exit code. */
static int in_child(int (*fn)(const char *), const char *arg)
{
    int code;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    assert_int_equal(waitpid(pid, &code, 0), pid);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -WTERMSIG(code);
}

static int open_to_write(const char *dir)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = records_open(&s, dir, true, &err);

    if (status && !strstr(err.text, "writer.lock"))
        return 99;
    lcf_cot_store_close(s);
    return -status;
}

static int open_to_read(const char *dir)
{
    lcf_cot_store *s;
    lcf_status status = records_open(&s, dir, false, NULL);

    if (!status)
        records_check(s, 3);
    lcf_cot_store_close(s);
    return -status;
}

static void test_one_writer(void **state)
{
    lcf_cot_store *s, *again;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    records_fill("lock", 10);
    assert_int_equal(records_open(&s, "lock", true, &err), LCF_OK);
    assert_int_equal(in_child(open_to_write, "lock"), -LCF_EBUSY);
    assert_int_equal(in_child(open_to_read, "lock"), LCF_OK);
    assert_int_equal(records_open(&again, "lock", false, &err), LCF_EBUSY); /* in this process */
    lcf_cot_store_close(s);
    assert_int_equal(in_child(open_to_write, "lock"), LCF_OK);
}

/* Writes batches of 5 and tells of each through a pipe once it is acknowledged. */
static void write_until_killed(const char *dir, int pipe_fd, uint64_t begin)
{
    lcf_cot_store *s;

    if (records_open(&s, dir, true, NULL))
        _exit(1);
    for (uint64_t at = begin;; at += 5) {
        if (records_put(s, at, at + 5, 5, NULL))
            _exit(2);
        if (write(pipe_fd, &at, sizeof(at)) != sizeof(at))
            _exit(3);
    }
}

static uint64_t acknowledged(int fd, uint64_t none)
{
    uint64_t at, end = none;

    while (read(fd, &at, sizeof(at)) == sizeof(at))
        end = at + 5;
    return end;
}

static void test_kill(void **state)
{
    lcf_rng rng;
    uint64_t end = 0;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    lcf_rng_seed(&rng, 11, 0);
    records_fresh("kill");
    /* On a slow disk the first rounds may acknowledge nothing: pauses grow until one did. */
    for (uint32_t round = 0; round < 15 || (!end && round < 150); round++) {
        int fds[2], code;
        pid_t pid;
        lcf_cot_store *s;
        lcf_cot_store_stats stats;
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            write_until_killed("kill", fds[1], end);
        }
        close(fds[1]);
        usleep((useconds_t)lcf_rng_below(&rng, 30000 * (1 + round / 15)));
        kill(pid, SIGKILL);
        end = acknowledged(fds[0], end);
        close(fds[0]);
        assert_int_equal(waitpid(pid, &code, 0), pid);
        assert_true(WIFSIGNALED(code));
        if (!lcf_path_exists("kill/data.mdb")) { /* killed before there was anything */
            assert_int_equal(end, 0);
            continue;
        }
        if (records_open(&s, "kill", true, &err))
            fail_msg("%s", err.text);
        assert_int_equal(lcf_cot_store_stat(&stats, s, &err), LCF_OK);
        /* all that was acknowledged, and at most the one batch in flight, whole */
        assert_true(stats.records_n == end || stats.records_n == end + 5);
        for (uint64_t i = 0; i < stats.records_n; i++)
            records_check(s, i);
        end = stats.records_n;
        lcf_cot_store_close(s);
    }
    assert_true(end > 0);
}

static uint8_t *slurp(const char *path, size_t *n)
{
    lcf_buf buf = LCF_BUF_INIT;

    assert_int_equal(lcf_file_read(&buf, path, SIZE_MAX, NULL), LCF_OK);
    *n = buf.len;
    return (uint8_t *)lcf_buf_take(&buf);
}

static void spill(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Opens a damaged store and reads all: each record is right or refused. Returns how many are right.
 */
static size_t read_all(const char *dir, uint64_t n)
{
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    size_t right = 0;
    lcf_status status = records_open(&s, dir, false, &err);

    if (status) {
        if (status != LCF_EFORMAT && status != LCF_EVERSION)
            print_message("%s\n", err.text);
        assert_true(status == LCF_EFORMAT || status == LCF_EVERSION);
        assert_true(strlen(err.text) > 0);
        return 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        made m;
        lcf_cot_record *got;
        records_make(&m, i);
        status = lcf_cot_store_get(&got, s, m.record.key, &err);
        if (status == LCF_OK) {
            records_assert_same(got, &m.record);
            right++;
        } else {
            assert_true(status == LCF_ECHECKSUM || status == LCF_EFORMAT ||
                        status == LCF_ENOTFOUND);
        }
        free(got);
    }
    lcf_cot_store_close(s);
    return right;
}

enum { DAMAGE_RECORDS = 40 };

static void small_store(const char *dir)
{
    lcf_cot_store *s;
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;

    records_fresh(dir);
    options.write = true;
    options.dictionary_bytes = 0;
    assert_int_equal(lcf_cot_store_open(&s, dir, &options, NULL), LCF_OK);
    assert_int_equal(records_put(s, 0, DAMAGE_RECORDS, 8, NULL), LCF_OK);
    lcf_cot_store_close(s);
}

static void test_bit_flips(void **state)
{
    size_t n, wrong_free = 0, flips = 2000;
    uint8_t *bytes;
    lcf_rng rng;

    (void)state;
    small_store("flip");
    bytes = slurp("flip/data.mdb", &n);
    lcf_rng_seed(&rng, 3, 0);
    for (size_t i = 0; i < flips; i++) {
        /* every bit of the two meta pages' heads, then anywhere */
        size_t bit = i < 600 ? (i / 300) * 4096 * 8 + i % 300 * 4 : lcf_rng_below(&rng, n * 8);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        spill("flip/data.mdb", bytes, n);
        wrong_free += read_all("flip", DAMAGE_RECORDS) > 0;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    print_message("%zu flips, %zu left something to read, none read wrong\n", flips, wrong_free);
    spill("flip/data.mdb", bytes, n);
    assert_int_equal(read_all("flip", DAMAGE_RECORDS), DAMAGE_RECORDS);
    free(bytes);
}

static void test_truncated(void **state)
{
    size_t n, refused = 0;
    uint8_t *bytes;

    (void)state;
    small_store("cut");
    bytes = slurp("cut/data.mdb", &n);
    for (size_t keep = 0; keep < n; keep += 1024) {
        spill("cut/data.mdb", bytes, keep);
        if (keep)
            refused += read_all("cut", DAMAGE_RECORDS) == 0;
        else
            assert_int_equal(lcf_cot_check("cut/data.mdb", NULL), LCF_EFORMAT);
    }
    assert_true(refused > n / 1024 / 2);
    spill("cut/data.mdb", (const uint8_t *)"not an LMDB file at all", 23);
    assert_int_equal(read_all("cut", DAMAGE_RECORDS), 0);
    free(bytes);
}

/* A reader walks a file once; another time of change is walked again, and so is a fresh one. */
static void test_walked_once(void **state)
{
    const struct timespec earlier[2] = {{1000000000, 0}, {1000000000, 0}};
    const struct timespec later[2] = {{1000000001, 0}, {1000000001, 0}};
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *s;
    size_t n;
    uint8_t *bytes, *note;

    (void)state;
    small_store("walk");
    assert_int_equal(read_all("walk", DAMAGE_RECORDS), DAMAGE_RECORDS);
    assert_false(lcf_path_exists("walk/data.mdb.checked")); /* too fresh to be told apart */
    assert_int_equal(utimensat(AT_FDCWD, "walk/data.mdb", earlier, 0), 0);
    assert_int_equal(read_all("walk", DAMAGE_RECORDS), DAMAGE_RECORDS);
    note = slurp("walk/data.mdb.checked", &n);
    assert_true(n > 20);
    assert_int_equal(read_all("walk", DAMAGE_RECORDS), DAMAGE_RECORDS);
    free(note);
    bytes = slurp("walk/data.mdb", &n);
    spill("walk/data.mdb", bytes, n / 2);
    assert_int_equal(read_all("walk", DAMAGE_RECORDS), 0); /* of another size */
    spill("walk/data.mdb", bytes, n);
    for (size_t page = 2; page < n / 4096; page++)
        bytes[page * 4096 + 10] ^= 0xff; /* the kind of page that it is */
    spill("walk/data.mdb", bytes, n);
    assert_int_equal(utimensat(AT_FDCWD, "walk/data.mdb", later, 0), 0);
    assert_int_equal(read_all("walk", DAMAGE_RECORDS), 0);
    /* A disk that loses bits changes no time: who is asked to looks again. */
    assert_int_equal(utimensat(AT_FDCWD, "walk/data.mdb", earlier, 0), 0);
    options.walk = true;
    assert_int_equal(lcf_cot_store_open(&s, "walk", &options, NULL), LCF_EFORMAT);
    free(bytes);
}

static void test_newer_version(void **state)
{
    lcf_cot_db *db;
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    const char version[4] = {3, 0, 0, 0};
    lcf_cot_pair pair = {LCF_COT_META, {"format_version", 14}, {version, 4}};

    (void)state;
    records_fill("newer", 3);
    assert_int_equal(lcf_cot_db_open(&db, "newer", LCF_COT_WRITE, &err), LCF_OK);
    assert_int_equal(lcf_cot_db_put(db, &pair, 1, &err), LCF_OK);
    lcf_cot_db_close(db);
    assert_int_equal(records_open(&s, "newer", false, &err), LCF_EVERSION);
    assert_non_null(strstr(err.text, "version 3"));
    assert_int_equal(records_open(&s, "newer", true, &err), LCF_EVERSION);
}

/* In a child: the file may not grow beyond 600 KiB. */
static int fill_limited(const char *dir)
{
    struct rlimit limit = {600 << 10, 600 << 10};
    lcf_cot_store *s;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;
    uint64_t at = 0;

    signal(SIGXFSZ, SIG_IGN);
    if (records_open(&s, dir, true, NULL) || setrlimit(RLIMIT_FSIZE, &limit))
        return 1;
    do {
        status = records_put(s, at, at + 20, 20, &err);
        at += status ? 0 : 20;
    } while (!status);
    if (status != LCF_ENOSPC || at < 100 || at > 5000)
        return 2;
    for (uint64_t i = 0; i < at; i++) /* all that was acknowledged can still be read ... */
        records_check(s, i);
    lcf_cot_store_close(s);
    return (int)(at / 20);
}

static void test_disk_full(void **state)
{
    lcf_cot_store *s;
    lcf_cot_store_stats stats;
    int batches;

    (void)state;
    records_fresh("full");
    batches = in_child(fill_limited, "full");
    assert_true(batches > 5);
    /* ... also by the next process, which has room and goes on */
    assert_int_equal(records_open(&s, "full", true, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&stats, s, NULL), LCF_OK);
    assert_int_equal(stats.records_n, 20 * batches);
    assert_int_equal(records_put(s, stats.records_n, stats.records_n + 100, 20, NULL), LCF_OK);
    for (uint64_t i = 0; i < stats.records_n + 100; i++)
        records_check(s, i);
    lcf_cot_store_close(s);
}

static void test_copy_is_deterministic(void **state)
{
    lcf_cot_store *s;
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    uint8_t *a, *b;
    size_t a_n, b_n;

    (void)state;
    records_fresh("copy-a");
    records_fresh("copy-b");
    records_fill("order-a", 400);
    records_fresh("order-b");
    assert_int_equal(records_open(&s, "order-b", true, &err), LCF_OK);
    for (uint64_t at = 400; at > 0; at -= 20) /* last first, and some twice */
        assert_int_equal(records_put(s, at - 20, at > 380 ? at : at + 1, 9, &err), LCF_OK);
    assert_int_equal(lcf_cot_store_copy(s, "copy-b", &err), LCF_OK);
    lcf_cot_store_close(s);
    assert_int_equal(records_open(&s, "order-a", false, &err), LCF_OK);
    if (lcf_cot_store_copy(s, "copy-a", &err))
        fail_msg("%s", err.text);
    assert_int_equal(lcf_cot_store_copy(s, "copy-a", &err), LCF_EEXIST);
    lcf_cot_store_close(s);
    a = slurp("copy-a/data.mdb", &a_n);
    b = slurp("copy-b/data.mdb", &b_n);
    assert_int_equal(a_n, b_n);
    assert_memory_equal(a, b, a_n);
    assert_false(lcf_path_exists("copy-a/lock.mdb"));
    options.immutable = true;
    assert_int_equal(lcf_cot_store_open(&s, "copy-a", &options, &err), LCF_OK);
    for (uint64_t i = 0; i < 400; i++)
        records_check(s, i);
    lcf_cot_store_close(s);
    assert_false(lcf_path_exists("copy-a/lock.mdb"));
    free(a);
    free(b);
}

static lcf_status all_steps(lcf_err *err)
{
    lcf_cot_store *s = NULL;
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_record *got = NULL;
    made m;
    lcf_status status;

    options.write = true;
    records_make(&m, 1);
    status = lcf_cot_store_open(&s, "oom", &options, err);
    if (!status)
        status = lcf_cot_store_put(s, &m.record, 1, err);
    if (!status)
        status = lcf_cot_store_get(&got, s, m.record.key, err);
    if (!status)
        status = lcf_cot_store_copy(s, "oom-copy", err);
    free(got);
    lcf_cot_store_close(s);
    return status;
}

static void test_out_of_memory(void **state)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;
    uint64_t n = 0;

    (void)state;
    do {
        records_fresh("oom");
        records_fresh("oom-copy");
        lcf_alloc_fail_at(++n);
        status = all_steps(&err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, err.text);
    } while (status && n < 1000);
    assert_int_equal(status, LCF_OK);
    assert_true(n > 10);
}

static void test_golden_record(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096];
    uint8_t *bytes;
    size_t n;
    lcf_cot_record *got;
    lcf_buf packed = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    snprintf(path, sizeof(path), "%s/schemas/examples/cot_record.pb", source ? source : ".");
    bytes = slurp(path, &n);
    if (lcf_cot_record_unpack(&got, bytes, n, &err))
        fail_msg("%s", err.text);
    assert_string_equal(got->user_id, "u17");
    assert_string_equal(got->item_id, "i204");
    assert_int_equal(got->label, 1);
    assert_true(got->time == 1136073600);
    assert_true(got->score == 0.625f);
    assert_true(got->parts[3] == 0.5f);
    assert_string_equal(got->reject_reason, "");
    assert_int_equal(got->tokens_generated, 431);
    assert_int_equal(lcf_cot_record_pack(&packed, got, &err), LCF_OK);
    assert_int_equal(packed.len, n);
    assert_memory_equal(packed.data, bytes, n);
    for (size_t cut = 0; cut < n; cut++) { /* no prefix is a record, or it is a smaller one */
        lcf_cot_record *part;
        lcf_status status = lcf_cot_record_unpack(&part, bytes, cut, &err);
        assert_true(status == LCF_OK || status == LCF_EFORMAT);
        free(part);
    }
    lcf_buf_dispose(&packed);
    free(got);
    free(bytes);
}

static bool is_record(const Lcf__CotRecord *m)
{
    const char *strings[] = {m->user_id,  m->item_id,        m->text,    m->reject_reason,
                             m->model_id, m->prompt_version, m->sampling};
    bool sound =
        m->key.len == 16 && m->sample_hash.len == 16 && m->n_parts == 4 && isfinite(m->score);

    for (size_t i = 0; sound && i < 4; i++)
        sound = isfinite(m->parts[i]);
    for (size_t i = 0; sound && i < sizeof(strings) / sizeof(strings[0]); i++)
        sound = lcf_utf8_valid(strings[i], strlen(strings[i]));
    return sound;
}

static void assert_same(const lcf_cot_record *r, const Lcf__CotRecord *m)
{
    assert_memory_equal(r->key.bytes, m->key.data, 16);
    assert_memory_equal(r->sample_hash.bytes, m->sample_hash.data, 16);
    assert_string_equal(r->user_id, m->user_id);
    assert_string_equal(r->item_id, m->item_id);
    assert_string_equal(r->text, m->text);
    assert_string_equal(r->reject_reason, m->reject_reason);
    assert_string_equal(r->model_id, m->model_id);
    assert_string_equal(r->prompt_version, m->prompt_version);
    assert_string_equal(r->sampling, m->sampling);
    assert_true(r->time == m->time && r->label == m->label && r->candidate == m->candidate);
    assert_true(r->candidates_n == m->candidates_n && r->prompt_tokens == m->prompt_tokens);
    assert_true(r->tokens == m->tokens && r->tokens_generated == m->tokens_generated);
    assert_memory_equal(&r->score, &m->score, sizeof(float));
    assert_memory_equal(r->parts, m->parts, sizeof(r->parts));
}

/* Our reader beside protobuf-c's, on what is left of a message after bytes of it have changed. */
static void test_reads_as_protobuf(void **state)
{
    const char *source = getenv("LCF_SOURCE_DIR");
    char path[4096];
    uint8_t *bytes, *changed;
    size_t n, same_n = 0;
    lcf_rng rng;

    (void)state;
    snprintf(path, sizeof(path), "%s/schemas/examples/cot_record.pb", source ? source : ".");
    bytes = slurp(path, &n);
    changed = malloc(n);
    lcf_rng_seed(&rng, 5, 0);
    for (int round = 0; round < 20000; round++) {
        const size_t len = lcf_rng_below(&rng, 4) ? n : lcf_rng_below(&rng, n + 1);
        lcf_cot_record *ours;
        Lcf__CotRecord *theirs;

        memcpy(changed, bytes, n);
        for (uint64_t i = lcf_rng_below(&rng, 3); i > 0; i--)
            changed[lcf_rng_below(&rng, n)] = (uint8_t)lcf_rng_below(&rng, 256);
        theirs = lcf__cot_record__unpack(NULL, len, changed);
        if (!lcf_cot_record_unpack(&ours, changed, len, NULL)) {
            assert_non_null(theirs);
            assert_same(ours, theirs);
            same_n++;
            free(ours);
        } else if (theirs && is_record(theirs) && !memchr(changed, '\0', len)) {
            fail_msg("round %d: protobuf-c reads a record there", round);
        }
        if (theirs)
            lcf__cot_record__free_unpacked(theirs, NULL);
    }
    assert_true(same_n > 1000);
    free(changed);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses_bad_records),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_one_writer),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_walked_once),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_copy_is_deterministic),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_golden_record),
        cmocka_unit_test(test_reads_as_protobuf),
        cmocka_unit_test(test_dictionary_and_growth),
    };

    return cmocka_run_group_tests(tests, work_folder_enter, work_folder_leave);
}
