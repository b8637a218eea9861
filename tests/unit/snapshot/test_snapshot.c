/* Publishing and opening: `current` moves only to what opens, damage is named, old generations go,
 * and nothing that a failure leaves behind is ever served. */
#include "tests/unit/test.h"

#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "tests/unit/rank/world.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static char *g_world; /* the artefacts, made once */

static int setup(void **state)
{
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    g_world = test_folder();
    assert_ok(world_write(g_world, &options, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_folder_remove(g_world);
    return 0;
}

/* What world_publish would say, with a root of the test's own. */
typedef struct publication {
    char *root, *paths[6];
    lcf_snapshot_arm arms[2];
    lcf_publish_options options;
    lcf_publish_result result;
} publication;

static void publication_init(publication *p)
{
    static const char *const names[6] = {"dataset", "vectors", "examples",
                                         "cot",     "din.lcf", "ict.lcf"};

    memset(p, 0, sizeof(*p));
    p->root = test_folder();
    for (size_t i = 0; i < 6; i++)
        p->paths[i] = lcf_path_join(g_world, names[i]);
    p->arms[0] = (lcf_snapshot_arm){"din", p->paths[4]};
    p->arms[1] = (lcf_snapshot_arm){"din-ict", p->paths[5]};
    p->options = (lcf_publish_options){.dataset_dir = p->paths[0],
                                       .vectors_dir = p->paths[1],
                                       .examples_dir = p->paths[2],
                                       .cot_dir = p->paths[3],
                                       .arms = p->arms,
                                       .arms_n = 2,
                                       .generation = "one",
                                       .keep = 3};
}

static void publication_dispose(publication *p)
{
    for (size_t i = 0; i < 6; i++)
        free(p->paths[i]);
    test_folder_remove(p->root);
}

static lcf_status publish(publication *p, const char *generation, lcf_err *err)
{
    *err = (lcf_err)LCF_ERR_INIT;
    p->options.generation = generation;
    return lcf_snapshot_publish(&p->result, p->root, &p->options, err);
}

static void assert_current(const publication *p, const char *generation)
{
    char *link = lcf_path_join(p->root, "current"), target[256];
    ssize_t n = readlink(link, target, sizeof(target) - 1);

    assert_true(n > 0);
    target[n] = '\0';
    assert_string_equal(target, generation);
    free(link);
}

static bool exists(const publication *p, const char *name)
{
    char *path = lcf_path_join(p->root, name);
    bool found = lcf_path_exists(path);

    free(path);
    return found;
}

static void publishes_and_opens(void **state)
{
    publication p;
    lcf_snapshot *s;
    lcf_dataset d;
    lcf_err err;

    (void)state;
    publication_init(&p);
    assert_ok(publish(&p, "one", &err), &err);
    assert_current(&p, "one");
    assert_string_equal(p.result.generation, "one");
    assert_false(p.result.unchanged);
    assert_ok(lcf_snapshot_open(&s, p.root, &err), &err);
    assert_string_equal(s->generation, "one");
    assert_string_equal(s->id, p.result.id);
    assert_int_equal(s->arms_n, 2);
    assert_string_equal(s->arms[s->default_arm].name, "din-ict");
    assert_true(s->has_examples && s->examples.n == 60 && s->cots);

    /* A user's history is the end of its events. */
    assert_ok(lcf_dataset_open(&d, p.paths[0], &err), &err);
    assert_int_equal(s->users.users_n, d.users_n);
    for (uint32_t u = 0; u < d.users_n; u++) {
        uint64_t end = d.user_offsets[u + 1], n = end - d.user_offsets[u];
        if (n > LCF_HISTORY_MAX)
            n = LCF_HISTORY_MAX;
        assert_int_equal(s->users.history_n[u], n);
        assert_memory_equal(s->users.history + (size_t)u * LCF_HISTORY_MAX, d.event_item + end - n,
                            n * sizeof(uint32_t));
    }
    lcf_dataset_close(&d);
    lcf_snapshot_close(s);
    publication_dispose(&p);
}

static void same_inputs_change_nothing(void **state)
{
    publication p;
    lcf_err err;

    (void)state;
    publication_init(&p);
    assert_ok(publish(&p, "one", &err), &err);
    assert_ok(publish(&p, "two", &err), &err);
    assert_true(p.result.unchanged);
    assert_string_equal(p.result.generation, "one");
    assert_current(&p, "one");
    assert_false(exists(&p, "two"));

    p.options.default_arm = "din"; /* another answer, another snapshot */
    assert_ok(publish(&p, "two", &err), &err);
    assert_false(p.result.unchanged);
    assert_current(&p, "two");
    p.options.force = true;
    assert_int_equal(publish(&p, "two", &err), LCF_EEXIST);
    assert_ok(publish(&p, "three", &err), &err);
    assert_current(&p, "three");
    publication_dispose(&p);
}

static void old_generations_go(void **state)
{
    publication p;
    lcf_err err;

    (void)state;
    publication_init(&p);
    p.options.force = true;
    p.options.keep = 1;
    assert_ok(publish(&p, "a", &err), &err);
    assert_ok(publish(&p, "b", &err), &err);
    assert_int_equal(p.result.retired_n, 0);
    assert_ok(publish(&p, "c", &err), &err);
    assert_int_equal(p.result.retired_n, 1);
    assert_false(exists(&p, "a"));
    assert_true(exists(&p, "b") && exists(&p, "c"));
    p.options.keep = 0;
    assert_ok(publish(&p, "d", &err), &err);
    assert_int_equal(p.result.retired_n, 2);
    assert_false(exists(&p, "b") || exists(&p, "c"));
    assert_current(&p, "d");
    publication_dispose(&p);
}

/* However `current` was written by hand: what it leads to stays. */
static void what_current_leads_to_is_not_retired(void **state)
{
    publication p;
    char *link, *folder;
    size_t retired_n, in_use_n;
    lcf_err err;

    (void)state;
    publication_init(&p);
    p.options.force = true;
    assert_ok(publish(&p, "a", &err), &err);
    assert_ok(publish(&p, "b", &err), &err);
    link = lcf_path_join(p.root, "current");
    folder = lcf_path_join(p.root, "a");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unlink(link), 0);
        assert_int_equal(symlink(i ? folder : "a/", link), 0);
        assert_ok(lcf_snapshot_retire(&retired_n, &in_use_n, p.root, i ? 0 : 1, &err), &err);
        assert_int_equal(retired_n, i);
        assert_true(exists(&p, "a"));
        assert_true(exists(&p, "b") == !i);
    }
    free(link);
    free(folder);
    publication_dispose(&p);
}

