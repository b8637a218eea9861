/* Conversations of training rows; see the header. */
#include "offline/recgen/sessions.h"

#include "common/base/mem.h"

#include <stdlib.h>

typedef struct session {
    lcf_buf text; /* the questions, one after another */
    size_t cuts[LCF_SESSION_ROWS + 1];
    uint8_t liked[LCF_SESSION_ROWS];
    size_t n;
} session;

static void add_row(session *s, const lcf_dataset *d, const lcf_prompt_options *prompt,
                    size_t sample)
{
    lcf_buf_append_text(&s->text, "The item titled \"");
    lcf_prompt_title(&s->text, prompt, &d->catalogue, d->sample_item[sample]);
    lcf_buf_append_text(&s->text, "\"?");
    s->liked[s->n++] = d->sample_label[sample];
    s->cuts[s->n] = s->text.len;
}

static lcf_status flush(lcf_dialogues *out, session *s, lcf_err *err)
{
    lcf_turn turns[2 * LCF_SESSION_ROWS];
    lcf_status status;

    if (s->text.status)
        return LCF_FAIL(err, s->text.status, "questions of a session");
    for (size_t i = 0; i < s->n; i++) {
        const char *question = lcf_buf_text(&s->text) + s->cuts[i];

        turns[2 * i] = (lcf_turn){LCF_ROLE_USER, {question, s->cuts[i + 1] - s->cuts[i]}};
        turns[2 * i + 1] =
            (lcf_turn){LCF_ROLE_ASSISTANT, s->liked[i] ? (lcf_str){"Yes", 3} : (lcf_str){"No", 2}};
    }
    status = s->n ? lcf_dialogues_add(out, turns, 2 * s->n, err) : LCF_OK;
    s->n = 0;
    lcf_buf_reset(&s->text);
    return status;
}

/* The training rows of each user side by side, in their order of time. memory: free() */
static uint32_t *by_user(const lcf_dataset *d)
{
    const size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];
    uint32_t *order = lcf_alloc(end - begin + 1, sizeof(*order));
    size_t *next = lcf_alloc_zero(d->users_n + 1, sizeof(*next)); /* place of a user's next row */

    if (!order || !next) {
        free(order);
        order = NULL;
        goto done;
    }
    for (size_t i = begin; i < end; i++)
        next[d->sample_user[i] + 1]++;
    for (size_t u = 0; u < d->users_n; u++)
        next[u + 1] += next[u];
    for (size_t i = begin; i < end; i++)
        order[next[d->sample_user[i]]++] = (uint32_t)i;
done:
    free(next);
    return order;
}

lcf_status lcf_sessions_make(lcf_dialogues *out, const lcf_dataset *d,
                             const lcf_prompt_options *prompt, lcf_err *err)
{
    const size_t n = d->split_begin[LCF_TRAIN + 1] - d->split_begin[LCF_TRAIN];
    uint32_t *order = by_user(d);
    session s = {.text = LCF_BUF_INIT};
    lcf_status status = order ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "sessions of %zu rows", n);

    for (size_t i = 0; i < n && !status; i++) {
        if (s.n == LCF_SESSION_ROWS ||
            (i && d->sample_user[order[i]] != d->sample_user[order[i - 1]]))
            status = flush(out, &s, err);
        add_row(&s, d, prompt, order[i]);
    }
    if (!status)
        status = flush(out, &s, err);
    lcf_buf_dispose(&s.text);
    free(order);
    return status;
}
