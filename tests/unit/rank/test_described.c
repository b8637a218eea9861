/* Candidates that the snapshot does not know, with what the request says of them. */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "online/rank/llmcf.h"
#include "tests/unit/rank/world.h"

#include <math.h>

#define TOLERANCE 1e-6
#define DIM 8 /* of the encoder in schemas/examples */

typedef struct shop {
    char *dir, *root;
    lcf_ranker_snapshot *snapshot;
    lcf_rank_context *context;
    lcf_snapshot *offline; /* the same files, seen from the other side */
} shop;

static void copy_encoder(const char *dir)
{
    char *from = lcf_path_join(getenv("LCF_SOURCE_DIR"), "schemas/examples/encoder.lcf");
    char *to = lcf_path_join(dir, "vectors/encoder.lcf");
    lcf_buf bytes = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_file_read(&bytes, from, 1 << 20, &err), &err);
    assert_ok(lcf_file_write(to, bytes.data, bytes.len, &err), &err);
    lcf_buf_dispose(&bytes);
    free(from);
    free(to);
}

/* Tables as after training: new ones are next to nothing, and so is what an item changes. */
static void enlarge_tables(const char *dir, const char *arm)
{
    char *path = lcf_path_join(dir, arm);
    lcf_ranker *r;
    lcf_params *p;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_ranker_open(&r, path, &err), &err);
    p = lcf_ranker_params(r);
    for (size_t i = 0; i < p->list_n; i++)
        for (size_t j = 0; p->list[i].table && j < p->list[i].n; j++)
            lcf_params_value(p, i)[j] *= 50.0f;
    assert_ok(lcf_ranker_save(r, path, &err), &err);
    lcf_ranker_free(r);
    free(path);
}

static void shop_open(shop *s, bool with_encoder)
{
    world_options options = WORLD_OPTIONS_INIT;
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;

    options.text_dim = options.cot_dim = DIM;
    s->dir = test_folder();
    s->root = lcf_path_join(s->dir, "snapshots");
    assert_ok(world_write(s->dir, &options, &err), &err);
    enlarge_tables(s->dir, "din.lcf");
    enlarge_tables(s->dir, "ict.lcf");
    if (with_encoder)
        copy_encoder(s->dir);
    assert_ok(world_publish(&published, s->dir, "one", &err), &err);
    assert_ok(lcf_rank_open(&s->snapshot, s->root, &err), &err);
    assert_ok(lcf_rank_context_create(&s->context, s->snapshot, &err), &err);
    assert_ok(lcf_snapshot_open(&s->offline, s->root, &err), &err);
    assert_true(s->offline->has_text_encoder == with_encoder);
    for (size_t i = 0; i < s->offline->arms_n; i++) /* as in training: every token anew */
        lcf_ranker_thaw(s->offline->arms[i].ranker);
}

static void shop_close(shop *s)
{
    lcf_rank_context_free(s->context);
    lcf_rank_close(s->snapshot);
    lcf_snapshot_close(s->offline);
    free(s->root);
    test_folder_remove(s->dir);
}

static lcf_rank_response rank(const shop *s, const lcf_rank_request *request)
{
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_rank(&response, s->context, request, &err), &err);
    return response;
}

static const lcf_rank_result *result_of(const lcf_rank_response *r, size_t candidate)
{
    for (size_t i = 0; i < r->results_n; i++)
        if (r->results[i].candidate == candidate)
            return &r->results[i];
    fail_msg("candidate %zu has no result", candidate);
    return NULL;
}

static const char *const CATEGORIES[] = {"Lamps", "Nothing we sell", "Gifts"};
static const lcf_rank_item ITEMS[] = {
    {"new-lamp", "A lamp for action", "Alder", "a lamp to keep", CATEGORIES, 3},
    {"i3", "An item that is known is not described", "Quill", NULL, NULL, 0},
    {"new-mug", "A mug for drama", "Nobody", NULL, CATEGORIES + 1, 1},
};
static const char *const ASKED[] = {"i1", "new-lamp", "i3", "new-mug", "i7", "never-heard-of"};
enum { LAMP = 1, MUG = 3, STRANGER = 5, ASKED_N = 6 };

