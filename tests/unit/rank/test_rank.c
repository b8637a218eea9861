/* lcf_rank over a snapshot of random weights: the same scores as offline, and what happens where
 * something is missing. */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "online/rank/llmcf.h"
#include "tests/unit/rank/world.h"

#include <ctype.h>
#include <math.h>

#define TOLERANCE 1e-6

static char *g_dir, *g_root, *g_dataset;
static lcf_ranker_snapshot *g_snapshot;
static lcf_rank_context *g_context;
static lcf_snapshot *g_offline; /* the same files, seen from the other side */

static void close_both_sides(void)
{
    lcf_rank_context_free(g_context);
    lcf_rank_close(g_snapshot);
    lcf_snapshot_close(g_offline);
}

static void open_both_sides(void)
{
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_rank_open(&g_snapshot, g_root, &err), &err);
    assert_ok(lcf_rank_context_create(&g_context, g_snapshot, &err), &err);
    assert_ok(lcf_snapshot_open(&g_offline, g_root, &err), &err);
    for (size_t i = 0; i < g_offline->arms_n; i++) /* as in training: every token anew */
        lcf_ranker_thaw(g_offline->arms[i].ranker);
}

static int setup(void **state)
{
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    g_dir = test_folder();
    g_root = lcf_path_join(g_dir, "snapshots");
    g_dataset = lcf_path_join(g_dir, "dataset");
    assert_ok(world_write(g_dir, &options, &err), &err);
    assert_ok(world_publish(&published, g_dir, "one", &err), &err);
    open_both_sides();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_both_sides();
    free(g_root);
    free(g_dataset);
    test_folder_remove(g_dir);
    return 0;
}

static lcf_rank_response rank(const lcf_rank_request *request)
{
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_rank(&response, g_context, request, &err), &err);
    return response;
}

/* ---- the same score offline and online ---- */

