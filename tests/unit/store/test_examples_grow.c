/*
 * Examples: indices that are not exact, indices that grow, and results that are reused.
 */
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/store/retrieved_reuse.h"
#include "tests/unit/store/examples_world.h"
#include "tests/unit/store/work_folder.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t threads_n(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t n = 0;

    assert_non_null(tasks);
    for (struct dirent *e = readdir(tasks); e; e = readdir(tasks))
        n += e->d_name[0] != '.';
    closedir(tasks);
    return n;
}

static bool is_mapped(const char *name)
{
    lcf_buf maps = LCF_BUF_INIT;
    bool found;

    assert_int_equal(lcf_file_read(&maps, "/proc/self/maps", SIZE_MAX, NULL), LCF_OK);
    found = strstr(lcf_buf_text(&maps), name) != NULL;
    lcf_buf_dispose(&maps);
    return found;
}

/* Two indices of a kind find nearly all, break no rule, and are the same bytes twice; a request is
 * answered through them, too. */
static void test_kinds(void **state)
{
    lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;
    world w;

    (void)state;
    world_init(&w, 3000, 12, 200, 2500, 31);
    for (int kind = LCF_FAISS_FLAT; kind < LCF_FAISS_KINDS_N; kind++) {
        lcf_examples e;
        lcf_examples_recall recall[2];
        lcf_example_query *q;
        uint32_t exact[60 * 4], found[60 * 4];
        float scores[60 * 4], exact_scores[60 * 4];
        size_t hits = 0, wanted = 0, grown;
        lcf_buf first = LCF_BUF_INIT, second = LCF_BUF_INIT;
        lcf_err err = LCF_ERR_INIT;

        for (int twice = 0; twice < 2; twice++) {
            assert_int_equal(lcf_dir_remove("kind", NULL), LCF_OK);
            assert_int_equal(lcf_dir_create("kind", NULL), LCF_OK);
            if (lcf_examples_save_kind(&recall[twice], &grown, "kind", &w.e, (lcf_faiss_kind)kind,
                                       NULL, &err))
                fail_msg("%s", err.text);
            assert_int_equal(
                lcf_file_read(twice ? &second : &first, "kind/faiss-1.index", SIZE_MAX, NULL),
                LCF_OK);
        }
        assert_int_equal(first.len, second.len);
        assert_memory_equal(first.data, second.data, first.len);
        lcf_buf_dispose(&first);
        lcf_buf_dispose(&second);
        assert_true(recall[0].recall >= LCF_EXAMPLES_RECALL);
        if (lcf_examples_open(&e, "kind", &err))
            fail_msg("%s", err.text);
        assert_int_equal(e.kind, kind);
        q = world_queries(&e, 60, 5);
        for (int mode = 0; mode < 2; mode++) {
            o.mode = (lcf_retrieval_mode)mode;
            assert_int_equal(lcf_examples_search_exact(exact, exact_scores, &e, q, 60, &o, &err),
                             LCF_OK);
            assert_int_equal(lcf_examples_search(found, scores, &e, q, 60, &o, &err), LCF_OK);
            for (size_t i = 0; i < 60; i++)
                world_check_rule(&e, &q[i], found + 4 * i, &o);
            for (size_t i = 0; i < 240; i++) {
                wanted += exact[i] != LCF_EXAMPLE_NONE;
                if (found[i] == exact[i] && exact[i] != LCF_EXAMPLE_NONE) {
                    assert_true(scores[i] == exact_scores[i]);
                    hits++;
                }
            }
        }
        if (hits < 97 * wanted / 100)
            fail_msg("%s finds %zu of %zu", lcf_faiss_kind_name(e.kind), hits, wanted);
        assert_int_equal(threads_n(), 1);
        assert_int_equal(is_mapped("kind/faiss-0.index"), kind == LCF_FAISS_IVF);
        for (size_t i = 1; i < 60; i++) { /* one request */
            q[i].user = q[0].user;
            q[i].time = q[0].time;
            q[i].history_vec = q[0].history_vec;
        }
        assert_int_equal(lcf_examples_search_exact(exact, NULL, &e, q, 60, &o, &err), LCF_OK);
        assert_int_equal(lcf_examples_search(found, NULL, &e, q, 60, &o, &err), LCF_OK);
        for (size_t i = hits = 0; i < 240; i++)
            hits += found[i] == exact[i];
        assert_true(hits >= 225);
        free(q);
        lcf_examples_close(&e);
        assert_int_equal(lcf_examples_open_for_requests(&e, "kind", false, &err), LCF_OK);
        assert_int_equal(e.faiss[0] != NULL, kind != LCF_FAISS_FLAT);
        lcf_examples_close(&e);
        assert_int_equal(lcf_examples_open_for_requests(&e, "kind", true, &err), LCF_OK);
        assert_null(e.faiss[0]);
        lcf_examples_close(&e);
    }
    world_dispose(&w);
}

