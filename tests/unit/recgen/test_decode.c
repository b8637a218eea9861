/*
 * Continuous batching: every candidate is what its prompt and key alone give, whatever the slots,
 * threads, memory and order; what prompts begin with alike is computed once.
 */
#include "common/base/mem.h"
#include "offline/llama/search.h"
#include "offline/recgen/decode.h"
#include "tests/unit/llama/fixture.h"
#include "tests/unit/test.h"

#define PATH "test_decode.gguf"

enum { ROWS = 11, CANDIDATES = 3, BEAMS = 4, TOKENS = 20, PROMPT_MAX = 70, SHARED = 40 };

/* clang-format off */
#define SAMPLING {0.8f, 50, 0.95f, 0.02f, 1.1f}
#define DECODING {CANDIDATES, 0, TOKENS, SAMPLING, {.n = 0}}
#define SEARCHING {CANDIDATES, BEAMS, TOKENS, SAMPLING, {.n = 0}}
/* clang-format on */

typedef struct world {
    lcf_llama *m;
    uint32_t prompts[ROWS][PROMPT_MAX];
    size_t prompt_n[ROWS];
    uint32_t texts[ROWS][CANDIDATES][TOKENS]; /* as they must be */
    size_t text_n[ROWS][CANDIDATES];
    uint32_t found[ROWS][CANDIDATES][TOKENS]; /* and those of searches */
    size_t found_n[ROWS][CANDIDATES];
    bool finished[ROWS][CANDIDATES];
    char stop[8]; /* a string in many of the texts */
} world;

typedef struct feeder { /* a source that goes through the rows and checks what comes back */
    const world *w;
    size_t next, done_n;
    bool backwards, searching;
    bool seen[ROWS];
} feeder;

static lcf_hash128 key_of(size_t row)
{
    return lcf_hash128_of(&row, sizeof(row));
}

static uint64_t seed_of(size_t row)
{
    lcf_hash128 key = key_of(row);
    uint64_t seed = 0;

    for (size_t i = 0; i < 8; i++)
        seed = seed << 8 | key.bytes[i];
    return seed;
}

/* One candidate by itself: the definition. */
static void expect(world *w, size_t row, size_t c, lcf_llama_session *s, lcf_sampler *sampler)
{
    const lcf_sampling sampling = SAMPLING;
    lcf_llama_token batch[PROMPT_MAX];
    lcf_err err = LCF_ERR_INIT;
    const float *logits;
    lcf_rng rng;
    size_t n = w->prompt_n[row];

    lcf_rng_seed(&rng, seed_of(row), c);
    lcf_llama_seq_reset(s, 0);
    for (size_t i = 0; i < n; i++)
        batch[i] = (lcf_llama_token){w->prompts[row][i], 0, i + 1 == n};
    assert_ok(lcf_llama_decode(&logits, s, batch, n, &err), &err);
    for (w->text_n[row][c] = 0; w->text_n[row][c] < TOKENS;) {
        uint32_t id = lcf_sampler_next(sampler, logits, w->texts[row][c], w->text_n[row][c],
                                       &sampling, &rng, NULL);
        if (lcf_tokenizer_is_end(w->m->tokenizer, id))
            break;
        w->texts[row][c][w->text_n[row][c]++] = id;
        batch[0] = (lcf_llama_token){id, 0, true};
        assert_ok(lcf_llama_decode(&logits, s, batch, 1, &err), &err);
    }
}

/* One search by itself: the definition. */
static void expect_search(world *w, size_t row, lcf_llama_session *s)
{
    const lcf_beam_options options = {BEAMS, TOKENS, 1.0f, SAMPLING, {.n = 0}};
    const lcf_tokens prompt = {.ids = w->prompts[row], .n = w->prompt_n[row]};
    lcf_beam found[BEAMS] = {{.finished = false}};
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    lcf_rng_seed(&rng, seed_of(row), 0);
    assert_ok(lcf_llama_beam_search(found, s, w->m, &prompt, &options, &rng, &err), &err);
    for (size_t c = 0; c < BEAMS; c++) {
        if (c < CANDIDATES) {
            w->found_n[row][c] = found[c].tokens.n;
            w->finished[row][c] = found[c].finished;
            memcpy(w->found[row][c], found[c].tokens.ids, found[c].tokens.n * sizeof(uint32_t));
        }
        lcf_tokens_dispose(&found[c].tokens);
    }
}