static const char *id_of(char *text, const lcf_strings *strings, uint32_t idx)
{
    lcf_str s = lcf_strings_get(strings, idx);

    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

/* The offline way: retrieval by its definition, and the model. */
static float offline_score(const lcf_dataset *d, size_t row, size_t arm, lcf_tape *tape)
{
    lcf_sample s = lcf_dataset_sample(d, row);
    lcf_ranker *ranker = g_offline->arms[arm].ranker;
    bool ict = lcf_ranker_side_needs(lcf_ranker_config_of(ranker)->side) & LCF_RANKER_EXAMPLES;
    const lcf_example_options options = lcf_ranker_retrieval(lcf_ranker_config_of(ranker));
    uint32_t ids[LCF_EXAMPLES_K_MAX];
    float similarities[LCF_EXAMPLES_K_MAX], history_vec[64], score;
    lcf_example_query q = {s.user, s.time, lcf_dataset_sample_hash(d, row), history_vec,
                           g_offline->item_vectors.vectors + s.item * g_offline->item_vectors.dim};
    lcf_ranker_source source = {.catalogue = &d->catalogue,
                                .item_vectors = &g_offline->item_vectors,
                                .examples = ict ? &g_offline->examples : NULL,
                                .knowledge = &g_offline->knowledge};
    lcf_ranker_row r = {.user = s.user,
                        .item = s.item,
                        .history = s.history,
                        .history_n = s.history_n,
                        .examples = ict ? ids : NULL,
                        .similarities = similarities,
                        .time = s.time};
    lcf_err err = LCF_ERR_INIT;

    assert_true(g_offline->item_vectors.dim <= 64);
    lcf_embeddings_mean(history_vec, &g_offline->item_vectors, s.history, s.history_n);
    assert_ok(
        lcf_examples_search_exact(ids, similarities, &g_offline->examples, &q, 1, &options, &err),
        &err);
    assert_ok(lcf_ranker_score(&score, tape, ranker, &source, &r, 1, &err), &err);
    return score;
}

static float online_score(const lcf_dataset *d, size_t row, const char *arm)
{
    lcf_sample s = lcf_dataset_sample(d, row);
    char user[64], item[64], text[LCF_HISTORY_MAX][64];
    const char *history[LCF_HISTORY_MAX], *candidate;
    lcf_rank_request request = {.candidates = &candidate, .candidates_n = 1, .arm = arm};

    for (uint32_t i = 0; i < s.history_n; i++)
        history[i] = id_of(text[i], &d->catalogue.item_id, s.history[i]);
    candidate = id_of(item, &d->catalogue.item_id, s.item);
    request.user_id = id_of(user, &d->user_id, s.user);
    request.history = history;
    request.history_n = s.history_n;
    request.time = s.time;
    return rank(&request).results[0].score;
}

static void same_score_as_offline(void **state)
{
    lcf_dataset d;
    lcf_tape *tape;
    lcf_err err = LCF_ERR_INIT;
    double different = 0.0;

    (void)state;
    assert_ok(lcf_dataset_open(&d, g_dataset, &err), &err);
    assert_ok(lcf_tape_create(&tape, &err), &err);
    assert_true(d.split_begin[3] > d.split_begin[LCF_TEST]);
    for (size_t row = d.split_begin[LCF_TEST]; row < d.split_begin[3]; row++) {
        float din = online_score(&d, row, "din"), ict = online_score(&d, row, "din-ict");
        assert_true(fabs(din - offline_score(&d, row, 0, tape)) <= TOLERANCE);
        assert_true(fabs(ict - offline_score(&d, row, 1, tape)) <= TOLERANCE);
        different = fmax(different, fabs(din - ict));
    }
    assert_true(different > 1e-4); /* the arms are two models */
    lcf_tape_free(tape);
    lcf_dataset_close(&d);
}

/* The snapshot's own history of a user brings its labels; a request's history has none. */
static void check_history_labels(const lcf_dataset *d, size_t arm, lcf_tape *tape)
{
    const lcf_user_histories *u = &g_offline->users;
    const lcf_ranker *ranker = g_offline->arms[arm].ranker;
    const lcf_ranker_source source = {.catalogue = &d->catalogue};
    double different = 0.0;

    for (uint32_t user = 1; user < u->users_n; user++) {
        char id[64];
        const char *candidate = "i2";
        lcf_rank_request request = {.user_id = id_of(id, &u->user_id, user),
                                    .candidates = &candidate,
                                    .candidates_n = 1,
                                    .arm = "labels"};
        const uint32_t *history = u->history + (size_t)user * LCF_HISTORY_MAX;
        lcf_ranker_row row = {.user = user,
                              .item = lcf_strings_find(&d->catalogue.item_id, "i2", 2),
                              .history = history,
                              .history_n = u->history_n[user],
                              .history_labels = u->history_label + (size_t)user * LCF_HISTORY_MAX};
        float with, without;
        lcf_err err = LCF_ERR_INIT;

        assert_ok(lcf_ranker_score(&with, tape, ranker, &source, &row, 1, &err), &err);
        assert_true(fabs(with - rank(&request).results[0].score) <= TOLERANCE);
        row.history_labels = NULL;
        assert_ok(lcf_ranker_score(&without, tape, ranker, &source, &row, 1, &err), &err);
        different = fmax(different, fabs(with - without));
    }
    assert_true(different > 1e-5);
}

/* Every side module, backbones over a graph, and every way to find and to order examples. The last
 * test: it publishes. */
static void every_side_module(void **state)
{
    static const struct {
        const char *name, *side;
        const char *backbone; /* NULL: the usual one */
        uint32_t k;
        bool balanced;
        lcf_retrieval_by by;
        lcf_example_order order;
    } parts[] = {
        {"similarity", "ict", NULL, 4, true, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_SIMILARITY},
        {"time", "ict", NULL, 6, false, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_TIME},
        {"nocot", "ict-nocot", NULL, 3, true, LCF_RETRIEVE_BY_HISTORY, LCF_ORDER_KEY},
        {"mean", "ict-mean", NULL, 4, true, LCF_RETRIEVE_BY_TARGET, LCF_ORDER_KEY},
        {"text", "text", "lightgcn", 4, true, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_KEY},
        {"knn", "knn", "binlightgcn", 5, false, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_KEY},
        {"kar", "kar", NULL, 4, true, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_KEY},
        {"labels", "none", NULL, 4, true, LCF_RETRIEVE_BY_BOTH, LCF_ORDER_KEY},
    };
    enum { N = sizeof(parts) / sizeof(parts[0]) };
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_snapshot_arm arms[N];
    lcf_publish_result published;
    lcf_dataset d;
    lcf_tape *tape;
    char *paths[N];
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < N; i++) {
        lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;

        c.side = parts[i].side;
        c.backbone = parts[i].backbone ? parts[i].backbone : c.backbone;
        c.k = parts[i].k;
        c.balanced = parts[i].balanced;
        c.by = parts[i].by;
        c.order = parts[i].order;
        c.history_labels = !strcmp(parts[i].name, "labels");
        assert_ok(world_write_arm(g_dir, parts[i].name, &c, &options, &err), &err);
        paths[i] = lcf_path_join(g_dir, parts[i].name);
        arms[i] = (lcf_snapshot_arm){parts[i].name, paths[i]};
    }
    assert_ok(world_write_knowledge(g_dir, &options, &err), &err);
    assert_ok(world_publish_arms(&published, g_dir, "sides", arms, N, &err), &err);
    close_both_sides();
    open_both_sides();
    assert_ok(lcf_dataset_open(&d, g_dataset, &err), &err);
    assert_ok(lcf_tape_create(&tape, &err), &err);
    for (size_t i = 0; i < N; i++) {
        for (size_t row = d.split_begin[LCF_TEST]; row < d.split_begin[3]; row++)
            assert_true(fabs(online_score(&d, row, parts[i].name) -
                             offline_score(&d, row, i, tape)) <= TOLERANCE);
        free(paths[i]);
    }
    check_history_labels(&d, N - 1, tape);
    lcf_tape_free(tape);
    lcf_dataset_close(&d);
    (void)state;
}

