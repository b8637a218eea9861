/* Segments and the chat templates that make them. */
#include "offline/recgen/segments.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The template of chat.h that a chat is, and false for those that are made here. */
static bool template_of(lcf_template *out, lcf_chat chat)
{
    static const lcf_template TEMPLATES[LCF_CHATS_N] = {
        [LCF_CHAT_LLAMA2] = LCF_TEMPLATE_LLAMA2,   [LCF_CHAT_LLAMA3] = LCF_TEMPLATE_LLAMA3,
        [LCF_CHAT_CHATML] = LCF_TEMPLATE_CHATML,   [LCF_CHAT_ZEPHYR] = LCF_TEMPLATE_ZEPHYR,
        [LCF_CHAT_MISTRAL] = LCF_TEMPLATE_MISTRAL, [LCF_CHAT_PLAIN] = LCF_TEMPLATE_PLAIN};

    *out = TEMPLATES[chat];
    return chat != LCF_CHAT_RECGEN && chat != LCF_CHAT_ALPACA;
}

const char *lcf_chat_name(lcf_chat chat)
{
    lcf_template template;

    if (template_of(&template, chat))
        return lcf_template_name(template);
    return chat == LCF_CHAT_ALPACA ? "alpaca" : "recgen";
}

bool lcf_chat_answers_plain(lcf_chat chat)
{
    lcf_template template;

    if (template_of(&template, chat))
        return lcf_template_answers_plain(template);
    return chat == LCF_CHAT_ALPACA;
}

void lcf_segments_reset(lcf_segments *s)
{
    lcf_buf_reset(&s->text);
    s->n = 0;
}

void lcf_segments_dispose(lcf_segments *s)
{
    lcf_buf_dispose(&s->text);
    free(s->list);
    memset(s, 0, sizeof(*s));
}

lcf_str lcf_segments_text(const lcf_segments *s, size_t idx)
{
    const lcf_segment *seg = &s->list[idx];

    return (lcf_str){lcf_buf_text(&s->text) + seg->begin, seg->end - seg->begin};
}

