/* What a caller of the library can count on beside scores: deadlines, memory, threads. */
#include "tests/unit/test.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "online/rank/llmcf.h"
#include "tests/unit/rank/world.h"

#include <pthread.h>
#include <stdatomic.h>

static char *g_dir;
static lcf_ranker_snapshot *g_snapshot;
static lcf_rank_context *g_context;

static int setup(void **state)
{
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;
    char *root;

    (void)state;
    g_dir = test_folder();
    root = lcf_path_join(g_dir, "snapshots");
    assert_ok(world_write(g_dir, &options, &err), &err);
    assert_ok(world_publish(&published, g_dir, "one", &err), &err);
    assert_ok(lcf_rank_open(&g_snapshot, root, &err), &err);
    assert_ok(lcf_rank_context_create(&g_context, g_snapshot, &err), &err);
    free(root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lcf_rank_context_free(g_context);
    lcf_rank_close(g_snapshot);
    test_folder_remove(g_dir);
    return 0;
}

static const char *const ALL[] = {"i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "i10"};
static const char *const USERS[] = {"u2", "u5", "nobody", "u12"};

static lcf_rank_response rank(const lcf_rank_request *request)
{
    lcf_rank_response response;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_rank(&response, g_context, request, &err), &err);
    return response;
}

static void rank_all(float scores[10], const lcf_rank_request *request)
{
    const lcf_rank_response response = rank(request);

    for (size_t i = 0; i < response.results_n; i++)
        scores[response.results[i].candidate] = response.results[i].score;
}

/* ---- deadlines ---- */

/* Where there is no time to read examples the backbone answers, and says so; where there is enough
 * nothing changes. */
static void a_deadline_degrades(void **state)
{
    lcf_rank_request request = {
        .user_id = "u2", .candidates = ALL, .candidates_n = 10, .arm = "din"};
    float backbone[10], full[10], unhurried[10];
    lcf_rank_response response;

    (void)state;
    rank_all(backbone, &request);
    request.arm = "din-ict";
    rank_all(full, &request);
    request.deadline_s = lcf_clock_s() - 1.0;
    response = rank(&request);
    assert_int_equal(response.degraded_n, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_string_equal(response.results[i].degraded, "deadline");
        assert_int_equal(response.results[i].examples_n, 0);
        assert_true(response.results[i].score == backbone[response.results[i].candidate]);
    }
    request.deadline_s = lcf_clock_s() + 3600.0;
    assert_int_equal(rank(&request).degraded_n, 0);
    rank_all(unhurried, &request);
    assert_memory_equal(unhurried, full, sizeof(full));
    /* A model without examples is never late. */
    request.arm = "din";
    request.deadline_s = lcf_clock_s() - 1.0;
    assert_int_equal(rank(&request).degraded_n, 0);
}

/* Every candidate has a score; those with examples are the first ones of the request. */
static void check_cut(const lcf_rank_response *response, size_t n)
{
    size_t last_read = 0, first_plain = n;

    assert_int_equal(response->results_n, n);
    for (size_t i = 0; i < n; i++) {
        const lcf_rank_result *r = &response->results[i];

        assert_true(r->score > 0.0f && r->score < 1.0f);
        assert_true((r->degraded != NULL) == (r->examples_n == 0));
        if (r->degraded && r->candidate < first_plain)
            first_plain = r->candidate;
        if (!r->degraded && r->candidate > last_read)
            last_read = r->candidate;
    }
    assert_int_equal(response->degraded_n, n - first_plain);
    assert_true(response->degraded_n == n || last_read < first_plain);
}

/* As deadlines come nearer fewer candidates are read with examples, at last none. */
static void nearer_deadlines_read_less(void **state)
{
    enum { N = 960 };
    static const char *candidates[N];
    lcf_rank_request request = {.user_id = "u2", .candidates = candidates, .candidates_n = N};
    lcf_rank_response response;

    (void)state;
    for (size_t i = 0; i < N; i++)
        candidates[i] = ALL[i % 10];
    for (double ms = 64; ms > 0.001; ms /= 1.3) {
        request.deadline_s = lcf_clock_s() + 1e-3 * ms;
        response = rank(&request);
        check_cut(&response, N);
    }
    assert_int_equal(response.degraded_n, N);
}

/* ---- memory ---- */

/* The first request after this one that takes memory fails: none does, whoever asks. */
static void nothing_is_allocated_after_warm_up(void **state)
{
    static const char *const arms[] = {"din", "din-ict"};

    (void)state;
    for (size_t arm = 0; arm < 2; arm++) {
        lcf_rank_request request = {
            .user_id = "u1", .candidates = ALL, .candidates_n = 10, .arm = arms[arm]};

        rank(&request);
        lcf_alloc_fail_at(1);
        for (size_t i = 0; i < 4; i++) {
            request.user_id = USERS[i];
            request.candidates_n = 10 - i;
            rank(&request);
        }
        lcf_alloc_fail_at(0);
    }
}

/* Calls of malloc and its kin by this program and every library below it. A sanitizer wants them
 * for itself. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static _Atomic size_t g_calls;

void *malloc(size_t n)
{
    g_calls++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    g_calls++;
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t n)
{
    g_calls++;
    return __libc_realloc(old, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    g_calls++;
    return __libc_memalign(alignment, n);
}

static void no_library_allocates_after_warm_up(void **state)
{
    lcf_rank_request request = {.user_id = "u1", .candidates = ALL, .candidates_n = 10};
    size_t before = g_calls;

    (void)state;
    free(lcf_alloc(1, 1));
    assert_int_equal(g_calls, before + 1); /* it does count */
    for (size_t arm = 0; arm < 2; arm++) {
        request.arm = arm ? "din-ict" : "din";
        rank(&request);
        before = g_calls;
        for (size_t i = 0; i < 40; i++) {
            request.user_id = USERS[i % 4];
            rank(&request);
        }
        assert_int_equal(g_calls, before);
    }
}

