/* Asking and writing with soft tokens; see the header. */
#include "offline/ilm/soft_measure.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/recgen/decode.h"
#include "offline/recgen/probe.h"

#include <stdlib.h>
#include <string.h>

enum { ENCODER_ROWS = 1000 }; /* of each task that the encoder is fitted on */

static const char *const YES_NO[] = {" Yes", " No"};

/* ---- like ---- */

typedef struct liking {
    const lcf_soft_model *m;
    const uint32_t *samples;
    float *logits;
    lcf_answers answers;
    lcf_probe *probe;
    lcf_ilm_row *rows; /* [threads] */
    uint64_t *tokens;  /* [threads] */
} liking;

static lcf_status like_task(void *arg, size_t task, size_t worker, lcf_err *err)
{
    const liking *l = arg;
    lcf_ilm_row *row = &l->rows[worker];
    const float *logits;
    lcf_status status;

    if (lcf_stop_requested())
        return LCF_FAIL(err, LCF_ECANCELED, "stopped; the same command goes on");
    status =
        lcf_ilm_row_make(row, l->m->tasks, l->m->form, LCF_ILM_LIKE, l->samples[task], false, err);
    for (size_t i = 0; i < l->answers.common.n && !status; i++)
        if (lcf_tokens_push(&row->tokens, l->answers.common.ids[i]))
            status = LCF_FAIL(err, LCF_ENOMEM, "prompt");
    if (!status)
        status = lcf_probe_ask(&logits, l->probe, worker, row->tokens.ids, row->tokens.n, err);
    if (status)
        return status;
    l->tokens[worker] += row->tokens.n;
    l->logits[task] = logits[l->answers.ids[0]] - logits[l->answers.ids[1]];
    return LCF_OK;
}

static lcf_status like_all(liking *l, size_t n, lcf_pool *pool, lcf_err *err)
{
    const size_t threads = lcf_pool_threads(pool);
    lcf_status status = lcf_answers_find(&l->answers, l->m->form->tokenizer, YES_NO, 2, err);

    if (!status)
        status = lcf_probe_create(&l->probe, l->m->model, l->m->context_n, threads, err);
    if (status)
        return status;
    lcf_probe_soft(l->probe, &l->m->soft);
    return lcf_pool_run(pool, n, like_task, l, err);
}

lcf_status lcf_soft_like(float *logits, lcf_like_cost *cost, const lcf_soft_model *m,
                         const uint32_t *samples, size_t n, lcf_pool *pool, lcf_err *err)
{
    const size_t threads = lcf_pool_threads(pool);
    const double start = lcf_clock_s();
    liking l = {.m = m,
                .samples = samples,
                .logits = logits,
                .rows = lcf_alloc_zero(threads, sizeof(*l.rows)),
                .tokens = lcf_alloc_zero(threads, sizeof(*l.tokens))};
    lcf_status status = l.rows && l.tokens ? like_all(&l, n, pool, err)
                                           : LCF_FAIL(err, LCF_ENOMEM, "%zu rows", threads);

    *cost = (lcf_like_cost){n, 0, lcf_clock_s() - start};
    for (size_t i = 0; i < threads; i++) {
        if (l.tokens)
            cost->tokens += l.tokens[i];
        if (l.rows)
            lcf_ilm_row_dispose(&l.rows[i]);
    }
    free(l.rows);
    free(l.tokens);
    lcf_probe_free(l.probe);
    lcf_answers_dispose(&l.answers);
    return status;
}

/* ---- writing ---- */

typedef struct writing {
    const lcf_soft_model *m;
    lcf_ilm_task task;
    lcf_ilm_rows rows;
    lcf_soft_text *texts;
    size_t n, next;
    lcf_ilm_row row;
} writing;

static uint32_t number_of(const writing *w, size_t i)
{
    return w->rows.list[i * w->rows.n / w->n];
}

/* Without the blanks before it. The report holds text, and a model may write bytes of no character.
 */
static char *text_of(const char *text, size_t len)
{
    lcf_buf out = LCF_BUF_INIT;
    size_t first = 0;

    while (first < len && text[first] == ' ')
        first++;
    len = strnlen(text + first, len - first);
    lcf_buf_append_utf8(&out, text + first, len);
    return lcf_buf_take(&out);
}

static lcf_status next_row(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err)
{
    writing *w = arg;
    lcf_tokens used = row->prompt;
    lcf_soft_text *text = &w->texts[w->next];
    lcf_status status;

    *any = w->next < w->n;
    if (!*any)
        return LCF_OK;
    text->number = number_of(w, w->next);
    status = lcf_ilm_row_make(&w->row, w->m->tasks, w->m->form, w->task, text->number, false, err);
    if (status)
        return status;
    row->prompt = w->row.tokens; /* they exchange their room */
    w->row.tokens = used;
    row->id = w->next++;
    row->key = lcf_hash128_of(&row->id, sizeof(row->id));
    text->expected = text_of(w->row.answer.data, w->row.answer.len);
    return text->expected ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "expected text");
}

static lcf_status row_done(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                           lcf_err *err)
{
    writing *w = arg;
    lcf_buf text = LCF_BUF_INIT;
    char **out = &w->texts[row->id].written;

    lcf_tokenizer_decode(&text, w->m->form->tokenizer, candidates[0].tokens.ids,
                         candidates[0].tokens.n);
    if (!text.status)
        *out = text_of(lcf_buf_text(&text), text.len);
    lcf_buf_dispose(&text);
    return *out ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "generated text");
}

