/* The replay of one line at a time. */
#include "online/replay/replay.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/nn/tape.h"
#include "common/snapshot/snapshot.h"
#include "online/rank/llmcf.h"
#include "online/rank/moment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX LCF_RANK_CANDIDATES_MAX
#define HISTORY_MAX 10000
#define VALUES_MAX 64

/* A request as it was logged. The texts are the JSON's. */
typedef struct logged {
    const char *id, *generation;
    lcf_rank_request request;
    float scores[SHOWN_MAX];
    bool late[SHOWN_MAX];      /* there was no time to read examples */
    bool described[SHOWN_MAX]; /* scored by what the request said of it, which the log does not keep
                                */
    const char *candidates[SHOWN_MAX], *history[HISTORY_MAX];
    lcf_rank_value context[VALUES_MAX], user_features[VALUES_MAX];
} logged;

struct lcf_replay {
    lcf_replay_options options;
    lcf_replay_counts counts;
    lcf_ranker_snapshot *online;
    lcf_rank_context *context;
    lcf_snapshot *offline;
    lcf_moment moment;
    lcf_tape *tape;
    float *history_vec;
    uint32_t ids[SHOWN_MAX][LCF_EXAMPLES_K_MAX];
    float similarities[SHOWN_MAX][LCF_EXAMPLES_K_MAX];
    logged line;
};

lcf_status lcf_replay_open(lcf_replay **out, const char *snapshot,
                           const lcf_replay_options *options, lcf_err *err)
{
    lcf_replay *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_status status;

    *out = NULL;
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "replay");
    r->options = *options;
    status = lcf_rank_open(&r->online, snapshot, err);
    if (!status)
        status = lcf_rank_context_create(&r->context, r->online, err);
    if (!status)
        status = lcf_snapshot_open(&r->offline, snapshot, err);
    if (!status)
        status = lcf_tape_create(&r->tape, err);
    if (status)
        goto done;
    for (size_t i = 0; i < r->offline->arms_n; i++)
        lcf_ranker_thaw(r->offline->arms[i].ranker);
    r->history_vec = lcf_alloc(r->offline->item_vectors.dim, sizeof(*r->history_vec));
    if (!r->history_vec || lcf_moment_init(&r->moment, r->offline)) {
        status = LCF_FAIL(err, LCF_ENOMEM, "replay");
        goto done;
    }
    *out = r;
    r = NULL;
done:
    lcf_replay_close(r);
    return status;
}

void lcf_replay_close(lcf_replay *r)
{
    if (!r)
        return;
    lcf_moment_dispose(&r->moment);
    free(r->history_vec);
    lcf_tape_free(r->tape);
    lcf_snapshot_close(r->offline);
    lcf_rank_context_free(r->context);
    lcf_rank_close(r->online);
    free(r);
}

const char *lcf_replay_generation(const lcf_replay *r)
{
    return r->offline->generation;
}

const lcf_replay_counts *lcf_replay_counts_of(const lcf_replay *r)
{
    return &r->counts;
}

/* ---- a line ---- */

static lcf_status read_texts(const char **out, size_t *out_n, const json_t *list, const char *key,
                             size_t n_max, lcf_err *err)
{
    size_t i;
    json_t *value;

    if (!json_is_array(list) || json_array_size(list) > n_max)
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' is no list of up to %zu", key, n_max);
    json_array_foreach(list, i, value)
    {
        out[i] = json_string_value(value);
        if (!out[i])
            return LCF_FAIL(err, LCF_EFORMAT, "'%s'[%zu] is no text", key, i);
    }
    *out_n = json_array_size(list);
    return LCF_OK;
}

static lcf_status read_candidates(logged *l, const json_t *list, lcf_err *err)
{
    size_t i;
    json_t *value;

    if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > SHOWN_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "'candidates' is no list of 1 to %d", SHOWN_MAX);
    json_array_foreach(list, i, value)
    {
        const json_t *score = json_object_get(value, "score");
        const char *degraded = json_string_value(json_object_get(value, "degraded"));

        l->candidates[i] = json_string_value(json_object_get(value, "item_id"));
        if (!l->candidates[i] || !json_is_number(score))
            return LCF_FAIL(err, LCF_EFORMAT, "'candidates'[%zu] lacks item_id or score", i);
        l->scores[i] = (float)json_number_value(score);
        l->late[i] = degraded && !strcmp(degraded, "deadline");
        l->described[i] = json_is_true(json_object_get(value, "described"));
    }
    l->request.candidates = l->candidates;
    l->request.candidates_n = json_array_size(list);
    return LCF_OK;
}

