/*
 * The tuning mixture; see the header for the invariant. The draw of a slot's source hashes the slot
 * number, so no generator state has to be saved; a source's position is the number of slots that
 * drew it before.
 */
#include "offline/recgen/mixture.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HELD_OUT_EVERY 20 /* of the general instructions, by hash of the instruction */
#define STREAM_SOURCE 101 /* seeds of the independent draws */
#define STREAM_TEACHER 102

typedef struct source_rows {
    uint32_t *rows;  /* [n] row numbers: a sample, or a general instruction */
    uint32_t *order; /* [n] this epoch's permutation of rows */
    size_t n;
    uint64_t drawn; /* slots that took a row so far */
    uint64_t epoch; /* that `order` is of, plus 1; 0 = none yet */
} source_rows;

struct lcf_mixture {
    const lcf_dataset *d;
    const lcf_related *related;
    const lcf_general *general;
    const lcf_tokenizer *tokenizer;
    lcf_mixture_options options;
    source_rows source[LCF_SOURCES_N];
    uint32_t *held_out; /* general instructions kept from training */
    size_t held_out_n;
    uint64_t slot, truncated_n;
    lcf_tokens answer; /* scratch */
    lcf_buf text;
};

void lcf_row_dispose(lcf_row *row)
{
    lcf_tokens_dispose(&row->tokens);
    free(row->targets);
    memset(row, 0, sizeof(*row));
}

/* ---- creation ---- */

static lcf_status source_alloc(source_rows *s, size_t n, lcf_err *err)
{
    s->rows = lcf_alloc(n + 1, sizeof(*s->rows));
    s->order = lcf_alloc(n + 1, sizeof(*s->order));
    if (!s->rows || !s->order)
        return LCF_FAIL(err, LCF_ENOMEM, "order of %zu training rows", n);
    return LCF_OK;
}

static lcf_status take_samples(source_rows *s, const lcf_dataset *d, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];
    lcf_status status = source_alloc(s, end - begin, err);

    for (size_t i = begin; !status && i < end; i++)
        s->rows[s->n++] = (uint32_t)i;
    return status;
}

static lcf_status take_general(lcf_mixture *m, lcf_err *err)
{
    size_t n = m->general ? m->general->n : 0;
    source_rows *s = &m->source[LCF_GENERAL];
    lcf_status status = source_alloc(s, n, err);

    m->held_out = lcf_alloc(n + 1, sizeof(*m->held_out));
    if (!status && !m->held_out)
        status = LCF_FAIL(err, LCF_ENOMEM, "held-out instructions");
    for (size_t i = 0; !status && i < n; i++) {
        lcf_str key = lcf_general_get(m->general, i).instruction;
        if (lcf_hash64(key.data, key.len, 0) % HELD_OUT_EVERY)
            s->rows[s->n++] = (uint32_t)i;
        else
            m->held_out[m->held_out_n++] = (uint32_t)i;
    }
    return status;
}

lcf_status lcf_mixture_create(lcf_mixture **out, const lcf_dataset *d, const lcf_related *related,
                              const lcf_general *general, const lcf_tokenizer *tokenizer,
                              const lcf_mixture_options *options, lcf_err *err)
{
    lcf_mixture *m;
    lcf_status status;

    *out = NULL;
    if (d->split_begin[LCF_TRAIN + 1] == d->split_begin[LCF_TRAIN])
        return LCF_FAIL(err, LCF_EINVAL, "the dataset has no training sample");
    if (options->cutoff < 8)
        return LCF_FAIL(err, LCF_EINVAL, "a cutoff of %zu tokens", options->cutoff);
    m = lcf_alloc_zero(1, sizeof(*m));
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "tuning mixture");
    m->d = d;
    m->related = related;
    m->general = general;
    m->tokenizer = tokenizer;
    m->options = *options;
    status = take_samples(&m->source[LCF_DECIDE], d, err);
    if (!status)
        status = take_samples(&m->source[LCF_EXPLAIN], d, err);
    if (!status)
        status = take_general(m, err);
    if (!status)
        status = lcf_mixture_seek(m, 0, err);
    if (status) {
        lcf_mixture_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

void lcf_mixture_free(lcf_mixture *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < LCF_SOURCES_N; i++) {
        free(m->source[i].rows);
        free(m->source[i].order);
    }
    free(m->held_out);
    lcf_tokens_dispose(&m->answer);
    lcf_buf_dispose(&m->text);
    free(m);
}