lcf_status lcf_segments_cut(lcf_segments *s, bool opens, bool answer, bool closes, lcf_err *err)
{
    if (s->text.status || lcf_grow((void **)&s->list, &s->capacity, s->n + 1, sizeof(*s->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "text of a training row");
    s->list[s->n] = (lcf_segment){.begin = s->n ? s->list[s->n - 1].end : 0,
                                  .end = s->text.len,
                                  .opens = opens,
                                  .answer = answer,
                                  .closes = closes};
    s->n++;
    return LCF_OK;
}

/* ---- dialogues ---- */

/* One question: its turns, and where it stands. */
typedef struct question {
    lcf_str system, user, input;
    bool first;
} question;

size_t lcf_chat_exchanges(const lcf_dialogues *g, size_t row)
{
    size_t n = 0;

    for (size_t i = 0; i < lcf_dialogues_turns_n(g, row); i++)
        n += lcf_dialogues_turn(g, row, i).role == LCF_ROLE_ASSISTANT;
    return n;
}

size_t lcf_chat_input_bytes(const lcf_dialogues *g, size_t row)
{
    for (size_t i = lcf_dialogues_turns_n(g, row); i-- > 0;) {
        lcf_turn turn = lcf_dialogues_turn(g, row, i);
        if (turn.role == LCF_ROLE_INPUT || turn.role == LCF_ROLE_USER)
            return turn.text.len;
    }
    return 0;
}

/* The end of a text from byte n on, or from the next word or character behind it. */
static lcf_str text_from(lcf_str text, size_t n)
{
    size_t at = n < text.len ? n : text.len, look = at;

    while (at && look < text.len && look < at + 32 && text.data[look] != ' ')
        look++;
    if (at && look < text.len && text.data[look] == ' ')
        at = look + 1;
    while (at < text.len && ((unsigned char)text.data[at] & 0xc0) == 0x80)
        at++;
    return (lcf_str){text.data + at, text.len - at};
}

static void append(lcf_buf *out, lcf_str text)
{
    lcf_buf_append(out, text.data, text.len);
}

static void user_and_input(lcf_buf *out, const question *q)
{
    append(out, q->user);
    if (q->input.len) {
        lcf_buf_append_char(out, '\n');
        append(out, q->input);
    }
}

static void recgen_question(lcf_buf *out, const question *q)
{
    if (q->system.len) {
        append(out, q->system);
        lcf_buf_append_char(out, '\n');
    }
    lcf_buf_append_text(out, "Instruction: ");
    user_and_input(out, q);
    lcf_buf_append_text(out, "\nAnswer:");
}

static void alpaca_question(lcf_buf *out, const question *q)
{
    if (q->system.len) {
        append(out, q->system);
        lcf_buf_append_text(out, "\n\n");
    } else if (q->first) {
        lcf_buf_append_text(
            out, q->input.len
                     ? "Below is an instruction that describes a task, paired with an input that "
                       "provides further context. Write a response that appropriately completes "
                       "the request.  # noqa: E501\n\n"
                     : "Below is an instruction that describes a task. Write a response that "
                       "appropriately completes the request.\n\n");
    } else {
        lcf_buf_append_text(out, "\n\n");
    }
    lcf_buf_append_text(out, "### Instruction:\n");
    append(out, q->user);
    if (q->input.len) {
        lcf_buf_append_text(out, "\n\n### Input:\n");
        append(out, q->input);
    }
    lcf_buf_append_text(out, "\n\n### Response:\n");
}

/* The last segment is one of a template's. */
static void mark(lcf_segments *s, lcf_template template, const lcf_said said[LCF_SAID_MAX])
{
    lcf_segment *last = &s->list[s->n - 1];

    last->marked = true;
    last->chat = template;
    for (size_t i = 0; i < LCF_SAID_MAX; i++)
        if (said[i].end > said[i].begin)
            last->said[i] = (lcf_said){said[i].begin - last->begin, said[i].end - last->begin};
}

/* As chat.h renders it. */
static lcf_status add_marked(lcf_segments *out, lcf_template template, const question *q,
                             lcf_str answer, lcf_err *err)
{
    const lcf_question which = q->first ? LCF_QUESTION_FIRST : LCF_QUESTION_NEXT;
    lcf_said said[LCF_SAID_MAX] = {{0}};
    lcf_buf user = LCF_BUF_INIT;
    lcf_status status;

    user_and_input(&user, q);
    lcf_template_question(&out->text, said, template, which, q->system,
                          (lcf_str){lcf_buf_text(&user), user.len});
    status = user.status
                 ? LCF_FAIL(err, user.status, "text of a training row")
                 : lcf_segments_cut(out, lcf_template_opens(template, which), false, false, err);
    lcf_buf_dispose(&user);
    if (status)
        return status;
    mark(out, template, said);
    memset(said, 0, sizeof(said));
    lcf_template_answer(&out->text, said, template, answer);
    status = lcf_segments_cut(out, false, true, true, err);
    if (!status)
        mark(out, template, said);
    return status;
}

static lcf_status add_exchange(lcf_segments *out, lcf_chat chat, const question *q, lcf_str answer,
                               lcf_err *err)
{
    lcf_template template;
    lcf_status status;

    if (template_of(&template, chat))
        return add_marked(out, template, q, answer, err);
    if (chat == LCF_CHAT_ALPACA)
        alpaca_question(&out->text, q);
    else
        recgen_question(&out->text, q);
    status = lcf_segments_cut(out, q->first, false, false, err);
    if (status)
        return status;
    if (chat != LCF_CHAT_ALPACA)
        lcf_buf_append_char(&out->text, ' ');
    append(&out->text, answer);
    return lcf_segments_cut(out, false, true, true, err);
}

lcf_status lcf_chat_exchange(lcf_segments *out, lcf_chat chat, lcf_str system, lcf_str user,
                             lcf_str input, lcf_str answer, bool first, lcf_err *err)
{
    question q = {system, user, input, first};

    return add_exchange(out, chat, &q, answer, err);
}

static lcf_status whole_text(lcf_segments *out, lcf_str text, lcf_err *err)
{
    append(&out->text, text);
    return lcf_segments_cut(out, true, true, true, err);
}

lcf_status lcf_chat_segments(lcf_segments *out, lcf_chat chat, const lcf_dialogues *g, size_t row,
                             const lcf_dialogue_trim *trim, lcf_err *err)
{
    size_t turns = lcf_dialogues_turns_n(g, row), exchanges = lcf_chat_exchanges(g, row), at = 0;
    question q = {.first = true};
    lcf_status status = LCF_OK;

    if (turns == 1)
        return whole_text(out, lcf_dialogues_turn(g, row, 0).text, err);
    for (size_t i = 0; i < turns && !status; i++) {
        lcf_turn turn = lcf_dialogues_turn(g, row, i);
        size_t cut = at + 1 == exchanges ? trim->input_bytes : 0;
        bool has_input = i + 1 < turns && lcf_dialogues_turn(g, row, i + 1).role == LCF_ROLE_INPUT;
        switch (turn.role) {
        case LCF_ROLE_SYSTEM:
            q.system = turn.text;
            break;
        case LCF_ROLE_USER:
            q.user = text_from(turn.text, has_input ? 0 : cut);
            q.input = (lcf_str){"", 0};
            break;
        case LCF_ROLE_INPUT:
            q.input = text_from(turn.text, cut);
            break;
        case LCF_ROLE_ASSISTANT:
            if (at++ < trim->exchanges)
                break;
            status = add_exchange(out, chat, &q, turn.text, err);
            q.first = false;
            q.system = (lcf_str){"", 0};
            break;
        }
    }
    return status;
}
