/*
 * Explanations: the examples behind a score, and what the score would be without them.
 *
 * Invariant: a score "without" is what the ranker itself gives to the same row with one example
 * fewer, by the same rule: a row that has none left goes to the arm that answers then.
 */
#include "online/rank/rank_internal.h"

#include "common/base/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16 /* results between two looks at the clock */

/* "" where the store lacks the record or cannot read it: an explanation is never worth an error. */
static const char *cot_text(rank_job *j, lcf_hash128 key)
{
    lcf_cot_record *record = NULL;
    const char *text = "";

    if (j->data->cots && !lcf_cot_store_get(&record, j->data->cots, key, NULL))
        text = lcf_rank_copy_text(j->c->arena, record->text, strlen(record->text));
    free(record);
    return text;
}

static bool describe(lcf_rank_example *e, rank_job *j, uint32_t id)
{
    const lcf_examples *all = &j->data->examples;
    lcf_arena *arena = j->c->arena;

    lcf_hash128_hex(e->key, all->key[id]);
    e->user_id = lcf_rank_copy_string(arena, &j->data->users.user_id, all->user[id]);
    e->item_id = lcf_rank_copy_string(arena, &j->data->catalogue.item_id, all->item[id]);
    e->title = lcf_rank_copy_string(arena, &j->data->catalogue.title, all->item[id]);
    e->cot = cot_text(j, all->key[id]);
    e->label = all->label[id];
    return e->user_id && e->item_id && e->title && e->cot;
}

lcf_status lcf_rank_list_examples(lcf_rank_result *result, rank_job *j, lcf_err *err)
{
    const size_t at = result->candidate * j->k;
    lcf_rank_example *list = lcf_arena_alloc_zero(j->c->arena, result->examples_n, sizeof(*list));
    size_t n = 0;

    for (uint32_t i = 0; list && i < j->k; i++) {
        if (j->c->examples[at + i] == LCF_EXAMPLE_NONE)
            continue;
        list[n].similarity = j->c->similarities[at + i];
        if (!describe(&list[n++], j, j->c->examples[at + i]))
            list = NULL;
    }
    if (!list)
        return LCF_FAIL(err, LCF_ENOMEM, "explanation");
    result->examples = list;
    return LCF_OK;
}

/* What the models read of the user. */
static lcf_status list_history(lcf_rank_response *out, rank_job *j, lcf_err *err)
{
    const lcf_rank_context *c = j->c;
    lcf_rank_event *list = lcf_arena_alloc_zero(c->arena, c->history_n + 1, sizeof(*list));

    for (uint32_t i = 0; list && i < c->history_n; i++) {
        const lcf_catalogue *all = &j->data->catalogue;

        list[i].item_id = lcf_rank_copy_string(c->arena, &all->item_id, c->history[i]);
        list[i].title = lcf_rank_copy_string(c->arena, &all->title, c->history[i]);
        list[i].label = c->history_labels ? (int)c->history_labels[i] - 1 : -1;
        if (!list[i].item_id || !list[i].title)
            list = NULL;
    }
    if (!list)
        return LCF_FAIL(err, LCF_ENOMEM, "history of the explanation");
    out->history = list;
    out->history_n = c->history_n;
    return LCF_OK;
}

/* ---- what if ---- */

/* Rows that are asked about, beside those that were. */
typedef struct questions {
    rank_job *j;
    lcf_rank_result *results;
    size_t results_n, rows_n;
    lcf_ranker_row *rows; /* [rows_n] by result: each with one example fewer */
    float *scores;        /* [rows_n, at least results_n] */
    float *attention;     /* [results_n, k] */
} questions;

static bool questions_alloc(questions *q)
{
    lcf_arena *arena = q->j->c->arena;
    size_t rows;

    for (size_t i = 0; i < q->results_n; i++)
        q->rows_n += q->results[i].examples_n;
    rows = q->rows_n > q->results_n ? q->rows_n : q->results_n;
    q->rows = lcf_arena_alloc_zero(arena, rows, sizeof(*q->rows));
    q->scores = lcf_arena_alloc_zero(arena, rows, sizeof(*q->scores));
    q->attention = lcf_arena_alloc_zero(arena, q->results_n * (q->j->k + 1), sizeof(float));
    return q->rows && q->scores && q->attention;
}

/* The examples of a result, mutable: they are ours, in the arena. */
static lcf_rank_example *examples_of(const lcf_rank_result *r)
{
    return (lcf_rank_example *)r->examples;
}

static lcf_status score(questions *q, size_t arm, size_t n, lcf_err *err)
{
    const lcf_ranker_source source = lcf_rank_source(q->j);

    if (!n)
        return LCF_OK;
    return lcf_ranker_score(q->scores, q->j->c->tape, q->j->data->arms[arm].ranker, &source,
                            q->rows, n, err);
}

/* Every candidate as if nothing had been found for it. */
static lcf_status without_all(questions *q, lcf_err *err)
{
    lcf_status status;

    for (size_t i = 0; i < q->results_n; i++)
        q->rows[i] = lcf_rank_row(q->j, q->results[i].candidate);
    status = score(q, lcf_rank_fallback_arm(q->j), q->results_n, err);
    for (size_t i = 0; !status && i < q->results_n; i++)
        q->results[i].score_no_examples = isfinite(q->scores[i]) ? q->scores[i] : 0.0f;
    return status;
}