/* What somebody reads is not retired, until it is closed. */
static void an_open_snapshot_keeps_its_folder(void **state)
{
    publication p;
    lcf_snapshot *s;
    lcf_cot_record *record;
    size_t retired_n, in_use_n;
    lcf_err err;

    (void)state;
    publication_init(&p);
    p.options.force = true;
    p.options.keep = 0;
    assert_ok(publish(&p, "a", &err), &err);
    assert_ok(lcf_snapshot_open(&s, p.root, &err), &err);
    assert_ok(publish(&p, "b", &err), &err);
    assert_true(exists(&p, "a"));
    assert_int_equal(p.result.in_use_n, 1);
    assert_int_equal(p.result.retired_n, 0);
    assert_int_equal(s->item_vectors.vectors[0], 0);
    assert_ok(lcf_cot_store_get(&record, s->cots, s->examples.key[0], &err), &err);
    assert_non_null(strstr(record->text, "Example 0"));
    free(record);
    lcf_snapshot_close(s);
    assert_ok(lcf_snapshot_retire(&retired_n, &in_use_n, p.root, 0, &err), &err);
    assert_int_equal(retired_n, 1);
    assert_int_equal(in_use_n, 0);
    assert_false(exists(&p, "a"));
    publication_dispose(&p);
}

static char *join(const publication *p, const char *name)
{
    char *path = lcf_path_join(p->root, name);

    assert_non_null(path);
    return path;
}

