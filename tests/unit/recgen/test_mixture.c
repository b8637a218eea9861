/* General instructions, the mixture and packing: right rows, right targets, the same after a seek.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/recgen/pack.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char GENERAL[] =
    "[{\"instruction\": \"Name a colour\", \"input\": \"\", \"output\": \"Green\"},"
    " {\"instruction\": \"Add\", \"input\": \"1 and 2\", \"output\": \"3\"},"
    " {\"instruction\": \"Nothing to say\", \"output\": \"\"}]";

typedef struct world {
    char *dir;
    lcf_dataset d;
    lcf_related *related;
    lcf_general general;
    lcf_tokenizer *tokenizer;
    lcf_mixture_options options;
} world;

static int open_world(void **state)
{
    static world w = {.general = LCF_GENERAL_INIT, .options = LCF_MIXTURE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;

    w.dir = lcf_fixture_dir();
    assert_int_equal(lcf_fixture_write_dataset(w.dir, NULL, &err), LCF_OK);
    assert_int_equal(lcf_dataset_open(&w.d, w.dir, &err), LCF_OK);
    assert_int_equal(lcf_related_create(&w.related, &w.d, &err), LCF_OK);
    for (size_t i = 0; i < 40; i++) {
        char row[128];
        snprintf(row, sizeof(row), "{\"instruction\": \"Count to %zu\", \"output\": \"%zu\"}\n", i,
                 i);
        assert_int_equal(lcf_general_parse(&w.general, row, strlen(row), "rows", &err), LCF_OK);
    }
    assert_int_equal(lcf_vocabulary_train(&w.tokenizer, &w.d, w.related, &w.general,
                                          &w.options.prompt, 400, 100, &err),
                     LCF_OK);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;

    lcf_tokenizer_free(w->tokenizer);
    lcf_general_dispose(&w->general);
    lcf_related_free(w->related);
    lcf_dataset_close(&w->d);
    lcf_dir_remove(w->dir, NULL);
    free(w->dir);
    return 0;
}

static lcf_mixture *new_mixture(const world *w, const lcf_mixture_options *options)
{
    lcf_mixture *m;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(
        lcf_mixture_create(&m, &w->d, w->related, &w->general, w->tokenizer, options, &err),
        LCF_OK);
    return m;
}

/* ---- general instructions ---- */

static void same(lcf_str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.data, want, got.len);
}

static void test_general_forms(void **state)
{
    static const char lines[] =
        "{\"instruction\": \"Shorten\", \"instances\": [{\"input\": \"a\", \"output\": \"b\"}, "
        "{\"input\": \"c\", \"output\": \"d\"}]}\n\n{\"instruction\": \"x\", \"output\": \"y\"}\n";
    lcf_general g = LCF_GENERAL_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_general_parse(&g, GENERAL, strlen(GENERAL), "list", &err), LCF_OK);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.empty_n, 1);
    assert_int_equal(lcf_general_parse(&g, lines, strlen(lines), "lines", &err), LCF_OK);
    assert_int_equal(g.n, 5);
    same(lcf_general_get(&g, 1).instruction, "Add");
    same(lcf_general_get(&g, 1).input, "1 and 2");
    same(lcf_general_get(&g, 1).output, "3");
    same(lcf_general_get(&g, 3).instruction, "Shorten");
    same(lcf_general_get(&g, 3).input, "c");
    same(lcf_general_get(&g, 3).output, "d");
    same(lcf_general_get(&g, 4).input, "");
    lcf_general_dispose(&g);
}

static void general_refused(const char *text, const char *part)
{
    lcf_general g = LCF_GENERAL_INIT;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_general_parse(&g, text, strlen(text), "rows.json", &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "rows.json"));
    assert_non_null(strstr(err.text, part));
    lcf_general_dispose(&g);
}

static void test_general_refused(void **state)
{
    (void)state;
    general_refused("[{\"output\": \"x\"}]", "row 1: \"instruction\" must be a string");
    general_refused("[{\"instruction\": \"x\", \"output\": 3}]", "\"output\" must be a string");
    general_refused("[{\"instruction\": \"x\", \"input\": [], \"output\": \"y\"}]", "\"input\"");
    general_refused("[3]", "row 1: not an object");
    general_refused("[{\"instruction\": \"x\", \"instances\": 1}]", "\"instances\" must be a list");
    general_refused("{\"instruction\": \"x\", \"output\": \"y\"}\n{\"instruc", "line 2");
    general_refused("[", "rows.json");
}

static void test_general_file(void **state)
{
    lcf_general g = LCF_GENERAL_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_general_load(&g, "no-such-file.json", &err), LCF_ENOENT);
    lcf_general_dispose(&g);
}

/* ---- mixture ---- */