size_t lcf_mixture_rows_n(const lcf_mixture *m, lcf_source source)
{
    return m->source[source].n;
}

size_t lcf_mixture_held_out_n(const lcf_mixture *m)
{
    return m->held_out_n;
}

uint64_t lcf_mixture_truncated_n(const lcf_mixture *m)
{
    return m->truncated_n;
}

/* ---- which row ---- */

static double source_weight(const lcf_mixture *m, size_t source)
{
    return m->source[source].n ? m->options.weight[source] : 0.0;
}

static lcf_source draw_source(const lcf_mixture *m, uint64_t slot)
{
    double u = (double)(lcf_hash64(&slot, sizeof(slot), m->options.seed + STREAM_SOURCE) >> 11) *
               0x1p-53,
           total = 0.0;

    for (size_t i = 0; i < LCF_SOURCES_N; i++)
        total += source_weight(m, i);
    u *= total;
    for (size_t i = 0; i < LCF_SOURCES_N; i++) {
        if (u < source_weight(m, i))
            return (lcf_source)i;
        u -= source_weight(m, i);
    }
    for (size_t i = LCF_SOURCES_N; i-- > 1;) /* u was rounded up to the total */
        if (source_weight(m, i) > 0.0)
            return (lcf_source)i;
    return LCF_DECIDE;
}

/* The source's next row; a new permutation at the start of every epoch. */
static uint32_t draw_row(lcf_mixture *m, lcf_source source)
{
    source_rows *s = &m->source[source];
    uint64_t epoch = s->drawn / s->n;
    lcf_rng rng;

    if (s->epoch != epoch + 1) {
        memcpy(s->order, s->rows, s->n * sizeof(*s->order));
        lcf_rng_seed(&rng, m->options.seed, (uint64_t)source << 48 | epoch);
        lcf_rng_shuffle_u32(&rng, s->order, s->n);
        s->epoch = epoch + 1;
    }
    return s->order[s->drawn++ % s->n];
}

lcf_status lcf_mixture_seek(lcf_mixture *m, uint64_t slot, lcf_err *err)
{
    double total = 0.0;

    for (size_t i = 0; i < LCF_SOURCES_N; i++) {
        total += source_weight(m, i);
        m->source[i].drawn = 0;
        m->source[i].epoch = 0;
    }
    if (!(total > 0.0))
        return LCF_FAIL(err, LCF_EINVAL, "no source of the mixture has a weight and rows");
    for (uint64_t i = 0; i < slot; i++)
        m->source[draw_source(m, i)].drawn++;
    m->slot = slot;
    return LCF_OK;
}

/* ---- what it looks like ---- */

lcf_status lcf_prompt_tokens(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                             const lcf_prompt_options *options, const lcf_dataset *d,
                             const lcf_facts *f, bool explain, lcf_buf *scratch, lcf_err *err)
{
    size_t decide_len;
    lcf_status status = LCF_OK;

    if (lcf_tokenizer_adds_bos(tokenizer))
        status = lcf_tokens_push(out, lcf_tokenizer_bos(tokenizer));
    if (status)
        return LCF_FAIL(err, status, "prompt tokens");
    lcf_buf_reset(scratch);
    if (!explain || options->dialect == LCF_DIALECT_RECGEN) {
        lcf_prompt_decide(scratch, options, d, f);
        if (scratch->status)
            return LCF_FAIL(err, scratch->status, "prompt text");
        status = lcf_tokenizer_encode(out, tokenizer, scratch->data, scratch->len, true, err);
        if (status || !explain)
            return status;
    }
    decide_len = scratch->len; /* encoded apart, so that this part's tokens are always the same */
    lcf_buf_reset(scratch);
    lcf_prompt_explain(scratch, options, d, f);
    if (scratch->status)
        return LCF_FAIL(err, scratch->status, "prompt text");
    return lcf_tokenizer_encode(out, tokenizer, scratch->data + decide_len,
                                scratch->len - decide_len, decide_len == 0, err);
}

/* Number of tokens of the decision in an EXPLAIN row, which follow the DECIDE prompt. */
static lcf_status answer_tokens(lcf_mixture *m, const char *text, size_t len, lcf_err *err)
{
    m->answer.n = 0;
    return lcf_tokenizer_encode(&m->answer, m->tokenizer, text, len, false, err);
}

