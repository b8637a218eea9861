/*
 * Continuous batching of candidates; see the header. Row r has the sequence r * (width + 1) for its
 * prompt, followed by one for each text under way: `width` candidates, or the texts of a search.
 *
 * Invariants: `reserved` pages of the cache are enough for all that is under way to run to its end;
 * the prompt of a kept row stays readable after the row is done, until its place or its pages are
 * wanted.
 */
#include "offline/recgen/decode.h"

#include "common/base/mem.h"
#include "common/base/team.h"

#include <stdlib.h>
#include <string.h>

enum { PREFILL_BATCH = 256 }; /* prompt tokens of one step, beside those that decode */
enum { SHARED_MIN = 8 };      /* tokens: less is not worth a copy of a page */

typedef struct candidate {
    lcf_candidate result;
    lcf_rng rng;
    uint32_t next; /* the token to feed */
    bool active;
} candidate;

typedef enum row_state {
    ROW_FREE,
    ROW_READING, /* its prompt */
    ROW_DECODING,
    ROW_KEPT, /* done: its prompt can be shared */
} row_state;

typedef struct row {
    lcf_decoder_row row;
    row_state state;
    size_t read;           /* tokens of the prompt that are in the cache */
    size_t left;           /* candidates that have not ended */
    size_t pages;          /* reserved */
    candidate *candidates; /* [width] texts under way; of a search: those that are open */
    uint32_t *seqs;        /* [width] their sequences */
    lcf_beams *beams;      /* NULL: no search */
} row;

typedef struct draw { /* one candidate's next token, or one step of a search, from these logits */
    row *of;
    size_t candidate;
    const float *logits;
    uint32_t id;
    float logprob;
    lcf_status status; /* of the step */
} draw;

struct lcf_decoder {
    const lcf_llama *model;
    lcf_decoder_options o;
    lcf_decoding how; /* o.decoding */
    size_t width;     /* texts of a row that are under way */
    size_t prompt_max, rows_n, batch_max, pages_n, reserved;
    lcf_llama_session *session;
    lcf_sampler **samplers; /* [threads] */
    size_t samplers_n;
    lcf_llama_token *batch; /* [batch_max] */
    row **wanted;           /* [batch_max] whose logits come back, */
    size_t *wanted_of;      /* [batch_max] and of which candidate: `width` for the prompt */
    draw *draws;            /* [rows_n * width] */
    row *rows;              /* [rows_n] */
    row *kept;              /* NULL or the row whose state is ROW_KEPT */
    lcf_decoder_row coming; /* taken from the source, waiting for room */
    bool has_coming, exhausted;
    lcf_candidate *results; /* [candidates_n] scratch for `done` */
    lcf_buf text;           /* scratch */
    lcf_decoder_stats stats;
};

/* ---- life cycle ---- */

static size_t pages_of(size_t tokens)
{
    return (tokens + LCF_LLAMA_PAGE - 1) / LCF_LLAMA_PAGE;
}

/* Pages that a row can come to need: the prompt's, and each candidate's beyond the shared ones. */
static size_t pages_of_row(const lcf_decoder *d, size_t prompt_n)
{
    size_t own = pages_of(prompt_n + d->how.tokens_max) - prompt_n / LCF_LLAMA_PAGE;

    return pages_of(prompt_n) + d->width * own;
}

/* The most that a prompt of up to prompt_max tokens needs. Not always the longest one's: of a
 * shorter one's last page each candidate has a copy. A whole page more is one page more. */
static size_t pages_at_most(const lcf_decoder *d, size_t prompt_max)
{
    size_t most = 0;

    for (size_t n = prompt_max; n > 0 && prompt_max - n < LCF_LLAMA_PAGE; n--)
        most = pages_of_row(d, n) > most ? pages_of_row(d, n) : most;
    return most;
}

