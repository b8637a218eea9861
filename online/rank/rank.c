/*
 * Ranking: request -> indices -> examples -> scores -> order. The same rows, the same retrieval and
 * the same model as offline; this file only decides what to do where something is missing.
 */
#include "online/rank/described.h"
#include "online/rank/rank_internal.h"

#include "common/base/pool.h"
#include "common/base/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the time until a request's deadline: when looking for examples ends, and when reading them
 * does; the rest is for the backbone and the answer. */
#define RETRIEVE_SHARE 0.4
#define ICT_SHARE 0.75
#define DEADLINE_BLOCK 48 /* candidates between two looks at the clock */
#define TITLES_AHEAD 6
#define ARENA_BLOCK_BYTES ((size_t)256 << 10)

_Static_assert(sizeof(((lcf_rank_info *)0)->arms) / sizeof(char *) == LCF_ARMS_MAX,
               "lcf_rank_info names every arm");

static bool reads_examples(const lcf_ranker *ranker)
{
    return lcf_ranker_side_needs(lcf_ranker_config_of(ranker)->side) & LCF_RANKER_EXAMPLES;
}

lcf_status lcf_rank_open(lcf_ranker_snapshot **out, const char *path, lcf_err *err)
{
    lcf_ranker_snapshot *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "snapshot handle");
    status = lcf_snapshot_open(&s->data, path, err);
    if (status)
        goto done;
    status = rank_item_index_init(&s->items, &s->data->catalogue.item_id);
    if (status) {
        LCF_FAIL(err, status, "index of %u items", s->data->catalogue.items_n);
        goto done;
    }
    s->backbone_arm = RANK_NO_ARM;
    for (size_t i = s->data->arms_n; i-- > 0;)
        if (!reads_examples(s->data->arms[i].ranker))
            s->backbone_arm = i;
    *out = s;
    s = NULL;
done:
    lcf_rank_close(s);
    return status;
}

void lcf_rank_close(lcf_ranker_snapshot *s)
{
    if (!s)
        return;
    rank_item_index_dispose(&s->items);
    lcf_snapshot_close(s->data);
    free(s);
}

void lcf_rank_info_of(lcf_rank_info *out, const lcf_ranker_snapshot *s)
{
    const lcf_snapshot *d = s->data;

    memset(out, 0, sizeof(*out));
    out->generation = d->generation;
    out->id = d->id;
    out->users_n = d->users.users_n - 1;
    out->items_n = d->catalogue.items_n - 1;
    out->examples_n = d->has_examples ? d->examples.n : 0;
    out->arms_n = d->arms_n;
    for (size_t i = 0; i < d->arms_n; i++)
        out->arms[i] = d->arms[i].name;
    out->default_arm = d->arms[d->default_arm].name;
}

static bool context_alloc(lcf_rank_context *c, size_t text_dim)
{
    const size_t n = LCF_RANK_CANDIDATES_MAX, k = LCF_EXAMPLES_K_MAX;

    c->history_vec = lcf_alloc(text_dim, sizeof(*c->history_vec));
    c->item = lcf_alloc(n, sizeof(*c->item));
    c->queries = lcf_alloc(n, sizeof(*c->queries));
    c->examples = lcf_alloc(n * k, sizeof(*c->examples));
    c->similarities = lcf_alloc(n * k, sizeof(*c->similarities));
    c->degraded = lcf_alloc(n, sizeof(*c->degraded));
    c->plain = lcf_alloc(n, sizeof(*c->plain));
    c->rows = lcf_alloc(n, sizeof(*c->rows));
    c->row_candidate = lcf_alloc(n, sizeof(*c->row_candidate));
    c->row_score = lcf_alloc(n, sizeof(*c->row_score));
    c->places = lcf_alloc(n, sizeof(*c->places));
    c->places_room = lcf_alloc(n, sizeof(*c->places_room));
    return c->history_vec && c->item && c->queries && c->examples && c->similarities &&
           c->degraded && c->plain && c->rows && c->row_candidate && c->row_score && c->places &&
           c->places_room;
}