static size_t save_grown(const char *dir, const lcf_examples *e, lcf_faiss_kind kind,
                         const char *before)
{
    lcf_examples_recall recall;
    lcf_err err = LCF_ERR_INIT;
    size_t grown = 0;

    assert_int_equal(lcf_dir_remove(dir, NULL), LCF_OK);
    assert_int_equal(lcf_dir_create(dir, NULL), LCF_OK);
    if (lcf_examples_save_kind(&recall, &grown, dir, e, kind, before, &err))
        fail_msg("%s", err.text);
    assert_true(recall.recall >= LCF_EXAMPLES_RECALL);
    return grown;
}

static bool same_file(const char *a, const char *b)
{
    lcf_map x, y;
    bool same;

    assert_int_equal(lcf_map_open(&x, a, NULL), LCF_OK);
    assert_int_equal(lcf_map_open(&y, b, NULL), LCF_OK);
    same = x.bytes_n == y.bytes_n && !memcmp(x.data, y.data, x.bytes_n);
    lcf_map_close(&x);
    lcf_map_close(&y);
    return same;
}

/* The examples of w with those numbers left out for which (number + shift) % of is 0. */
static void subset(world *out, const world *w, size_t of, size_t shift)
{
    const size_t dim = w->e.text_dim;
    size_t n = 0;

    world_init(out, w->e.n, dim, 3, 2, 1);
    for (size_t i = 0; i < w->e.n; i++) {
        if ((i + shift) % of == 0)
            continue;
        out->key[n] = w->key[i];
        out->sample_hash[n] = w->sample_hash[i];
        out->user[n] = w->user[i];
        out->label[n] = w->label[i];
        out->time[n] = w->time[i];
        memcpy(out->history_vec + n * dim, w->history_vec + i * dim, dim * sizeof(float));
        memcpy(out->target_vec + n * dim, w->target_vec + i * dim, dim * sizeof(float));
        n++;
    }
    out->e.n = n;
}

/* Indices are grown by rows behind theirs, lose rows (but for graphs), find as well as any, and are
 * made from nothing when too much has come or gone: an index that finds less than it should is
 * never one that was grown. */
static void test_grown(void **state)
{
    const size_t first = 1500, n = 1900, apart = 20;
    world w, thin;

    (void)state;
    world_init(&w, n, 8, 100, 1500, 13);
    for (size_t i = 0; i < n; i++)
        w.time[i] = (int64_t)i;
    subset(&thin, &w, apart, 0);
    for (int kind = LCF_FAISS_HNSW; kind < LCF_FAISS_KINDS_N; kind++) {
        const bool removes = kind != LCF_FAISS_HNSW;
        lcf_examples e, part = w.e;
        lcf_err err = LCF_ERR_INIT;

        part.n = first;
        assert_int_equal(save_grown("day-1", &part, kind, "nowhere"), 0);
        assert_int_equal(save_grown("day-2", &w.e, kind, "day-1"), n - first);
        assert_int_equal(save_grown("day-2b", &w.e, kind, "day-1"), n - first);
        assert_true(same_file("day-2/faiss-0.index", "day-2b/faiss-0.index"));
        if (lcf_examples_open(&e, "day-2", &err))
            fail_msg("%s", err.text);
        assert_int_equal(e.built[0] + e.built[1], first);
        lcf_examples_close(&e);
        assert_int_equal(save_grown("day-3", &part, kind, "day-2"), removes ? n - first : 0);
        part.n = first / 2;
        assert_int_equal(save_grown("day-4", &part, kind, "day-1"), 0); /* too many have gone */
        /* rows here and there, and new ones behind */
        assert_int_equal(save_grown("thin", &thin.e, kind, "day-1"),
                         removes ? n - first - (n - first) / apart + first / apart : 0);
        save_grown("thin-2", &thin.e, kind, "day-1");
        assert_true(same_file("thin/faiss-1.index", "thin-2/faiss-1.index"));
        part.n = first / 2;
        save_grown("half", &part, kind, NULL);
        assert_int_equal(save_grown("more", &w.e, kind, "half"), 0); /* too many are new */
        part.n = 400; /* 200 of a label: flat, and no more so with 300 */
        save_grown("few", &part, kind, NULL);
        part.n = 600;
        assert_int_equal(save_grown("enough", &part, kind, "few"), 0);
        assert_int_equal(lcf_examples_open(&e, "enough", &err), LCF_OK);
        lcf_examples_close(&e);
        w.history_vec[0] += 0.25f; /* of the first row of its label */
        assert_true(save_grown("other", &w.e, kind, "day-1") < n - first);
        w.history_vec[0] -= 0.25f;
    }
    world_dispose(&w);
    world_dispose(&thin);
}