/* Overwrites one byte of a file. */
static void damage(const char *dir, const char *name)
{
    char *path = lcf_path_join(dir, name);
    FILE *f = fopen(path, "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, 300, SEEK_SET), 0);
    assert_true(fputc('X', f) != EOF);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void rollback_goes_to_what_was_current(void **state)
{
    publication p;
    lcf_publish_result result;
    char *dir;
    lcf_err err;

    (void)state;
    publication_init(&p);
    p.options.force = true;
    assert_int_equal(lcf_snapshot_rollback(&result, p.root, NULL, &err), LCF_ENOENT);
    assert_ok(publish(&p, "a", &err), &err);
    assert_int_equal(lcf_snapshot_rollback(&result, p.root, NULL, &err), LCF_ENOENT);
    assert_ok(publish(&p, "b", &err), &err);
    assert_ok(publish(&p, "c", &err), &err);
    assert_ok(lcf_snapshot_rollback(&result, p.root, NULL, &err), &err);
    assert_string_equal(result.generation, "b");
    assert_current(&p, "b");
    assert_ok(lcf_snapshot_rollback(&result, p.root, NULL, &err), &err);
    assert_current(&p, "a");
    assert_ok(lcf_snapshot_rollback(&result, p.root, "c", &err), &err);
    assert_current(&p, "c");
    assert_int_equal(lcf_snapshot_rollback(&result, p.root, "../c", &err), LCF_EINVAL);
    assert_int_equal(lcf_snapshot_rollback(&result, p.root, "d", &err), LCF_ENOENT);
    dir = join(&p, "a");
    damage(dir, "items.lcf");
    free(dir);
    assert_int_equal(lcf_snapshot_rollback(&result, p.root, "a", &err), LCF_ECHECKSUM);
    assert_current(&p, "c");
    publication_dispose(&p);
}

static size_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* Where the history cannot be written `current` stays; where `current` cannot be moved the history
 * does not tell of it. */
static void no_move_without_its_line(void **state)
{
    publication p;
    lcf_publish_result result;
    char *history, *aside, *next;
    size_t before;
    lcf_err err;

    (void)state;
    publication_init(&p);
    history = join(&p, "history.jsonl");
    aside = join(&p, "history.aside");
    next = join(&p, ".current.tmp");
    p.options.force = true;
    assert_ok(publish(&p, "a", &err), &err);
    assert_ok(publish(&p, "b", &err), &err);
    before = size_of(history);
    assert_int_equal(rename(history, aside), 0);
    assert_int_equal(mkdir(history, 0755), 0);
    assert_int_not_equal(lcf_snapshot_rollback(&result, p.root, "a", &err), LCF_OK);
    assert_non_null(strstr(err.text, "current stays as it is"));
    assert_current(&p, "b");
    assert_int_equal(rmdir(history), 0);
    assert_int_equal(rename(aside, history), 0);

    assert_int_equal(mkdir(next, 0755), 0); /* where the link is made aside */
    assert_int_not_equal(lcf_snapshot_rollback(&result, p.root, "a", &err), LCF_OK);
    assert_current(&p, "b");
    assert_int_equal(size_of(history), before);
    assert_int_equal(rmdir(next), 0);
    assert_ok(lcf_snapshot_rollback(&result, p.root, "a", &err), &err);
    assert_current(&p, "a");
    assert_true(size_of(history) > before);
    free(history);
    free(aside);
    free(next);
    publication_dispose(&p);
}

/* Copied to another root, or to its place in it, and verified there. */
static void a_generation_can_be_brought_in(void **state)
{
    publication made, served;
    lcf_publish_result result;
    char *from, *place, *items;
    lcf_err err;

    (void)state;
    publication_init(&made);
    publication_init(&served);
    assert_ok(publish(&made, "one", &err), &err);
    from = join(&made, "one");
    assert_ok(lcf_snapshot_import(&result, served.root, from, 3, &err), &err);
    assert_current(&served, "one");
    assert_string_equal(result.id, made.result.id);
    assert_ok(lcf_snapshot_import(&result, served.root, from, 3, &err), &err);
    place = join(&served, "one");
    assert_ok(lcf_snapshot_import(&result, served.root, place, 3, &err), &err);
    made.options.force = true;
    assert_ok(publish(&made, "two", &err), &err);
    free(from);
    from = join(&made, "two");
    items = lcf_path_join(from, "items.lcf");
    damage(from, "items.lcf");
    assert_int_equal(lcf_snapshot_import(&result, served.root, from, 3, &err), LCF_ECHECKSUM);
    assert_int_equal(remove(items), 0);
    assert_int_equal(lcf_snapshot_import(&result, served.root, from, 3, &err), LCF_ECHECKSUM);
    assert_current(&served, "one");
    assert_false(exists(&served, "two"));
    free(items);
    free(place);
    free(from);
    publication_dispose(&made);
    publication_dispose(&served);
}

/* A killed publisher leaves a stage or a half removed generation: the next one clears both. */
static void debris_is_removed(void **state)
{
    publication p;
    char *stage, *half, *file;
    lcf_err err;

    (void)state;
    publication_init(&p);
    stage = lcf_path_join(p.root, "x.tmp.1.0");
    half = lcf_path_join(p.root, ".retired-y");
    file = lcf_path_join(stage, "snapshot.json");
    assert_ok(lcf_dir_create(stage, &err), &err);
    assert_ok(lcf_dir_create(half, &err), &err);
    assert_ok(lcf_file_write(file, "{}", 2, &err), &err);
    assert_ok(publish(&p, "one", &err), &err);
    assert_false(lcf_path_exists(stage) || lcf_path_exists(half));
    free(stage);
    free(half);
    free(file);
    publication_dispose(&p);
}

/* Killed between writing the generation and moving current: the next one only moves it. */
static void resumes_before_current(void **state)
{
    publication p;
    char *current, id[65];
    lcf_err err;

    (void)state;
    publication_init(&p);
    current = lcf_path_join(p.root, "current");
    assert_ok(publish(&p, "one", &err), &err);
    memcpy(id, p.result.id, sizeof(id));
    assert_int_equal(unlink(current), 0);
    assert_ok(publish(&p, "one", &err), &err);
    assert_string_equal(p.result.id, id);
    assert_current(&p, "one");
    free(current);
    publication_dispose(&p);
}

/* ---- failures leave current ---- */

static void failure_leaves_current(void **state)
{
    publication p;
    char *broken;
    lcf_err err;

    (void)state;
    publication_init(&p);
    broken = lcf_path_join(p.root, "broken.lcf");
    assert_ok(publish(&p, "one", &err), &err);
    assert_ok(lcf_file_write(broken, "no weights at all", 17, &err), &err);
    p.arms[1].weights_path = broken;
    assert_int_equal(publish(&p, "two", &err), LCF_EFORMAT);
    assert_current(&p, "one");
    assert_false(exists(&p, "two"));
    p.arms[1].weights_path = "/nowhere/best.lcf";
    assert_int_equal(publish(&p, "two", &err), LCF_ENOENT);
    assert_current(&p, "one");
    free(broken);
    publication_dispose(&p);
}

static void refuses_names_and_arms(void **state)
{
    static const char *const generations[] = {
        "", ".hidden", "a/b", "current", "publish.lock", "x.tmp.1", "..", "a b"};
    publication p;
    lcf_err err;

    (void)state;
    publication_init(&p);
    for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++)
        assert_int_equal(publish(&p, generations[i], &err), LCF_EINVAL);
    p.options.default_arm = "other";
    assert_int_equal(publish(&p, "one", &err), LCF_EINVAL);
    p.options.default_arm = NULL;
    p.arms[1].name = "din";
    assert_int_equal(publish(&p, "one", &err), LCF_EINVAL);
    p.arms[1].name = "../din";
    assert_int_equal(publish(&p, "one", &err), LCF_EINVAL);
    p.options.arms_n = 0;
    assert_int_equal(publish(&p, "one", &err), LCF_EINVAL);
    assert_false(exists(&p, "one"));
    publication_dispose(&p);
}

static void one_publisher_at_a_time(void **state)
{
    publication p;
    char *path;
    lcf_lock *lock;
    lcf_err err;

    (void)state;
    publication_init(&p);
    path = lcf_path_join(p.root, "publish.lock");
    assert_ok(lcf_lock_acquire(&lock, path, &err), &err);
    assert_int_equal(publish(&p, "one", &err), LCF_EBUSY);
    assert_int_equal(lcf_status_exit_code(LCF_EBUSY), 75);
    lcf_lock_release(lock);
    assert_ok(publish(&p, "one", &err), &err);
    free(path);
    publication_dispose(&p);
}

/* ---- damage ---- */

static const char *const FILES[] = {
    "snapshot.json",         "items.lcf",    "users.lcf",    "item_vectors.lcf",
    "examples/examples.lcf", "cot/data.mdb", "arms/din.lcf", "arms/din-ict.lcf",
    "neighbours.lcf",
};

static void flip_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 0x10, f);
    fclose(f);
}