lcf_status lcf_rank_context_create(lcf_rank_context **out, const lcf_ranker_snapshot *s,
                                   lcf_err *err)
{
    lcf_rank_context *c = lcf_alloc_zero(1, sizeof(*c));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!c)
        return LCF_FAIL(err, LCF_ENOMEM, "ranking context");
    c->snapshot = s;
    if (!context_alloc(c, s->data->item_vectors.dim) || lcf_moment_init(&c->moment, s->data))
        status = LCF_FAIL(err, LCF_ENOMEM, "ranking context");
    if (!status)
        status = lcf_tape_create(&c->tape, err);
    if (!status && lcf_arena_create(&c->arena, ARENA_BLOCK_BYTES))
        status = LCF_FAIL(err, LCF_ENOMEM, "ranking context");
    if (!status && s->data->has_text_encoder)
        status = lcf_features_init(&c->features, s->data->text_encoder.bits, err);
    if (!status && s->data->has_neighbours)
        status = lcf_neighbours_scratch_create(&c->neighbours, &s->data->neighbours,
                                               &s->data->examples, LCF_RANK_CANDIDATES_MAX, err);
    if (!status) {
        *out = c;
        c = NULL;
    }
    lcf_rank_context_free(c);
    return status;
}

void lcf_rank_context_free(lcf_rank_context *c)
{
    if (!c)
        return;
    lcf_tape_free(c->tape);
    lcf_arena_free(c->arena);
    lcf_neighbours_scratch_free(c->neighbours);
    free(c->history_vec);
    free(c->item);
    free(c->queries);
    free(c->examples);
    free(c->similarities);
    free(c->degraded);
    free(c->plain);
    free(c->rows);
    free(c->row_candidate);
    free(c->row_score);
    free(c->places);
    free(c->places_room);
    lcf_moment_dispose(&c->moment);
    lcf_features_dispose(&c->features);
    lcf_buf_dispose(&c->text);
    free(c);
}

/* ---- request -> indices ---- */

/* The moment by which that share of the request's time is over; 0: never. */
static double share_of_time(const rank_job *j, double share)
{
    const double deadline_s = j->request->deadline_s;

    return deadline_s == 0.0 ? 0.0 : j->start_s + share * fmax(deadline_s - j->start_s, 0.0);
}

static lcf_status resolve_arm(rank_job *j, lcf_err *err)
{
    const lcf_rank_request *r = j->request;
    const lcf_ranker_config *config;

    j->arm = j->data->default_arm;
    if (r->arm) {
        for (j->arm = 0; j->arm < j->data->arms_n; j->arm++)
            if (!strcmp(j->data->arms[j->arm].name, r->arm))
                break;
        if (j->arm == j->data->arms_n)
            return LCF_FAIL(err, LCF_EINVAL, "this snapshot has no arm \"%s\"", r->arm);
    }
    config = lcf_ranker_config_of(j->data->arms[j->arm].ranker);
    j->k = reads_examples(j->data->arms[j->arm].ranker) ? config->k : 0;
    if (j->k && r->k > config->k)
        return LCF_FAIL(err, LCF_EINVAL, "k is %u; arm \"%s\" was trained with %u examples", r->k,
                        j->data->arms[j->arm].name, config->k);
    return LCF_OK;
}

/* The snapshot's history of the user, up to the moment of the request. */
static void history_of_snapshot(rank_job *j)
{
    lcf_rank_context *c = j->c;
    const lcf_user_histories *u = &j->data->users;
    const size_t at = (size_t)j->user * LCF_HISTORY_MAX;
    const int64_t before = j->request->time;
    uint32_t n = u->history_n[j->user];

    while (before && n && (!u->history_time || u->history_time[at + n - 1] >= before))
        n--;
    memcpy(c->history, u->history + at, n * sizeof(*c->history));
    c->history_n = n;
    c->history_labels = u->history_label ? u->history_label + at : NULL;
}

/* The latest known items of the request's own history. */
static void history_of_request(rank_job *j)
{
    lcf_rank_context *c = j->c;
    const lcf_rank_request *r = j->request;
    uint32_t n = 0;

    for (size_t i = r->history_n; i-- > 0 && n < LCF_HISTORY_MAX;) {
        uint32_t item = rank_item_index_find(&c->snapshot->items, r->history[i]);
        if (item)
            c->history[n++] = item;
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        uint32_t late = c->history[i];
        c->history[i] = c->history[n - 1 - i];
        c->history[n - 1 - i] = late;
    }
    c->history_n = n;
    c->history_labels = NULL;
}

