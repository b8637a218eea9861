/*
 * The server's request log (schemas/request_log.md): lines of requests and lines of clicks, joined
 * by request and item.
 *
 * Every position of a request becomes a row whose candidates are those that were not shown above
 * it. The target policy ranks, or draws (Plackett and Luce), by the scores that another ranker gave
 * the same candidates.
 */
#include "offline/eval/ope/read.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/eval/ope/json_lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 100000

typedef struct candidate {
    lcf_str item;
    double score, target_score, propensity;
    uint64_t position;    /* from 1; 0: not shown */
    uint64_t target_rank; /* among those shown, from 1 */
    double clicked;
} candidate;

typedef struct reader {
    lcf_ope_log *log;
    const lcf_ope_scores *target;
    lcf_intern clicks;       /* request and item */
    size_t clicks_matched_n; /* of them, on items that were shown */
    lcf_intern scored;       /* the same, of the target's log */
    double *scores;          /* [scored.n] */
    size_t scores_capacity;
    candidate *candidates;
    lcf_ope_candidate *left;
    size_t candidates_n, candidates_capacity, left_capacity;
    uint32_t *shown; /* [shown_n] candidates by position */
    size_t shown_n, shown_capacity;
    lcf_ope_context context;
    lcf_buf key, anonymous;
} reader;

static lcf_status no_memory(const reader *r, lcf_err *err)
{
    return LCF_FAIL(err, LCF_ENOMEM, "requests of %s", r->log->path);
}

static lcf_str text_at(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) ? (lcf_str){json_string_value(value), json_string_length(value)}
                                 : (lcf_str){"", 0};
}

static double number_at(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool is_kind(const json_t *object, const char *kind)
{
    lcf_str text = text_at(object, "kind");

    return text.len == strlen(kind) && !memcmp(text.data, kind, text.len);
}

/* The key of an item of a request; with the length of the one no other pair has the same. */
static const lcf_buf *key_of(reader *r, lcf_str request, lcf_str item)
{
    lcf_buf_reset(&r->key);
    lcf_buf_printf(&r->key, "%zu ", request.len);
    lcf_buf_append(&r->key, request.data, request.len);
    lcf_buf_append(&r->key, item.data, item.len);
    return &r->key;
}

/* ---- clicks ---- */

static lcf_status add_click(void *arg, uint64_t line, json_t *object, lcf_err *err)
{
    reader *r = arg;
    lcf_str request = text_at(object, "request_id"), item = text_at(object, "item_id");
    const lcf_buf *key;
    uint32_t idx;

    if (is_kind(object, "request"))
        return LCF_OK;
    if (!is_kind(object, "click"))
        return lcf_ope_log_bad_row(r->log, line, "'kind' is neither 'request' nor 'click'", err);
    if (!request.len || !item.len)
        return lcf_ope_log_bad_row(r->log, line, "a click needs 'request_id' and 'item_id'", err);
    key = key_of(r, request, item);
    return key->status || lcf_intern_add(&idx, &r->clicks, key->data, key->len) ? no_memory(r, err)
                                                                                : LCF_OK;
}

/* ---- the target's scores ---- */

static lcf_status add_score(reader *r, uint64_t line, lcf_str request, const json_t *c,
                            lcf_err *err)
{
    lcf_str item = text_at(c, "item_id");
    double score = number_at(c, "score");
    const lcf_buf *key = key_of(r, request, item);
    size_t before = r->scored.n;
    uint32_t idx;

    if (!item.len || isnan(score))
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:%" PRIu64 ": a candidate needs 'item_id' and a finite 'score'",
                        r->target->path, line);
    if (key->status || lcf_intern_add(&idx, &r->scored, key->data, key->len) ||
        lcf_grow((void **)&r->scores, &r->scores_capacity, r->scored.n, sizeof(*r->scores)))
        return no_memory(r, err);
    if (r->scored.n == before)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:%" PRIu64 ": '%.*s' is scored twice in the request",
                        r->target->path, line, (int)(item.len < 64 ? item.len : 64), item.data);
    r->scores[idx] = score;
    return LCF_OK;
}

static lcf_status add_scores(void *arg, uint64_t line, json_t *object, lcf_err *err)
{
    reader *r = arg;
    lcf_str request = text_at(object, "request_id");
    json_t *c;
    size_t i;

    if (!is_kind(object, "request"))
        return LCF_OK;
    json_array_foreach(json_object_get(object, "candidates"), i, c)
    {
        lcf_status status = add_score(r, line, request, c, err);
        if (status)
            return status;
    }
    return LCF_OK;
}