/* The texts of an object that may be missing. */
static lcf_status read_values(lcf_rank_value *out, size_t *n, const json_t *json, const char *key,
                              lcf_err *err)
{
    json_t *object = json_object_get(json, key), *value;
    const char *name;

    if (object && !json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' is no object", key);
    if (json_object_size(object) > VALUES_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "'%s' has more than %d members", key, VALUES_MAX);
    json_object_foreach(object, name, value)
    {
        if (!json_is_string(value))
            return LCF_FAIL(err, LCF_EFORMAT, "'%s'.'%s' is no text", key, name);
        out[(*n)++] = (lcf_rank_value){name, json_string_value(value)};
    }
    return LCF_OK;
}

static lcf_status read_logged(logged *l, const json_t *json, lcf_err *err)
{
    const json_t *history = json_object_get(json, "history");
    lcf_rank_request *q = &l->request;
    lcf_status status;

    *q = (lcf_rank_request){.user_id = json_string_value(json_object_get(json, "user_id")),
                            .arm = json_string_value(json_object_get(json, "arm")),
                            .time = json_integer_value(json_object_get(json, "asked_time")),
                            .strict = json_is_true(json_object_get(json, "strict")),
                            .k = (uint32_t)json_integer_value(json_object_get(json, "k"))};
    status = lcf_json_str(&l->id, json, "request_id", err);
    if (!status)
        status = lcf_json_str(&l->generation, json, "generation", err);
    if (!status && !q->arm)
        status = LCF_FAIL(err, LCF_EFORMAT, "'arm' is missing");
    if (!status)
        status = read_candidates(l, json_object_get(json, "candidates"), err);
    if (!status && history) {
        status = read_texts(l->history, &q->history_n, history, "history", HISTORY_MAX, err);
        q->history = l->history;
    }
    q->context = l->context;
    q->user_features = l->user_features;
    if (!status)
        status = read_values(l->context, &q->context_n, json, "context", err);
    if (!status)
        status = read_values(l->user_features, &q->user_features_n, json, "user_features", err);
    return status;
}

/* ---- the offline path ---- */

/* One request, resolved. */
typedef struct asked {
    lcf_ranker *ranker, *fallback; /* of the arm, and of rows without examples */
    bool reads;                    /* the arm reads examples, and there are some */
    uint32_t history[LCF_HISTORY_MAX];
    lcf_ranker_row row; /* what all candidates share */
    lcf_example_options retrieval;
} asked;

static uint32_t find(const lcf_strings *strings, const char *id)
{
    return id && *id ? lcf_strings_find(strings, id, strlen(id)) : 0;
}

static bool reads_examples(const lcf_ranker *ranker)
{
    return lcf_ranker_side_needs(lcf_ranker_config_of(ranker)->side) & LCF_RANKER_EXAMPLES;
}

static lcf_status find_arms(asked *a, const lcf_snapshot *s, const char *name, lcf_err *err)
{
    for (size_t i = s->arms_n; i-- > 0;) {
        lcf_ranker *ranker = s->arms[i].ranker;

        if (!strcmp(s->arms[i].name, name))
            a->ranker = ranker;
        if (!reads_examples(ranker))
            a->fallback = ranker; /* the first of them */
    }
    if (!a->ranker)
        return LCF_FAIL(err, LCF_EINVAL, "the snapshot has no arm \"%s\"", name);
    if (!a->fallback || !reads_examples(a->ranker))
        a->fallback = a->ranker;
    a->reads = reads_examples(a->ranker) && s->has_examples;
    return LCF_OK;
}

/* The latest known items before the moment, oldest first. */
static void take_history(asked *a, const lcf_snapshot *s, const lcf_rank_request *q)
{
    const lcf_user_histories *u = &s->users;
    const size_t at = (size_t)a->row.user * LCF_HISTORY_MAX;
    const size_t n = q->history ? q->history_n : u->history_n[a->row.user];
    uint32_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        const uint32_t item =
            q->history ? find(&s->catalogue.item_id, q->history[i]) : u->history[at + i];
        const bool later =
            !q->history && q->time && (!u->history_time || u->history_time[at + i] >= q->time);

        if (later || (q->history && !item))
            continue;
        if (kept == LCF_HISTORY_MAX)
            memmove(a->history, a->history + 1, --kept * sizeof(*a->history));
        a->history[kept++] = item;
    }
    a->row.history = a->history;
    a->row.history_n = kept;
    a->row.history_labels = !q->history && u->history_label ? u->history_label + at : NULL;
}

static lcf_status resolve(asked *a, lcf_replay *r, const lcf_rank_request *q, lcf_err *err)
{
    const lcf_snapshot *s = r->offline;
    lcf_status status = find_arms(a, s, q->arm, err);

    if (!status)
        status = lcf_moment_take(&r->moment, q, err);
    if (status)
        return status;
    a->row.user = find(&s->users.user_id, q->user_id);
    a->row.time = q->time ? q->time : INT64_MAX;
    a->row.context = 1;
    take_history(a, s, q);
    lcf_embeddings_mean(r->history_vec, &s->item_vectors, a->history, a->row.history_n);
    a->retrieval = lcf_ranker_retrieval(lcf_ranker_config_of(a->ranker));
    if (a->reads && q->k > a->retrieval.k) /* who reads none is asked with any k */
        return LCF_FAIL(err, LCF_EFORMAT, "'k' is more than the arm reads");
    if (q->k)
        a->retrieval.k = q->k;
    if (q->strict)
        a->retrieval.mode = LCF_RETRIEVE_STRICT;
    return LCF_OK;
}

