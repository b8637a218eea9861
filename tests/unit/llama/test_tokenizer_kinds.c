/*
 * Tokenizers of every kind against reference cases; byte-level BPE and WordPiece by hand; pieces
 * that text must and must not become.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/tokenizer_vocab.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#define PATH "test_tokenizer_kinds.gguf"
#define SEPARATOR "\n__ggml_vocab_test__\n"

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static lcf_tokens encode(const lcf_tokenizer *t, const char *text, size_t len, bool prefix)
{
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_err err = LCF_ERR_INIT;

    must(lcf_tokenizer_encode(&ids, t, text, len, prefix, &err), &err);
    return ids;
}

static lcf_tokenizer *load(const char *path)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_gguf *g;

    must(lcf_gguf_open(&g, path, &err), &err);
    must(lcf_tokenizer_from_gguf(&t, g, &err), &err);
    lcf_gguf_close(g);
    return t;
}

/* The tokenizer of a shared vocabulary; NULL where it is absent. */
static lcf_tokenizer *open_reference(const char *name)
{
    char file[64];
    char *path;
    lcf_tokenizer *t = NULL;

    snprintf(file, sizeof(file), "ggml-vocab-%s.gguf", name);
    path = fixture_data(file);
    if (path)
        t = load(path);
    free(path);
    return t;
}

static void read_cases(lcf_buf *out, const char *name, const char *suffix)
{
    char file[64];
    char *path;
    lcf_err err = LCF_ERR_INIT;

    snprintf(file, sizeof(file), "ggml-vocab-%s.gguf.%s", name, suffix);
    path = fixture_data(file);
    assert_non_null(path);
    must(lcf_file_read(out, path, 1 << 20, &err), &err);
    free(path);
}

/* One case: `line` are the ids that the reference implementation gives. */
static void check_case(const lcf_tokenizer *t, const char *text, size_t len, const char *line)
{
    lcf_tokens ids = encode(t, text, len, true);
    lcf_buf printed = LCF_BUF_INIT;
    size_t line_len = strcspn(line, "\n");

    for (size_t i = 0; i < ids.n; i++)
        lcf_buf_printf(&printed, " %u", ids.ids[i]);
    if (printed.len != line_len || memcmp(lcf_buf_text(&printed), line, line_len))
        fail_msg("'%.*s': %s, not %.*s", (int)len, text, lcf_buf_text(&printed), (int)line_len,
                 line);
    lcf_buf_dispose(&printed);
    lcf_tokens_dispose(&ids);
}

static void check_reference(const char *name)
{
    lcf_tokenizer *t = open_reference(name);
    lcf_buf texts = LCF_BUF_INIT, lines = LCF_BUF_INIT;
    const char *text, *line, *end;
    size_t cases_n = 0;

    if (!t)
        skip();
    read_cases(&texts, name, "inp");
    read_cases(&lines, name, "out");
    text = lcf_buf_text(&texts);
    line = lcf_buf_text(&lines);
    for (; (end = strstr(text, SEPARATOR)); text = end + strlen(SEPARATOR)) {
        check_case(t, text, (size_t)(end - text), line);
        line += strcspn(line, "\n") + 1;
        cases_n++;
    }
    assert_int_equal(*text, 0);
    assert_int_equal(*line, 0);
    assert_true(cases_n >= 40);
    lcf_buf_dispose(&texts);
    lcf_buf_dispose(&lines);
    lcf_tokenizer_free(t);
}

static void test_reference_spm(void **state)
{
    (void)state;
    check_reference("llama-spm");
}

static void test_reference_gpt2(void **state)
{
    (void)state;
    check_reference("gpt-2");
}

static void test_reference_bert(void **state)
{
    (void)state;
    check_reference("bert-bge");
}

/* ---- a small byte-level vocabulary ---- */

enum { SMALL_N = 256 + 10 };
static const char *const SMALL_PIECES[] = {
    "th",         "\xc4\xa0th",   "the",   "\xc4\xa0the", "in", "\xc4\xa0\xc4\xa0",
    "<|im_end|>", "<|im_start|>", "<tab>", "then"};