static void resolve_history(rank_job *j)
{
    lcf_rank_context *c = j->c;

    if (j->request->history)
        history_of_request(j);
    else
        history_of_snapshot(j);
    lcf_embeddings_mean(c->history_vec, &j->data->item_vectors, c->history, c->history_n);
}

static lcf_status resolve(rank_job *j, lcf_err *err)
{
    lcf_rank_context *c = j->c;
    const lcf_rank_request *r = j->request;
    lcf_status status;

    if (r->candidates_n < 1 || r->candidates_n > LCF_RANK_CANDIDATES_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu candidates; 1 to %d are allowed", r->candidates_n,
                        LCF_RANK_CANDIDATES_MAX);
    if (r->items_n > LCF_RANK_CANDIDATES_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu items are described; at most %d are allowed",
                        r->items_n, LCF_RANK_CANDIDATES_MAX);
    if (r->time < 0)
        return LCF_FAIL(err, LCF_EINVAL, "time must not be negative");
    status = resolve_arm(j, err);
    if (!status)
        status = lcf_moment_take(&c->moment, r, err);
    if (status)
        return status;
    j->user = r->user_id && *r->user_id
                  ? lcf_strings_find(&j->data->users.user_id, r->user_id, strlen(r->user_id))
                  : 0;
    resolve_history(j);
    rank_item_index_find_all(c->item, &c->snapshot->items, r->candidates, r->candidates_n);
    for (size_t i = 0; i < r->candidates_n; i++)
        c->degraded[i] = c->item[i] ? NULL : "unknown_item";
    return lcf_rank_describe(j, share_of_time(j, RETRIEVE_SHARE), err);
}

/* ---- indices -> examples ---- */

/* Rows of `wanted` ids become rows of `k`, the rest empty: a request may ask for fewer examples
 * than the model takes. Backwards, since rows only move up. similarities may be NULL. */
static void widen_rows(uint32_t *ids, float *similarities, size_t n, uint32_t wanted, uint32_t k)
{
    if (wanted == k)
        return;
    for (size_t i = n; i-- > 0;)
        for (uint32_t e = k; e-- > 0;) {
            bool kept = e < wanted;
            ids[i * k + e] = kept ? ids[i * wanted + e] : LCF_EXAMPLE_NONE;
            if (similarities)
                similarities[i * k + e] = kept ? similarities[i * wanted + e] : 0.0f;
        }
}

/* Whether somebody asks how similar the examples are; which they are costs less to know. */
static bool wants_similarities(const rank_job *j)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(j->data->arms[j->arm].ranker);

    return j->request->explain || c->order == LCF_ORDER_SIMILARITY ||
           lcf_ranker_side_needs(c->side) & LCF_RANKER_SIMILARITIES;
}

static lcf_example_query query_of(const rank_job *j, uint32_t item)
{
    const lcf_embeddings *vectors = &j->data->item_vectors;
    const uint32_t items_n = j->data->catalogue.items_n;

    return (lcf_example_query){
        .user = j->user,
        .time = j->request->time ? j->request->time : INT64_MAX,
        .history_vec = j->c->history_vec, /* one pointer for all: its part is computed once */
        .target_vec = item < items_n ? vectors->vectors + (size_t)item * vectors->dim
                                     : j->described[item - items_n].text_vec};
}

static lcf_status search_listed(rank_job *j, const uint32_t *items, float *similarities,
                                const lcf_example_options *options, lcf_err *err)
{
    lcf_rank_context *c = j->c;

    return lcf_neighbours_search(c->examples, similarities, c->neighbours, &j->data->neighbours,
                                 &j->data->examples, items, c->queries, j->request->candidates_n,
                                 options, err);
}

/* Beside items that have lists of neighbours, those that are described: they have none, and go
 * through all examples. For the lists they are unknown items meanwhile. */