#endif

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 12 };

typedef struct asker {
    pthread_t thread;
    size_t first;             /* user to begin with */
    float scores[ROUNDS][10]; /* by candidate */
    float without[ROUNDS][10];
} asker;

static void ask_round(asker *a, lcf_rank_context *c, size_t round)
{
    char user[16];
    lcf_rank_request request = {.user_id = user, .candidates = ALL, .candidates_n = 10};
    lcf_rank_response response;

    snprintf(user, sizeof(user), "u%d", 1 + (int)((a->first + round) % 12));
    if (round % 3 == 2 ? lcf_rank_explain(&response, c, &request, NULL)
                       : lcf_rank(&response, c, &request, NULL))
        abort();
    for (size_t i = 0; i < response.results_n; i++) {
        const lcf_rank_result *r = &response.results[i];

        a->scores[round][r->candidate] = r->score;
        a->without[round][r->candidate] = r->score_no_examples;
    }
}

static void *ask_all(void *arg)
{
    lcf_rank_context *c;

    if (lcf_rank_context_create(&c, g_snapshot, NULL))
        abort();
    for (size_t round = 0; round < ROUNDS; round++)
        ask_round(arg, c, round);
    lcf_rank_context_free(c);
    return NULL;
}

/* Threads with contexts of their own get the bits that one alone gets. */
static void threads_share_a_snapshot(void **state)
{
    static asker askers[THREADS], alone[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        askers[i].first = alone[i].first = 5 * i;
    for (size_t i = 0; i < THREADS; i++) /* first of all: nobody has warmed anything up */
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_all, &askers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(askers[i].thread, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        ask_all(&alone[i]);
        assert_memory_equal(askers[i].scores, alone[i].scores, sizeof(alone[i].scores));
        assert_memory_equal(askers[i].without, alone[i].without, sizeof(alone[i].without));
    }
    assert_true(alone[0].scores[0][0] > 0.0f && alone[0].without[2][0] > 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_snapshot),
        cmocka_unit_test(a_deadline_degrades),
        cmocka_unit_test(nearer_deadlines_read_less),
        cmocka_unit_test(nothing_is_allocated_after_warm_up),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(no_library_allocates_after_warm_up),
#endif
    };

    return cmocka_run_group_tests_name("limits", tests, setup, teardown);
}
