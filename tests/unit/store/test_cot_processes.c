/*
 * The CoT store between processes: readers beside a writer that grows it, readers that died, a
 * writer killed in the training of its first dictionary. And the order of keys, by which all of
 * them find a record, beside memcmp.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/cot_lmdb.h"
#include "tests/unit/store/records.h"
#include "tests/unit/store/work_folder.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the order of keys ---- */

enum { KEYS = 3000, KEY_BYTES_MAX = 20, KEYS_A_BATCH = 40 };

static lcf_str random_key(uint8_t bytes[KEY_BYTES_MAX], lcf_rng *rng)
{
    static const uint8_t some[] = {0, 1, 0x7f, 0x80, 0xff};
    const lcf_str key = {(const char *)bytes, 1 + lcf_rng_below(rng, KEY_BYTES_MAX)};

    for (size_t i = 0; i < key.len; i++) /* mostly equal at first: ties beyond the eighth byte */
        bytes[i] = lcf_rng_below(rng, 3) ? 0x80 : some[lcf_rng_below(rng, sizeof(some))];
    return key;
}

static bool rises(lcf_str a, lcf_str b)
{
    const int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order < 0 || (order == 0 && a.len < b.len);
}

static void keys_are_in_the_order_of_bytes(void **state)
{
    static uint8_t bytes[KEYS][KEY_BYTES_MAX];
    static lcf_str keys[KEYS];
    const lcf_cot_limits all = LCF_COT_LIMITS_NONE;
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_cot_db *db;
    lcf_rng rng;

    (void)state;
    records_fresh("keys");
    assert_int_equal(lcf_cot_db_open(&db, "keys", LCF_COT_WRITE, NULL), LCF_OK);
    lcf_rng_seed(&rng, 1, 0);
    for (size_t at = 0; at < KEYS; at += KEYS_A_BATCH) {
        lcf_cot_pair pairs[KEYS_A_BATCH];

        for (size_t i = 0; i < KEYS_A_BATCH; i++) {
            keys[at + i] = random_key(bytes[at + i], &rng);
            pairs[i] = (lcf_cot_pair){LCF_COT_RECORDS, keys[at + i], keys[at + i]};
        }
        assert_int_equal(lcf_cot_db_put(db, pairs, KEYS_A_BATCH, NULL), LCF_OK);
    }
    assert_int_equal(lcf_cot_db_scan(&page, db, LCF_COT_RECORDS, NULL, &all, NULL), LCF_OK);
    assert_in_range(page.n, KEYS / 2, KEYS); /* some came twice */
    for (size_t i = 1; i < page.n; i++)
        assert_true(rises(lcf_cot_page_key(&page, i - 1), lcf_cot_page_key(&page, i)));
    for (size_t i = 0; i < KEYS; i++) {
        lcf_buf value = LCF_BUF_INIT;

        assert_int_equal(
            lcf_cot_db_get(&value, db, LCF_COT_RECORDS, keys[i].data, keys[i].len, NULL), LCF_OK);
        assert_int_equal(value.len, keys[i].len);
        assert_memory_equal(value.data, keys[i].data, value.len);
        lcf_buf_dispose(&value);
    }
    lcf_cot_page_dispose(&page);
    lcf_cot_db_close(db);
}