static lcf_status open_session(lcf_decoder *d, lcf_err *err)
{
    size_t n = d->width;
    size_t page = lcf_llama_page_bytes(d->model, true), rows = (d->o.slots + n - 1) / n;
    lcf_status status;
    lcf_llama_session_options options = {
        .seqs_max = d->rows_n * (n + 1),
        .batch_max = d->batch_max,
        .threads = d->o.threads,
        .kv_f16 = true,
    };

    d->pages_n = rows * pages_at_most(d, d->prompt_max);
    if (d->o.kv_bytes_max && d->o.kv_bytes_max / page < d->pages_n)
        d->pages_n = d->o.kv_bytes_max / page;
    while (d->prompt_max && pages_at_most(d, d->prompt_max) > d->pages_n)
        d->prompt_max--;
    if (!d->prompt_max)
        return LCF_FAIL(err, LCF_EINVAL,
                        "a KV cache of %zu bytes has no room for %zu texts of %zu tokens: a "
                        "page of %d takes %zu bytes",
                        d->o.kv_bytes_max, n, d->how.tokens_max, LCF_LLAMA_PAGE, page);
    options.context_n = d->prompt_max + d->how.tokens_max;
    options.kv_bytes_max = d->pages_n * page;
    status = lcf_llama_session_open(&d->session, d->model, &options, err);
    if (!status)
        lcf_llama_session_soft(d->session, &d->o.soft);
    return status;
}

static lcf_status open_samplers(lcf_decoder *d, lcf_err *err)
{
    size_t n = lcf_team_threads(lcf_llama_session_team(d->session));
    lcf_status status = LCF_OK;

    d->samplers = lcf_alloc_zero(n, sizeof(*d->samplers));
    if (!d->samplers)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu samplers", n);
    d->samplers_n = n;
    for (size_t i = 0; i < n && !status; i++)
        status = lcf_sampler_create(&d->samplers[i], d->model->config.vocab_n, err);
    return status;
}

static uint32_t prompt_seq(const lcf_decoder *d, const row *r)
{
    return (uint32_t)((size_t)(r - d->rows) * (d->width + 1));
}

static lcf_status allocate_row(lcf_decoder *d, row *r, lcf_err *err)
{
    const lcf_beam_options search = {d->how.beams_n, d->how.tokens_max, 1.0f, d->how.sampling,
                                     d->how.stops};

    r->candidates = lcf_alloc_zero(d->width, sizeof(*r->candidates));
    r->seqs = lcf_alloc(d->width, sizeof(*r->seqs));
    if (!r->candidates || !r->seqs)
        return LCF_FAIL(err, LCF_ENOMEM, "decoder of %zu rows", d->rows_n);
    for (size_t c = 0; c < d->width; c++)
        r->seqs[c] = prompt_seq(d, r) + 1 + (uint32_t)c;
    return d->how.beams_n ? lcf_beams_create(&r->beams, &search, d->model->tokenizer, err) : LCF_OK;
}

static lcf_status allocate(lcf_decoder *d, lcf_err *err)
{
    lcf_status status = LCF_OK;

    d->batch = lcf_alloc(d->batch_max, sizeof(*d->batch));
    d->wanted = lcf_alloc(d->batch_max, sizeof(*d->wanted));
    d->wanted_of = lcf_alloc(d->batch_max, sizeof(*d->wanted_of));
    d->draws = lcf_alloc(d->rows_n * d->width, sizeof(*d->draws));
    d->results = lcf_alloc(d->how.candidates_n, sizeof(*d->results));
    d->rows = lcf_alloc_zero(d->rows_n, sizeof(*d->rows));
    if (!d->batch || !d->wanted || !d->wanted_of || !d->draws || !d->results || !d->rows)
        return LCF_FAIL(err, LCF_ENOMEM, "decoder of %zu rows", d->rows_n);
    for (size_t r = 0; r < d->rows_n && !status; r++)
        status = allocate_row(d, &d->rows[r], err);
    return status;
}