static int setup(void **state)
{
    fixture_options o = FIXTURE_OPTIONS_INIT;
    const lcf_llama_session_options options = {.seqs_max = BEAMS,
                                               .context_n = PROMPT_MAX + TOKENS,
                                               .batch_max = PROMPT_MAX,
                                               .threads = 1,
                                               .kv_f16 = true};
    world *w = lcf_alloc_zero(1, sizeof(*w));
    lcf_llama_session *s;
    lcf_sampler *sampler;
    lcf_err err = LCF_ERR_INIT;
    lcf_rng rng;

    assert_non_null(w);
    o.type = LCF_GGUF_Q8_0;
    fixture_write(PATH, &o);
    assert_ok(lcf_llama_open(&w->m, PATH, &err), &err);
    lcf_rng_seed(&rng, 2, 0);
    for (size_t r = 0; r < ROWS; r++) {
        w->prompt_n[r] = r == 7 ? SHARED : SHARED + 1 + lcf_rng_below(&rng, PROMPT_MAX - SHARED);
        for (size_t i = 0; i < w->prompt_n[r]; i++)
            w->prompts[r][i] = i < SHARED && r
                                   ? w->prompts[0][i]
                                   : 3 + (uint32_t)lcf_rng_below(&rng, w->m->config.vocab_n - 3);
        w->prompts[r][SHARED] = 3 + (uint32_t)r; /* no two agree any farther */
    }
    assert_ok(lcf_llama_session_open(&s, w->m, &options, &err), &err);
    assert_ok(lcf_sampler_create(&sampler, w->m->config.vocab_n, &err), &err);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < CANDIDATES; c++)
            expect(w, r, c, s, sampler);
        lcf_llama_seq_reset(s, 0);
        expect_search(w, r, s);
    }
    lcf_sampler_free(sampler);
    lcf_llama_session_free(s);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    lcf_llama_close(w->m);
    free(w);
    return 0;
}

static lcf_status next(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err)
{
    feeder *f = arg;

    *any = f->next < ROWS;
    if (!*any)
        return LCF_OK;
    row->id = f->backwards ? ROWS - 1 - f->next : f->next;
    f->next++;
    row->key = key_of(row->id);
    for (size_t i = 0; i < f->w->prompt_n[row->id]; i++)
        if (lcf_tokens_push(&row->prompt, f->w->prompts[row->id][i]))
            return LCF_FAIL(err, LCF_ENOMEM, "prompt");
    return LCF_OK;
}

static lcf_status done(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                       lcf_err *err)
{
    feeder *f = arg;

    (void)err;
    assert_false(f->seen[row->id]);
    f->seen[row->id] = true;
    f->done_n++;
    for (size_t c = 0; c < CANDIDATES; c++) {
        const uint32_t *ids = f->searching ? f->w->found[row->id][c] : f->w->texts[row->id][c];
        size_t n = f->searching ? f->w->found_n[row->id][c] : f->w->text_n[row->id][c];
        assert_int_equal(candidates[c].tokens.n, n);
        assert_memory_equal(candidates[c].tokens.ids, ids, n * sizeof(*ids));
        assert_int_equal(candidates[c].finished,
                         f->searching ? f->w->finished[row->id][c] : n < TOKENS);
    }
    return LCF_OK;
}