/* The examples of one candidate, the rest of its row empty; returns whether there are any. */
static bool find_examples(lcf_replay *r, const asked *a, uint32_t item, size_t at, lcf_err *err)
{
    const lcf_embeddings *vectors = &r->offline->item_vectors;
    const lcf_example_query q = {.user = a->row.user,
                                 .time = a->row.time,
                                 .history_vec = r->history_vec,
                                 .target_vec = vectors->vectors + (size_t)item * vectors->dim};

    memset(r->ids[at], 0xff, sizeof(r->ids[at])); /* LCF_EXAMPLE_NONE */
    memset(r->similarities[at], 0, sizeof(r->similarities[at]));
    if (lcf_examples_search_exact(r->ids[at], r->similarities[at], &r->offline->examples, &q, 1,
                                  &a->retrieval, err))
        return false;
    for (size_t i = 0; i < a->retrieval.k; i++)
        if (r->ids[at][i] != LCF_EXAMPLE_NONE)
            return true;
    return false;
}

static lcf_status score_one(float *score, lcf_replay *r, const asked *a, size_t at, lcf_err *err)
{
    const lcf_snapshot *s = r->offline;
    const lcf_ranker_source source = {.catalogue = &s->catalogue,
                                      .item_vectors = &s->item_vectors,
                                      .examples = s->has_examples ? &s->examples : NULL,
                                      .knowledge = s->has_knowledge ? &s->knowledge : NULL,
                                      .fields = r->moment.fields};
    lcf_ranker_row row = a->row;
    bool found;

    row.item = find(&s->catalogue.item_id, r->line.candidates[at]);
    found = a->reads && !r->line.late[at] && find_examples(r, a, row.item, at, err);
    if (found) {
        row.examples = r->ids[at];
        row.similarities = r->similarities[at];
    }
    return lcf_ranker_score(score, r->tape, found ? a->ranker : a->fallback, &source, &row, 1, err);
}

static void note(lcf_replay *r, size_t at, float offline)
{
    const double difference = fabs((double)offline - (double)r->line.scores[at]);

    r->counts.compared++;
    r->counts.skewed += !(difference <= r->options.tolerance);
    if (difference > r->counts.largest || isnan(difference)) {
        r->counts.largest = difference;
        snprintf(r->counts.worst, sizeof(r->counts.worst), "%.40s, %.64s: %.9g, offline %.9g",
                 r->line.id, r->line.candidates[at], (double)r->line.scores[at], (double)offline);
    }
}

static lcf_status compare(lcf_replay *r, lcf_err *err)
{
    const lcf_rank_request *q = &r->line.request;
    asked a = {.reads = false};
    lcf_status status = resolve(&a, r, q, err);

    for (size_t i = 0; i < q->candidates_n && !status; i++) {
        float score;

        if (r->counts.candidates++ % r->options.every || r->line.described[i])
            continue;
        status = score_one(&score, r, &a, i, err);
        if (!status)
            note(r, i, score);
    }
    return status;
}

/* ---- the server's way, once more ---- */

static lcf_status rerank(lcf_replay *r, lcf_err *err)
{
    lcf_rank_response response;
    lcf_status status = lcf_rank(&response, r->context, &r->line.request, err);

    for (size_t i = 0; !status && i < response.results_n; i++) {
        const size_t at = response.results[i].candidate;

        if (r->line.late[at] || r->line.described[at])
            continue;
        r->counts.reranked++;
        r->counts.same_bits += response.results[i].score == r->line.scores[at];
    }
    return status;
}

lcf_status lcf_replay_line(lcf_replay *r, const char *line, size_t n, const char *source,
                           lcf_err *err)
{
    json_t *json = NULL;
    const char *kind;
    lcf_status status = lcf_json_parse(&json, line, n, source, err);

    if (status)
        return status;
    kind = json_string_value(json_object_get(json, "kind"));
    if (!kind || strcmp(kind, "request"))
        goto done;
    status = read_logged(&r->line, json, err);
    if (status)
        goto done;
    if (strcmp(r->line.generation, r->offline->generation)) {
        r->counts.other_generations++;
        goto done;
    }
    r->counts.requests++;
    status = compare(r, err);
    if (!status)
        status = rerank(r, err);
done:
    if (status)
        lcf_err_prefix(err, "%s", source);
    json_decref(json);
    return status;
}