static lcf_rank_request request_of(const char *arm)
{
    return (lcf_rank_request){.user_id = "u2",
                              .candidates = ASKED,
                              .candidates_n = ASKED_N,
                              .arm = arm,
                              .items = ITEMS,
                              .items_n = 3};
}

/* The offline way to score the lamp: retrieval by its definition, the model without what is frozen,
 * the text through the encoder. */
static float offline_score(const shop *s, size_t arm)
{
    const lcf_snapshot *d = s->offline;
    const lcf_catalogue *c = &d->catalogue;
    lcf_ranker *ranker = d->arms[arm].ranker;
    const lcf_example_options options = lcf_ranker_retrieval(lcf_ranker_config_of(ranker));
    const uint32_t user = lcf_strings_find(&d->users.user_id, "u2", 2);
    const uint32_t categories[] = {lcf_strings_find(&c->category, "Lamps", 5),
                                   lcf_strings_find(&c->category, "Gifts", 5)};
    static const char TEXT[] = "A lamp for action Alder Lamps Nothing we sell Gifts a lamp to keep";
    uint32_t ids[LCF_EXAMPLES_K_MAX];
    float history_vec[DIM], text_vec[DIM], similarities[LCF_EXAMPLES_K_MAX], score;
    const lcf_ranker_item item = {lcf_strings_find(&c->brand, "Alder", 5), categories, 2, text_vec};
    const lcf_ranker_source source = {.catalogue = c,
                                      .item_vectors = &d->item_vectors,
                                      .examples = &d->examples,
                                      .described = &item,
                                      .described_n = 1};
    const lcf_example_query q = {user, INT64_MAX, {{0}}, history_vec, text_vec};
    const lcf_ranker_row row = {.user = user,
                                .item = c->items_n,
                                .history = d->users.history + (size_t)user * LCF_HISTORY_MAX,
                                .history_n = d->users.history_n[user],
                                .examples = arm ? ids : NULL,
                                .similarities = similarities,
                                .time = INT64_MAX};
    lcf_features features;
    lcf_tape *tape;
    lcf_err err = LCF_ERR_INIT;

    assert_true(item.brand && categories[0] && categories[1]);
    assert_ok(lcf_features_init(&features, d->text_encoder.bits, &err), &err);
    assert_ok(lcf_text_encoder_encode(text_vec, &d->text_encoder, &features,
                                      (lcf_str){TEXT, strlen(TEXT)}, &err),
              &err);
    lcf_features_dispose(&features);
    lcf_embeddings_mean(history_vec, &d->item_vectors, row.history, row.history_n);
    assert_ok(lcf_examples_search_exact(ids, similarities, &d->examples, &q, 1, &options, &err),
              &err);
    assert_ok(lcf_tape_create(&tape, &err), &err);
    assert_ok(lcf_ranker_score(&score, tape, ranker, &source, &row, 1, &err), &err);
    lcf_tape_free(tape);
    return score;
}

