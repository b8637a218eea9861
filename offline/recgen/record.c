/* The best candidate of a row as its record; see the header. */
#include "offline/recgen/record.h"

#include "common/base/mem.h"
#include "offline/recgen/score.h"

#include <stdlib.h>
#include <string.h>

typedef struct scratch {
    lcf_buf prompt, title; /* what the text should be about */
    lcf_buf text;          /* a candidate, its references replaced */
} scratch;

/* Without blanks at either end, and printable whatever the model wrote. */
static void clean_text(lcf_buf *text)
{
    bool valid = lcf_utf8_valid(lcf_buf_text(text), text->len);
    size_t skip = 0;

    while (skip < text->len && (unsigned char)text->data[skip] <= ' ')
        skip++;
    if (skip) {
        memmove(text->data, text->data + skip, text->len - skip + 1);
        text->len -= skip;
    }
    while (text->len && (unsigned char)text->data[text->len - 1] <= ' ')
        text->data[--text->len] = '\0';
    for (size_t i = 0; i < text->len; i++) {
        if ((unsigned char)text->data[i] < ' ' && text->data[i] != '\n')
            text->data[i] = ' ';
        else if (!valid && (unsigned char)text->data[i] >= 128)
            text->data[i] = '?';
    }
}

/* Keeps the best candidate's text, score and numbers in *r. */
static lcf_status keep_best(lcf_cot_record *r, scratch *s, const lcf_provenance *p,
                            const lcf_facts *f, const lcf_answer *answers, size_t n, lcf_err *err)
{
    lcf_cot_subject subject = {.prompt = {lcf_buf_text(&s->prompt), s->prompt.len},
                               .title = {lcf_buf_text(&s->title), s->title.len},
                               .label = f->sample.label};
    lcf_cot_score best = {.score = -1.0};

    for (size_t c = 0; c < n; c++) {
        lcf_cot_score score;
        bool known;
        lcf_buf_reset(&s->text);
        known = lcf_prompt_expand(&s->text, p->prompt, p->dataset, f, answers[c].text);
        if (s->text.status)
            return LCF_FAIL(err, LCF_ENOMEM, "record");
        score = lcf_cot_score_of((lcf_str){lcf_buf_text(&s->text), s->text.len},
                                 answers[c].finished, &subject);
        if (p->weights && !*score.reject_reason)
            score.score =
                lcf_score_weighted(p->weights, (lcf_str){lcf_buf_text(&s->text), s->text.len},
                                   subject.prompt, subject.label);
        if (!known)
            score = (lcf_cot_score){.reject_reason = "refers to an item that is not there"};
        r->tokens_generated += answers[c].tokens_n;
        if (score.score <= best.score)
            continue;
        best = score;
        clean_text(&s->text);
        free((char *)r->text);
        r->text = lcf_strndup(lcf_buf_text(&s->text), s->text.len);
        if (!r->text)
            return LCF_FAIL(err, LCF_ENOMEM, "record");
        r->candidate = (uint32_t)c;
        r->tokens = (uint32_t)answers[c].tokens_n;
    }
    r->score = (float)best.score;
    memcpy(r->parts, best.parts, sizeof(r->parts));
    r->reject_reason = best.reject_reason;
    return LCF_OK;
}

static lcf_status own_strings(lcf_cot_record *r, const lcf_dataset *d, const lcf_facts *f,
                              lcf_err *err)
{
    lcf_str user = lcf_strings_get(&d->user_id, f->sample.user);
    lcf_str item = lcf_strings_get(&d->catalogue.item_id, f->sample.item);

    r->user_id = lcf_strndup(user.data, user.len);
    r->item_id = lcf_strndup(item.data, item.len);
    return r->user_id && r->item_id ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "record");
}

lcf_status lcf_record_make(lcf_cot_record *out, const lcf_provenance *p, const lcf_ask *ask,
                           lcf_hash128 sample_hash, const lcf_answer *answers, size_t answers_n,
                           size_t prompt_tokens_n, lcf_err *err)
{
    const lcf_facts *f = &ask->facts;
    scratch s = {LCF_BUF_INIT, LCF_BUF_INIT, LCF_BUF_INIT};
    lcf_status status;

    LCF_ASSERT(answers_n);
    *out = (lcf_cot_record){.key = ask->key,
                            .sample_hash = sample_hash,
                            .label = f->sample.label,
                            .time = f->sample.time,
                            .model_id = p->model_id,
                            .prompt_version = p->version,
                            .sampling = p->sampling,
                            .candidates_n = (uint32_t)p->candidates_n,
                            .prompt_tokens = (uint32_t)prompt_tokens_n};
    lcf_prompt_explain(&s.prompt, p->prompt, p->dataset, f);
    lcf_prompt_title(&s.title, p->prompt, &p->dataset->catalogue, f->sample.item);
    status = s.prompt.status || s.title.status ? LCF_FAIL(err, LCF_ENOMEM, "record")
                                               : keep_best(out, &s, p, f, answers, answers_n, err);
    lcf_buf_dispose(&s.prompt);
    lcf_buf_dispose(&s.title);
    lcf_buf_dispose(&s.text);
    return status ? status : own_strings(out, p->dataset, f, err);
}

void lcf_record_dispose(lcf_cot_record *r)
{
    free((char *)r->text);
    free((char *)r->user_id);
    free((char *)r->item_id);
    r->text = r->user_id = r->item_id = NULL;
}
