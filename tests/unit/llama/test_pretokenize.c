/*
 * Pre-tokenizers: splits by hand, and the reference ids of vocabularies that are not at hand.
 *
 * A byte-level BPE encodes every word on its own, so whatever the vocabulary, the ids of a text are
 * those of its words one after another. A case of one word tells the ids of that word; the others
 * must then be made of such ids. A wrong split shows as a contradiction.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/pretokenize.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

enum { CASES_MAX = 64, WORDS_MAX = 512, IDS_MAX = 512 };

/* The words of a text, joined by '|'. */
static void expect(lcf_pretokenizer pre, const char *text, const char *wanted)
{
    lcf_buf got = LCF_BUF_INIT;

    for (size_t at = 0, n, len = strlen(text); at < len; at += n) {
        n = lcf_pretoken_bytes(pre, text + at, len - at);
        assert_true(n && n <= len - at);
        if (at)
            lcf_buf_append_char(&got, '|');
        lcf_buf_append(&got, text + at, n);
    }
    if (strcmp(lcf_buf_text(&got), wanted))
        fail_msg("'%s': '%s', not '%s'", text, lcf_buf_text(&got), wanted);
    lcf_buf_dispose(&got);
}

static void test_gpt2(void **state)
{
    (void)state;
    expect(LCF_PRE_GPT2, "Hello, y'all's 'RE", "Hello|,| y|'|all|'s| '|RE");
    expect(LCF_PRE_GPT2, "we've it'd I'm x'll 't", "we|'ve| it|'d| I|'m| x|'ll| '|t");
    expect(LCF_PRE_GPT2, "a  b   12345 6!", "a| | b|  | 12345| 6|!");
    expect(LCF_PRE_GPT2, "a\n\n\nb \n c  ", "a|\n\n|\n|b| \n| c|  ");
    expect(LCF_PRE_GPT2, "\t\tx", "\t|\t|x");
    expect(LCF_PRE_GPT2, "\xc3\xa9t\xc3\xa9\xc2\xb2 \xc2\xbd",
           "\xc3\xa9t\xc3\xa9|\xc2\xb2| \xc2\xbd");
    expect(LCF_PRE_GPT2,
           "a\xc2\xa0\xe3\x80\x80"
           "b",
           "a|\xc2\xa0|\xe3\x80\x80|b");
    expect(LCF_PRE_GPT2, "e\xcc\x81!", "e|\xcc\x81!"); /* a mark is no letter */
    expect(LCF_PRE_GPT2,
           "a\xff\xfe"
           "b",
           "a|\xff\xfe|b");
}

static void test_llama3(void **state)
{
    (void)state;
    expect(LCF_PRE_LLAMA3, "Hello, y'all's 'RE", "Hello|,| y|'all|'s| '|RE");
    expect(LCF_PRE_LLAMA3, "We'Ve a'lL", "We|'Ve| a|'lL");
    expect(LCF_PRE_LLAMA3, "1234567 12", "123|456|7| |12");
    expect(LCF_PRE_LLAMA3, "(hello)((x", "(hello|)((|x");
    expect(LCF_PRE_LLAMA3, "a.\n\nb \n\n  c\r\n", "a|.\n\n|b| \n\n| | c|\r\n");
    expect(LCF_PRE_LLAMA3, "\tx\nx  \t y", "\tx|\n|x|  \t| y");
    expect(LCF_PRE_LLAMA3, " !!\n 3  ", " !!\n| |3|  ");
    expect(LCF_PRE_LLAMA3, "\xe6\x88\x91\xe6\x83\xb3 \xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4",
           "\xe6\x88\x91\xe6\x83\xb3| |\xd9\xa1\xd9\xa2\xd9\xa3|\xd9\xa4");
}

static void test_qwen2_and_smollm(void **state)
{
    (void)state;
    expect(LCF_PRE_QWEN2, "1234 a1", "1|2|3|4| a|1");
    expect(LCF_PRE_QWEN2, "We'Ve\n\n x", "We|'Ve|\n\n| x");
    expect(LCF_PRE_SMOLLM, "a12  3 b  c", "a|1|2|  |3| b| | c");
    expect(LCF_PRE_SMOLLM, " 1!!2", " |1|!!|2");
}

static void test_names(void **state)
{
    lcf_pretokenizer pre;

    (void)state;
    assert_true(lcf_pretokenizer_parse(&pre, (lcf_str){"llama3", 6}));
    assert_string_equal(lcf_pretokenizer_name(pre), "llama-bpe");
    assert_true(lcf_pretokenizer_parse(&pre, (lcf_str){"smollm", 6}));
    assert_string_equal(lcf_pretokenizer_name(pre), "smollm");
    assert_false(lcf_pretokenizer_parse(&pre, (lcf_str){"llama", 5}));
    assert_false(lcf_pretokenizer_parse(&pre, (lcf_str){"", 0}));
}

/* ---- reference ids without a vocabulary ---- */

typedef struct word {
    lcf_str text;
    const uint32_t *ids; /* NULL until known */
    size_t ids_n;
} word;

typedef struct text_case {
    lcf_str text;
    uint32_t ids[IDS_MAX];
    size_t ids_n;
    size_t words[WORDS_MAX]; /* into the table of words */
    size_t words_n;
} text_case;

typedef struct world {
    word words[4 * WORDS_MAX];
    size_t words_n;
    text_case cases[CASES_MAX];
    size_t cases_n;
} world;