lcf_status lcf_decoder_create(lcf_decoder **out, const lcf_llama *model,
                              const lcf_decoder_options *options, lcf_err *err)
{
    const lcf_decoding *how = &options->decoding;
    size_t context = model->config.context_n;
    lcf_decoder *d = NULL;
    lcf_status status;

    *out = NULL;
    if (!how->candidates_n || !how->tokens_max || how->tokens_max + 8 > context)
        return LCF_FAIL(err, LCF_EINVAL, "%zu new tokens for a model with a context of %zu",
                        how->tokens_max, context);
    if (how->beams_n && how->beams_n < how->candidates_n)
        return LCF_FAIL(err, LCF_EINVAL, "%zu candidates of a search with %zu beams",
                        how->candidates_n, how->beams_n);
    d = lcf_alloc_zero(1, sizeof(*d));
    if (!d)
        return LCF_FAIL(err, LCF_ENOMEM, "decoder");
    d->model = model;
    d->o = *options;
    d->how = *how;
    d->width = how->beams_n ? how->beams_n : how->candidates_n;
    d->o.slots = options->slots ? options->slots : LCF_DECODER_SLOTS;
    d->o.slots = d->o.slots < d->width ? d->width : d->o.slots;
    d->prompt_max = context - how->tokens_max;
    d->rows_n = d->o.slots + 1; /* each has a candidate under way; one is kept */
    d->batch_max = d->o.slots + PREFILL_BATCH;
    status = allocate(d, err);
    if (!status)
        status = open_session(d, err);
    if (!status)
        status = open_samplers(d, err);
    if (status) {
        lcf_decoder_free(d);
        return status;
    }
    *out = d;
    return LCF_OK;
}

void lcf_decoder_free(lcf_decoder *d)
{
    if (!d)
        return;
    for (size_t r = 0; d->rows && r < d->rows_n; r++) {
        lcf_tokens_dispose(&d->rows[r].row.prompt);
        for (size_t c = 0; d->rows[r].candidates && c < d->width; c++)
            lcf_tokens_dispose(&d->rows[r].candidates[c].result.tokens);
        free(d->rows[r].candidates);
        free(d->rows[r].seqs);
        lcf_beams_free(d->rows[r].beams);
    }
    for (size_t i = 0; i < d->samplers_n; i++)
        lcf_sampler_free(d->samplers[i]);
    free(d->samplers);
    lcf_llama_session_free(d->session);
    lcf_tokens_dispose(&d->coming.prompt);
    lcf_buf_dispose(&d->text);
    free(d->batch);
    free(d->wanted);
    free(d->wanted_of);
    free(d->draws);
    free(d->results);
    free(d->rows);
    free(d);
}

size_t lcf_decoder_prompt_max(const lcf_decoder *d)
{
    return d->prompt_max;
}

size_t lcf_decoder_rows_max(const lcf_decoder *d)
{
    return d->rows_n;
}

const lcf_decoder_stats *lcf_decoder_stats_of(const lcf_decoder *d)
{
    return &d->stats;
}

/* ---- rows ---- */

static void release(lcf_decoder *d, row *r)
{
    for (size_t i = 0; i <= d->width; i++)
        lcf_llama_seq_reset(d->session, prompt_seq(d, r) + (uint32_t)i);
    d->reserved -= r->pages;
    r->pages = 0;
    r->state = ROW_FREE;
    if (d->kept == r)
        d->kept = NULL;
}

/* A row that is done stays as the one kept; the one kept before goes. */
static void keep(lcf_decoder *d, row *r)
{
    size_t pages = pages_of(r->row.prompt.n);

    if (d->kept)
        release(d, d->kept);
    d->reserved -= r->pages - pages;
    r->pages = pages;
    r->state = ROW_KEPT;
    d->kept = r;
}

static size_t common_beginning(const lcf_tokens *a, const lcf_tokens *b)
{
    size_t n = a->n < b->n ? a->n : b->n, at = 0;

    while (at < n && a->ids[at] == b->ids[at])
        at++;
    return at;
}

/*
 * The row that has read the longest beginning of the coming prompt, and how long that is; the last
 * token is always computed, since its logits are wanted. *later: a row that is still reading will
 * have a longer one.
 */