/* Turns row->tokens into a training row: targets where `counted` says so by position. */
static lcf_status set_targets(lcf_row *row, size_t prompt_n, size_t decision_begin,
                              size_t decision_end, bool all, lcf_err *err)
{
    size_t n = row->tokens.n;

    if (lcf_grow((void **)&row->targets, &row->targets_capacity, n, sizeof(*row->targets)))
        return LCF_FAIL(err, LCF_ENOMEM, "training row of %zu tokens", n);
    for (size_t i = 0; i < n; i++) {
        size_t next = i + 1; /* the position that target i predicts */
        bool answer = next >= prompt_n || (next >= decision_begin && next < decision_end);
        /* Behind the decision stands </s> or the request for reasons: nothing to learn from. */
        bool counted = next < n && (answer || (all && next != decision_end));
        row->targets[i] = counted ? (int32_t)row->tokens.ids[next] : -1;
    }
    return LCF_OK;
}

static lcf_status append_answer(lcf_row *row, lcf_mixture *m, const char *text, size_t len,
                                lcf_err *err)
{
    lcf_status status = lcf_tokenizer_encode(&row->tokens, m->tokenizer, text, len, false, err);

    if (!status && lcf_tokens_push(&row->tokens, lcf_tokenizer_eos(m->tokenizer)))
        status = LCF_FAIL(err, LCF_ENOMEM, "training row");
    if (!status && row->tokens.n > m->options.cutoff) {
        row->tokens.n = m->options.cutoff;
        m->truncated_n++;
    }
    return status;
}

static lcf_status build_sample(lcf_row *row, lcf_mixture *m, lcf_source source, size_t sample,
                               uint64_t teacher_seed, bool all, lcf_err *err)
{
    const lcf_prompt_options *prompt = &m->options.prompt;
    size_t decision_begin = 0, decision_end = 0, prompt_n;
    const char *answer;
    lcf_status status;
    lcf_facts f;

    lcf_facts_of(&f, m->d, m->related, prompt->history_n, sample);
    answer = lcf_prompt_answer(f.sample.label);
    if (source == LCF_EXPLAIN && prompt->dialect == LCF_DIALECT_RECGEN) {
        status =
            lcf_prompt_tokens(&row->tokens, m->tokenizer, prompt, m->d, &f, false, &m->text, err);
        if (!status)
            status = answer_tokens(m, answer, strlen(answer), err);
        if (status)
            return status;
        decision_begin = row->tokens.n;
        decision_end = decision_begin + m->answer.n;
        row->tokens.n = 0;
    }
    status = lcf_prompt_tokens(&row->tokens, m->tokenizer, prompt, m->d, &f, source == LCF_EXPLAIN,
                               &m->text, err);
    if (status)
        return status;
    prompt_n = row->tokens.n;
    lcf_buf_reset(&m->text);
    if (source == LCF_EXPLAIN)
        lcf_teacher_compose(&m->text, prompt, m->d, &f, teacher_seed);
    else
        lcf_buf_append_text(&m->text, answer);
    if (m->text.status)
        return LCF_FAIL(err, m->text.status, "training row");
    status = append_answer(row, m, m->text.data, m->text.len, err);
    return status ? status : set_targets(row, prompt_n, decision_begin, decision_end, all, err);
}

static lcf_status build_general(lcf_row *row, lcf_mixture *m, size_t idx, bool all, lcf_err *err)
{
    lcf_general_row g = lcf_general_get(m->general, idx);
    lcf_status status;
    size_t prompt_n;

    lcf_buf_reset(&m->text);
    lcf_prompt_general(&m->text, &m->options.prompt, g.instruction, g.input);
    if (m->text.status || lcf_tokens_push(&row->tokens, lcf_tokenizer_bos(m->tokenizer)))
        return LCF_FAIL(err, LCF_ENOMEM, "general instruction %zu", idx);
    status = lcf_tokenizer_encode(&row->tokens, m->tokenizer, m->text.data, m->text.len, true, err);
    if (status)
        return status;
    prompt_n = row->tokens.n;
    lcf_buf_reset(&m->text);
    lcf_buf_append_char(&m->text, ' ');
    lcf_buf_append(&m->text, g.output.data, g.output.len);
    if (m->text.status)
        return LCF_FAIL(err, m->text.status, "general instruction %zu", idx);
    status = append_answer(row, m, m->text.data, m->text.len, err);
    return status ? status : set_targets(row, prompt_n, 0, 0, all, err);
}