static void damage_is_refused_and_named(void **state)
{
    publication p;
    lcf_snapshot *s;
    lcf_err err;
    char *dir;

    (void)state;
    publication_init(&p);
    assert_ok(publish(&p, "one", &err), &err);
    dir = lcf_path_join(p.root, "one");
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        char *path = lcf_path_join(dir, FILES[i]), *aside = lcf_path_join(dir, "aside");
        flip_byte(path, 7);
        assert_int_equal(lcf_snapshot_open(&s, p.root, &err), LCF_ECHECKSUM);
        assert_non_null(strstr(err.text, FILES[i]));
        flip_byte(path, 7);
        flip_byte(path, -3);
        assert_int_equal(lcf_snapshot_open(&s, p.root, &err), LCF_ECHECKSUM);
        flip_byte(path, -3);
        assert_int_equal(rename(path, aside), 0);
        assert_int_equal(lcf_snapshot_open(&s, p.root, &err), LCF_ECHECKSUM);
        assert_non_null(strstr(err.text, FILES[i]));
        assert_int_equal(rename(aside, path), 0);
        free(path);
        free(aside);
    }
    assert_ok(lcf_snapshot_open(&s, p.root, &err), &err);
    lcf_snapshot_close(s);

    /* A damaged current is published again, though its inputs are the same. */
    char *items = lcf_path_join(dir, "items.lcf"), *manifest = lcf_path_join(dir, "manifest.json");
    flip_byte(items, 100);
    assert_ok(publish(&p, "two", &err), &err);
    assert_false(p.result.unchanged);
    assert_current(&p, "two");
    assert_int_equal(truncate(manifest, 40), 0);
    assert_int_equal(lcf_snapshot_open(&s, dir, &err), LCF_EFORMAT);
    free(items);
    free(manifest);
    free(dir);
    publication_dispose(&p);
}