static const int32_t SMALL_TYPES[] = {1, 1, 1, 1, 1, 1, 4, 3, 4, 1};
static const lcf_str SMALL_MERGES[] = {{"t h", 3},          {"\xc4\xa0 th", 5},       {"th e", 4},
                                       {"\xc4\xa0th e", 6}, {"\xc4\xa0 \xc4\xa0", 5}, {"i n", 3}};

/* The id of a piece of more than a byte: 256 + its place above. */
enum { TH = 256, _TH, THE, _THE, IN, SPACES, IM_END, IM_START, TAB, THEN };

static lcf_status write_small(const char *pre, size_t merges_n, bool bad_merge, lcf_err *err)
{
    static lcf_buf bytes[256];
    lcf_str pieces[SMALL_N], merges[6];
    int32_t types[SMALL_N];
    lcf_gguf_writer *w = NULL;
    lcf_status status;

    for (size_t i = 0; i < 256; i++) {
        const char byte = (char)i;
        lcf_buf_reset(&bytes[i]);
        lcf_byte_alphabet_encode(&bytes[i], (lcf_str){&byte, 1});
        pieces[i] = (lcf_str){bytes[i].data, bytes[i].len};
        types[i] = LCF_PIECE_NORMAL;
    }
    for (size_t i = 0; i < SMALL_N - 256; i++) {
        pieces[256 + i] = (lcf_str){SMALL_PIECES[i], strlen(SMALL_PIECES[i])};
        types[256 + i] = SMALL_TYPES[i];
    }
    memcpy(merges, SMALL_MERGES, sizeof(merges));
    if (bad_merge)
        merges[1] = (lcf_str){"x y", 3};
    status = lcf_gguf_create(&w, PATH, err);
    if (!status)
        status = lcf_gguf_add_string(w, "tokenizer.ggml.model", "gpt2", err);
    if (!status && pre)
        status = lcf_gguf_add_string(w, "tokenizer.ggml.pre", pre, err);
    if (!status)
        status = lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", pieces, SMALL_N, err);
    if (!status)
        status = lcf_gguf_add_i32s(w, "tokenizer.ggml.token_type", types, SMALL_N, err);
    if (!status && merges_n)
        status = lcf_gguf_add_strings(w, "tokenizer.ggml.merges", merges, merges_n, err);
    if (!status)
        status = lcf_gguf_add_u32(w, "tokenizer.ggml.eos_token_id", IM_END, err);
    if (!status) {
        status = lcf_gguf_commit(w, err);
        w = NULL;
    }
    lcf_gguf_abandon(w);
    for (size_t i = 0; i < 256; i++)
        lcf_buf_dispose(&bytes[i]);
    return status;
}

static lcf_tokenizer *small(const char *pre)
{
    lcf_err err = LCF_ERR_INIT;

    must(write_small(pre, 6, false, &err), &err);
    return load(PATH);
}

static void expect(const lcf_tokenizer *t, const char *text, size_t n, const uint32_t *ids)
{
    lcf_tokens got = encode(t, text, strlen(text), true);

    if (got.n != n || memcmp(got.ids, ids, n * sizeof(*ids))) {
        for (size_t i = 0; i < got.n; i++)
            print_error("%u ", got.ids[i]);
        fail_msg("are the ids of '%s'", text);
    }
    lcf_tokens_dispose(&got);
}

#define EXPECT(t, text, ...)                                 \
    do {                                                     \
        const uint32_t ids_[] = {__VA_ARGS__};               \
        expect(t, text, sizeof(ids_) / sizeof(*ids_), ids_); \
    } while (0)

