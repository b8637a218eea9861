/* Yes / No scoring of a source; see the header. */
#include "offline/recgen/yes_no.h"

#include "common/base/mem.h"
#include "offline/eval/auc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const PLAIN[] = {"Yes", "No"};
static const char *const SPACED[] = {" Yes", " No"};

double lcf_yes_no_published(const lcf_yes_no *y)
{
    return 1.0 / (1.0 + exp(y->p_no - y->p_yes));
}

size_t lcf_yes_no_position(const int32_t *targets, size_t n, const lcf_answers *answers)
{
    for (size_t i = n; i-- > 0;)
        for (size_t a = 0; a < answers->n; a++)
            if (targets[i] >= 0 && (uint32_t)targets[i] == answers->ids[a])
                return i;
    return n;
}

/* As lcf_yes_no_position, of an answer that the answers' common beginning belongs to. */
static size_t decision_of(const int32_t *targets, size_t n, const lcf_answers *answers)
{
    const lcf_tokens *common = &answers->common;
    const size_t at = lcf_yes_no_position(targets, n, answers);

    if (at == n || at < common->n)
        return n;
    for (size_t i = 0; i < common->n; i++)
        if (targets[at - common->n + i] != (int32_t)common->ids[i])
            return n;
    return at;
}

size_t lcf_yes_no_keep(size_t *answers_n, int32_t *targets, size_t n, const lcf_answers *answers)
{
    size_t decided_n = 0;

    *answers_n = 0;
    for (size_t begin = 0; begin < n;) {
        size_t end = begin, decision;

        while (end < n && targets[end] >= 0)
            end++;
        decision = begin + decision_of(targets + begin, end - begin, answers);
        *answers_n += end > begin;
        decided_n += decision < end;
        for (size_t i = begin; i < end; i++)
            if (i != decision)
                targets[i] = -1;
        begin = end + 1; /* which does not count */
    }
    return decided_n;
}

typedef struct scoring {
    lcf_yes_no *out;
    lcf_row *rows;     /* [n] cut behind the token that is asked */
    lcf_answers own;   /* as the rows are written */
    lcf_answers asked; /* what is compared */
    lcf_probe *probe;
    size_t vocab_n;
} scoring;

/* A row's tokens up to what decides, and what it says. */
static lcf_status make_row(scoring *s, lcf_mixture *mixture, size_t source, size_t idx,
                           lcf_err *err)
{
    lcf_row *row = &s->rows[idx];
    lcf_status status = lcf_mixture_row(row, mixture, source, idx, err);
    size_t at;

    if (status)
        return status;
    at = lcf_yes_no_position(row->targets, row->tokens.n, &s->own);
    if (at == row->tokens.n)
        return LCF_FAIL(err, LCF_EFORMAT, "row %zu answers neither Yes nor No", idx + 1);
    s->out[idx].label = (uint32_t)row->targets[at] == s->own.ids[0];
    row->tokens.n = at + 1;
    return LCF_OK;
}

static lcf_status score_row(void *arg, size_t task, size_t worker, lcf_err *err)
{
    scoring *s = arg;
    lcf_yes_no *y = &s->out[task];
    const lcf_tokens *tokens = &s->rows[task].tokens;
    const float *logits;
    lcf_status status = lcf_probe_ask(&logits, s->probe, worker, tokens->ids, tokens->n, err);

    if (status)
        return status;
    y->p_yes = exp(lcf_logprob(logits, s->vocab_n, s->asked.ids[0]));
    y->p_no = exp(lcf_logprob(logits, s->vocab_n, s->asked.ids[1]));
    y->difference = (double)logits[s->asked.ids[0]] - (double)logits[s->asked.ids[1]];
    return LCF_OK;
}

static lcf_status find_pairs(scoring *s, const lcf_tokenizer *tokenizer, bool rows_plain,
                             lcf_yes_no_pair pair, lcf_err *err)
{
    bool asked_plain = pair == LCF_PAIR_OWN ? rows_plain : pair == LCF_PAIR_PLAIN;
    lcf_status status = lcf_answers_find(&s->own, tokenizer, rows_plain ? PLAIN : SPACED, 2, err);

    if (!status)
        status = lcf_answers_find(&s->asked, tokenizer, asked_plain ? PLAIN : SPACED, 2, err);
    if (!status && asked_plain != rows_plain && (s->own.common.n || s->asked.common.n))
        status = LCF_FAIL(err, LCF_EUNSUPPORTED,
                          "in this vocabulary the %s pair does not stand where the rows decide",
                          asked_plain ? "plain" : "spaced");
    return status;
}

lcf_status lcf_yes_no_score(lcf_yes_no *out, const lcf_llama *model, const lcf_tokenizer *tokenizer,
                            lcf_mixture *mixture, const lcf_sources *sources, size_t source,
                            lcf_yes_no_pair pair, size_t context_n, lcf_pool *pool, lcf_err *err)
{
    const size_t n = lcf_sources_info(sources, source).rows_n;
    scoring s = {
        .out = out, .rows = lcf_alloc_zero(n, sizeof(*s.rows)), .vocab_n = model->config.vocab_n};
    bool plain = lcf_chat_answers_plain(lcf_sources_get_options(sources)->chat);
    lcf_status status = s.rows ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu rows to score", n);

    if (!status)
        status = find_pairs(&s, tokenizer, plain, pair, err);
    if (!status)
        status = lcf_probe_create(&s.probe, model, context_n, lcf_pool_threads(pool), err);
    for (size_t i = 0; i < n && !status; i++)
        status = make_row(&s, mixture, source, i, err);
    if (!status)
        status = lcf_pool_run(pool, n, score_row, &s, err);
    for (size_t i = 0; s.rows && i < n; i++)
        lcf_row_dispose(&s.rows[i]);
    free(s.rows);
    lcf_answers_dispose(&s.own);
    lcf_answers_dispose(&s.asked);
    lcf_probe_free(s.probe);
    return status;
}

lcf_status lcf_yes_no_measure(lcf_yes_no_auc *out, const lcf_yes_no *rows, size_t n, lcf_err *err)
{
    float *scores = lcf_alloc(n + 1, sizeof(*scores));
    uint8_t *labels = lcf_alloc(n + 1, sizeof(*labels));
    uint64_t *scratch = lcf_alloc(n + 1, 2 * sizeof(*scratch));
    lcf_status status = LCF_OK;

    *out = (lcf_yes_no_auc){NAN, NAN, n, 0};
    if (!scores || !labels || !scratch)
        status = LCF_FAIL(err, LCF_ENOMEM, "AUC of %zu rows", n);
    for (size_t i = 0; !status && i < n; i++) {
        labels[i] = rows[i].label;
        out->yes += rows[i].label;
        /* The sigmoid is monotonous, and rounds what it is nearly flat over: rank by what is
         * under it. */
        scores[i] = (float)(rows[i].p_yes - rows[i].p_no);
    }
    if (!status)
        out->published = lcf_auc(scores, labels, n, scratch);
    for (size_t i = 0; !status && i < n; i++)
        scores[i] = (float)rows[i].difference;
    if (!status)
        out->difference = lcf_auc(scores, labels, n, scratch);
    free(scores);
    free(labels);
    free(scratch);
    return status;
}