/* A child that goes with its parent, also where that ends at a failed assertion. */
static pid_t fork_along(void)
{
    const pid_t child = fork();

    assert_true(child >= 0);
    if (!child)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

/* ---- readers beside a writer ---- */

enum { SMALL = 100, GROWN = 12000, FIRST_MAP_BYTES = 4 << 20 };

/* In a child, where an assertion would go on with the tests of its parent. */
static bool reads(lcf_cot_store *s, uint64_t number)
{
    lcf_cot_record *got = NULL;
    made m;
    bool same;

    records_make(&m, number);
    same = !lcf_cot_store_get(&got, s, m.record.key, NULL) && !strcmp(got->text, m.record.text) &&
           got->time == m.record.time;
    free(got);
    return same;
}

/* Reads what was acknowledged, old and new, until all is there; the exit code. */
static int read_along(const char *dir, const atomic_uint *acknowledged)
{
    lcf_cot_store *s;
    lcf_rng rng;
    uint64_t n;

    if (records_open(&s, dir, false, NULL))
        return 1;
    lcf_rng_seed(&rng, 4, 0);
    do {
        n = atomic_load(acknowledged);
        if (!reads(s, n - 1) || !reads(s, lcf_rng_below(&rng, n)))
            return 2;
    } while (n < GROWN);
    lcf_cot_store_close(s);
    return 0;
}

/* The map grows beyond its first size, and readers that are open find every record that they are
 * told of, at once. */
static void readers_go_on_while_the_map_grows(void **state)
{
    atomic_uint *acknowledged = mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[2];
    lcf_cot_store *s;
    struct stat st;
    int code;

    (void)state;
    assert_true(acknowledged != MAP_FAILED);
    records_fill("beside", SMALL);
    atomic_init(acknowledged, SMALL);
    for (size_t i = 0; i < 2; i++) {
        children[i] = fork_along();
        if (!children[i])
            _exit(read_along("beside", acknowledged));
    }
    assert_int_equal(records_open(&s, "beside", true, NULL), LCF_OK);
    for (uint64_t at = SMALL; at < GROWN; at += 100) {
        assert_int_equal(records_put(s, at, at + 100, 100, NULL), LCF_OK);
        atomic_store(acknowledged, (unsigned)at + 100);
    }
    lcf_cot_store_close(s);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    }
    assert_int_equal(stat("beside/data.mdb", &st), 0);
    assert_true(st.st_size > FIRST_MAP_BYTES);
    munmap(acknowledged, sizeof(*acknowledged));
}

/* ---- readers that died ---- */

/* Looks at a value, for ever or once: as long as it does, no page that it may see is used again. */
static void look(const char *dir, bool once, int told)
{
    const uint64_t number = 1;
    const lcf_hash128 key = lcf_hash128_of(&number, sizeof(number));
    lcf_cot_db *db;
    lcf_str value;

    if (lcf_cot_db_open(&db, dir, LCF_COT_READ, NULL) ||
        lcf_cot_db_look(&value, db, LCF_COT_RECORDS, key.bytes, sizeof(key.bytes), NULL) ||
        write(told, "", 1) != 1)
        _exit(1);
    if (once)
        lcf_cot_db_leave(db);
    for (;;)
        pause();
}