static void test_bpe_by_hand(void **state)
{
    lcf_tokenizer *t = small("gpt-2");

    (void)state;
    assert_int_equal(lcf_tokenizer_kind_of(t), LCF_TOKENIZER_BPE);
    assert_string_equal(lcf_tokenizer_name(t), "gpt2 (gpt-2)");
    assert_false(lcf_tokenizer_adds_bos(t));
    assert_int_equal(lcf_tokenizer_bos(t), LCF_TOKEN_NONE);
    EXPECT(t, "the the", THE, _THE);
    EXPECT(t, "then", THE, 'n'); /* no merge makes "then" */
    EXPECT(t, "thin", TH, IN);
    EXPECT(t, "   the", SPACES, _THE);
    EXPECT(t, "\xc3\xa9", 0xc3, 0xa9);
    EXPECT(t, "\xff", 0xff);
    EXPECT(t, "the<tab>the", THE, TAB, THE);
    EXPECT(t, "<tab><tab", TAB, '<', 't', 'a', 'b');
    lcf_tokenizer_free(t);
    t = small("llama-bpe"); /* takes a word that is a piece whole */
    EXPECT(t, "then", THEN);
    lcf_tokenizer_free(t);
}

/* A marker of a chat is a piece only by its id. */
static void test_markers_stay_text(void **state)
{
    static const char TEXT[] = "the <|im_end|><|im_start|>";
    lcf_tokenizer *t = small("qwen2");
    lcf_tokens ids = encode(t, TEXT, sizeof(TEXT) - 1, true);
    lcf_buf back = LCF_BUF_INIT;

    (void)state;
    for (size_t i = 0; i < ids.n; i++)
        assert_true(ids.ids[i] != IM_END && ids.ids[i] != IM_START);
    lcf_tokenizer_decode(&back, t, ids.ids, ids.n);
    assert_string_equal(back.data, TEXT);
    assert_int_equal(lcf_tokenizer_special(t, "<|im_end|>", 10), IM_END);
    assert_int_equal(lcf_tokenizer_special(t, "<tab>", 5), TAB);
    assert_int_equal(lcf_tokenizer_special(t, "the", 3), LCF_TOKEN_NONE);
    assert_true(lcf_tokenizer_is_end(t, IM_END));
    assert_false(lcf_tokenizer_is_end(t, IM_START));
    assert_false(lcf_tokenizer_is_end(t, THE));
    lcf_buf_reset(&back);
    lcf_tokenizer_decode(&back, t, (const uint32_t[]){IM_START, THE, TAB, IM_END, 999}, 5);
    assert_string_equal(back.data, "the<tab>");
    lcf_buf_dispose(&back);
    lcf_tokens_dispose(&ids);
    lcf_tokenizer_free(t);
}

static void test_spell(void **state)
{
    lcf_tokenizer *t = small("gpt-2");
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    must(lcf_tokenizer_spell(&ids, t, "the", 3, &err), &err);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.ids[0], 't');
    lcf_tokens_dispose(&ids);
    lcf_tokenizer_free(t);
}

/* Any bytes come back, whatever the pre-tokenizer. */
static void round_trips(const lcf_tokenizer *t, uint64_t seed)
{
    static const char *const PARTS[] = {" ",        "\n",  "\t",           "the",
                                        " the",     "'s",  "'S",           "1",
                                        "\xc3\xa9", "!",   "\xe2\x96\x81", "\xf0\x9f\x98\x80",
                                        "<tab>",    "\xff"};
    lcf_rng rng;

    lcf_rng_seed(&rng, seed, 0);
    for (int round = 0; round < 1000; round++) {
        lcf_buf text = LCF_BUF_INIT, back = LCF_BUF_INIT;
        lcf_tokens ids;
        for (uint64_t n = lcf_rng_below(&rng, 40); n; n--) {
            if (lcf_rng_below(&rng, 4))
                lcf_buf_append_text(&text,
                                    PARTS[lcf_rng_below(&rng, sizeof(PARTS) / sizeof(*PARTS))]);
            else
                lcf_buf_append_char(&text, (char)lcf_rng_u64(&rng));
        }
        ids = encode(t, lcf_buf_text(&text), text.len, true);
        lcf_tokenizer_decode(&back, t, ids.ids, ids.n);
        assert_int_equal(back.len, text.len);
        if (text.len)
            assert_memory_equal(back.data, text.data, text.len);
        lcf_buf_dispose(&text);
        lcf_buf_dispose(&back);
        lcf_tokens_dispose(&ids);
    }
}