static void what_is_no_snapshot(void **state)
{
    char *dir = test_folder();
    lcf_snapshot *s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_snapshot_open(&s, dir, &err), LCF_ENOENT);
    assert_non_null(strstr(err.text, "publish one first"));
    assert_int_equal(lcf_snapshot_open(&s, "/nowhere", &err), LCF_ENOENT);
    test_folder_remove(dir);
}

/* A publication of this world is what the golden examples say; with LCF_WRITE_EXAMPLES in the
 * environment they are written anew. */
static void golden_files(void **state)
{
    static const char *const names[] = {"snapshot.json", "users.lcf"};
    char *golden = lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/snapshot");
    publication p;
    char *current;
    lcf_err err;

    (void)state;
    publication_init(&p);
    current = lcf_path_join(p.root, "current");
    assert_ok(publish(&p, "20261122T020000Z", &err), &err);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        lcf_buf expected = LCF_BUF_INIT, found = LCF_BUF_INIT;
        char *a = lcf_path_join(golden, names[i]), *b = lcf_path_join(current, names[i]);
        assert_ok(lcf_file_read(&found, b, 1 << 20, &err), &err);
        if (getenv("LCF_WRITE_EXAMPLES"))
            assert_ok(lcf_file_write(a, found.data, found.len, &err), &err);
        assert_ok(lcf_file_read(&expected, a, 1 << 20, &err), &err);
        assert_int_equal(found.len, expected.len);
        assert_memory_equal(found.data, expected.data, expected.len);
        lcf_buf_dispose(&expected);
        lcf_buf_dispose(&found);
        free(a);
        free(b);
    }
    free(golden);
    free(current);
    publication_dispose(&p);
}