static void test_seek_is_the_same_run(void **state)
{
    world *w = *state;
    lcf_mixture *run = new_mixture(w, &w->options);
    lcf_row a = {LCF_TOKENS_INIT, NULL, 0}, b = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;

    for (uint64_t slot = 0; slot < 400; slot++) {
        lcf_source sa, sb;
        assert_int_equal(lcf_mixture_next(&a, &sa, run, &err), LCF_OK);
        if (slot % 57 == 0) {
            lcf_mixture *other = new_mixture(w, &w->options);
            assert_int_equal(lcf_mixture_seek(other, slot, &err), LCF_OK);
            assert_int_equal(lcf_mixture_next(&b, &sb, other, &err), LCF_OK);
            assert_int_equal(sa, sb);
            assert_int_equal(a.tokens.n, b.tokens.n);
            assert_memory_equal(a.tokens.ids, b.tokens.ids, a.tokens.n * sizeof(uint32_t));
            assert_memory_equal(a.targets, b.targets, a.tokens.n * sizeof(int32_t));
            lcf_mixture_free(other);
        }
    }
    lcf_row_dispose(&a);
    lcf_row_dispose(&b);
    lcf_mixture_free(run);
}

/* One epoch of a source shows each of its rows once, whatever else is drawn in between. */
static void test_epochs(void **state)
{
    world *w = *state;
    lcf_mixture_options options = w->options;
    lcf_mixture *m;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    uint64_t seen[64] = {0};
    size_t n, drawn = 0, before = 0;

    options.weight[LCF_EXPLAIN] = 0.1;
    m = new_mixture(w, &options);
    n = lcf_mixture_rows_n(m, LCF_GENERAL);
    assert_true(n > 20 && n < 40);
    assert_int_equal(n + lcf_mixture_held_out_n(m), 40);
    while (drawn < 2 * n) {
        lcf_source source;
        lcf_buf text = LCF_BUF_INIT;
        unsigned long number;
        assert_int_equal(lcf_mixture_next(&row, &source, m, &err), LCF_OK);
        if (source != LCF_GENERAL)
            continue;
        lcf_tokenizer_decode(&text, w->tokenizer, row.tokens.ids, row.tokens.n);
        number = strtoul(strstr(text.data, "Count to ") + 9, NULL, 10);
        assert_true(number < 40);
        assert_int_equal(seen[number], drawn / n);
        seen[number]++;
        drawn++;
        before += seen[number] == 1;
        lcf_buf_dispose(&text);
    }
    assert_int_equal(before, n);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
}

static char *counted_text(const world *w, const lcf_row *row)
{
    lcf_tokens counted = LCF_TOKENS_INIT;
    lcf_buf text = LCF_BUF_INIT;

    for (size_t i = 0; i < row->tokens.n; i++)
        if (row->targets[i] >= 0) {
            assert_int_equal(row->targets[i], row->tokens.ids[i + 1]);
            assert_int_equal(lcf_tokens_push(&counted, (uint32_t)row->targets[i]), LCF_OK);
        }
    lcf_tokenizer_decode(&text, w->tokenizer, counted.ids, counted.n);
    lcf_tokens_dispose(&counted);
    return lcf_buf_take(&text);
}

