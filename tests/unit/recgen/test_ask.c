/* Questions as templates ([ask]): the wording of the files that come with the program, what stands
 * for what is not known, and codes that do not belong to the dataset. */
#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "offline/recgen/facts.h"
#include "offline/recgen/sources.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/test.h"

#define CODE_BYTES 4

typedef struct world {
    char *dir;
    lcf_dataset d;
    lcf_codes codes; /* of made-up bytes */
    uint8_t *users, *items;
} world;

static void make_codes(world *w)
{
    const size_t users_n = w->d.users_n, items_n = w->d.catalogue.items_n;

    w->users = lcf_alloc(users_n, CODE_BYTES);
    w->items = lcf_alloc(items_n, CODE_BYTES);
    assert_true(w->users && w->items);
    for (size_t i = 0; i < users_n * CODE_BYTES; i++)
        w->users[i] = (uint8_t)(17 * i + 3);
    for (size_t i = 0; i < items_n * CODE_BYTES; i++)
        w->items[i] = (uint8_t)(29 * i + 5);
    w->codes = (lcf_codes){NULL, CODE_BYTES, users_n, items_n, w->users, w->items};
}

static int open_world(void **state)
{
    static world w;
    lcf_fixture_options options = LCF_FIXTURE_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;

    options.rows_per_user = 20;
    w.dir = lcf_fixture_dir();
    assert_ok(lcf_fixture_write_dataset(w.dir, &options, &err), &err);
    assert_ok(lcf_dataset_open(&w.d, w.dir, &err), &err);
    make_codes(&w);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;

    lcf_dataset_close(&w->d);
    lcf_dir_remove(w->dir, NULL);
    free(w->dir);
    free(w->users);
    free(w->items);
    return 0;
}

/* The first sample of a user with so many liked items before it. */
static size_t sample_with(const world *w, size_t recent_n)
{
    for (size_t i = 0; i < w->d.samples_n; i++) {
        lcf_facts f;
        lcf_facts_of(&f, &w->d, NULL, 10, i);
        if (f.recent_n == recent_n)
            return i;
    }
    fail_msg("the fixture has no such sample");
    return 0;
}

/* What the template of that name asks about these facts; free() it. */
static char *question(const world *w, const char *name, const lcf_facts *f, lcf_code_form form)
{
    lcf_prompt_options options = LCF_PROMPT_OPTIONS_INIT, opened;
    lcf_prompt_template template;
    lcf_buf path = LCF_BUF_INIT, text = LCF_BUF_INIT;
    const char *source = getenv("LCF_SOURCE_DIR");
    lcf_err err = LCF_ERR_INIT;
    char *bytes;

    lcf_buf_printf(&path, "%s/offline/recgen/prompts/%s.prompt", source ? source : ".", name);
    assert_ok(lcf_prompt_open(&opened, &template, &bytes, &options, lcf_buf_text(&path), &err),
              &err);
    assert_ok(lcf_prompt_need(&opened, false, &err), &err);
    assert_int_equal(lcf_prompt_need(&opened, true, &err), LCF_EUSAGE);
    opened.codes = &w->codes;
    opened.code_form = form;
    lcf_prompt_decide(&text, &opened, &w->d, f);
    free(bytes);
    lcf_buf_dispose(&path);
    return lcf_buf_take(&text);
}

static void check(const world *w, const char *name, const lcf_facts *f, lcf_code_form form,
                  const char *want)
{
    char *got = question(w, name, f, form);

    assert_string_equal(got, want);
    free(got);
}

/* The questions of the paper; `\n` is two characters there. */
static void test_wording(void **state)
{
    world *w = *state;
    lcf_facts f;

    lcf_facts_of(&f, &w->d, NULL, 10, sample_with(w, 2));
    assert_int_equal(f.sample.user, 1);
    assert_int_equal(f.sample.item, 12);
    check(w, "binllm-text-movies", &f, LCF_CODE_BITS,
          "#Question: A user has given high ratings to the following movies: \"Quill Lamps No. "
          "5\", \"Alder Lamps No. 1\". Leverage the information to predict whether the user would "
          "enjoy the movie titled \"Northwind Boots No. 12\"? Answer with \"Yes\" or \"No\". "
          "\\n#Answer:");
    check(w, "binllm-id-movies", &f, LCF_CODE_BITS,
          "#Question: We have information about the user's preferences encoded in the feature "
          "01000111010110000110100101111010. Using all available information, make a prediction "
          "about whether the user would enjoy the movie with the feature "
          "01110101100100101010111111001100? Answer with \"Yes\" or \"No\". \\n#Answer:");
    check(w, "binllm-full-items", &f, LCF_CODE_DOTTED,
          "#Question: A user has given high ratings to the following items: \"Quill Lamps No. "
          "5\", \"Alder Lamps No. 1\". Additionally, we have information about the user's "
          "preferences encoded in the feature 71.88.105.122. Using all available information, make "
          "a prediction about whether the user would enjoy the item titled \"Northwind Boots No. "
          "12\" with the feature 117.146.175.204? Answer with \"Yes\" or \"No\". \\n#Answer:");
}