/* The golden lists belong to this world's examples. */
static void golden_neighbours(void **state)
{
    char *path =
        lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/snapshot/neighbours.lcf");
    publication p;
    lcf_snapshot *s;
    lcf_neighbours golden;
    lcf_err err;

    (void)state;
    publication_init(&p);
    assert_ok(publish(&p, "one", &err), &err);
    assert_ok(lcf_snapshot_open(&s, p.root, &err), &err);
    assert_true(s->has_neighbours);
    assert_ok(lcf_neighbours_open(&golden, path, s->catalogue.items_n, &s->examples, &err), &err);
    assert_int_equal(golden.targets_n, s->neighbours.targets_n);
    assert_memory_equal(golden.begin, s->neighbours.begin, (2 * golden.targets_n + 1) * 4);
    assert_memory_equal(golden.members, s->neighbours.members, s->examples.n * 4);
    for (size_t i = 0; i < golden.items_n * LCF_NEIGHBOURS_N; i++)
        assert_true(s->neighbours.ids[i] == golden.ids[i] &&
                    fabsf(s->neighbours.products[i] - golden.products[i]) < 1e-6f);
    lcf_neighbours_close(&golden);
    lcf_snapshot_close(s);
    free(path);
    publication_dispose(&p);
}

/* And the golden tokens to its ICT arm. */
static void golden_tokens(void **state)
{
    static const char *const names[] = {"item_tokens", "example_tokens", "item_parts",
                                        "example_states"};
    char *path = lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/snapshot/tokens.lcf");
    char *made;
    publication p;
    lcf_bundle *golden, *found;
    lcf_err err;

    (void)state;
    publication_init(&p);
    assert_ok(publish(&p, "one", &err), &err);
    made = lcf_path_join(p.root, "current/tokens/din-ict.lcf");
    assert_ok(lcf_bundle_open(&golden, path, "ranker_tokens", 2, &err), &err);
    assert_ok(lcf_bundle_open(&found, made, "ranker_tokens", 2, &err), &err);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const lcf_array *a = lcf_bundle_find(golden, names[i]),
                        *b = lcf_bundle_find(found, names[i]);
        assert_int_equal(a->n, b->n);
        for (size_t j = 0; j < a->n; j++)
            assert_true(fabsf(((const float *)a->data)[j] - ((const float *)b->data)[j]) < 1e-5f);
    }
    lcf_bundle_close(golden);
    lcf_bundle_close(found);
    free(made);
    free(path);
    publication_dispose(&p);
}

static void same_inputs_same_bytes(void **state)
{
    publication a, b;
    lcf_err err;

    (void)state;
    publication_init(&a);
    publication_init(&b);
    assert_ok(publish(&a, "g", &err), &err);
    assert_ok(publish(&b, "g", &err), &err);
    assert_string_equal(a.result.id, b.result.id);
    publication_dispose(&a);
    publication_dispose(&b);
}

static void out_of_memory(void **state)
{
    lcf_status status = LCF_ENOMEM;
    publication p;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    publication_init(&p);
    for (uint64_t n = 1; status; n += 1 + n / 4) {
        assert_true(n < 100000);
        lcf_alloc_fail_at(n);
        status = publish(&p, "one", &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %d: %s", (int)n, err.text);
    }
    assert_current(&p, "one");
    publication_dispose(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes_and_opens),
        cmocka_unit_test(same_inputs_change_nothing),
        cmocka_unit_test(old_generations_go),
        cmocka_unit_test(what_current_leads_to_is_not_retired),
        cmocka_unit_test(an_open_snapshot_keeps_its_folder),
        cmocka_unit_test(rollback_goes_to_what_was_current),
        cmocka_unit_test(no_move_without_its_line),
        cmocka_unit_test(a_generation_can_be_brought_in),
        cmocka_unit_test(debris_is_removed),
        cmocka_unit_test(resumes_before_current),
        cmocka_unit_test(failure_leaves_current),
        cmocka_unit_test(refuses_names_and_arms),
        cmocka_unit_test(one_publisher_at_a_time),
        cmocka_unit_test(damage_is_refused_and_named),
        cmocka_unit_test(what_is_no_snapshot),
        cmocka_unit_test(golden_files),
        cmocka_unit_test(golden_neighbours),
        cmocka_unit_test(golden_tokens),
        cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("snapshot", tests, setup, teardown);
}