static lcf_decoder_stats run(const world *w, const lcf_decoder_options *options, bool backwards)
{
    const bool searching = options->decoding.beams_n;
    feeder f = {.w = w, .backwards = backwards, .searching = searching};
    const lcf_decoder_source source = {&f, next, done};
    lcf_decoder_stats stats;
    lcf_err err = LCF_ERR_INIT;
    lcf_decoder *d;

    assert_ok(lcf_decoder_create(&d, w->m, options, &err), &err);
    assert_ok(lcf_decoder_run(d, &source, &err), &err);
    assert_int_equal(f.done_n, ROWS);
    f = (feeder){
        .w = w, .backwards = !backwards, .searching = searching}; /* a decoder can be used again */
    assert_ok(lcf_decoder_run(d, &source, &err), &err);
    assert_int_equal(f.done_n, ROWS);
    stats = *lcf_decoder_stats_of(d);
    lcf_decoder_free(d);
    return stats;
}

static void test_same_texts(void **state)
{
    static const size_t SLOTS[] = {3, 5, 9, 100};
    const world *w = *state;
    const size_t page = lcf_llama_page_bytes(w->m, true);

    for (size_t i = 0; i < sizeof(SLOTS) / sizeof(*SLOTS); i++)
        for (size_t threads = 1; threads <= 3; threads += 2) {
            lcf_decoder_options options = {
                .decoding = DECODING, .slots = SLOTS[i], .threads = threads};
            run(w, &options, threads > 1);
            options.kv_bytes_max = 14 * page; /* hardly more than one row at a time */
            run(w, &options, false);
        }
}

static void test_same_searches(void **state)
{
    static const size_t SLOTS[] = {BEAMS, 9};
    const world *w = *state;
    const size_t page = lcf_llama_page_bytes(w->m, true);

    for (size_t i = 0; i < sizeof(SLOTS) / sizeof(*SLOTS); i++) {
        lcf_decoder_options options = {
            .decoding = SEARCHING, .slots = SLOTS[i], .threads = 1 + 2 * (i % 2)};
        run(w, &options, i % 2);
        options.kv_bytes_max = 17 * page;
        run(w, &options, false);
    }
}

/* Up to the token with which the stop string is there. */
static lcf_status check_stopped(void *arg, const lcf_decoder_row *row,
                                const lcf_candidate *candidates, lcf_err *err)
{
    feeder *f = arg;
    const lcf_stops stops = {{f->w->stop}, 1};
    lcf_buf text = LCF_BUF_INIT;

    (void)err;
    for (size_t c = 0; c < CANDIDATES; c++) {
        const uint32_t *ids = f->w->texts[row->id][c];
        size_t n = 0;
        bool stopped = false;
        while (!stopped && n < f->w->text_n[row->id][c]) {
            lcf_buf_reset(&text);
            lcf_tokenizer_decode(&text, f->w->m->tokenizer, ids, ++n);
            stopped = lcf_stops_find(&stops, text.data, text.len) < text.len;
        }
        assert_int_equal(candidates[c].tokens.n, n);
        assert_memory_equal(candidates[c].tokens.ids, ids, n * sizeof(*ids));
        assert_int_equal(candidates[c].finished, stopped || n < TOKENS);
        f->done_n += stopped;
    }
    lcf_buf_dispose(&text);
    return LCF_OK;
}

static void test_stop_strings(void **state)
{
    world *w = *state;
    lcf_decoder_options options = {.decoding = DECODING, .slots = 9, .threads = 2};
    feeder f = {.w = w};
    const lcf_decoder_source source = {&f, next, check_stopped};
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_decoder *d;

    assert_true(w->text_n[0][0] > 2); /* its third token is the string */
    lcf_tokenizer_decode(&text, w->m->tokenizer, w->texts[0][0] + 2, 1);
    assert_in_range(text.len, 1, sizeof(w->stop) - 1);
    memcpy(w->stop, text.data, text.len + 1);
    lcf_buf_dispose(&text);
    options.decoding.stops = (lcf_stops){{w->stop}, 1};
    assert_ok(lcf_decoder_create(&d, w->m, &options, &err), &err);
    assert_ok(lcf_decoder_run(d, &source, &err), &err);
    assert_true(f.done_n >= 1); /* stopped */
    lcf_decoder_free(d);
}