/* The lines of the target's log are not rows: their faults are errors of their own file. */
static lcf_status read_scores(reader *r, lcf_err *err)
{
    const lcf_ope_log_options strict = {false, false};
    lcf_ope_log log;
    lcf_status status;

    if (!r->target->data)
        return LCF_OK;
    status = lcf_ope_log_init(&log, r->target->path, &strict, err);
    if (status)
        return status;
    status = lcf_ope_json_lines(&log, r->target->data, r->target->bytes_n, add_scores, r, err);
    lcf_ope_log_dispose(&log);
    return status;
}

/* ---- requests ---- */

/* NULL, or what is wrong with one candidate. */
static const char *take_candidate(reader *r, lcf_str request, const json_t *object)
{
    candidate *c = &r->candidates[r->candidates_n];
    const json_t *position = json_object_get(object, "position");
    const lcf_buf *key;
    uint32_t idx;

    *c = (candidate){.item = text_at(object, "item_id"),
                     .score = number_at(object, "score"),
                     .target_score = NAN,
                     .propensity = number_at(object, "propensity")};
    if (!c->item.len)
        return "a candidate without 'item_id'";
    if (isnan(c->score))
        return "a candidate without a finite 'score'";
    if (position && !json_is_null(position) &&
        (!json_is_integer(position) || json_integer_value(position) < 1 ||
         json_integer_value(position) > LCF_OPE_POSITIONS_MAX))
        return "a 'position' that is not in 1 to 1000";
    c->position = json_is_integer(position) ? (uint64_t)json_integer_value(position) : 0;
    key = key_of(r, request, c->item);
    if (key->status)
        return "too long ids";
    c->clicked = lcf_intern_find(&r->clicks, key->data, key->len) ? 1 : 0;
    if (!r->target->data)
        return NULL;
    idx = lcf_intern_find(&r->scored, key->data, key->len);
    if (!idx)
        return "a candidate that the target has no score for";
    c->target_score = r->scores[idx];
    return NULL;
}

/* Candidates by position; false when a position is missing or taken twice. */
static bool order_shown(reader *r)
{
    r->shown_n = 0;
    for (size_t i = 0; i < r->candidates_n; i++)
        r->shown_n += r->candidates[i].position > 0;
    for (size_t i = 0; i < r->shown_n; i++)
        r->shown[i] = UINT32_MAX;
    for (size_t i = 0; i < r->candidates_n; i++) {
        uint64_t position = r->candidates[i].position;
        if (!position)
            continue;
        if (position > r->shown_n || r->shown[position - 1] != UINT32_MAX)
            return false;
        r->shown[position - 1] = (uint32_t)i;
    }
    return true;
}

/* The target's order of what was shown; ties keep the logged order. */
static void rank_shown(reader *r)
{
    for (size_t k = 0; k < r->shown_n; k++) {
        candidate *c = &r->candidates[r->shown[k]];
        c->target_rank = 1;
        for (size_t j = 0; j < r->shown_n; j++) {
            double other = r->candidates[r->shown[j]].target_score;
            c->target_rank += other > c->target_score || (other == c->target_score && j < k);
        }
    }
}

/* What the target would do with those left at position k, the k above it being taken. */
static size_t weigh_left(reader *r, size_t k)
{
    double best = -INFINITY, sum = 0, temperature = r->target->temperature;
    size_t n = 0, chosen = 0;

    for (size_t i = 0; i < r->candidates_n; i++) {
        const candidate *c = &r->candidates[i];
        bool certain = r->candidates[r->shown[k]].propensity == 1 && i != r->shown[k];
        if (c->position && c->position <= k)
            continue;
        r->left[n] = (lcf_ope_candidate){c->item, c->target_score, certain ? 0 : NAN, c->score};
        if (c->target_score > best) {
            best = c->target_score;
            chosen = n;
        }
        n++;
    }
    if (!r->target->data)
        return n;
    for (size_t i = 0; i < n; i++) {
        lcf_ope_candidate *c = &r->left[i];
        c->target = temperature > 0 ? exp((c->target - best) / temperature) : i == chosen;
        sum += c->target;
    }
    for (size_t i = 0; i < n; i++)
        r->left[i].target /= sum;
    return n;
}

static lcf_status add_rows(reader *r, lcf_ope_row *row, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t k = 0; k < r->shown_n && !status; k++) {
        const candidate *c = &r->candidates[r->shown[k]];
        size_t left_n = weigh_left(r, k);
        row->action = c->item;
        row->position = k + 1;
        row->propensity = c->propensity;
        row->reward = c->clicked;
        r->clicks_matched_n += c->clicked > 0;
        row->score = c->score;
        if (r->target->data && !(r->target->temperature > 0))
            row->target_position = c->target_rank;
        status = lcf_ope_log_add_set(&row->set, r->log, r->left, left_n, row->line, err);
        if (!status)
            status = lcf_ope_log_add(r->log, row, err);
    }
    return status;
}