static void same_score_as_offline(void **state)
{
    static const char *const arms[] = {"din", "din-ict"};
    shop s;

    (void)state;
    shop_open(&s, true);
    for (size_t arm = 0; arm < 2; arm++) {
        lcf_rank_request request = request_of(arms[arm]);
        lcf_rank_response response = rank(&s, &request);
        float scores[ASKED_N];

        assert_int_equal(response.degraded_n, 1);
        assert_true(fabsf(result_of(&response, LAMP)->score - offline_score(&s, arm)) <= TOLERANCE);
        for (size_t i = 0; i < ASKED_N; i++) {
            const lcf_rank_result *r = result_of(&response, i);

            scores[i] = r->score;
            assert_int_equal(r->examples_n, arm ? 4 : 0);
            if (i == STRANGER)
                assert_string_equal(r->degraded, "unknown_item");
            else
                assert_null(r->degraded);
        }
        assert_string_equal(result_of(&response, LAMP)->title, "A lamp for action");
        assert_string_not_equal(result_of(&response, 2)->title, ITEMS[1].title);
        assert_true(fabsf(scores[LAMP] - scores[MUG]) > 1e-5f);
        assert_true(fabsf(scores[LAMP] - scores[STRANGER]) > 1e-5f);
        /* What is said of some changes nothing for the others. */
        request.items_n = 0;
        response = rank(&s, &request);
        assert_int_equal(response.degraded_n, 3);
        for (size_t i = 0; i < ASKED_N; i++)
            if (i != LAMP && i != MUG)
                assert_true(fabsf(result_of(&response, i)->score - scores[i]) <= TOLERANCE);
        assert_true(result_of(&response, LAMP)->score == result_of(&response, STRANGER)->score);
    }
    shop_close(&s);
}

/* Brand and categories count without the encoder, too; an arm that reads texts says that it could
 * not. */
static void without_an_encoder(void **state)
{
    lcf_rank_request request = request_of("din");
    lcf_rank_response response;
    shop s;

    (void)state;
    shop_open(&s, false);
    response = rank(&s, &request);
    assert_null(result_of(&response, LAMP)->degraded);
    assert_true(fabsf(result_of(&response, LAMP)->score - result_of(&response, STRANGER)->score) >
                1e-5f);
    request.arm = "din-ict";
    response = rank(&s, &request);
    assert_string_equal(result_of(&response, LAMP)->degraded, "unknown_item");
    assert_true(fabsf(result_of(&response, LAMP)->score - result_of(&response, STRANGER)->score) >
                1e-5f);
    shop_close(&s);
}

/* Without time for texts brand and categories count, and the answer says what was missing; an arm
 * that reads no texts misses nothing. */
static void a_deadline_skips_texts(void **state)
{
    lcf_rank_request request = request_of("din");
    lcf_rank_response response;
    float plain;
    shop s;

    (void)state;
    shop_open(&s, true);
    response = rank(&s, &request);
    plain = result_of(&response, LAMP)->score;
    request.deadline_s = lcf_clock_s() - 1.0;
    response = rank(&s, &request);
    assert_null(result_of(&response, LAMP)->degraded);
    assert_true(result_of(&response, LAMP)->score == plain);
    request.arm = "din-ict";
    response = rank(&s, &request);
    assert_string_equal(result_of(&response, LAMP)->degraded, "deadline");
    assert_true(result_of(&response, LAMP)->score == plain);
    assert_true(fabsf(plain - result_of(&response, STRANGER)->score) > 1e-5f);
    shop_close(&s);
}

/* The library's clock is linked to this one, which moves by a second at every look while a test
 * wants that: how far a request comes is then no matter of the machine. */
static double g_now_s; /* 0: as late as it is */

double __real_lcf_clock_s(void);
double __wrap_lcf_clock_s(void);

double __wrap_lcf_clock_s(void)
{
    return g_now_s > 0.0 ? g_now_s++ : __real_lcf_clock_s();
}

enum { MANY = 200, IN_TIME = 80 };

/* A candidate that stands twice was read once: whether its text was read in time is told of it,
 * not of the moment at which it comes again. */