static lcf_status search_mixed(rank_job *j, float *similarities, const lcf_example_options *options,
                               lcf_err *err)
{
    lcf_rank_context *c = j->c;
    const size_t n = j->request->candidates_n, k = options->k;
    uint32_t *items = lcf_arena_alloc(c->arena, n, sizeof(*items));
    uint32_t *at = lcf_arena_alloc(c->arena, n, sizeof(*at));
    uint32_t *ids = lcf_arena_alloc(c->arena, n * k, sizeof(*ids));
    float *scores = lcf_arena_alloc(c->arena, n * k, sizeof(*scores));
    size_t described_n = 0;
    lcf_status status;

    if (!items || !at || !ids || !scores)
        return LCF_FAIL(err, LCF_ENOMEM, "examples of items that are described");
    for (size_t i = 0; i < n; i++) {
        const bool described = lcf_rank_is_described(j, i);

        items[i] = described ? 0 : c->item[i];
        if (described)
            at[described_n++] = (uint32_t)i;
        c->queries[i] = query_of(j, items[i]);
    }
    status = search_listed(j, items, similarities, options, err);
    for (size_t i = 0; i < described_n; i++)
        c->queries[i] = query_of(j, c->item[at[i]]);
    if (!status)
        status = lcf_examples_search(ids, scores, &j->data->examples, c->queries, described_n,
                                     options, err);
    for (size_t i = 0; i < described_n && !status; i++) {
        memcpy(c->examples + at[i] * k, ids + i * k, k * sizeof(*ids));
        if (similarities)
            memcpy(similarities + at[i] * k, scores + i * k, k * sizeof(*scores));
    }
    return status;
}

static lcf_status search(rank_job *j, float *similarities, const lcf_example_options *options,
                         lcf_err *err)
{
    lcf_rank_context *c = j->c;

    if (!c->neighbours)
        return lcf_examples_search(c->examples, similarities, &j->data->examples, c->queries,
                                   j->request->candidates_n, options, err);
    return j->described_n ? search_mixed(j, similarities, options, err)
                          : search_listed(j, c->item, similarities, options, err);
}

static lcf_status retrieve(rank_job *j, lcf_err *err)
{
    lcf_rank_context *c = j->c;
    const lcf_rank_request *r = j->request;
    float *similarities = wants_similarities(j) ? c->similarities : NULL;
    lcf_example_options options =
        lcf_ranker_retrieval(lcf_ranker_config_of(j->data->arms[j->arm].ranker));
    lcf_status status;

    if (!j->k || !j->data->has_examples)
        return LCF_OK;
    for (size_t i = 0; i < r->candidates_n; i++)
        c->queries[i] = query_of(j, c->item[i]);
    options.k = r->k ? r->k : j->k;
    options.deadline_s = share_of_time(j, RETRIEVE_SHARE);
    if (r->strict)
        options.mode = LCF_RETRIEVE_STRICT;
    status = search(j, similarities, &options, err);
    if (status)
        return status;
    widen_rows(c->examples, similarities, r->candidates_n, options.k, j->k);
    j->retrieved = true;
    j->similarities = similarities;
    return LCF_OK;
}

static size_t examples_of(const rank_job *j, size_t candidate)
{
    size_t n = 0;

    for (uint32_t e = 0; j->retrieved && e < j->k; e++)
        n += j->c->examples[candidate * j->k + e] != LCF_EXAMPLE_NONE;
    return n;
}

/* ---- examples -> scores ---- */

lcf_ranker_source lcf_rank_source(rank_job *j)
{
    const lcf_snapshot *d = j->data;

    return (lcf_ranker_source){.catalogue = &d->catalogue,
                               .item_vectors = &d->item_vectors,
                               .examples = d->has_examples ? &d->examples : NULL,
                               .described = j->described,
                               .described_n = j->described_n,
                               .knowledge = d->has_knowledge ? &d->knowledge : NULL,
                               .fields = j->c->moment.fields,
                               .side_s = &j->side_s};
}

lcf_ranker_row lcf_rank_row(const rank_job *j, size_t candidate)
{
    const lcf_rank_context *c = j->c;

    return (lcf_ranker_row){.user = j->user,
                            .item = c->item[candidate],
                            .history = c->history,
                            .history_n = c->history_n,
                            .history_labels = c->history_labels,
                            .time = j->request->time ? j->request->time : INT64_MAX,
                            .context = 1};
}

/* Scores candidates [first, end) with one model, those that are (or are not) plain, and that are
 * (or are not) described: these would make the others of their block slow. */