static pid_t start_looking(const char *dir, bool once)
{
    int fds[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    child = fork_along();
    if (!child)
        look(dir, once, fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    return child;
}

static void kill_it(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* The bytes of the file once the same records were written over and over. */
static size_t rewrite(lcf_cot_store *s, const char *path)
{
    struct stat st;

    for (int i = 0; i < 200; i++)
        assert_int_equal(records_put(s, 0, SMALL, SMALL, NULL), LCF_OK);
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* What a killed reader looked at is free again: for the next writer at once, and for the one that
 * is at work before it lets the file grow. */
static void dead_readers_pin_nothing(void **state)
{
    lcf_cot_store *s;
    pid_t reader, idle; /* while that has the store open, LMDB keeps its list of readers */
    size_t alone, after, pinned;

    (void)state;
    records_fill("pinned", SMALL);
    assert_int_equal(records_open(&s, "pinned", true, NULL), LCF_OK);
    alone = rewrite(s, "pinned/data.mdb");
    lcf_cot_store_close(s);
    idle = start_looking("pinned", true);
    kill_it(start_looking("pinned", false));
    assert_int_equal(records_open(&s, "pinned", true, NULL), LCF_OK);
    after = rewrite(s, "pinned/data.mdb");
    assert_in_range(after, alone, 2 * alone);

    kill_it(start_looking("pinned", false));
    assert_in_range(rewrite(s, "pinned/data.mdb"), after, FIRST_MAP_BYTES);

    reader = start_looking("pinned", false); /* one that lives keeps what it sees */
    pinned = rewrite(s, "pinned/data.mdb");
    assert_true(pinned > FIRST_MAP_BYTES);
    kill_it(reader);
    kill_it(idle);
    for (uint64_t i = 0; i < SMALL; i++)
        records_check(s, i);
    lcf_cot_store_close(s);
}

/* ---- the first dictionary ---- */

enum { TRAINED_ON = 1200, KILLS = 3, KILLS_MAX = 30 };

static lcf_status open_training(lcf_cot_store **out, const char *dir)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;

    options.write = true;
    options.dictionary_after = TRAINED_ON;
    return lcf_cot_store_open(out, dir, &options, NULL);
}

/* Tells when all but the record is written with which training begins. */
static void train_until_killed(const char *dir, int told)
{
    lcf_cot_store *s;

    if (open_training(&s, dir) || records_put(s, 0, TRAINED_ON - 1, 200, NULL) ||
        write(told, "", 1) != 1 || records_put(s, TRAINED_ON - 1, TRAINED_ON, 1, NULL))
        _exit(1);
    for (;;)
        pause();
}

/* Killed so long after it began to train. */
static void kill_in_training(const char *dir, useconds_t wait_us)
{
    int fds[2], code;
    char byte;
    pid_t child;

    records_fresh(dir);
    assert_int_equal(pipe(fds), 0);
    child = fork_along();
    if (!child)
        train_until_killed(dir, fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    usleep(wait_us);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFSIGNALED(code));
    close(fds[0]);
    close(fds[1]);
}

static void finish_training(char digest[LCF_SHA256_HEX_BYTES], const char *dir, uint64_t from)
{
    lcf_cot_store_stats stats;
    lcf_cot_store *s;

    assert_int_equal(open_training(&s, dir), LCF_OK);
    assert_int_equal(records_put(s, from, TRAINED_ON + 20, 20, NULL), LCF_OK);
    assert_int_equal(lcf_cot_store_stat(&stats, s, NULL), LCF_OK);
    assert_int_equal(stats.records_n, TRAINED_ON + 20);
    assert_int_equal(stats.dictionaries_n, 1);
    for (uint64_t i = 0; i < TRAINED_ON + 20; i++)
        records_check(s, i);
    assert_int_equal(lcf_cot_store_digest(digest, s, NULL), LCF_OK);
    lcf_cot_store_close(s);
}

/* A store without a dictionary, killed while it trains its first: what was acknowledged is there,
 * as it was, and the next run trains and goes on. */
static void killed_in_the_first_training_loses_nothing(void **state)
{
    char undisturbed[LCF_SHA256_HEX_BYTES], digest[LCF_SHA256_HEX_BYTES];
    struct timespec begin, end;
    lcf_cot_store *s;
    double training_us;
    size_t hits = 0;

    (void)state;
    records_fresh("first");
    assert_int_equal(open_training(&s, "first"), LCF_OK);
    assert_int_equal(records_put(s, 0, TRAINED_ON - 1, 200, NULL), LCF_OK);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(records_put(s, TRAINED_ON - 1, TRAINED_ON, 1, NULL), LCF_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    lcf_cot_store_close(s);
    finish_training(undisturbed, "first", TRAINED_ON);
    training_us =
        1e6 * (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e3;
    for (size_t i = 0; i < KILLS || (!hits && i < KILLS_MAX); i++) {
        lcf_cot_store_stats stats;

        kill_in_training("first", (useconds_t)(training_us * (double)(i % KILLS + 1) / 5));
        assert_int_equal(records_open(&s, "first", false, NULL), LCF_OK);
        assert_int_equal(lcf_cot_store_stat(&stats, s, NULL), LCF_OK);
        assert_int_equal(stats.records_n, TRAINED_ON - 1 + stats.dictionaries_n);
        hits += stats.dictionaries_n == 0;
        lcf_cot_store_close(s);
        finish_training(digest, "first", stats.records_n);
        assert_string_equal(digest, undisturbed);
    }
    print_message("%zu killed in a training of %.0f ms\n", hits, training_us / 1e3);
    assert_true(hits > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_in_the_order_of_bytes),
        cmocka_unit_test(readers_go_on_while_the_map_grows),
        cmocka_unit_test(dead_readers_pin_nothing),
        cmocka_unit_test(killed_in_the_first_training_loses_nothing),
    };

    return cmocka_run_group_tests(tests, work_folder_enter, work_folder_leave);
}