static const char *const ALL[] = {"i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "i10"};

static void company_changes_no_score(void **state)
{
    lcf_rank_request all = {.user_id = "u3", .candidates = ALL, .candidates_n = 10};
    float together[10];

    (void)state;
    lcf_rank_response response = rank(&all);
    assert_int_equal(response.results_n, 10);
    for (size_t i = 0; i < 10; i++)
        together[response.results[i].candidate] = response.results[i].score;
    for (size_t i = 0; i < 10; i++) {
        lcf_rank_request one = {.user_id = "u3", .candidates = ALL + i, .candidates_n = 1};
        assert_true(fabs(rank(&one).results[0].score - together[i]) <= TOLERANCE);
    }
}

/* ---- order ---- */

static void order_is_total(void **state)
{
    const char *candidates[] = {"i2", "i5", "i2", "nobody-knows", "i5", "i1", "i2"};
    lcf_rank_request request = {.user_id = "u1", .candidates = candidates, .candidates_n = 7};
    lcf_rank_response response = rank(&request);

    (void)state;
    assert_string_equal(response.generation, "one");
    assert_string_equal(response.arm, "din-ict");
    assert_null(response.degraded);
    assert_int_equal(response.results_n, 7);
    for (size_t i = 0; i < 7; i++) {
        const lcf_rank_result *r = &response.results[i], *before = r - 1;
        assert_string_equal(r->item_id, candidates[r->candidate]);
        assert_true(r->score > 0.0f && r->score < 1.0f);
        if (i > 0)
            assert_true(before->score > r->score ||
                        (before->score == r->score && before->candidate < r->candidate));
    }
}

static void top_cuts_the_same_order(void **state)
{
    lcf_rank_request request = {.user_id = "u1", .candidates = ALL, .candidates_n = 10};
    size_t best[3];

    (void)state;
    lcf_rank_response response = rank(&request);
    for (size_t i = 0; i < 3; i++)
        best[i] = response.results[i].candidate;
    request.top = 3;
    response = rank(&request);
    assert_int_equal(response.results_n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(response.results[i].candidate, best[i]);
}

/* ---- what is missing ---- */

static void unknown_user_and_item(void **state)
{
    const char *candidates[] = {"i1", "nobody-knows"};
    lcf_rank_request request = {.user_id = "nobody", .candidates = candidates, .candidates_n = 2};
    lcf_rank_response response = rank(&request);

    (void)state;
    assert_string_equal(response.degraded, "unknown_user");
    assert_int_equal(response.degraded_n, 1);
    for (size_t i = 0; i < 2; i++) {
        const lcf_rank_result *r = &response.results[i];
        if (r->candidate == 1) {
            assert_string_equal(r->degraded, "unknown_item");
            assert_string_equal(r->title, "");
        } else {
            assert_null(r->degraded);
            assert_true(strlen(r->title) > 0);
        }
    }
    request.user_id = NULL; /* nobody asked for a user: nothing is missing */
    assert_null(rank(&request).degraded);
}

static void history_of_the_request_counts(void **state)
{
    const char *liked[] = {"i3", "nobody-knows", "i8"};
    lcf_rank_request request = {.user_id = "u2", .candidates = ALL, .candidates_n = 1};
    float known = rank(&request).results[0].score, other;

    (void)state;
    request.history = liked;
    request.history_n = 3;
    other = rank(&request).results[0].score;
    assert_true(fabs(known - other) > TOLERANCE);
    /* Unknown items of a history are left out, not taken for an item. */
    const char *clean[] = {"i3", "i8"};
    request.history = clean;
    request.history_n = 2;
    assert_true(rank(&request).results[0].score == other);
    /* The latest ones count. */
    const char *many[30];
    for (size_t i = 0; i < 30; i++)
        many[i] = i < 10 ? "i9" : ALL[i % 3];
    request.history = many;
    request.history_n = 30;
    float late = rank(&request).results[0].score;
    request.history = many + 10;
    request.history_n = 20;
    assert_true(rank(&request).results[0].score == late);
}

/* What a request about the past is told of a user is what it would have brought itself then. */
static void the_past_sees_no_later_history(void **state)
{
    const lcf_user_histories *u = &g_offline->users;
    size_t shorter = 0;

    (void)state;
    for (uint32_t user = 1; user < u->users_n; user++)
        for (uint32_t n = 1; n <= u->history_n[user]; n++) {
            const size_t at = (size_t)user * LCF_HISTORY_MAX;
            char id[64], text[LCF_HISTORY_MAX][64];
            const char *history[LCF_HISTORY_MAX];
            uint32_t known = 0;
            lcf_rank_request request = {.user_id = id_of(id, &u->user_id, user),
                                        .candidates = ALL,
                                        .candidates_n = 1,
                                        .time = u->history_time[at + n - 1]};
            float told = rank(&request).results[0].score;

            for (; known < n && u->history_time[at + known] < request.time; known++)
                history[known] =
                    id_of(text[known], &g_offline->catalogue.item_id, u->history[at + known]);
            request.history = history;
            request.history_n = known;
            assert_true(rank(&request).results[0].score == told);
            shorter += known < u->history_n[user];
        }
    assert_true(shorter > 0);
}

static void no_example_falls_back(void **state)
{
    lcf_rank_request request = {.user_id = "u2", .candidates = ALL, .candidates_n = 10};
    float backbone[10];

    (void)state;
    request.time = 1; /* before every example and every event of a history */
    request.arm = "din";
    lcf_rank_response response = rank(&request);
    assert_int_equal(response.degraded_n, 0);
    for (size_t i = 0; i < 10; i++) {
        backbone[response.results[i].candidate] = response.results[i].score;
        assert_int_equal(response.results[i].examples_n, 0);
    }
    request.arm = "din-ict";
    request.strict = true;
    response = rank(&request);
    assert_int_equal(response.degraded_n, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_string_equal(response.results[i].degraded, "no_examples");
        assert_true(response.results[i].score == backbone[response.results[i].candidate]);
    }
}

static void snapshot_without_examples(void **state)
{
    char *root = lcf_path_join(g_dir, "bare"), *vectors = lcf_path_join(g_dir, "vectors");
    char *din = lcf_path_join(g_dir, "din.lcf"), *ict = lcf_path_join(g_dir, "ict.lcf");
    const lcf_snapshot_arm arms[] = {{"din-ict", ict}, {"din", din}};
    lcf_publish_options options = {.dataset_dir = g_dataset,
                                   .vectors_dir = vectors,
                                   .arms = arms,
                                   .arms_n = 1,
                                   .default_arm = "din-ict",
                                   .generation = "g"};
    lcf_rank_request request = {.user_id = "u2", .candidates = ALL, .candidates_n = 2};
    lcf_publish_result published;
    lcf_ranker_snapshot *snapshot;
    lcf_rank_context *context;
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_snapshot_publish(&published, root, &options, &err), LCF_EFORMAT);
    assert_non_null(strstr(err.text, "needs examples"));
    options.arms_n = 2;
    assert_ok(lcf_snapshot_publish(&published, root, &options, &err), &err);
    assert_ok(lcf_rank_open(&snapshot, root, &err), &err);
    assert_ok(lcf_rank_context_create(&context, snapshot, &err), &err);
    assert_ok(lcf_rank(&response, context, &request, &err), &err);
    assert_string_equal(response.degraded, "no_example_index");
    assert_string_equal(response.results[0].degraded, "no_examples");
    lcf_rank_context_free(context);
    lcf_rank_close(snapshot);
    free(root);
    free(vectors);
    free(din);
    free(ict);
}

/* ---- explanations ---- */

static void explains(void **state)
{
    lcf_rank_request request = {
        .user_id = "u2", .candidates = ALL, .candidates_n = 10, .explain = true};
    lcf_rank_response response = rank(&request);
    size_t texts = 0, empty = 0;

    (void)state;
    for (size_t i = 0; i < 10; i++) {
        const lcf_rank_result *r = &response.results[i];
        assert_int_equal(r->examples_n, 4);
        for (size_t e = 0; e < 4; e++) {
            const lcf_rank_example *x = &r->examples[e];
            assert_int_equal(strlen(x->key), 32);
            assert_int_equal(x->label, e < 2); /* balanced, positives first */
            assert_true(x->similarity >= -1.0f && x->similarity <= 1.0f);
            assert_int_equal(x->user_id[0], 'u');
            assert_int_equal(x->item_id[0], 'i');
            texts += strstr(x->cot, x->label ? "takes" : "leaves") != NULL;
            empty += x->cot[0] == '\0';
        }
    }
    assert_int_equal(texts + empty, 40); /* every second example has a record */
    assert_true(texts > 0 && empty > 0);
    request.explain = false;
    assert_null(rank(&request).results[0].examples);
}

/* The index of the example with that key; every key is of one. */
static uint32_t example_of_key(const char *key)
{
    char hex[33];

    for (uint32_t i = 0; i < g_offline->examples.n; i++) {
        lcf_hash128_hex(hex, g_offline->examples.key[i]);
        if (!strcmp(hex, key))
            return i;
    }
    fail_msg("no example has the key %s", key);
    return 0;
}

/* A result of user u2 as the offline model takes it; ids and similarities have room for four. */
static lcf_ranker_row row_of_result(const lcf_rank_result *r, uint32_t *ids, float *similarities)
{
    const lcf_user_histories *u = &g_offline->users;
    const uint32_t user = lcf_strings_find(&u->user_id, "u2", 2);
    const size_t at = (size_t)user * LCF_HISTORY_MAX;

    for (size_t e = 0; e < 4; e++) {
        ids[e] = e < r->examples_n ? example_of_key(r->examples[e].key) : LCF_EXAMPLE_NONE;
        similarities[e] = e < r->examples_n ? r->examples[e].similarity : 0.0f;
    }
    return (lcf_ranker_row){
        .user = user,
        .item = lcf_strings_find(&g_offline->catalogue.item_id, r->item_id, strlen(r->item_id)),
        .history = u->history + at,
        .history_n = u->history_n[user],
        .history_labels = u->history_label + at,
        .time = INT64_MAX,
        .examples = ids,
        .similarities = similarities};
}

static float offline_row(lcf_tape *tape, size_t arm, const lcf_ranker_row *row)
{
    const lcf_ranker_source source = {.catalogue = &g_offline->catalogue,
                                      .item_vectors = &g_offline->item_vectors,
                                      .examples = &g_offline->examples};
    lcf_err err = LCF_ERR_INIT;
    float score;

    assert_ok(lcf_ranker_score(&score, tape, g_offline->arms[arm].ranker, &source, row, 1, &err),
              &err);
    return score;
}

static void check_explained(lcf_tape *tape, const lcf_rank_result *r, uint32_t k)
{
    const lcf_ranker_source source = {.catalogue = &g_offline->catalogue,
                                      .item_vectors = &g_offline->item_vectors,
                                      .examples = &g_offline->examples};
    uint32_t ids[4];
    float similarities[4], attention[4], sum = 0;
    lcf_ranker_row row = row_of_result(r, ids, similarities);
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(r->examples_n, k);
    assert_true(fabsf(offline_row(tape, 1, &row) - r->score) <= TOLERANCE);
    assert_ok(
        lcf_ranker_attention(attention, tape, g_offline->arms[1].ranker, &source, &row, 1, &err),
        &err);
    for (size_t e = 0; e < r->examples_n; e++) {
        const uint32_t id = ids[e];
        const float without = r->examples[e].score_without;

        assert_true(fabsf(attention[e] - r->examples[e].attention) <= TOLERANCE);
        assert_true(attention[e] > 0.0f);
        sum += attention[e];
        ids[e] = LCF_EXAMPLE_NONE;
        assert_true(fabsf(without - (k == 1 ? r->score_no_examples : offline_row(tape, 1, &row))) <=
                    TOLERANCE);
        ids[e] = id;
    }
    assert_true(sum < 1.0f); /* the rest is for itself */
    row.examples = NULL;
    assert_true(fabsf(offline_row(tape, 0, &row) - r->score_no_examples) <= TOLERANCE);
}

/* What the score would be without an example is what the offline model says of the shorter list. */
static void explains_why(void **state)
{
    lcf_rank_request request = {.user_id = "u2", .candidates = ALL, .candidates_n = 10};
    lcf_rank_response response;
    lcf_tape *tape;
    float scores[10];
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_ok(lcf_tape_create(&tape, &err), &err);
    for (uint32_t k = 1; k <= 4; k += 3) {
        request.k = k;
        response = rank(&request);
        assert_false(response.explained);
        for (size_t i = 0; i < 10; i++)
            scores[i] = response.results[i].score;
        assert_ok(lcf_rank_explain(&response, g_context, &request, &err), &err);
        assert_true(response.explained && response.attends);
        assert_int_equal(
            response.history_n,
            g_offline->users.history_n[lcf_strings_find(&g_offline->users.user_id, "u2", 2)]);
        assert_int_equal(response.history[0].item_id[0], 'i');
        for (size_t i = 0; i < 10; i++) {
            assert_true(response.results[i].score == scores[i]);
            check_explained(tape, &response.results[i], k);
        }
    }
    lcf_tape_free(tape);
    /* Where nothing is read there is nothing to leave out. */
    request.arm = "din";
    request.k = 0;
    assert_ok(lcf_rank_explain(&response, g_context, &request, &err), &err);
    assert_true(response.explained && !response.attends);
    for (size_t i = 0; i < 10; i++)
        assert_true(response.results[i].score_no_examples == response.results[i].score &&
                    !response.results[i].examples);
    request.candidates_n = 0;
    assert_int_equal(lcf_rank_explain(&response, g_context, &request, &err), LCF_EINVAL);
}

/* The first hundred at most, and where time is over what is explained by then. */
static void explains_no_more_than_it_may(void **state)
{
    enum { N = 150 };
    static const char *candidates[N];
    lcf_rank_request request = {.user_id = "u2", .candidates = candidates, .candidates_n = N};
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < N; i++)
        candidates[i] = ALL[i % 10];
    assert_ok(lcf_rank_explain(&response, g_context, &request, &err), &err);
    assert_int_equal(response.results_n, LCF_RANK_EXPLAINED_MAX);
    assert_null(response.degraded);
    request.deadline_s = 1e-9; /* long ago */
    request.top = 30;
    assert_ok(lcf_rank_explain(&response, g_context, &request, &err), &err);
    assert_true(response.explained && response.results_n == 16);
    assert_string_equal(response.degraded, "deadline");
    request.top = 10;
    assert_ok(lcf_rank_explain(&response, g_context, &request, &err), &err);
    assert_int_equal(response.results_n, 10);
    assert_null(response.degraded);
}