static lcf_status grow(reader *r, size_t n)
{
    lcf_status status =
        lcf_grow((void **)&r->candidates, &r->candidates_capacity, n + 1, sizeof(*r->candidates));

    if (!status)
        status = lcf_grow((void **)&r->left, &r->left_capacity, n + 1, sizeof(*r->left));
    if (!status)
        status = lcf_grow((void **)&r->shown, &r->shown_capacity, n + 1, sizeof(*r->shown));
    return status;
}

/* NULL, or why the request cannot be used. */
static const char *take_candidates(reader *r, lcf_str request, const json_t *list)
{
    const char *fault = NULL;
    json_t *c;
    size_t i;

    r->candidates_n = 0;
    json_array_foreach(list, i, c)
    {
        fault = take_candidate(r, request, c);
        if (fault)
            return fault;
        r->candidates_n++;
    }
    if (!order_shown(r))
        return "the positions of what was shown should be 1, 2, 3 ... without gaps, once each";
    return r->shown_n ? NULL : "no candidate was shown";
}

/* Nobody known: a user of this one request. */
static lcf_status name_anonymous(reader *r, lcf_ope_row *row, lcf_err *err)
{
    if (row->user.len)
        return LCF_OK;
    lcf_buf_reset(&r->anonymous);
    lcf_buf_append_text(&r->anonymous, "anonymous in ");
    lcf_buf_append(&r->anonymous, row->request.data, row->request.len);
    row->user = (lcf_str){lcf_buf_text(&r->anonymous), r->anonymous.len};
    return r->anonymous.status ? no_memory(r, err) : LCF_OK;
}

static lcf_status add_request(void *arg, uint64_t line, json_t *object, lcf_err *err)
{
    reader *r = arg;
    lcf_ope_row row = LCF_OPE_ROW_INIT;
    json_t *list = json_object_get(object, "candidates"), *context;
    const char *fault = NULL;
    bool kept = true;
    lcf_status status;

    if (!is_kind(object, "request"))
        return LCF_OK;
    row.line = line;
    row.request = text_at(object, "request_id");
    row.user = text_at(object, "user_id");
    if (!row.request.len)
        fault = "a request needs 'request_id'";
    else if (!json_is_array(list) || !json_array_size(list) ||
             json_array_size(list) > CANDIDATES_MAX)
        fault = "'candidates' is not a list of 1 to 100000 objects";
    if (fault)
        return lcf_ope_log_bad_row(r->log, line, fault, err);
    if (grow(r, json_array_size(list)))
        return no_memory(r, err);
    fault = take_candidates(r, row.request, list);
    if (fault)
        return lcf_ope_log_bad_row(r->log, line, fault, err);
    rank_shown(r);
    status = name_anonymous(r, &row, err);
    if (status)
        return status;
    context = json_object_get(object, "context");
    status = json_is_object(context)
                 ? lcf_ope_context_read(&kept, &r->context, &row, r->log, context, err)
                 : LCF_OK;
    return status || !kept ? status : add_rows(r, &row, err);
}

/* Lines that are no objects are reported when requests are read, not twice. */
static lcf_status read_clicks(reader *r, const char *data, size_t bytes_n, lcf_err *err)
{
    const lcf_ope_log_options lenient = {false, true};
    lcf_ope_log log;
    lcf_status status = lcf_ope_log_init(&log, r->log->path, &lenient, err);

    if (status)
        return status;
    status = lcf_ope_json_lines(&log, data, bytes_n, add_click, r, err);
    lcf_ope_log_dispose(&log);
    return status;
}

lcf_status lcf_ope_read_requests(lcf_ope_log *log, const char *data, size_t bytes_n,
                                 const lcf_ope_scores *target, lcf_err *err)
{
    reader r = {.log = log, .target = target};
    lcf_status status = LCF_OK;

    if (lcf_intern_init(&r.clicks) || lcf_intern_init(&r.scored))
        status = no_memory(&r, err);
    if (!status)
        status = read_scores(&r, err);
    if (!status)
        status = read_clicks(&r, data, bytes_n, err);
    if (!status)
        status = lcf_ope_json_lines(log, data, bytes_n, add_request, &r, err);
    if (!status && r.clicks.n > 1)
        log->lost_clicks_n = r.clicks.n - 1 - r.clicks_matched_n;
    lcf_intern_dispose(&r.clicks);
    lcf_intern_dispose(&r.scored);
    free(r.scores);
    free(r.candidates);
    free(r.left);
    free(r.shown);
    lcf_ope_context_dispose(&r.context);
    lcf_buf_dispose(&r.key);
    lcf_buf_dispose(&r.anonymous);
    return status;
}