static lcf_status build(lcf_row *row, lcf_mixture *m, lcf_source source, size_t idx,
                        uint64_t teacher_seed, bool all, lcf_err *err)
{
    row->tokens.n = 0;
    if (source == LCF_GENERAL)
        return build_general(row, m, idx, all, err);
    return build_sample(row, m, source, idx, teacher_seed, all, err);
}

lcf_status lcf_mixture_next(lcf_row *row, lcf_source *source, lcf_mixture *m, lcf_err *err)
{
    uint64_t slot = m->slot;
    lcf_source drawn = draw_source(m, slot);
    uint32_t idx = draw_row(m, drawn);

    m->slot++;
    if (source)
        *source = drawn;
    return build(row, m, drawn, idx,
                 lcf_hash64(&slot, sizeof(slot), m->options.seed + STREAM_TEACHER),
                 m->options.loss_on_prompt, err);
}

lcf_status lcf_mixture_held_out(lcf_row *row, lcf_mixture *m, lcf_source source, size_t idx,
                                lcf_err *err)
{
    uint64_t number = idx;
    size_t at = source == LCF_GENERAL ? m->held_out[idx] : idx;

    return build(row, m, source, at,
                 lcf_hash64(&number, sizeof(number), m->options.seed + STREAM_TEACHER), false, err);
}

/* ---- vocabulary ---- */

typedef struct corpus { /* texts one after another; cut into views at the end */
    lcf_buf text;
    size_t *cuts;
    size_t n, capacity;
} corpus;

static lcf_status corpus_cut(corpus *c, lcf_err *err)
{
    if (c->text.status || lcf_grow((void **)&c->cuts, &c->capacity, c->n + 1, sizeof(*c->cuts)))
        return LCF_FAIL(err, LCF_ENOMEM, "text to learn a vocabulary from");
    c->cuts[c->n++] = c->text.len;
    return LCF_OK;
}

static lcf_status corpus_samples(corpus *c, const lcf_dataset *d, const lcf_related *related,
                                 const lcf_prompt_options *options, size_t rows_max, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], n = d->split_begin[LCF_TRAIN + 1] - begin;
    size_t take = n < rows_max ? n : rows_max;
    lcf_status status = LCF_OK;
    lcf_facts f;

    for (size_t i = 0; i < take && !status; i++) { /* evenly spread over time */
        lcf_facts_of(&f, d, related, options->history_n,
                     begin + (size_t)((double)i * (double)n / (double)take));
        lcf_prompt_explain(&c->text, options, d, &f);
        lcf_teacher_compose(&c->text, options, d, &f, i);
        status = corpus_cut(c, err);
    }
    return status;
}

static lcf_status corpus_fill(corpus *c, const lcf_dataset *d, const lcf_related *related,
                              const lcf_general *general, const lcf_prompt_options *options,
                              size_t rows_max, lcf_err *err)
{
    lcf_status status = corpus_samples(c, d, related, options, rows_max, err);

    for (uint32_t i = 1; i < d->catalogue.items_n && !status; i++) {
        lcf_buf_append_char(&c->text, ' ');
        lcf_prompt_title(&c->text, options, &d->catalogue, i);
        status = corpus_cut(c, err);
    }
    for (size_t i = 0; general && i < general->n && !status; i++) {
        lcf_general_row g = lcf_general_get(general, i);
        lcf_prompt_general(&c->text, options, g.instruction, g.input);
        lcf_buf_append_char(&c->text, ' ');
        lcf_buf_append(&c->text, g.output.data, g.output.len);
        status = corpus_cut(c, err);
    }
    return status;
}

lcf_status lcf_vocabulary_train(lcf_tokenizer **out, const lcf_dataset *d,
                                const lcf_related *related, const lcf_general *general,
                                const lcf_prompt_options *options, size_t vocab_n, size_t rows_max,
                                lcf_err *err)
{
    corpus c = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_status status = corpus_fill(&c, d, related, general, options, rows_max, err);
    lcf_str *texts = status ? NULL : lcf_alloc(c.n + 1, sizeof(*texts));

    *out = NULL;
    if (!status && !texts)
        status = LCF_FAIL(err, LCF_ENOMEM, "text to learn a vocabulary from");
    for (size_t i = 0; !status && i < c.n; i++) {
        size_t begin = i ? c.cuts[i - 1] : 0;
        texts[i] = (lcf_str){c.text.data + begin, c.cuts[i] - begin};
    }
    if (!status)
        status = lcf_tokenizer_train(out, texts, c.n, vocab_n, err);
    free(texts);
    free(c.cuts);
    lcf_buf_dispose(&c.text);
    return status;
}