static lcf_status score_some(rank_job *j, size_t arm, bool plain, bool described, size_t first,
                             size_t end, lcf_err *err)
{
    lcf_rank_context *c = j->c;
    lcf_ranker *ranker = j->data->arms[arm].ranker;
    const lcf_ranker_source source = lcf_rank_source(j);
    size_t n = 0;
    lcf_status status;

    for (size_t i = first; i < end; i++) {
        if (c->plain[i] != plain || lcf_rank_is_described(j, i) != described)
            continue;
        c->rows[n] = lcf_rank_row(j, i);
        if (!plain && j->retrieved) {
            c->rows[n].examples = c->examples + i * j->k;
            c->rows[n].similarities = j->similarities ? j->similarities + i * j->k : NULL;
        }
        c->row_candidate[n++] = (uint32_t)i;
    }
    if (n == 0)
        return LCF_OK;
    status = lcf_ranker_score(c->row_score, c->tape, ranker, &source, c->rows, n, err);
    for (size_t i = 0; !status && i < n; i++)
        c->places[c->row_candidate[i]].score = isfinite(c->row_score[i]) ? c->row_score[i] : 0.0f;
    return status;
}

static lcf_status score_rows(rank_job *j, size_t arm, bool plain, size_t first, size_t end,
                             lcf_err *err)
{
    lcf_status status = score_some(j, arm, plain, false, first, end, err);

    return status || !j->described_n ? status : score_some(j, arm, plain, true, first, end, err);
}

/* Opening refused snapshots whose arm has neither examples nor another one beside it. With examples
 * but no other arm it scores rows of no example: it was trained for them too. */
size_t lcf_rank_fallback_arm(const rank_job *j)
{
    const size_t backbone = j->c->snapshot->backbone_arm;

    return backbone == RANK_NO_ARM ? j->arm : backbone;
}

static bool is_past(double moment_s)
{
    return moment_s != 0.0 && lcf_clock_s() > moment_s;
}

/* Candidates from `first` on that are not yet: the backbone answers for them. */
static void make_plain(rank_job *j, size_t first, const char *reason)
{
    for (size_t i = first; i < j->request->candidates_n; i++)
        if (!j->c->plain[i]) {
            j->c->plain[i] = true;
            j->c->degraded[i] = reason;
        }
}

/* The candidates with examples, as many as there is time for. */
static lcf_status score_read(rank_job *j, lcf_err *err)
{
    const size_t n = j->request->candidates_n;
    const double until_s = j->k ? share_of_time(j, ICT_SHARE) : 0.0;
    const size_t block = until_s == 0.0 ? n : DEADLINE_BLOCK;
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < n && !status; at += block) {
        if (is_past(until_s)) {
            make_plain(j, at, "deadline");
            break;
        }
        status = score_rows(j, j->arm, false, at, n - at < block ? n : at + block, err);
    }
    return status;
}

static lcf_status score(rank_job *j, lcf_err *err)
{
    const size_t n = j->request->candidates_n;
    const bool late = is_past(share_of_time(j, RETRIEVE_SHARE));
    lcf_status status;

    for (size_t i = 0; i < n; i++) {
        j->c->places[i] = (rank_place){0.0f, (uint32_t)i};
        j->c->plain[i] = j->k && examples_of(j, i) == 0;
        if (j->c->plain[i])
            j->c->degraded[i] = late && j->data->has_examples ? "deadline" : "no_examples";
    }
    status = score_read(j, err);
    return status ? status : score_rows(j, lcf_rank_fallback_arm(j), true, 0, n, err);
}

/* ---- scores -> response ---- */

static size_t digit_of(rank_place p, unsigned shift)
{
    uint32_t bits;

    memcpy(&bits, &p.score, sizeof(bits));
    return bits >> shift & 255;
}

/* By falling score, the lower index first among equals: places stand by index, and every pass is
 * stable. A score is not negative, so its bits are in its order. */
static void sort_places(rank_place *p, rank_place *room, size_t n)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        size_t at[256] = {0}, sum = 0;

        for (size_t i = 0; i < n; i++)
            at[digit_of(p[i], shift)]++;
        for (size_t digit = 256; digit-- > 0;) {
            const size_t count = at[digit];

            at[digit] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            room[at[digit_of(p[i], shift)]++] = p[i];
        memcpy(p, room, n * sizeof(*p));
    }
}