static void fewer_examples_on_request(void **state)
{
    lcf_rank_request request = {
        .user_id = "u2", .candidates = ALL, .candidates_n = 10, .k = 2, .explain = true};
    lcf_rank_response response = rank(&request);

    (void)state;
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(response.results[i].examples_n, 2);
        assert_int_equal(response.results[i].examples[0].label, 1);
        assert_int_equal(response.results[i].examples[1].label, 0);
    }
}

static void says_how_long_each_stage_took(void **state)
{
    lcf_rank_request request = {.user_id = "u2", .candidates = ALL, .candidates_n = 10};
    lcf_rank_response response = rank(&request);

    (void)state;
    assert_true(response.retrieve_ms > 0 && response.ict_ms > 0);
    assert_true(response.ict_ms < response.score_ms);
    assert_true(response.retrieve_ms + response.score_ms <= response.total_ms);
    request.arm = "din";
    response = rank(&request);
    assert_true(response.ict_ms == 0 && response.score_ms > 0);
}

/* ---- finding ---- */

static size_t find(lcf_rank_entry *out, lcf_rank_kind kind, const char *text, size_t n_max)
{
    lcf_err err = LCF_ERR_INIT;
    size_t n;

    assert_ok(lcf_rank_find(out, &n, g_context, kind, text, n_max, &err), &err);
    return n;
}