static void test_round_trip(void **state)
{
    static const char *const PRE[] = {"gpt-2", "llama-bpe", "qwen2", "smollm", NULL};
    lcf_tokenizer *reference = open_reference("gpt-2");

    (void)state;
    for (size_t i = 0; i < sizeof(PRE) / sizeof(*PRE); i++) {
        lcf_tokenizer *t = small(PRE[i]);
        round_trips(t, i);
        lcf_tokenizer_free(t);
    }
    if (reference)
        round_trips(reference, 9);
    lcf_tokenizer_free(reference);
}

/* What is written is read back to the same ids and ends. */
static void test_save_and_load(void **state)
{
    lcf_tokenizer *t = small("qwen2"), *back;
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf_writer *w;

    (void)state;
    must(lcf_gguf_create(&w, PATH, &err), &err);
    must(lcf_tokenizer_save(t, w, &err), &err);
    must(lcf_gguf_commit(w, &err), &err);
    back = load(PATH);
    assert_string_equal(lcf_tokenizer_name(back), "gpt2 (qwen2)");
    assert_int_equal(back->merges_n, t->merges_n);
    assert_int_equal(lcf_tokenizer_eos(back), IM_END);
    EXPECT(back, "   the thin<tab>", SPACES, _THE, _TH, IN, TAB);
    lcf_tokenizer_free(back);
    lcf_tokenizer_free(t);
}

static lcf_status load_small(const char *pre, size_t merges_n, bool bad_merge, lcf_err *err)
{
    lcf_gguf *g;
    lcf_tokenizer *t = NULL;
    lcf_status status;

    must(write_small(pre, merges_n, bad_merge, err), err);
    must(lcf_gguf_open(&g, PATH, err), err);
    status = lcf_tokenizer_from_gguf(&t, g, err);
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
    return status;
}

static void test_wrong_vocabularies(void **state)
{
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(load_small("tekken", 6, false, &err), LCF_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "tekken"));
    assert_int_equal(load_small("gpt-2", 0, false, &err), LCF_EFORMAT);
    assert_int_equal(load_small("gpt-2", 6, true, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "x y"));
}