const char *lcf_rank_copy_text(lcf_arena *arena, const char *text, size_t len)
{
    char *copy = lcf_arena_alloc(arena, len + 1, 1);

    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

const char *lcf_rank_copy_string(lcf_arena *arena, const lcf_strings *strings, size_t idx)
{
    lcf_str s = lcf_strings_get(strings, idx);

    return lcf_rank_copy_text(arena, s.data, s.len);
}

/* The title of a candidate: of the catalogue, or as the request describes it. */
static const char *title_of(const rank_job *j, size_t candidate)
{
    const uint32_t item = j->c->item[candidate], items_n = j->data->catalogue.items_n;
    const char *title;

    if (item < items_n)
        return lcf_rank_copy_string(j->c->arena, &j->data->catalogue.title, item);
    title = j->described_as[item - items_n]->title;
    return title ? lcf_rank_copy_text(j->c->arena, title, strlen(title)) : "";
}

/* Asks the memory for the titles of places that come soon: where they stand, and then what stands
 * there. They lie anywhere among all. */
static void fetch_titles(const rank_job *j, size_t i, size_t n)
{
    const lcf_strings *titles = &j->data->catalogue.title;
    const uint32_t items_n = j->data->catalogue.items_n;

    for (size_t step = 1; step <= 2; step++) {
        const size_t at = i + step * TITLES_AHEAD;
        const uint32_t item = at < n ? j->c->item[j->c->places[at].candidate] : items_n;

        if (item >= items_n)
            continue;
        lcf_fetch(titles->offsets + item, 2 * sizeof(*titles->offsets));
        if (step == 1)
            lcf_fetch(titles->chars + titles->offsets[item],
                      titles->offsets[item + 1] - titles->offsets[item]);
    }
}

static lcf_status fill_result(lcf_rank_result *result, rank_job *j, rank_place p, lcf_err *err)
{
    const char *id = j->request->candidates[p.candidate];
    lcf_arena *arena = j->c->arena;

    result->candidate = p.candidate;
    result->item_id = lcf_rank_copy_text(arena, id, strlen(id));
    result->title = title_of(j, p.candidate);
    if (!result->item_id || !result->title)
        return LCF_FAIL(err, LCF_ENOMEM, "response");
    result->score = p.score;
    result->described = lcf_rank_is_described(j, p.candidate);
    result->degraded = j->c->degraded[p.candidate];
    result->examples_n = j->c->plain[p.candidate] ? 0 : examples_of(j, p.candidate);
    return j->request->explain && result->examples_n ? lcf_rank_list_examples(result, j, err)
                                                     : LCF_OK;
}

static lcf_status respond(lcf_rank_response *out, rank_job *j, lcf_err *err)
{
    const lcf_rank_request *r = j->request;
    size_t n = r->top && r->top < r->candidates_n ? r->top : r->candidates_n;
    lcf_rank_result *results = lcf_arena_alloc_zero(j->c->arena, n, sizeof(*results));
    lcf_status status = results ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "response");

    sort_places(j->c->places, j->c->places_room, r->candidates_n);
    for (size_t i = 0; !status && i < n; i++) {
        fetch_titles(j, i, n);
        status = fill_result(&results[i], j, j->c->places[i], err);
    }
    if (status)
        return status;
    for (size_t i = 0; i < r->candidates_n; i++)
        out->degraded_n += j->c->degraded[i] != NULL;
    if (j->k && !j->data->has_examples)
        out->degraded = "no_example_index";
    else if (r->user_id && *r->user_id && !j->user)
        out->degraded = "unknown_user";
    out->generation = j->data->generation;
    out->arm = j->data->arms[j->arm].name;
    out->results = results;
    out->results_n = n;
    return LCF_OK;
}

lcf_status lcf_rank_run(lcf_rank_response *out, rank_job *j, lcf_err *err)
{
    double retrieve_s, score_s;
    lcf_status status;

    j->start_s = lcf_clock_s();
    memset(out, 0, sizeof(*out));
    lcf_flush_denormals();
    lcf_arena_reset(j->c->arena);
    status = resolve(j, err);
    if (!status)
        status = retrieve(j, err);
    retrieve_s = lcf_clock_s();
    if (!status)
        status = score(j, err);
    score_s = lcf_clock_s();
    if (!status)
        status = respond(out, j, err);
    out->retrieve_ms = (retrieve_s - j->start_s) * 1e3;
    out->ict_ms = j->side_s * 1e3;
    out->score_ms = (score_s - retrieve_s) * 1e3;
    out->total_ms = (lcf_clock_s() - j->start_s) * 1e3;
    return status;
}

lcf_status lcf_rank(lcf_rank_response *out, lcf_rank_context *c, const lcf_rank_request *request,
                    lcf_err *err)
{
    rank_job j = {.c = c, .request = request, .data = c->snapshot->data};

    return lcf_rank_run(out, &j, err);
}