/* Between the marks `from` and `to` of the question stands `want`. */
static void check_between(const world *w, const char *name, const lcf_facts *f, const char *from,
                          const char *to, const char *want)
{
    char *text = question(w, name, f, LCF_CODE_BITS);
    char *begin = strstr(text, from), *end;

    assert_non_null(begin);
    begin += strlen(from);
    end = strstr(begin, to);
    assert_non_null(end);
    *end = '\0';
    assert_string_equal(begin, want);
    free(text);
}

static void test_nothing_known(void **state)
{
    world *w = *state;
    lcf_facts f;

    lcf_facts_of(&f, &w->d, NULL, 10, sample_with(w, 2));
    f.recent_n = 0;
    f.sample.user = f.sample.item = 0;
    check_between(w, "binllm-full-movies", &f, "movies: ", ".", "unkow"); /* as published */
    check_between(w, "binllm-full-items", &f, "items: ", ".", "unknown");
    check_between(w, "binllm-full-movies", &f, "in the feature ", ".", "unknown");
    check_between(w, "binllm-full-movies", &f, "with the feature ", "?", "unknown");
}

/* The last so many liked items, against the log. */
static void test_recent(void **state)
{
    world *w = *state;
    size_t full = 0;

    for (size_t i = 0; i < w->d.samples_n; i++) {
        const size_t begin = w->d.user_offsets[w->d.sample_user[i]];
        lcf_facts f;
        size_t left;

        lcf_facts_of(&f, &w->d, NULL, 3, i);
        left = f.recent_n;
        for (size_t at = w->d.sample_history_end[i]; at-- > begin && left;)
            if (w->d.event_rating[at] >= 4.0f)
                assert_int_equal(f.recent[--left], w->d.event_item[at]);
        assert_int_equal(left, 0);
        assert_true(f.recent_n <= 3);
        full += f.recent_n == 3;
    }
    assert_true(full > 20);
}

/* A title with a quotation mark, as a template file would have it said. */
static void test_quotes(void **state)
{
    static const char text[] = "llmcf-prompt 1\nname: t\nversion: 1\n[ask]\n{{titles}}|{{title}}\n";
    static const uint64_t offsets[] = {0, 0, 4, 13};
    lcf_prompt_options options = LCF_PROMPT_OPTIONS_INIT;
    lcf_dataset d = {.catalogue = {.title = {3, offsets, "A\"; B12\" disc", NULL}}};
    lcf_facts f = {.sample = {.item = 2}, .recent = {1, 2}, .recent_n = 2};
    lcf_prompt_template t;
    lcf_buf out = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_prompt_template_parse(&t, (lcf_str){text, sizeof(text) - 1}, "here", &err), &err);
    options.dialect = LCF_DIALECT_LLAMA2;
    options.template = &t;
    lcf_prompt_decide(&out, &options, &d, &f);
    assert_string_equal(lcf_buf_text(&out), "\"A'\", \"B12' disc\"|B12' disc");
    lcf_buf_dispose(&out);
}

static void refused(const world *w, const lcf_prompt_template *t, const char *dir, const char *want)
{
    lcf_prompt_options options = LCF_PROMPT_OPTIONS_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_codes codes;

    options.template = t;
    assert_true(lcf_prompt_open_codes(&options, &codes, dir, &w->d, "file", &err) < 0);
    if (!strstr(err.text, want))
        fail_msg("no '%s' in: %s", want, err.text);
    assert_null(options.codes);
    lcf_codes_close(&codes);
}