static void a_deadline_between_two(void **state)
{
    world_options options = WORLD_OPTIONS_INIT;
    lcf_ranker_config parts = LCF_RANKER_CONFIG_INIT;
    char ids[MANY][8], *path;
    const char *candidates[MANY + 1];
    lcf_rank_item items[MANY] = {{NULL}};
    lcf_rank_request request = {.user_id = "u2",
                                .candidates = candidates,
                                .candidates_n = MANY + 1,
                                .arm = "text",
                                .items = items,
                                .items_n = MANY};
    lcf_rank_response response;
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;
    shop s;

    (void)state;
    shop_open(&s, true);
    options.text_dim = options.cot_dim = DIM;
    parts.side = "text";
    assert_ok(world_write_arm(s.dir, "text.lcf", &parts, &options, &err), &err);
    path = lcf_path_join(s.dir, "text.lcf");
    assert_ok(
        world_publish_arms(&published, s.dir, "two", &(lcf_snapshot_arm){"text", path}, 1, &err),
        &err);
    lcf_rank_context_free(s.context);
    lcf_rank_close(s.snapshot);
    assert_ok(lcf_rank_open(&s.snapshot, s.root, &err), &err);
    assert_ok(lcf_rank_context_create(&s.context, s.snapshot, &err), &err);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(ids[i], sizeof(ids[i]), "new-%zu", i);
        candidates[i] = items[i].item_id = items[i].title = ids[i];
    }
    candidates[MANY] = ids[0];
    g_now_s = 1.0;
    request.deadline_s = g_now_s + IN_TIME / 0.4; /* rank.c's share for what comes before reading */
    response = rank(&s, &request);
    g_now_s = 0.0;
    assert_int_equal(response.degraded_n, MANY - IN_TIME);
    for (size_t i = 0; i < MANY; i++) {
        const char *degraded = result_of(&response, i)->degraded;

        assert_true(i < IN_TIME ? !degraded : degraded && !strcmp(degraded, "deadline"));
    }
    assert_null(result_of(&response, MANY)->degraded);
    free(path);
    shop_close(&s);
}

static void explained_and_refused(void **state)
{
    lcf_rank_request request = request_of("din-ict");
    const lcf_rank_item nothing = {.item_id = "new-mug"}, nameless = {.title = "no id"};
    const lcf_rank_item bare[] = {nameless, nothing};
    lcf_rank_response response;
    float score;
    shop s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    shop_open(&s, true);
    response = rank(&s, &request);
    score = result_of(&response, LAMP)->score;
    assert_ok(lcf_rank_explain(&response, s.context, &request, &err), &err);
    assert_true(result_of(&response, LAMP)->score == score);
    assert_int_equal(result_of(&response, LAMP)->examples_n, 4);
    assert_true(result_of(&response, LAMP)->examples[0].score_without != score);
    /* A description that says nothing, and one of nobody. */
    request.items = bare;
    request.items_n = 2;
    response = rank(&s, &request);
    assert_null(result_of(&response, MUG)->degraded);
    assert_string_equal(result_of(&response, MUG)->title, "");
    assert_true(fabsf(result_of(&response, MUG)->score - result_of(&response, STRANGER)->score) <=
                TOLERANCE);
    request.items_n = LCF_RANK_CANDIDATES_MAX + 1;
    assert_int_equal(lcf_rank(&response, s.context, &request, &err), LCF_EINVAL);
    shop_close(&s);
}

static void out_of_memory(void **state)
{
    const lcf_rank_request request = request_of("din-ict");
    lcf_status status = LCF_ENOMEM;
    shop s;

    (void)state;
    shop_open(&s, true);
    for (uint64_t n = 1; status; n++) {
        lcf_rank_context *context = NULL;
        lcf_rank_response response;
        lcf_err err = LCF_ERR_INIT;

        assert_true(n < 10000);
        lcf_alloc_fail_at(n);
        status = lcf_rank_context_create(&context, s.snapshot, &err);
        if (!status)
            status = lcf_rank(&response, context, &request, &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %d: %s", (int)n, err.text);
        lcf_rank_context_free(context);
    }
    shop_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_score_as_offline),  cmocka_unit_test(without_an_encoder),
        cmocka_unit_test(a_deadline_skips_texts), cmocka_unit_test(a_deadline_between_two),
        cmocka_unit_test(explained_and_refused),  cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
