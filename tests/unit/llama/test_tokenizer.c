/*
 * SPM tokenizer: round trips, and a learned vocabulary that encoding agrees with. Reference cases
 * are in test_tokenizer_kinds.c.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "offline/llama/tokenizer_vocab.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#define PATH "test_tokenizer.gguf"

static void must(lcf_status status, const lcf_err *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static lcf_tokenizer *train(size_t vocab_n)
{
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;

    must(lcf_tokenizer_train(&t, FIXTURE_TEXTS, FIXTURE_TEXTS_N, vocab_n, &err), &err);
    return t;
}

static lcf_tokens encode(const lcf_tokenizer *t, const char *text, size_t len, bool prefix)
{
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_err err = LCF_ERR_INIT;

    must(lcf_tokenizer_encode(&ids, t, text, len, prefix, &err), &err);
    return ids;
}

static lcf_tokenizer *open_reference(void)
{
    char *path = fixture_data("ggml-vocab-llama-spm.gguf");
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_gguf *g;

    if (!path)
        return NULL;
    must(lcf_gguf_open(&g, path, &err), &err);
    must(lcf_tokenizer_from_gguf(&t, g, &err), &err);
    lcf_gguf_close(g);
    free(path);
    return t;
}

static size_t put_char(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Mostly letters and spaces, some of every other kind, now and then U+2581 itself. */
static size_t random_text(char *out, size_t chars_n, lcf_rng *rng)
{
    size_t n = 0;

    for (size_t i = 0; i < chars_n; i++) {
        uint32_t c;
        switch (lcf_rng_below(rng, 8)) {
        case 0:
            c = (uint32_t)lcf_rng_below(rng, 0x80);
            break;
        case 1:
            c = (uint32_t)lcf_rng_below(rng, 0x110000);
            break;
        case 2:
            c = lcf_rng_below(rng, 8) ? ' ' : 0x2581;
            break;
        case 3:
            c = 0xc0 + (uint32_t)lcf_rng_below(rng, 0x100);
            break;
        default:
            c = "the user likes"[lcf_rng_below(rng, 14)];
        }
        if (c >= 0xd800 && c < 0xe000)
            c = 'x';
        n += put_char(out + n, c);
    }
    return n;
}

static void check_round_trip(const lcf_tokenizer *t, const char *text, size_t len, bool prefix)
{
    lcf_tokens ids = encode(t, text, len, prefix);
    lcf_buf back = LCF_BUF_INIT;
    size_t added = len && prefix;

    lcf_tokenizer_decode(&back, t, ids.ids, ids.n);
    assert_int_equal(back.len, len + added);
    if (added)
        assert_int_equal(back.data[0], ' ');
    assert_memory_equal(lcf_buf_text(&back) + added, text, len);
    lcf_buf_dispose(&back);
    lcf_tokens_dispose(&ids);
}

static void round_trips(const lcf_tokenizer *t)
{
    char text[4 * 64];
    lcf_rng rng;

    lcf_rng_seed(&rng, 5, 0);
    for (int i = 0; i < 2000; i++) {
        size_t len = random_text(text, (size_t)lcf_rng_below(&rng, 64), &rng);
        assert_true(lcf_utf8_valid(text, len));
        check_round_trip(t, text, len, i % 2);
        for (size_t b = 0; b < len; b += 7) /* and broken text */
            text[b] = (char)lcf_rng_u64(&rng);
        check_round_trip(t, text, len, i % 2);
    }
}

static void test_round_trip(void **state)
{
    lcf_tokenizer *t = train(320), *reference = open_reference();

    (void)state;
    round_trips(t);
    if (reference)
        round_trips(reference);
    lcf_tokenizer_free(t);
    lcf_tokenizer_free(reference);
}

/* Text never becomes a control, byte or unknown piece by its spelling. */
static void test_control_tokens_stay_text(void **state)
{
    static const char TEXT[] = "</s> <s><unk> <0x41> a</s>";
    lcf_tokenizer *tokenizers[] = {train(320), open_reference()};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        lcf_tokens ids;
        if (!tokenizers[k])
            continue;
        ids = encode(tokenizers[k], TEXT, sizeof(TEXT) - 1, true);
        for (size_t i = 0; i < ids.n; i++) {
            assert_true(ids.ids[i] > 2);
            assert_int_not_equal(ids.ids[i], 3 + 0x41);
        }
        check_round_trip(tokenizers[k], TEXT, sizeof(TEXT) - 1, true);
        lcf_tokens_dispose(&ids);
        lcf_tokenizer_free(tokenizers[k]);
    }
}