static void finds_users_and_items(void **state)
{
    lcf_rank_entry found[30];
    char title[64];

    (void)state;
    assert_int_equal(find(found, LCF_RANK_USERS, "u1", 30), 4); /* u1, u10, u11, u12 */
    assert_string_equal(found[0].id, "u1");
    assert_true(found[0].history_n > 0);
    assert_int_equal(find(found, LCF_RANK_USERS, "u1", 2), 2);
    assert_int_equal(find(found, LCF_RANK_USERS, "U1", 30), 0); /* ids are exact */
    assert_int_equal(find(found, LCF_RANK_USERS, "", 5), 5);
    assert_string_not_equal(found[4].id, "u5"); /* from all over */
    assert_int_equal(find(found, LCF_RANK_USERS, "", 30), 12);
    assert_int_equal(find(found, LCF_RANK_ITEMS, "i15", 30), 1);
    snprintf(title, sizeof(title), "%s", found[0].title);
    assert_true(strlen(title) > 2);
    for (size_t i = 0; title[i]; i++)
        title[i] = (char)toupper((unsigned char)title[i]);
    assert_true(find(found, LCF_RANK_ITEMS, title + 1, 30) >= 1); /* in any case, anywhere */
    assert_int_equal(find(found, LCF_RANK_ITEMS, "no such title", 30), 0);
}