static row *find_shared(size_t *len, bool *later, lcf_decoder *d)
{
    size_t promised = 0;
    row *best = NULL;

    *len = 0;
    for (size_t i = 0; i < d->rows_n; i++) {
        row *r = &d->rows[i];
        size_t n = r->state == ROW_FREE ? 0 : common_beginning(&r->row.prompt, &d->coming.prompt);
        n = n < d->coming.prompt.n ? n : d->coming.prompt.n - 1;
        promised = n > promised ? n : promised;
        n = n < r->read ? n : r->read;
        if (n > *len) {
            *len = n;
            best = r;
        }
    }
    *later = promised >= *len + SHARED_MIN;
    return best;
}

static lcf_status take_coming(lcf_decoder *d, const lcf_decoder_source *source, lcf_err *err)
{
    bool any = false;
    lcf_status status;

    if (d->has_coming || d->exhausted)
        return LCF_OK;
    d->coming.prompt.n = 0;
    status = source->next(source->arg, &d->coming, &any, err);
    if (status)
        return status;
    d->exhausted = !any;
    d->has_coming = any;
    if (any && (!d->coming.prompt.n || d->coming.prompt.n > d->prompt_max))
        return LCF_FAIL(err, LCF_EINVAL, "prompt of %zu tokens, room for %zu", d->coming.prompt.n,
                        d->prompt_max);
    return LCF_OK;
}

/* The coming row takes a free place, and what another has read. */
static void place(lcf_decoder *d, row *shared, size_t len)
{
    row *r = d->rows;
    lcf_tokens used;
    uint64_t seed = 0;

    while (r->state != ROW_FREE)
        r++;
    used = r->row.prompt; /* the two exchange their room for tokens */
    r->row = d->coming;
    d->coming.prompt = used;
    d->has_coming = false;
    r->state = ROW_READING;
    r->left = d->width;
    r->pages = pages_of_row(d, r->row.prompt.n);
    r->read = 0;
    d->reserved += r->pages;
    if (len >= SHARED_MIN &&
        lcf_llama_seq_copy(d->session, prompt_seq(d, r), prompt_seq(d, shared), len))
        r->read = len;
    for (size_t i = 0; i < 8; i++)
        seed = seed << 8 | r->row.key.bytes[i];
    for (size_t c = 0; c < d->width; c++) {
        candidate *one = &r->candidates[c];
        one->active = false;
        one->result.tokens.n = 0;
        one->result.finished = false;
        one->result.logprob = 0;
        lcf_rng_seed(&one->rng, seed, c);
    }
}

/* Candidates that are under way or will be. */
static size_t slots_used(const lcf_decoder *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->rows_n; i++)
        if (d->rows[i].state == ROW_READING || d->rows[i].state == ROW_DECODING)
            n += d->rows[i].left;
    return n;
}

/* Takes rows from the source as long as there is room for them. */
static lcf_status admit(lcf_decoder *d, const lcf_decoder_source *source, lcf_err *err)
{
    lcf_status status = LCF_OK;

    while (!status && slots_used(d) + d->width <= d->o.slots) {
        size_t len, pages;
        bool later;
        row *shared;
        status = take_coming(d, source, err);
        if (status || !d->has_coming)
            break;
        pages = pages_of_row(d, d->coming.prompt.n);
        if (d->reserved + pages > d->pages_n && d->kept)
            release(d, d->kept);
        if (d->reserved + pages > d->pages_n)
            break;
        shared = find_shared(&len, &later, d);
        if (later)
            break;
        place(d, shared, len);
    }
    return status;
}

/* ---- steps ---- */

static void want(lcf_decoder *d, size_t *wanted_n, row *r, size_t of)
{
    d->wanted[*wanted_n] = r;
    d->wanted_of[(*wanted_n)++] = of;
}