/* What is wrong with a key that may be missing is told. */
static void test_wrong_types(void **state)
{
    static const float WRONG[] = {1, 1};
    static const lcf_str PIECES[] = {{"a", 1}, {"b", 1}};
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf_writer *w;
    lcf_tokenizer *t;
    lcf_gguf *g;

    (void)state;
    must(lcf_gguf_create(&w, PATH, &err), &err);
    must(lcf_gguf_add_string(w, "tokenizer.ggml.model", "bert", &err), &err);
    must(lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", PIECES, 2, &err), &err);
    must(lcf_gguf_add_f32s(w, "tokenizer.ggml.token_type", WRONG, 2, &err), &err);
    must(lcf_gguf_commit(w, &err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    assert_int_equal(lcf_tokenizer_from_gguf(&t, g, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "token_type"));
    lcf_gguf_close(g);
}

static void test_out_of_memory(void **state)
{
    static const char TEXT[] = "the then <tab> the 12 \xc3\xa9";
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_status status;
    lcf_gguf *g;

    (void)state;
    must(write_small("gpt-2", 6, false, &err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_tokenizer_from_gguf(&t, g, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(t);
        assert_true(n < 1000);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_tokenizer_encode(&ids, t, TEXT, sizeof(TEXT) - 1, true, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_int_equal(ids.n, 0);
    }
    lcf_tokens_dispose(&ids);
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
}

/* A megabyte without a space, and one of nothing else: n log n, not n^2. */
static void test_hostile_texts(void **state)
{
    static const char *const REPEATED[] = {"th", " ", "\n ", "'", "\xcc\x81", "1", "in!"};
    lcf_tokenizer *tokenizers[] = {small("gpt-2"), small("llama-bpe"), small("smollm")};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (size_t r = 0; r < sizeof(REPEATED) / sizeof(*REPEATED); r++) {
            lcf_buf text = LCF_BUF_INIT, back = LCF_BUF_INIT;
            lcf_tokens ids;
            while (text.len < 1 << 18)
                lcf_buf_append_text(&text, REPEATED[r]);
            ids = encode(tokenizers[k], text.data, text.len, true);
            lcf_tokenizer_decode(&back, tokenizers[k], ids.ids, ids.n);
            assert_int_equal(back.len, text.len);
            assert_memory_equal(back.data, text.data, text.len);
            lcf_buf_dispose(&text);
            lcf_buf_dispose(&back);
            lcf_tokens_dispose(&ids);
        }
        lcf_tokenizer_free(tokenizers[k]);
    }
}

/* ---- SPM and WordPiece vocabularies by hand ---- */

static lcf_tokenizer *create(const lcf_vocab *v)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;

    must(lcf_tokenizer_create(&t, v, "vocabulary by hand", &err), &err);
    return t;
}

/* A piece with characters beyond the byte alphabet, which stand for themselves. */
static void test_bpe_beyond_alphabet(void **state)
{
#define DAY "\xe6\x97\xa5"
    static const lcf_str MERGE[] = {{"\xc4\xa0 " DAY, 6}};
    lcf_buf bytes[256];
    lcf_str pieces[258];
    lcf_vocab v = {.kind = LCF_TOKENIZER_BPE,
                   .n = 258,
                   .pieces = pieces,
                   .pre = LCF_PRE_LLAMA3,
                   .whole_words = true,
                   .merges = MERGE,
                   .merges_n = 1};
    lcf_tokenizer *t;

    (void)state;
    for (size_t i = 0; i < 256; i++) {
        const char byte = (char)i;
        bytes[i] = (lcf_buf)LCF_BUF_INIT;
        lcf_byte_alphabet_encode(&bytes[i], (lcf_str){&byte, 1});
        pieces[i] = (lcf_str){bytes[i].data, bytes[i].len};
    }
    pieces[256] = (lcf_str){DAY, 3};
    pieces[257] = (lcf_str){"\xc4\xa0" DAY, 5};
    t = create(&v);
    EXPECT(t, " " DAY, 257);
    EXPECT(t, DAY, 256);
    assert_int_equal(lcf_merge_slot(t, ' ', 256)->made, 257);
    lcf_tokenizer_free(t);
    for (size_t i = 0; i < 256; i++)
        lcf_buf_dispose(&bytes[i]);
#undef DAY
}

static void test_spm_user_pieces(void **state)
{
    static const lcf_str PIECES[] = {
        {"<unk>", 5},        {"<s>", 3}, {"</s>", 4},   {"a", 1},      {"b", 1},
        {"ab", 2},           {"<x>", 3}, {"<x><x>", 6}, {"[INST]", 6}, {LCF_SPACE_MARK "a", 4},
        {LCF_SPACE_MARK, 3}, {"[", 1},   {"<", 1},
    };
    static const float SCORES[13] = {0, 0, 0, -1, -2, -3, 0, 0, 0, -4, -5};
    static const int32_t TYPES[] = {2, 3, 3, 1, 1, 1, 4, 4, 4, 1, 1, 1, 1};
    const lcf_vocab v = {
        .kind = LCF_TOKENIZER_SPM, .n = 13, .pieces = PIECES, .scores = SCORES, .types = TYPES};
    lcf_tokenizer *t = create(&v);

    (void)state;
    t->unknown = 0;
    EXPECT(t, "ab", 10, 5); /* ab is better than the mark with a */
    EXPECT(t, "a<x>b", 9, 6, 4);
    EXPECT(t, "<x><x><x>", 7, 6);               /* the longest first */
    EXPECT(t, "a[INST]", 9, 11, 0, 0, 0, 0, 0); /* text, though the file calls it user-defined */
    assert_int_equal(lcf_tokenizer_special(t, "[INST]", 6), 8);
    lcf_tokenizer_free(t);
}

/* Against trying every length, over pieces that are beginnings of one another. */
static void test_user_pieces_at_random(void **state)
{
    enum { USERS = 60, PIECES = USERS + 6, TEXTS = 400, TEXT_MAX = 40 };
    lcf_str pieces[PIECES] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}, {"a", 1}, {"b", 1}, {"c", 1}};
    int32_t types[PIECES] = {2, 3, 3, 1, 1, 1};
    char store[USERS][8], text[TEXT_MAX + 1];
    const lcf_vocab v = {.kind = LCF_TOKENIZER_SPM, .n = PIECES, .pieces = pieces, .types = types};
    lcf_tokens got = {NULL, 0, 0};
    lcf_tokenizer *t;
    lcf_rng rng;

    (void)state;
    lcf_rng_seed(&rng, 4, 0);
    for (size_t i = 0; i < USERS; i++) {
        size_t n = 2 + lcf_rng_below(&rng, 6);
        for (size_t k = 0; k < n; k++)
            store[i][k] = (char)('a' + lcf_rng_below(&rng, 2));
        pieces[6 + i] = (lcf_str){store[i], n};
        types[6 + i] = 4;
    }
    t = create(&v);
    t->unknown = 0;
    t->adds_prefix_space = false;
    for (size_t i = 0; i < TEXTS; i++) {
        size_t n = 1 + lcf_rng_below(&rng, TEXT_MAX), at_token = 0;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)('a' + (lcf_rng_below(&rng, 8) ? lcf_rng_below(&rng, 2) : 2));
        got.n = 0;
        assert_int_equal(lcf_tokenizer_encode(&got, t, text, n, false, NULL), LCF_OK);
        for (size_t at = 0; at < n; at_token++) {
            uint32_t best = (uint32_t)(3 + text[at] - 'a');
            for (uint32_t u = PIECES; u-- > 6;) /* the longest, of equal ones the lowest */
                if (pieces[u].len <= n - at && !memcmp(pieces[u].data, text + at, pieces[u].len) &&
                    pieces[u].len >= pieces[best].len)
                    best = u;
            assert_true(at_token < got.n);
            assert_int_equal(got.ids[at_token], best);
            at += pieces[best].len;
        }
        assert_int_equal(at_token, got.n);
    }
    lcf_tokens_dispose(&got);
    lcf_tokenizer_free(t);
}

static void test_wordpiece_by_hand(void **state)
{
#define MARK LCF_SPACE_MARK
    static const lcf_str PIECES[] = {{"[UNK]", 5},  {MARK "caf", 6}, {"e", 1},
                                     {MARK "!", 4}, {MARK "e", 4},   {MARK "\xe4\xbd\xa0", 6},
                                     {"s", 1}};
    static const int32_t TYPES[] = {3, 1, 1, 1, 1, 1, 1};
    const lcf_vocab v = {.kind = LCF_TOKENIZER_WORDPIECE, .n = 7, .pieces = PIECES, .types = TYPES};
    lcf_tokenizer *t = create(&v);
    char text[512];

    (void)state;
    t->unknown = 0;
    EXPECT(t,
           "Caf\xc3\x89s!\xe4\xbd\xa0"
           "E",
           1, 2, 6, 3, 5, 4);
    EXPECT(t, "cafe\xcc\x81\tE", 1, 2, 4); /* a combining accent */
    EXPECT(t, "cafx e", 0, 4);             /* no cover: one unknown piece */
    EXPECT(t,
           "e\x01\xe2\x80\x8b"
           "e",
           4, 2); /* control and format characters vanish */
    memset(text, 'e', 101);
    text[100] = 0;
    {
        lcf_tokens ids = encode(t, text, 100, true);
        assert_int_equal(ids.n, 100);
        lcf_tokens_dispose(&ids);
        text[100] = 'e';
        ids = encode(t, text, 101, true);
        assert_int_equal(ids.n, 1);
        assert_int_equal(ids.ids[0], 0);
        lcf_tokens_dispose(&ids);
    }
    lcf_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_spm),
        cmocka_unit_test(test_reference_gpt2),
        cmocka_unit_test(test_reference_bert),
        cmocka_unit_test(test_bpe_by_hand),
        cmocka_unit_test(test_markers_stay_text),
        cmocka_unit_test(test_spell),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_wrong_vocabularies),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_bpe_beyond_alphabet),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_spm_user_pieces),
        cmocka_unit_test(test_user_pieces_at_random),
        cmocka_unit_test(test_wordpiece_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