/* ---- refusals, memory ---- */

static void refusals(void **state)
{
    lcf_rank_request request = {.user_id = "u1", .candidates = ALL, .candidates_n = 0};
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(lcf_rank(&response, g_context, &request, &err), LCF_EINVAL);
    request.candidates_n = LCF_RANK_CANDIDATES_MAX + 1;
    assert_int_equal(lcf_rank(&response, g_context, &request, &err), LCF_EINVAL);
    request.candidates_n = 1;
    request.arm = "other";
    assert_int_equal(lcf_rank(&response, g_context, &request, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "no arm \"other\""));
    request.arm = "din-ict";
    request.k = 5;
    assert_int_equal(lcf_rank(&response, g_context, &request, &err), LCF_EINVAL);
    assert_non_null(strstr(err.text, "4 examples"));
}

static void the_most_candidates(void **state)
{
    static const char *candidates[LCF_RANK_CANDIDATES_MAX];
    lcf_rank_request request = {
        .user_id = "u1", .candidates = candidates, .candidates_n = LCF_RANK_CANDIDATES_MAX};

    (void)state;
    for (size_t i = 0; i < LCF_RANK_CANDIDATES_MAX; i++)
        candidates[i] = ALL[i % 10];
    assert_int_equal(rank(&request).results_n, LCF_RANK_CANDIDATES_MAX);
}