/* The batch of a step: every active candidate, then as much of the prompts as there is room for. */
static size_t fill_batch(lcf_decoder *d, size_t *wanted_n)
{
    size_t n = 0;

    *wanted_n = 0;
    for (row *r = d->rows; r < d->rows + d->rows_n; r++)
        for (size_t c = 0; r->state == ROW_DECODING && c < d->width; c++)
            if (r->candidates[c].active) {
                d->batch[n++] = (lcf_llama_token){r->candidates[c].next, r->seqs[c], true};
                want(d, wanted_n, r, c);
            }
    for (row *r = d->rows; r < d->rows + d->rows_n; r++)
        while (r->state == ROW_READING && r->read < r->row.prompt.n && n < d->batch_max) {
            bool last = r->read + 1 == r->row.prompt.n;
            d->batch[n++] = (lcf_llama_token){r->row.prompt.ids[r->read++], prompt_seq(d, r), last};
            d->stats.prompt_computed++;
            if (last)
                want(d, wanted_n, r, d->width);
        }
    return n;
}

static lcf_status copy_prompt(lcf_decoder *d, row *r, size_t c, lcf_err *err)
{
    if (!lcf_llama_seq_copy(d->session, r->seqs[c], prompt_seq(d, r), r->row.prompt.n))
        return LCF_FAIL(err, LCF_ELIMIT, "the KV cache has no page left");
    return LCF_OK;
}

/* A row whose prompt is read: every candidate goes on from it, or the search's first text. */
static lcf_status branch(lcf_decoder *d, row *r, lcf_err *err)
{
    lcf_status status = LCF_OK;

    r->state = ROW_DECODING;
    d->stats.prompt_tokens += r->row.prompt.n * d->how.candidates_n;
    if (r->beams) {
        lcf_beams_begin(r->beams);
        return copy_prompt(d, r, 0, err);
    }
    for (size_t c = 0; c < d->width && !status; c++) {
        status = copy_prompt(d, r, c, err);
        r->candidates[c].active = true;
    }
    return status;
}

/* One draw for each candidate, one step for each search: the logits of its texts lie in order. */
static lcf_status plan_draws(lcf_decoder *d, const float *logits, size_t wanted_n, size_t *draws_n,
                             lcf_err *err)
{
    lcf_status status = LCF_OK;

    *draws_n = 0;
    for (size_t i = 0; i < wanted_n && !status; i++, logits += d->model->config.vocab_n) {
        row *r = d->wanted[i];
        size_t first = d->wanted_of[i], end = first + 1;
        if (r->beams && i && d->wanted[i - 1] == r)
            continue;
        if (first == d->width) {
            status = branch(d, r, err);
            end = r->beams ? 1 : first;
            first = 0;
        }
        for (size_t c = first; c < end; c++)
            d->draws[(*draws_n)++] = (draw){.of = r, .candidate = c, .logits = logits};
    }
    return status;
}

static void draw_task(void *arg, size_t task, size_t member)
{
    lcf_decoder *d = arg;
    draw *w = &d->draws[task];
    candidate *c = &w->of->candidates[w->candidate];

    if (w->of->beams)
        w->status = lcf_beams_step(w->of->beams, w->logits, d->samplers[member],
                                   &w->of->candidates[0].rng, NULL);
    else
        w->id = lcf_sampler_next(d->samplers[member], w->logits, c->result.tokens.ids,
                                 c->result.tokens.n, &d->how.sampling, &c->rng, &w->logprob);
}

/* What a row is handed over with. */
static lcf_candidate result_of(const row *r, size_t c)
{
    const lcf_beam *text = r->beams ? lcf_beams_result(r->beams, c) : NULL;

    if (!r->beams)
        return r->candidates[c].result;
    return text ? (lcf_candidate){text->tokens, text->finished, text->logprob}
                : (lcf_candidate){{NULL, 0, 0}, false, 0.0};
}

static lcf_status hand_over(lcf_decoder *d, row *r, const lcf_decoder_source *source, lcf_err *err)
{
    lcf_status status;

    for (size_t c = 0; c < d->how.candidates_n; c++)
        d->results[c] = result_of(r, c);
    status = source->done(source->arg, &r->row, d->results, err);
    keep(d, r);
    return status;
}