/* With the loss on the answer, the counted targets are the answer (and the decision) and </s>. */
static void test_targets(void **state)
{
    world *w = *state;
    lcf_mixture *m = new_mixture(w, &w->options);
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    size_t valid = w->d.split_begin[LCF_VALID];
    bool yes = lcf_dataset_sample(&w->d, valid).label;
    char *text;

    assert_int_equal(lcf_mixture_held_out(&row, m, LCF_DECIDE, valid, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_string_equal(text, yes ? " Yes" : " No");
    assert_int_equal(row.tokens.ids[0], lcf_tokenizer_bos(w->tokenizer));
    assert_int_equal(row.tokens.ids[row.tokens.n - 1], lcf_tokenizer_eos(w->tokenizer));
    free(text);

    assert_int_equal(lcf_mixture_held_out(&row, m, LCF_EXPLAIN, valid, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_memory_equal(text, yes ? " Yes " : " No ", yes ? 5 : 4);
    assert_non_null(strstr(text, yes ? " Yes." : " No."));
    assert_null(strstr(text, "Why"));
    assert_null(strstr(text, "Target:"));
    free(text);

    assert_int_equal(lcf_mixture_held_out(&row, m, LCF_GENERAL, 0, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_non_null(strpbrk(text, "0123456789"));
    assert_null(strstr(text, "Count"));
    free(text);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
}

static void test_cutoff(void **state)
{
    world *w = *state;
    lcf_mixture_options options = w->options;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_mixture *m;

    options.cutoff = 40;
    m = new_mixture(w, &options);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(lcf_mixture_next(&row, NULL, m, &err), LCF_OK);
        assert_true(row.tokens.n <= 40);
    }
    assert_true(lcf_mixture_truncated_n(m) > 0);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
}

/* Without general instructions their weight goes to nobody; without any weight nothing can be
 * drawn. */
static void test_weights(void **state)
{
    world *w = *state;
    lcf_mixture_options options = w->options;
    lcf_mixture *m = NULL;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    size_t decide = 0;

    assert_int_equal(lcf_mixture_create(&m, &w->d, w->related, NULL, w->tokenizer, &options, &err),
                     LCF_OK);
    for (size_t i = 0; i < 1000; i++) {
        lcf_source source;
        assert_int_equal(lcf_mixture_next(&row, &source, m, &err), LCF_OK);
        assert_int_not_equal(source, LCF_GENERAL);
        decide += source == LCF_DECIDE;
    }
    assert_in_range(decide, 200, 300); /* a quarter of 1000 */
    lcf_mixture_free(m);
    memset(options.weight, 0, sizeof(options.weight));
    assert_int_equal(
        lcf_mixture_create(&m, &w->d, w->related, &w->general, w->tokenizer, &options, &err),
        LCF_EINVAL);
    lcf_row_dispose(&row);
}

/* ---- packing ---- */

static lcf_llama_trainer *new_trainer(const world *w)
{
    lcf_llama_config config = {.vocab_n = lcf_tokenizer_vocab_n(w->tokenizer),
                               .dim = 16,
                               .layers_n = 2,
                               .heads_n = 2,
                               .kv_heads_n = 1,
                               .head_dim = 8,
                               .ffn_dim = 32,
                               .context_n = 512,
                               .rope_theta = 10000.0f,
                               .norm_eps = 1e-5f,
                               .tied = true};
    lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *trainer;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_llama_trainer_create(&trainer, &config, &options, &err), LCF_OK);
    return trainer;
}

/* Every row arrives whole, once, and the loss over packed rows is the sum of the rows' losses. */
static void test_packed_is_alone(void **state)
{
    enum { ROWS = 12 };
    world *w = *state;
    lcf_mixture *m = new_mixture(w, &w->options);
    lcf_llama_trainer *trainer = new_trainer(w);
    lcf_row rows[ROWS] = {{LCF_TOKENS_INIT, NULL, 0}};
    lcf_pool *pool;
    lcf_pack pack;
    lcf_err err = LCF_ERR_INIT;
    double packed, alone = 0.0;
    uint64_t packed_n, alone_n = 0, tokens = 0, held = 0;

    assert_int_equal(lcf_pool_create(&pool, 1, &err), LCF_OK);
    assert_int_equal(lcf_pack_init(&pack, ROWS, w->options.cutoff, &err), LCF_OK);
    for (size_t i = 0; i < ROWS; i++) {
        double nll;
        uint64_t n;
        assert_int_equal(lcf_mixture_next(&rows[i], NULL, m, &err), LCF_OK);
        tokens += rows[i].tokens.n;
        lcf_pack_fill(&pack, &rows[i], 1);
        assert_int_equal(pack.n, 1);
        assert_int_equal(lcf_llama_trainer_eval(&nll, &n, trainer, pack.seqs, 1, pool, &err),
                         LCF_OK);
        alone += nll;
        alone_n += n;
    }
    lcf_pack_fill(&pack, rows, ROWS);
    assert_true(pack.n < ROWS);
    for (size_t i = 0; i < pack.n; i++)
        held += pack.seqs[i].n;
    assert_int_equal(held, tokens);
    assert_int_equal(
        lcf_llama_trainer_eval(&packed, &packed_n, trainer, pack.seqs, pack.n, pool, &err), LCF_OK);
    assert_int_equal(packed_n, alone_n);
    assert_true(fabs(packed - alone) < 1e-4 * alone);
    for (size_t i = 0; i < ROWS; i++)
        lcf_row_dispose(&rows[i]);
    lcf_pack_dispose(&pack);
    lcf_pool_free(pool);
    lcf_llama_trainer_free(trainer);
    lcf_mixture_free(m);
}

static void test_without_memory(void **state)
{
    world *w = *state;

    for (uint64_t n = 1;; n++) {
        lcf_mixture *m = NULL;
        lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
        lcf_general g = LCF_GENERAL_INIT;
        lcf_err err = LCF_ERR_INIT;
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_general_parse(&g, GENERAL, strlen(GENERAL), "list", &err);
        if (!status)
            status = lcf_mixture_create(&m, &w->d, w->related, &g, w->tokenizer, &w->options, &err);
        if (!status)
            status = lcf_mixture_next(&row, NULL, m, &err);
        lcf_alloc_fail_at(0);
        lcf_row_dispose(&row);
        lcf_mixture_free(m);
        lcf_general_dispose(&g);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_general_forms),   cmocka_unit_test(test_general_refused),
        cmocka_unit_test(test_general_file),    cmocka_unit_test(test_seek_is_the_same_run),
        cmocka_unit_test(test_epochs),          cmocka_unit_test(test_targets),
        cmocka_unit_test(test_cutoff),          cmocka_unit_test(test_weights),

        cmocka_unit_test(test_packed_is_alone), cmocka_unit_test(test_without_memory),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