static void test_shared_beginnings(void **state)
{
    const world *w = *state;
    lcf_decoder_options options = {.decoding = DECODING, .slots = 9, .threads = 1};
    lcf_decoder_stats stats = run(w, &options, false);
    uint64_t all = 0;

    for (size_t r = 0; r < ROWS; r++)
        all += w->prompt_n[r];
    assert_int_equal(stats.prompt_tokens, 2 * CANDIDATES * all);
    /* what all rows begin with is read once in each of the two runs; the last token of a prompt is
     * always computed, which row 7 shows */
    assert_int_equal(stats.prompt_computed, 2 * (all - (ROWS - 1) * SHARED + 1));
}

static void test_limits(void **state)
{
    const world *w = *state;
    lcf_decoder_options options = {.decoding = DECODING,
                                   .kv_bytes_max = 3 * lcf_llama_page_bytes(w->m, true)};
    lcf_decoder *d;

    assert_int_equal(lcf_decoder_create(&d, w->m, &options, NULL), LCF_EINVAL);
    assert_null(d);
    options.kv_bytes_max *= 2; /* a shorter prompt than the model's context has room for */
    assert_int_equal(lcf_decoder_create(&d, w->m, &options, NULL), LCF_OK);
    assert_in_range(lcf_decoder_prompt_max(d), 1, w->m->config.context_n - TOKENS - 1);
    lcf_decoder_free(d);
    options.decoding.tokens_max = w->m->config.context_n;
    assert_int_equal(lcf_decoder_create(&d, w->m, &options, NULL), LCF_EINVAL);
    options.decoding = (lcf_decoding)SEARCHING;
    options.decoding.beams_n = CANDIDATES - 1;
    assert_int_equal(lcf_decoder_create(&d, w->m, &options, NULL), LCF_EINVAL);
    options.decoding.beams_n = BEAMS;
    options.kv_bytes_max = 0;
    for (uint64_t n = 1;; n++) {
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_decoder_create(&d, w->m, &options, NULL);
        lcf_alloc_fail_at(0);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
    }
    lcf_decoder_free(d);
}

/* One row of each length, from 1 token up. */
typedef struct lengths {
    size_t next, most, done_n;
} lengths;

static lcf_status next_length(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err)
{
    lengths *l = arg;

    *any = l->next < l->most;
    if (!*any)
        return LCF_OK;
    row->id = ++l->next;
    row->key = key_of(row->id);
    for (size_t i = 0; i < row->id; i++)
        if (lcf_tokens_push(&row->prompt, 3 + (uint32_t)(row->id + i) % 50))
            return LCF_FAIL(err, LCF_ENOMEM, "prompt");
    return LCF_OK;
}

static lcf_status count_done(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                             lcf_err *err)
{
    (void)row;
    (void)candidates;
    (void)err;
    ((lengths *)arg)->done_n++;
    return LCF_OK;
}

/* A prompt that ends within a page can need more pages than a longer one that ends with it. */
static void test_every_length_has_room(void **state)
{
    const world *w = *state;
    const size_t page = lcf_llama_page_bytes(w->m, true);

    for (size_t pages = 0; pages < 20; pages++) { /* 0: as many as the slots can use */
        lcf_decoder_options options = {
            .decoding = DECODING, .slots = CANDIDATES, .threads = 1, .kv_bytes_max = pages * page};
        lengths l = {0, 0, 0};
        const lcf_decoder_source source = {&l, next_length, count_done};
        lcf_err err = LCF_ERR_INIT;
        lcf_decoder *d;

        if (lcf_decoder_create(&d, w->m, &options, NULL))
            continue; /* not one row */
        l.most = lcf_decoder_prompt_max(d) < 100 ? lcf_decoder_prompt_max(d) : 100;
        assert_ok(lcf_decoder_run(d, &source, &err), &err);
        assert_int_equal(l.done_n, l.most);
        lcf_decoder_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_texts),   cmocka_unit_test(test_same_searches),
        cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_shared_beginnings),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_every_length_has_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