/* *stopped: there is a stop string in the text. */
static lcf_status find_stop(bool *stopped, lcf_decoder *d, const lcf_tokens *tokens, lcf_err *err)
{
    *stopped = false;
    if (!d->how.stops.n)
        return LCF_OK;
    lcf_buf_reset(&d->text);
    lcf_tokenizer_decode(&d->text, d->model->tokenizer, tokens->ids, tokens->n);
    if (d->text.status)
        return LCF_FAIL(err, d->text.status, "text of %zu tokens", tokens->n);
    *stopped = lcf_stops_find(&d->how.stops, lcf_buf_text(&d->text), d->text.len) < d->text.len;
    return LCF_OK;
}

/* A candidate ends at </s>, a stop string or when it is full; a row with its last candidate. */
static lcf_status accept(lcf_decoder *d, const draw *w, const lcf_decoder_source *source,
                         lcf_err *err)
{
    row *r = w->of;
    candidate *c = &r->candidates[w->candidate];
    lcf_status status = LCF_OK;

    c->result.logprob += w->logprob;
    c->next = w->id;
    c->result.finished = lcf_tokenizer_is_end(d->model->tokenizer, w->id);
    if (!c->result.finished) {
        if (lcf_tokens_push(&c->result.tokens, w->id))
            return LCF_FAIL(err, LCF_ENOMEM, "generated tokens");
        d->stats.made_tokens++;
        status = find_stop(&c->result.finished, d, &c->result.tokens, err);
    }
    c->active = !c->result.finished && c->result.tokens.n < d->how.tokens_max;
    if (status || c->active)
        return status;
    lcf_llama_seq_reset(d->session, r->seqs[w->candidate]);
    return --r->left ? LCF_OK : hand_over(d, r, source, err);
}

/* A search goes on with its open texts; a row ends with its search. */
static lcf_status accept_step(lcf_decoder *d, const draw *w, const lcf_decoder_source *source,
                              lcf_err *err)
{
    row *r = w->of;
    const size_t open_n = lcf_beams_open_n(r->beams);
    lcf_status status;

    if (w->status)
        return LCF_FAIL(err, w->status, "texts of a search");
    status = lcf_beams_move(r->seqs, r->beams, d->session, err);
    d->stats.made_tokens += open_n;
    for (size_t c = 0; c < d->width; c++) {
        r->candidates[c].active = c < open_n;
        if (c < open_n)
            r->candidates[c].next = lcf_beams_token(r->beams, c);
    }
    if (status || open_n)
        return status;
    r->left = 0;
    return hand_over(d, r, source, err);
}

static lcf_status step(lcf_decoder *d, const lcf_decoder_source *source, lcf_err *err)
{
    const float *logits;
    size_t wanted_n, draws_n, n = fill_batch(d, &wanted_n);
    lcf_status status = lcf_llama_decode(&logits, d->session, d->batch, n, err);

    d->stats.steps++;
    if (!status)
        status = plan_draws(d, logits, wanted_n, &draws_n, err);
    if (status)
        return status;
    lcf_team_run(lcf_llama_session_team(d->session), draws_n, draw_task, d);
    for (size_t i = 0; i < draws_n && !status; i++)
        status = d->how.beams_n ? accept_step(d, &d->draws[i], source, err)
                                : accept(d, &d->draws[i], source, err);
    return status;
}

lcf_status lcf_decoder_run(lcf_decoder *d, const lcf_decoder_source *source, lcf_err *err)
{
    lcf_status status = LCF_OK;

    d->has_coming = d->exhausted = false;
    while (!status) {
        status = admit(d, source, err);
        if (status || !slots_used(d))
            break;
        status = step(d, source, err);
    }
    for (size_t i = 0; i < d->rows_n; i++) /* nothing is kept from run to run */
        if (d->rows[i].state != ROW_FREE)
            release(d, &d->rows[i]);
    return status;
}