static lcf_ranker_row row_of(const questions *q, size_t result)
{
    const size_t candidate = q->results[result].candidate;
    lcf_ranker_row row = lcf_rank_row(q->j, candidate);

    row.examples = q->j->c->examples + candidate * q->j->k;
    row.similarities = q->j->c->similarities + candidate * q->j->k;
    return row;
}

/* The rows of a result with one example fewer each; false when out of memory. */
static bool leave_one_out(questions *q, size_t at, size_t result)
{
    const uint32_t k = q->j->k;
    const lcf_ranker_row row = row_of(q, result);

    for (uint32_t i = 0; i < k; i++) {
        uint32_t *ids;

        if (row.examples[i] == LCF_EXAMPLE_NONE)
            continue;
        ids = lcf_arena_alloc(q->j->c->arena, k, sizeof(*ids));
        if (!ids)
            return false;
        memcpy(ids, row.examples, k * sizeof(*ids));
        ids[i] = LCF_EXAMPLE_NONE;
        q->rows[at] = row;
        q->rows[at++].examples = ids;
    }
    return true;
}

static lcf_status without_each(questions *q, lcf_err *err)
{
    size_t at = 0;
    lcf_status status;

    for (size_t i = 0; i < q->results_n; at += q->results[i++].examples_n)
        if (q->results[i].examples_n && !leave_one_out(q, at, i))
            return LCF_FAIL(err, LCF_ENOMEM, "explanation");
    status = score(q, q->j->arm, q->rows_n, err);
    at = 0;
    for (size_t i = 0; !status && i < q->results_n; i++) {
        lcf_rank_result *r = &q->results[i];

        for (size_t e = 0; e < r->examples_n; e++, at++)
            examples_of(r)[e].score_without =
                r->examples_n == 1 ? r->score_no_examples
                                   : (isfinite(q->scores[at]) ? q->scores[at] : 0.0f);
    }
    return status;
}

static lcf_status attend(questions *q, lcf_err *err)
{
    const lcf_ranker_source source = lcf_rank_source(q->j);
    const uint32_t k = q->j->k;
    lcf_status status;

    for (size_t i = 0; i < q->results_n; i++) {
        q->rows[i] = lcf_rank_row(q->j, q->results[i].candidate);
        if (q->results[i].examples_n)
            q->rows[i] = row_of(q, i);
    }
    status = lcf_ranker_attention(q->attention, q->j->c->tape, q->j->data->arms[q->j->arm].ranker,
                                  &source, q->rows, q->results_n, err);
    for (size_t i = 0; !status && i < q->results_n; i++) {
        const uint32_t *ids = q->j->c->examples + q->results[i].candidate * k;
        size_t n = 0;

        for (uint32_t e = 0; q->results[i].examples_n && e < k; e++)
            if (ids[e] != LCF_EXAMPLE_NONE)
                examples_of(&q->results[i])[n++].attention = q->attention[i * k + e];
    }
    return status;
}

static lcf_status explain_block(questions *q, lcf_err *err)
{
    const rank_job *j = q->j;
    lcf_status status;

    if (!questions_alloc(q))
        return LCF_FAIL(err, LCF_ENOMEM, "explanation");
    status = without_all(q, err);
    if (!status && j->retrieved)
        status = without_each(q, err);
    if (!status && j->retrieved && lcf_ranker_attends(j->data->arms[j->arm].ranker))
        status = attend(q, err);
    return status;
}

/* As many results as there is time for, one block at least. */
static lcf_status explain_all(lcf_rank_response *out, rank_job *j, lcf_err *err)
{
    const double deadline_s = j->request->deadline_s;
    const size_t n = out->results_n;
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < n && !status; at += BLOCK) {
        questions q = {.j = j,
                       .results = (lcf_rank_result *)out->results + at, /* ours, in the arena */
                       .results_n = n - at < BLOCK ? n - at : BLOCK};

        if (at && deadline_s != 0.0 && lcf_clock_s() > deadline_s) {
            out->results_n = at;
            out->degraded = out->degraded ? out->degraded : "deadline";
            break;
        }
        status = explain_block(&q, err);
    }
    return status;
}

lcf_status lcf_rank_explain(lcf_rank_response *out, lcf_rank_context *c,
                            const lcf_rank_request *request, lcf_err *err)
{
    lcf_rank_request asked = *request;
    rank_job j = {.c = c, .request = &asked, .data = c->snapshot->data};
    const double start_s = lcf_clock_s();
    lcf_status status;

    asked.explain = true;
    if (!asked.top || asked.top > LCF_RANK_EXPLAINED_MAX)
        asked.top = LCF_RANK_EXPLAINED_MAX;
    status = lcf_rank_run(out, &j, err);
    if (!status)
        status = list_history(out, &j, err);
    if (!status)
        status = explain_all(out, &j, err);
    if (status)
        return status;
    out->attends = j.retrieved && lcf_ranker_attends(j.data->arms[j.arm].ranker);
    out->explained = true;
    out->total_ms = (lcf_clock_s() - start_s) * 1e3;
    return LCF_OK;
}