static void out_of_memory(void **state)
{
    lcf_rank_request request = {
        .user_id = "u1", .candidates = ALL, .candidates_n = 10, .explain = true};
    lcf_status status = LCF_ENOMEM;

    (void)state;
    for (uint64_t n = 1; status; n++) {
        lcf_ranker_snapshot *snapshot = NULL;
        lcf_rank_context *context = NULL;
        lcf_rank_response response;
        lcf_err err = LCF_ERR_INIT;

        assert_true(n < 100000);
        lcf_alloc_fail_at(n);
        status = lcf_rank_open(&snapshot, g_root, &err);
        if (!status)
            status = lcf_rank_context_create(&context, snapshot, &err);
        if (!status)
            status = lcf_rank_explain(&response, context, &request, &err);
        lcf_alloc_fail_at(0);
        if (status && status != LCF_ENOMEM)
            fail_msg("allocation %d: %s", (int)n, err.text);
        lcf_rank_context_free(context);
        lcf_rank_close(snapshot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_score_as_offline),
        cmocka_unit_test(company_changes_no_score),
        cmocka_unit_test(order_is_total),
        cmocka_unit_test(top_cuts_the_same_order),
        cmocka_unit_test(unknown_user_and_item),
        cmocka_unit_test(history_of_the_request_counts),
        cmocka_unit_test(the_past_sees_no_later_history),
        cmocka_unit_test(no_example_falls_back),
        cmocka_unit_test(snapshot_without_examples),
        cmocka_unit_test(explains),
        cmocka_unit_test(explains_why),
        cmocka_unit_test(explains_no_more_than_it_may),
        cmocka_unit_test(fewer_examples_on_request),
        cmocka_unit_test(says_how_long_each_stage_took),
        cmocka_unit_test(finds_users_and_items),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_most_candidates),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(every_side_module),
    };

    return cmocka_run_group_tests_name("rank", tests, setup, teardown);
}