/* "ab ab ab abc": the most frequent pair first, then what it makes possible. */
static void test_train_by_hand(void **state)
{
    static const lcf_str TEXTS[] = {{"ab ab abc", 9}, {"ab b", 4}};
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t;
    lcf_buf piece = LCF_BUF_INIT;
    lcf_tokens ids;

    (void)state;
    must(lcf_tokenizer_train(&t, TEXTS, 2, 1000, &err), &err);
    /* characters by count: b 5, the space mark 5 (seen first), a 4, c 1; then _a 4 (before ab 4,
     * seen first), _ab 4; _abc and _b occur once */
    assert_int_equal(lcf_tokenizer_vocab_n(t), 259 + 4 + 2);
    for (uint32_t id = 259; id < 265; id++) {
        lcf_tokenizer_decode(&piece, t, &id, 1);
        lcf_buf_append_char(&piece, '|');
    }
    assert_string_equal(lcf_buf_text(&piece), " |b|a|c| a| ab|");
    ids = encode(t, "ab abc b", 8, true);
    assert_int_equal(ids.n, 5);
    assert_int_equal(ids.ids[0], 264);
    assert_int_equal(ids.ids[1], 264);
    assert_int_equal(ids.ids[2], 262);
    assert_int_equal(ids.ids[3], 259);
    assert_int_equal(ids.ids[4], 260);
    lcf_tokens_dispose(&ids);
    lcf_buf_dispose(&piece);
    lcf_tokenizer_free(t);
    assert_int_equal(lcf_tokenizer_train(&t, TEXTS, 2, 258, NULL), LCF_EINVAL);
}

/* Letters, digits and signs are not mixed in a piece, and a space mark can only begin one. */
static int class_of(unsigned char c)
{
    if (c <= ' ' || c == 0x7f)
        return 0;
    if (c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return 1;
    return c >= '0' && c <= '9' ? 2 : 3;
}

static bool may_be_piece(const lcf_buf *text)
{
    size_t first = text->len && text->data[0] == ' ';

    if (text->len <= first)
        return false;
    for (size_t i = first; i < text->len; i++)
        if (!class_of((unsigned char)text->data[i]) ||
            class_of((unsigned char)text->data[i]) != class_of((unsigned char)text->data[first]))
            return false;
    return true;
}

typedef struct pair_count {
    char *text;
    uint64_t n;
} pair_count;

/* Counts the pairs that neighbouring pieces (bytes aside) of the encoded texts spell. */
static size_t count_pairs(pair_count *pairs, const lcf_tokenizer *t)
{
    size_t pairs_n = 0;

    for (size_t i = 0; i < FIXTURE_TEXTS_N; i++) {
        lcf_tokens ids = encode(t, FIXTURE_TEXTS[i].data, FIXTURE_TEXTS[i].len, true);
        for (size_t k = 0; k + 1 < ids.n; k++) {
            lcf_buf text = LCF_BUF_INIT;
            size_t at = 0;
            lcf_tokenizer_decode(&text, t, ids.ids + k, 2);
            if (ids.ids[k] >= 259 && ids.ids[k + 1] >= 259 && may_be_piece(&text)) {
                while (at < pairs_n && strcmp(pairs[at].text, text.data))
                    at++;
                if (at == pairs_n)
                    pairs[pairs_n++] = (pair_count){lcf_strdup(text.data), 0};
                pairs[at].n++;
            }
            lcf_buf_dispose(&text);
        }
        lcf_tokens_dispose(&ids);
    }
    return pairs_n;
}

/*
 * With a vocabulary cut off at any rank, encoding gives a segmentation in which the piece of that
 * rank is a most frequent pair: learning and encoding agree, at every step.
 */
static void test_encoding_agrees_with_training(void **state)
{
    lcf_tokenizer *t = train(400);
    pair_count pairs[512];
    size_t checked_n = 0;

    (void)state;
    for (uint32_t id = 259; id < t->vocab_n; id++) {
        lcf_err err = LCF_ERR_INIT;
        lcf_tokenizer *cut;
        lcf_vocab vocab;
        lcf_buf piece = LCF_BUF_INIT;
        uint64_t most = 0, count = 0;
        size_t pairs_n;
        if (lcf_char_bytes(t->pieces[id].data, t->pieces[id].len) == t->pieces[id].len)
            continue; /* a character */
        vocab = (lcf_vocab){.kind = LCF_TOKENIZER_SPM,
                            .n = id,
                            .pieces = t->pieces,
                            .scores = t->scores,
                            .types = t->types};
        must(lcf_tokenizer_create(&cut, &vocab, "cut", &err), &err);
        lcf_tokenizer_decode(&piece, t, &id, 1);
        pairs_n = count_pairs(pairs, cut);
        for (size_t i = 0; i < pairs_n; i++) {
            most = pairs[i].n > most ? pairs[i].n : most;
            count = strcmp(pairs[i].text, piece.data) ? count : pairs[i].n;
            free(pairs[i].text);
        }
        assert_true(count >= 2);
        assert_int_equal(count, most);
        checked_n++;
        lcf_buf_dispose(&piece);
        lcf_tokenizer_free(cut);
    }
    assert_true(checked_n >= 40);
    lcf_tokenizer_free(t);
}

static void test_save_and_load(void **state)
{
    lcf_tokenizer *t = train(320), *back;
    lcf_err err = LCF_ERR_INIT;
    lcf_gguf_writer *w;
    lcf_gguf *g;

    (void)state;
    must(lcf_gguf_create(&w, PATH, &err), &err);
    must(lcf_tokenizer_save(t, w, &err), &err);
    must(lcf_gguf_commit(w, &err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    must(lcf_tokenizer_from_gguf(&back, g, &err), &err);
    assert_int_equal(lcf_tokenizer_vocab_n(back), lcf_tokenizer_vocab_n(t));
    assert_int_equal(lcf_tokenizer_bos(back), 1);
    assert_int_equal(lcf_tokenizer_eos(back), 2);
    for (size_t i = 0; i < FIXTURE_TEXTS_N; i++) {
        lcf_tokens a = encode(t, FIXTURE_TEXTS[i].data, FIXTURE_TEXTS[i].len, true);
        lcf_tokens b = encode(back, FIXTURE_TEXTS[i].data, FIXTURE_TEXTS[i].len, true);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.ids, b.ids, a.n * sizeof(*a.ids));
        lcf_tokens_dispose(&a);
        lcf_tokens_dispose(&b);
    }
    lcf_tokenizer_free(back);
    lcf_gguf_close(g);
    lcf_tokenizer_free(t);
}

/* A vocabulary file with one thing wrong. */
static lcf_status load_wrong(const char *model, size_t scores_n, uint32_t bos, bool bytes)
{
    static const lcf_str PIECES[] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}, {"<0xZZ>", 6}};
    static const float SCORES[4] = {0};
    int32_t types[] = {2, 3, 3, 1};
    lcf_err err = LCF_ERR_INIT;
    lcf_tokenizer *t = NULL;
    lcf_gguf_writer *w;
    lcf_gguf *g;
    lcf_status status;

    if (bytes)
        types[3] = 6;
    must(lcf_gguf_create(&w, PATH, &err), &err);
    must(lcf_gguf_add_string(w, "tokenizer.ggml.model", model, &err), &err);
    must(lcf_gguf_add_strings(w, "tokenizer.ggml.tokens", PIECES, 4, &err), &err);
    must(lcf_gguf_add_f32s(w, "tokenizer.ggml.scores", SCORES, scores_n, &err), &err);
    must(lcf_gguf_add_i32s(w, "tokenizer.ggml.token_type", types, 4, &err), &err);
    must(lcf_gguf_add_u32(w, "tokenizer.ggml.bos_token_id", bos, &err), &err);
    must(lcf_gguf_commit(w, &err), &err);
    must(lcf_gguf_open(&g, PATH, &err), &err);
    status = lcf_tokenizer_from_gguf(&t, g, &err);
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
    return status;
}