static size_t word_of(world *w, lcf_str text)
{
    for (size_t i = 0; i < w->words_n; i++)
        if (w->words[i].text.len == text.len && !memcmp(w->words[i].text.data, text.data, text.len))
            return i;
    assert_true(w->words_n < sizeof(w->words) / sizeof(*w->words));
    w->words[w->words_n] = (word){text, NULL, 0};
    return w->words_n++;
}

static void add_case(world *w, lcf_pretokenizer pre, lcf_str text, const char *line)
{
    text_case *c;

    assert_true(w->cases_n < CASES_MAX);
    c = &w->cases[w->cases_n++];
    c->text = text;
    for (char *end; *line && *line != '\n'; line = end) {
        assert_true(c->ids_n < IDS_MAX);
        c->ids[c->ids_n++] = (uint32_t)strtoul(line, &end, 10);
        assert_true(end != line);
    }
    for (size_t at = 0, n; at < text.len; at += n) {
        n = lcf_pretoken_bytes(pre, text.data + at, text.len - at);
        assert_true(c->words_n < WORDS_MAX);
        c->words[c->words_n++] = word_of(w, (lcf_str){text.data + at, n});
    }
}

/*
 * Takes what is known off both ends of a case; a single unknown word is then known, too. Returns
 * whether something was learned; *whole: no word is unknown any more.
 */
static bool solve(world *w, const text_case *c, bool *whole)
{
    size_t first = 0, last = c->words_n, from = 0, to = c->ids_n;

    for (; first < last && w->words[c->words[first]].ids; first++) {
        const word *k = &w->words[c->words[first]];
        if (k->ids_n > to - from || memcmp(k->ids, c->ids + from, k->ids_n * sizeof(*k->ids)))
            fail_msg("'%.*s': word %zu, '%.*s', has other ids elsewhere", (int)c->text.len,
                     c->text.data, first, (int)k->text.len, k->text.data);
        from += k->ids_n;
    }
    for (; last > first && w->words[c->words[last - 1]].ids; last--) {
        const word *k = &w->words[c->words[last - 1]];
        if (k->ids_n > to - from ||
            memcmp(k->ids, c->ids + to - k->ids_n, k->ids_n * sizeof(*k->ids)))
            fail_msg("'%.*s': word %zu, '%.*s', has other ids elsewhere", (int)c->text.len,
                     c->text.data, last - 1, (int)k->text.len, k->text.data);
        to -= k->ids_n;
    }
    *whole = first == last;
    if (*whole)
        assert_int_equal(from, to);
    else if (to - from < last - first)
        fail_msg("'%.*s': %zu words for %zu ids", (int)c->text.len, c->text.data, last - first,
                 to - from);
    if (last - first != 1)
        return false;
    w->words[c->words[first]].ids = c->ids + from;
    w->words[c->words[first]].ids_n = to - from;
    return true;
}

static void read_cases(lcf_buf *out, const char *name, const char *suffix)
{
    char file[64];
    char *path;
    lcf_err err = LCF_ERR_INIT;

    snprintf(file, sizeof(file), "ggml-vocab-%s.gguf.%s", name, suffix);
    path = fixture_data(file);
    if (!path)
        return;
    if (lcf_file_read(out, path, 1 << 20, &err))
        fail_msg("%s", err.text);
    free(path);
}

static void check_reference(const char *name, lcf_pretokenizer pre, size_t whole_min)
{
    world *w = lcf_alloc_zero(1, sizeof(*w));
    lcf_buf texts = LCF_BUF_INIT, lines = LCF_BUF_INIT;
    const char *text, *line, *end;
    size_t whole_n = 0;
    bool learned = true;

    assert_non_null(w);
    read_cases(&texts, name, "inp");
    read_cases(&lines, name, "out");
    if (!texts.len || !lines.len) {
        free(w);
        skip();
    }
    text = lcf_buf_text(&texts);
    line = lcf_buf_text(&lines);
    for (; (end = strstr(text, SEPARATOR)); text = end + strlen(SEPARATOR)) {
        add_case(w, pre, (lcf_str){text, (size_t)(end - text)}, line);
        line += strcspn(line, "\n") + 1;
    }
    assert_true(w->cases_n >= 40);
    while (learned) {
        learned = false;
        whole_n = 0;
        for (size_t i = 0; i < w->cases_n; i++) {
            bool whole;
            learned = solve(w, &w->cases[i], &whole) || learned;
            whole_n += whole;
        }
    }
    if (whole_n < whole_min)
        fail_msg("%s: only %zu of %zu cases are told apart", name, whole_n, w->cases_n);
    lcf_buf_dispose(&texts);
    lcf_buf_dispose(&lines);
    free(w);
}

static void test_reference_gpt2(void **state)
{
    (void)state;
    check_reference("gpt-2", LCF_PRE_GPT2, 36);
}

static void test_reference_llama3(void **state)
{
    (void)state;
    check_reference("llama-bpe", LCF_PRE_LLAMA3, 36);
}

static void test_reference_qwen2(void **state)
{
    (void)state;
    check_reference("qwen2", LCF_PRE_QWEN2, 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_qwen2_and_smollm),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_reference_gpt2),
        cmocka_unit_test(test_reference_llama3),
        cmocka_unit_test(test_reference_qwen2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