static void test_codes(void **state)
{
    static const char speaks[] =
        "llmcf-prompt 1\nname: t\nversion: 1\n[ask]\n{{title}}\n{{target_code}} {{user_code}}\n";
    world *w = *state;
    lcf_prompt_options options = LCF_PROMPT_OPTIONS_INIT;
    char *dir = test_folder(), *path = lcf_path_join(dir, "codes.lcf");
    char version[LCF_PROMPT_VERSION_BYTES];
    lcf_codes codes, fewer = w->codes;
    lcf_prompt_template t;
    lcf_manifest *m;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_prompt_template_parse(&t, (lcf_str){speaks, sizeof(speaks) - 1}, "t", &err),
              &err);
    refused(w, &t, NULL, "file:6: codes are spoken of here");
    refused(w, &t, dir, "codes.lcf");
    refused(w, NULL, dir, "no prompt speaks of them");
    fewer.items_n--;
    assert_ok(lcf_codes_save(path, &fewer, &err), &err);
    refused(w, &t, dir, "must be of this dataset's users and items");
    assert_ok(lcf_codes_save(path, &w->codes, &err), &err);
    options.dialect = LCF_DIALECT_LLAMA2;
    options.template = &t;
    options.code_form = LCF_CODE_DOTTED;
    assert_ok(lcf_prompt_open_codes(&options, &codes, dir, &w->d, "file", &err), &err);
    assert_ptr_equal(options.codes, &codes);
    assert_memory_equal(codes.items, w->items, codes.items_n * CODE_BYTES);
    lcf_prompt_version(version, &options);
    assert_non_null(strstr(version, " codes=dotted"));
    lcf_codes_close(&codes);
    /* as many users and items, of another dataset: here that of the file itself */
    assert_ok(lcf_manifest_create(&m, "codes", &err), &err);
    assert_ok(lcf_manifest_input(m, "dataset", path, &err), &err);
    assert_ok(lcf_manifest_write(m, dir, &err), &err);
    lcf_manifest_free(m);
    refused(w, &t, dir, "was made of another dataset");
    free(path);
    test_folder_remove(dir);
}

/* Sources of that template and codes; lcf_sources_free. */
static lcf_status open_sources(lcf_sources **out, const world *w, const char *name,
                               const char *kind, const char *codes, lcf_err *err)
{
    lcf_sources_options options = LCF_SOURCES_OPTIONS_INIT;
    const char *source = getenv("LCF_SOURCE_DIR");
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    lcf_buf_printf(&path, "%s/offline/recgen/prompts/%s.prompt", source ? source : ".", name);
    options.template_file = lcf_buf_text(&path);
    options.codes = codes;
    options.prompt.history_n = 10;
    options.prompt.code_form = LCF_CODE_DOTTED;
    if (kind) {
        status = lcf_source_parse(&options.list[0], kind, err);
        options.n = 1;
    }
    if (!status)
        status = lcf_sources_open(out, &w->d, NULL, &options, err);
    lcf_buf_dispose(&path);
    return status;
}

/* A training row says what the question says, and the answer behind it, learned; the oldest title
 * goes first where a row is too long. */
static void test_rows(void **state)
{
    world *w = *state;
    char *dir = test_folder(), *path = lcf_path_join(dir, "codes.lcf");
    const size_t sample = sample_with(w, 2);
    lcf_segments row = {.n = 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_sources *s;
    lcf_trim trim;
    lcf_facts f;
    char *want;

    assert_ok(lcf_codes_save(path, &w->codes, &err), &err);
    assert_ok(open_sources(&s, w, "binllm-full-movies", NULL, dir, &err), &err);
    assert_int_equal(lcf_sources_n(s), 1); /* there are words for `decide` alone */
    lcf_trim_init(&trim, s);
    lcf_facts_of(&f, &w->d, NULL, 10, sample);
    for (size_t left = 2; left >= 1; left--) {
        lcf_segments_reset(&row);
        assert_ok(lcf_sources_segments(&row, s, 0, (uint32_t)sample, &trim, 0, &err), &err);
        assert_int_equal(row.n, 2);
        want = question(w, "binllm-full-movies", &f, LCF_CODE_DOTTED);
        assert_int_equal(lcf_segments_text(&row, 0).len, strlen(want));
        assert_memory_equal(lcf_segments_text(&row, 0).data, want, strlen(want));
        assert_true(row.list[0].opens && !row.list[0].answer);
        assert_memory_equal(lcf_segments_text(&row, 1).data, f.sample.label ? " Yes" : " No",
                            f.sample.label ? 4 : 3);
        assert_true(row.list[1].answer && !row.list[1].closes);
        free(want);
        while (trim.history_n > 1)
            assert_true(lcf_trim_more(&trim, s, 0, (uint32_t)sample, 100, 2, 50));
        f.recent[0] = f.recent[1];
        f.recent_n = 1;
    }
    lcf_segments_dispose(&row);
    lcf_sources_free(s);
    assert_int_equal(open_sources(&s, w, "binllm-full-movies", "explain", dir, &err), LCF_EUSAGE);
    assert_non_null(strstr(err.text, "requests no chain of thought"));
    assert_int_equal(open_sources(&s, w, "binllm-full-movies", "decide", NULL, &err), LCF_EUSAGE);
    assert_non_null(strstr(err.text, "binllm-full-movies.prompt:5: codes are spoken of here"));
    assert_int_equal(open_sources(&s, w, "binllm-text-movies", "decide", dir, &err), LCF_EUSAGE);
    free(path);
    test_folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wording), cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_recent),  cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_codes),   cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