static void test_wrong_vocabularies(void **state)
{
    (void)state;
    assert_int_equal(load_wrong("llama", 4, 1, false), LCF_OK);
    assert_int_equal(load_wrong("rwkv", 4, 1, false), LCF_EUNSUPPORTED);
    assert_int_equal(load_wrong("llama", 3, 1, false), LCF_EFORMAT);
    assert_int_equal(load_wrong("llama", 4, 4, false), LCF_EFORMAT);
    assert_int_equal(load_wrong("llama", 4, 1, true), LCF_EFORMAT);
}

static void test_out_of_memory(void **state)
{
    lcf_tokenizer *t;
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_status status;

    (void)state;
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status = lcf_tokenizer_train(&t, FIXTURE_TEXTS, FIXTURE_TEXTS_N, 320, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_null(t);
    }
    for (uint64_t n = 1;; n++) {
        lcf_alloc_fail_at(n);
        status =
            lcf_tokenizer_encode(&ids, t, FIXTURE_TEXTS[0].data, FIXTURE_TEXTS[0].len, true, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_int_equal(ids.n, 0);
    }
    lcf_tokens_dispose(&ids);
    lcf_tokenizer_free(t);
}

/* 2 MB without a single space is one word of the encoder: n log n, not n^2. */
static void test_long_word(void **state)
{
    size_t len = 1 << 21;
    char *text = lcf_alloc(len, 1);
    lcf_tokenizer *t = train(320);
    lcf_rng rng;

    (void)state;
    assert_non_null(text);
    lcf_rng_seed(&rng, 1, 0);
    for (size_t i = 0; i < len; i++)
        text[i] = "theuserlikes"[lcf_rng_below(&rng, 12)];
    check_round_trip(t, text, len, true);
    lcf_tokenizer_free(t);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_control_tokens_stay_text),
        cmocka_unit_test(test_train_by_hand), cmocka_unit_test(test_encoding_agrees_with_training),
        cmocka_unit_test(test_save_and_load), cmocka_unit_test(test_wrong_vocabularies),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_long_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