static lcf_status write_all(writing *w, size_t tokens_max, lcf_pool *pool, lcf_err *err)
{
    const lcf_decoder_options options = {.decoding = {.candidates_n = 1, .tokens_max = tokens_max},
                                         .threads = lcf_pool_threads(pool),
                                         .soft = w->m->soft};
    const lcf_decoder_source source = {w, next_row, row_done};
    lcf_decoder *decoder;
    lcf_status status = lcf_decoder_create(&decoder, w->m->model, &options, err);

    if (!status)
        status = lcf_decoder_run(decoder, &source, err);
    lcf_decoder_free(decoder);
    lcf_ilm_row_dispose(&w->row);
    return status;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Similarities, and that of texts to what another row expects. */
static lcf_status compare(double *chance, lcf_soft_text *texts, size_t n,
                          const lcf_encoder *encoder, lcf_pool *pool, lcf_err *err)
{
    const size_t dim = lcf_encoder_dim(encoder);
    lcf_str *all = lcf_alloc(2 * n, sizeof(*all));
    float *vectors = lcf_alloc(2 * n, dim * sizeof(*vectors)), *expected = vectors + n * dim;
    lcf_status status = all && vectors ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu texts", n);

    for (size_t i = 0; i < n && !status; i++) {
        all[i] = (lcf_str){texts[i].written, strlen(texts[i].written)};
        all[n + i] = (lcf_str){texts[i].expected, strlen(texts[i].expected)};
    }
    if (!status)
        status = lcf_encoder_encode(vectors, encoder, all, 2 * n, pool, err);
    *chance = 0;
    for (size_t i = 0; i < n && !status; i++) {
        const size_t other = (i + n / 2) % n;

        texts[i].similarity = dot(vectors + i * dim, expected + i * dim, dim);
        *chance += dot(vectors + i * dim, expected + other * dim, dim) / (double)n;
    }
    free(all);
    free(vectors);
    return status;
}

lcf_status lcf_soft_write(lcf_soft_text **out, size_t *n, double *chance, const lcf_soft_model *m,
                          lcf_ilm_task task, lcf_split split, size_t n_max, size_t tokens_max,
                          const lcf_encoder *encoder, lcf_pool *pool, lcf_err *err)
{
    writing w = {.m = m, .task = task, .rows = lcf_ilm_task_rows(m->tasks, task, split)};
    lcf_status status;

    w.n = w.rows.n < n_max ? w.rows.n : n_max;
    *out = NULL;
    *n = 0;
    *chance = 0;
    if (!w.n)
        return LCF_OK;
    w.texts = lcf_alloc_zero(w.n, sizeof(*w.texts));
    status = w.texts ? write_all(&w, tokens_max, pool, err)
                     : LCF_FAIL(err, LCF_ENOMEM, "%zu texts", w.n);
    if (!status)
        status = compare(chance, w.texts, w.n, encoder, pool, err);
    if (status) {
        lcf_soft_texts_free(w.texts, w.n);
        return status;
    }
    *out = w.texts;
    *n = w.n;
    return LCF_OK;
}

void lcf_soft_texts_free(lcf_soft_text *texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++) {
        free(texts[i].written);
        free(texts[i].expected);
    }
    free(texts);
}

/* ---- the encoder ---- */

static bool is_text(size_t task)
{
    return task != LCF_ILM_LIKE && task != LCF_ILM_RATING;
}

lcf_status lcf_soft_encoder(lcf_encoder **out, const lcf_ilm_tasks *tasks,
                            const lcf_soft_form *form, lcf_pool *pool, lcf_err *err)
{
    const lcf_lexical_options options = LCF_LEXICAL_OPTIONS_INIT;
    lcf_str *texts = lcf_alloc_zero(LCF_ILM_TASKS_N * ENCODER_ROWS, sizeof(*texts));
    lcf_ilm_row row = {.targets_n = 0};
    lcf_status status = texts ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "texts of an encoder");
    size_t n = 0;

    for (size_t task = 0; task < LCF_ILM_TASKS_N && !status; task++) {
        const lcf_ilm_rows rows = lcf_ilm_task_rows(tasks, (lcf_ilm_task)task, LCF_TRAIN);
        const size_t take = rows.n < ENCODER_ROWS ? rows.n : ENCODER_ROWS;

        for (size_t i = 0; i < take && is_text(task) && !status; i++) {
            status = lcf_ilm_row_make(&row, tasks, form, (lcf_ilm_task)task,
                                      rows.list[i * rows.n / take], false, err);
            if (!status && !(texts[n].data = text_of(row.answer.data, row.answer.len)))
                status = LCF_FAIL(err, LCF_ENOMEM, "texts of an encoder");
            if (!status) {
                texts[n].len = strlen(texts[n].data);
                n++;
            }
        }
    }
    *out = NULL;
    if (!status)
        status = lcf_encoder_fit_lexical(out, texts, n, &options, pool, err);
    for (size_t i = 0; texts && i < n; i++)
        free((char *)texts[i].data);
    free(texts);
    lcf_ilm_row_dispose(&row);
    return status;
}