static void keep(const char *path, const lcf_examples *e, const lcf_example_query *q, size_t n,
                 const lcf_example_options *o)
{
    uint32_t *ids = calloc(n * o->k, 4);
    float *scores = calloc(n * o->k, 4);
    lcf_hash128 *rows = calloc(n, sizeof(*rows)), *examples = calloc(e->n, sizeof(*examples));
    const lcf_retrieved r = {.rule = *o,
                             .rows_n = n,
                             .ids = ids,
                             .scores = scores,
                             .query_hash = rows,
                             .example_hash = examples,
                             .examples_n = e->n};
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_examples_search_exact(ids, scores, e, q, n, o, &err), LCF_OK);
    for (size_t i = 0; i < n; i++)
        rows[i] = lcf_retrieved_query_hash(&q[i], e->text_dim);
    for (size_t i = 0; i < e->n; i++)
        examples[i] = lcf_retrieved_example_hash(e, i);
    if (lcf_retrieved_save(path, &r, &err))
        fail_msg("%s", err.text);
    free(ids);
    free(scores);
    free(rows);
    free(examples);
}

/* Queries, of which the first 80 were there, through reuse and by the definition. */
static void check_reuse(const lcf_examples *e, const lcf_example_query *q, size_t n,
                        const lcf_example_options *o)
{
    uint32_t *exact = calloc(n * o->k, 4), *ids = calloc(n * o->k, 4);
    float *exact_scores = calloc(n * o->k, 4), *scores = calloc(n * o->k, 4);
    lcf_hash128 *rows = calloc(n, sizeof(*rows)), *examples = calloc(e->n, sizeof(*examples));
    lcf_retrieved_reuse *reuse;
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < n; i++)
        rows[i] = lcf_retrieved_query_hash(&q[i], e->text_dim);
    for (size_t i = 0; i < e->n; i++)
        examples[i] = lcf_retrieved_example_hash(e, i);
    assert_int_equal(lcf_retrieved_reuse_open(&reuse, "before.lcf", e, examples, o, &err), LCF_OK);
    assert_int_equal(lcf_examples_search_exact(exact, exact_scores, e, q, n, o, &err), LCF_OK);
    assert_int_equal(lcf_retrieved_reuse_search(ids, scores, reuse, rows, q, n, o, &err), LCF_OK);
    assert_memory_equal(ids, exact, n * o->k * 4);
    assert_memory_equal(scores, exact_scores, n * o->k * 4);
    assert_true(lcf_retrieved_reuse_searched(reuse) >= n - 80); /* those that were not there */
    assert_true(lcf_retrieved_reuse_searched(reuse) < n - 20);
    assert_true(lcf_retrieved_reuse_new(reuse) > 0);
    lcf_retrieved_reuse_close(reuse);
    free(exact);
    free(exact_scores);
    free(ids);
    free(scores);
    free(rows);
    free(examples);
}

/* Examples come and go, rows come, and what is reused is what the definition finds, ties and all.
 */
static void test_reuse(void **state)
{
    world all, before, after;
    lcf_examples e;
    lcf_example_query *q;
    lcf_hash128 none[1] = {{{0}}};
    lcf_retrieved_reuse *reuse;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    world_init(&all, 900, 6, 40, 60, 77);
    subset(&before, &all, 20, 3);
    subset(&after, &all, 35, 0);
    world_open(&e, &after, "now");
    q = world_queries(&all.e, 120, 9);
    for (int i = 0; i < 12; i++) {
        lcf_example_options o = LCF_EXAMPLE_OPTIONS_INIT;

        o.balanced = i % 2;
        o.mode = (lcf_retrieval_mode)(i / 2 % 2);
        o.by = (lcf_retrieval_by)(i / 4);
        o.k = 1 + (uint32_t)i % 5;
        keep("before.lcf", &before.e, q, 80, &o);
        check_reuse(&e, q, 120, &o);
        o.k++;
        assert_int_equal(lcf_retrieved_reuse_open(&reuse, "before.lcf", &e, none, &o, &err),
                         LCF_ENOTFOUND);
    }
    assert_int_equal(lcf_retrieved_reuse_open(&reuse, "nothing.lcf", &e, none,
                                              &(lcf_example_options)LCF_EXAMPLE_OPTIONS_INIT, &err),
                     LCF_ENOTFOUND);
    free(q);
    lcf_examples_close(&e);
    world_dispose(&all);
    world_dispose(&before);
    world_dispose(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_reuse),
    };

    return cmocka_run_group_tests(tests, work_folder_enter, work_folder_leave);
}
