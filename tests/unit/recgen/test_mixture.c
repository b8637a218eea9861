/* Sources, the mixture and packing: right rows, right targets, the same after a seek. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/recgen/pack.h"
#include "offline/recgen/sessions.h"
#include "offline/recgen/yes_no.h"
#include "tests/unit/data/fixture.h"
#include "tests/unit/recgen/dialogue_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct world {
    char *dir, *counts; /* the dataset; a file of 40 instructions */
    char counting[512]; /* the source that it is */
    lcf_dataset d;
    lcf_related *related;
    lcf_tokenizer *tokenizer;
    lcf_sources_options options; /* decide .25, explain .75, counting .25 */
} world;

static void add_source(lcf_sources_options *o, const char *text)
{
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_source_parse(&o->list[o->n++], text, &err), LCF_OK);
}

static lcf_sources *new_sources(const world *w, const lcf_sources_options *options)
{
    lcf_sources *s;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_sources_open(&s, &w->d, w->related, options, &err), LCF_OK);
    return s;
}

static int open_world(void **state)
{
    static world w = {.options = LCF_SOURCES_OPTIONS_INIT};
    lcf_buf text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    lcf_sources *sources;

    w.dir = lcf_fixture_dir();
    assert_int_equal(lcf_fixture_write_dataset(w.dir, NULL, &err), LCF_OK);
    assert_int_equal(lcf_dataset_open(&w.d, w.dir, &err), LCF_OK);
    assert_int_equal(lcf_related_create(&w.related, &w.d, &err), LCF_OK);
    w.counts = lcf_path_join(w.dir, "counts.jsonl");
    for (size_t i = 0; i < 40; i++)
        lcf_buf_printf(&text, "{\"instruction\": \"Count to %zu\", \"output\": \"%zu\"}\n", i, i);
    assert_int_equal(lcf_file_write(w.counts, text.data, text.len, &err), LCF_OK);
    lcf_buf_dispose(&text);
    snprintf(w.counting, sizeof(w.counting), "alpaca:%s,weight=0.25,hold=0.2", w.counts);
    add_source(&w.options, "decide,weight=0.25");
    add_source(&w.options, "explain,weight=0.75");
    add_source(&w.options, w.counting);
    sources = new_sources(&w, &w.options);
    assert_int_equal(lcf_vocabulary_train(&w.tokenizer, sources, 400, 100, &err), LCF_OK);
    lcf_sources_free(sources);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;

    lcf_tokenizer_free(w->tokenizer);
    lcf_related_free(w->related);
    lcf_dataset_close(&w->d);
    lcf_dir_remove(w->dir, NULL);
    free(w->counts);
    free(w->dir);
    return 0;
}

static lcf_mixture *new_mixture(const world *w, const lcf_sources *sources, size_t cutoff)
{
    lcf_mixture_options options = LCF_MIXTURE_OPTIONS_INIT;
    lcf_mixture *m;
    lcf_err err = LCF_ERR_INIT;

    options.cutoff = cutoff ? cutoff : options.cutoff;
    assert_int_equal(lcf_mixture_create(&m, sources, w->tokenizer, &options, &err), LCF_OK);
    return m;
}

/* ---- sources ---- */

static void spec_refused(const char *text, const char *part)
{
    lcf_source_spec spec;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_source_parse(&spec, text, &err), LCF_EUSAGE);
    if (!strstr(err.text, part))
        fail_msg("'%s' is not in '%s'", part, err.text);
}

static void test_specs(void **state)
{
    lcf_source_spec s;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    assert_int_equal(
        lcf_source_parse(&s, "alpaca:a/b.json,rows=64,part=0.5,hold=0,group=rec", &err), LCF_OK);
    assert_int_equal(s.kind, LCF_SOURCE_ALPACA);
    same(s.path, "a/b.json");
    assert_int_equal(s.rows, 64);
    assert_true(s.part == 0.5 && s.hold == 0.0 && s.weight == 1.0 && s.share == 0.0 && s.rec);
    assert_int_equal(lcf_source_parse(&s, "next,share=0.3", &err), LCF_OK);
    assert_true(s.share == 0.3 && s.rec);
    assert_int_equal(lcf_source_parse(&s, "text:t.txt", &err), LCF_OK);
    assert_true(s.hold == 0.05 && !s.rec);
    spec_refused("poems:x", "no kind of source 'poems'");
    spec_refused("alpaca", "alpaca needs :PATH");
    spec_refused("decide:x", "decide takes no path");
    spec_refused("decide,weight=-1", "weight takes a number from 0");
    spec_refused("decide,share=2", "share takes");
    spec_refused("decide,rows=0", "rows takes");
    spec_refused("decide,colour=red", "'colour'");
    spec_refused("decide,hold=0.1", "hold is for files");
    spec_refused("text:t,group=other", "group is rec or general");
}

static double share_of(const lcf_sources *s, size_t i)
{
    return lcf_sources_info(s, i).share;
}

static void test_shares(void **state)
{
    world *w = *state;
    lcf_sources_options o = w->options;
    lcf_sources *s = new_sources(w, &o);
    lcf_err err = LCF_ERR_INIT;

    assert_true(fabs(share_of(s, 0) - 0.2) < 1e-12);
    assert_true(fabs(share_of(s, 1) - 0.6) < 1e-12);
    lcf_sources_free(s);
    o.list[2].share = 0.5; /* the rest is divided by the weights */
    s = new_sources(w, &o);
    assert_true(fabs(share_of(s, 0) - 0.125) < 1e-12 && fabs(share_of(s, 2) - 0.5) < 1e-12);
    lcf_sources_free(s);
    o.rec_share = 0.9;
    s = new_sources(w, &o);
    assert_true(fabs(share_of(s, 0) - 0.225) < 1e-12 && fabs(share_of(s, 2) - 0.1) < 1e-12);
    lcf_sources_free(s);
    o.n = 2;
    assert_int_equal(lcf_sources_open(&s, &w->d, w->related, &o, &err), LCF_EINVAL);
    o.rec_share = NAN;
    o.list[0].share = 0.8;
    o.list[1].share = 0.4;
    assert_int_equal(lcf_sources_open(&s, &w->d, w->related, &o, &err), LCF_EUSAGE);
    o.list[0].share = o.list[1].share = 0.0;
    o.list[0].weight = o.list[1].weight = 0.0;
    assert_int_equal(lcf_sources_open(&s, &w->d, w->related, &o, &err), LCF_EINVAL);
    assert_int_equal(lcf_sources_open(&s, NULL, NULL, &w->options, &err), LCF_EUSAGE);
}

/* A part of the rows: as many as asked for, other ones for another seed, never a held-out one. */
static void test_parts(void **state)
{
    world *w = *state;
    lcf_sources_options o = w->options;
    lcf_sources *s, *other;
    size_t same_n = 0;

    o.list[2].rows = 8;
    o.list[0].part = 0.5;
    s = new_sources(w, &o);
    o.seed = 2;
    other = new_sources(w, &o);
    assert_int_equal(lcf_sources_info(s, 2).rows_n, 8);
    assert_int_equal(lcf_sources_info(s, 0).rows_n, (lcf_sources_info(s, 1).rows_n + 1) / 2);
    for (size_t i = 0; i < 8; i++) {
        same_n += lcf_sources_row(s, 2, i) == lcf_sources_row(other, 2, i);
        for (size_t j = 0; j < lcf_sources_info(s, 2).held_n; j++)
            assert_int_not_equal(lcf_sources_row(s, 2, i), lcf_sources_held(s, 2, j));
    }
    assert_true(same_n < 8);
    lcf_sources_free(s);
    lcf_sources_free(other);
}

static char *row_text(const lcf_sources *s, size_t source, size_t idx)
{
    lcf_segments segments = {.n = 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_trim trim;

    lcf_trim_init(&trim, s);
    assert_int_equal(
        lcf_sources_segments(&segments, s, source, lcf_sources_row(s, source, idx), &trim, 0, &err),
        LCF_OK);
    free(segments.list);
    return lcf_buf_take(&segments.text);
}

static void test_next_and_rating(void **state)
{
    world *w = *state;
    lcf_sources_options o = LCF_SOURCES_OPTIONS_INIT;
    lcf_sources *s;
    char *text;
    lcf_sample sample;
    lcf_buf title = LCF_BUF_INIT;

    add_source(&o, "next");
    add_source(&o, "rating");
    s = new_sources(w, &o);
    sample = lcf_dataset_sample(&w->d, lcf_sources_row(s, 0, 0));
    assert_int_equal(sample.label, 1);
    text = row_text(s, 0, 0);
    lcf_buf_append_text(&title, "\nAnswer: ");
    lcf_prompt_title(&title, &o.prompt, &w->d.catalogue, sample.item);
    assert_non_null(strstr(text, "\nLiked: "));
    assert_string_equal(strstr(text, "\nAnswer: "), title.data);
    free(text);
    text = row_text(s, 1, 0);
    assert_non_null(strstr(text, "\nTarget: "));
    assert_true(strtod(strstr(text, "\nAnswer: ") + 9, NULL) >= 0.5);
    free(text);
    lcf_buf_dispose(&title);
    lcf_sources_free(s);
}

/* ---- mixture ---- */

/* Every training row once, users one after another, titles asked and answered as they stand. */
static void test_sessions(void **state)
{
    const world *w = *state;
    const lcf_prompt_options *prompt = &w->options.prompt;
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_buf question = LCF_BUF_INIT;
    size_t row = 0, turn = 0, asked = 0;

    assert_int_equal(lcf_sessions_make(&g, &w->d, prompt, NULL), LCF_OK);
    for (uint32_t user = 0; user < w->d.users_n; user++) {
        for (size_t i = w->d.split_begin[LCF_TRAIN]; i < w->d.split_begin[LCF_TRAIN + 1]; i++) {
            if (w->d.sample_user[i] != user)
                continue;
            if (turn == 2 * LCF_SESSION_ROWS) {
                assert_int_equal(lcf_dialogues_turns_n(&g, row++), turn);
                turn = 0;
            }
            lcf_buf_reset(&question);
            lcf_buf_append_text(&question, "The item titled \"");
            lcf_prompt_title(&question, prompt, &w->d.catalogue, w->d.sample_item[i]);
            lcf_buf_append_text(&question, "\"?");
            same(lcf_dialogues_turn(&g, row, turn++).text, lcf_buf_text(&question));
            same(lcf_dialogues_turn(&g, row, turn++).text, w->d.sample_label[i] ? "Yes" : "No");
            asked++;
        }
        if (turn)
            assert_int_equal(lcf_dialogues_turns_n(&g, row++), turn);
        turn = 0;
    }
    assert_int_equal(row, g.n);
    assert_int_equal(asked, w->d.split_begin[LCF_TRAIN + 1] - w->d.split_begin[LCF_TRAIN]);
    assert_true(asked > g.n);
    lcf_buf_dispose(&question);
    lcf_dialogues_dispose(&g);
}

/* A binary objective learns from each answer of a session, as it was asked and answered. */
static void test_every_answer_of_a_session_decides(void **state)
{
    static const char *const texts[] = {" Yes", " No"};
    const world *w = *state;
    lcf_sources_options o = LCF_SOURCES_OPTIONS_INIT;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_dialogues g = LCF_DIALOGUES_INIT;
    lcf_answers answers = {.n = 0};
    lcf_sources *s;
    lcf_mixture *m;
    size_t answers_n, at = 0, turns;

    add_source(&o, "session");
    s = new_sources(w, &o);
    m = new_mixture(w, s, 4096);
    assert_int_equal(lcf_sessions_make(&g, &w->d, &o.prompt, NULL), LCF_OK);
    assert_int_equal(lcf_answers_find(&answers, w->tokenizer, texts, 2, NULL), LCF_OK);
    assert_int_equal(lcf_mixture_row(&row, m, 0, 0, NULL), LCF_OK);
    turns = lcf_dialogues_turns_n(&g, 0);
    assert_true(turns > 2);
    assert_int_equal(lcf_yes_no_keep(&answers_n, row.targets, row.tokens.n, &answers), turns / 2);
    assert_int_equal(answers_n, turns / 2);
    for (size_t i = 0; i < row.tokens.n; i++)
        if (row.targets[i] >= 0) {
            const size_t turn = 2 * at++ + 1;

            same(lcf_dialogues_turn(&g, 0, turn).text,
                 (uint32_t)row.targets[i] == answers.ids[0] ? "Yes" : "No");
        }
    assert_int_equal(at, turns / 2);
    lcf_answers_dispose(&answers);
    lcf_dialogues_dispose(&g);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
    lcf_sources_free(s);
}

static void test_seek_is_the_same_run(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *run = new_mixture(w, sources, 0);
    lcf_row a = {LCF_TOKENS_INIT, NULL, 0}, b = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;

    for (uint64_t slot = 0; slot < 400; slot++) {
        size_t sa, sb;
        assert_int_equal(lcf_mixture_next(&a, &sa, run, &err), LCF_OK);
        if (slot % 57 == 0) {
            lcf_mixture *other = new_mixture(w, sources, 0);
            lcf_mixture_seek(other, slot);
            assert_int_equal(lcf_mixture_next(&b, &sb, other, &err), LCF_OK);
            assert_int_equal(sa, sb);
            assert_int_equal(a.tokens.n, b.tokens.n);
            assert_memory_equal(a.tokens.ids, b.tokens.ids, a.tokens.n * sizeof(uint32_t));
            assert_memory_equal(a.targets, b.targets, a.tokens.n * sizeof(int32_t));
            lcf_mixture_free(other);
        }
    }
    lcf_row_dispose(&a);
    lcf_row_dispose(&b);
    lcf_mixture_free(run);
    lcf_sources_free(sources);
}

/* One epoch of a source shows each of its rows once, whatever else is drawn in between; the others
 * come by their shares. */
static void test_epochs(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *m = new_mixture(w, sources, 0);
    size_t n = lcf_sources_info(sources, 2).rows_n, drawn = 0, slots = 0, explained = 0;
    size_t seen[64] = {0};

    assert_true(n > 20 && n < 40);
    assert_int_equal(n + lcf_sources_info(sources, 2).held_n, 40);
    for (; drawn < 5 * n; slots++) {
        lcf_slot slot = lcf_mixture_draw(m);
        explained += slot.source == 1;
        if (slot.source != 2)
            continue;
        assert_int_equal(seen[slot.row], drawn / n);
        seen[slot.row]++;
        drawn++;
    }
    assert_true(fabs((double)drawn / (double)slots - 0.2) < 0.05);
    assert_true(fabs((double)explained / (double)slots - 0.6) < 0.05);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
}

static char *counted_text(const world *w, const lcf_row *row)
{
    lcf_tokens counted = LCF_TOKENS_INIT;
    lcf_buf text = LCF_BUF_INIT;

    for (size_t i = 0; i < row->tokens.n; i++)
        if (row->targets[i] >= 0) {
            assert_int_equal(row->targets[i], row->tokens.ids[i + 1]);
            assert_int_equal(lcf_tokens_push(&counted, (uint32_t)row->targets[i]), LCF_OK);
        }
    lcf_tokenizer_decode(&text, w->tokenizer, counted.ids, counted.n);
    lcf_tokens_dispose(&counted);
    return lcf_buf_take(&text);
}

/* With the loss on the answer, the counted targets are the answer (and the decision) and </s>. */
static void test_targets(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *m = new_mixture(w, sources, 0);
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    size_t valid = w->d.split_begin[LCF_VALID];
    bool yes = lcf_dataset_sample(&w->d, valid).label;
    char *text;

    assert_int_equal(lcf_mixture_sample(&row, m, LCF_SOURCE_DECIDE, valid, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_string_equal(text, yes ? " Yes" : " No");
    assert_int_equal(row.tokens.ids[0], lcf_tokenizer_bos(w->tokenizer));
    assert_int_equal(row.tokens.ids[row.tokens.n - 1], lcf_tokenizer_eos(w->tokenizer));
    free(text);

    assert_int_equal(lcf_mixture_sample(&row, m, LCF_SOURCE_EXPLAIN, valid, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_memory_equal(text, yes ? " Yes " : " No ", yes ? 5 : 4);
    assert_non_null(strstr(text, yes ? " Yes." : " No."));
    assert_null(strstr(text, "Why"));
    assert_null(strstr(text, "Target:"));
    free(text);

    assert_int_equal(lcf_mixture_held_out(&row, m, 2, 0, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_non_null(strpbrk(text, "0123456789"));
    assert_null(strstr(text, "Count"));
    free(text);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
}

/* Of a conversation every answer counts, and </s> behind it; of plain text all but <s>. */
static void test_conversation_targets(void **state)
{
    static const char chat[] = "{\"conversations\": [" TURN("human", "Count to 1") ", " TURN(
        "gpt", "1") ", " TURN("human", "Count to 2") ", " TURN("gpt", "2") "]}\n";
    world *w = *state;
    char *path = lcf_path_join(w->dir, "chat.jsonl"), spec[600], text_spec[600], *text;
    lcf_sources_options o = LCF_SOURCES_OPTIONS_INIT;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    lcf_sources *sources;
    lcf_mixture *m;
    size_t counted = 0, closed = 0;

    assert_int_equal(lcf_file_write(path, chat, strlen(chat), &err), LCF_OK);
    snprintf(spec, sizeof(spec), "sharegpt:%s,hold=0", path);
    snprintf(text_spec, sizeof(text_spec), "text:%s,hold=0", path);
    add_source(&o, spec);
    add_source(&o, text_spec);
    sources = new_sources(w, &o);
    m = new_mixture(w, sources, 0);
    assert_int_equal(lcf_mixture_row(&row, m, 0, 0, &err), LCF_OK);
    text = counted_text(w, &row);
    assert_string_equal(text, " 1 2");
    free(text);
    for (size_t i = 0; i < row.tokens.n; i++)
        closed += row.targets[i] == (int32_t)lcf_tokenizer_eos(w->tokenizer);
    assert_int_equal(closed, 2);
    assert_int_equal(lcf_mixture_row(&row, m, 1, 0, &err), LCF_OK);
    for (size_t i = 0; i < row.tokens.n; i++)
        counted += row.targets[i] >= 0;
    assert_int_equal(counted, row.tokens.n - 1);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
    free(path);
}

/* A row that is too long names less of the history before it loses anything else. */
static void test_cutoff(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *whole = new_mixture(w, sources, 0), *cut;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    size_t longest = 0, n = 0;
    char *text;

    for (size_t i = 0; i < lcf_sources_info(sources, 0).rows_n; i++) {
        assert_int_equal(lcf_mixture_row(&row, whole, 0, i, &err), LCF_OK);
        if (row.tokens.n > n) {
            n = row.tokens.n;
            longest = i;
        }
    }
    cut = new_mixture(w, sources, n - 1);
    assert_int_equal(lcf_mixture_row(&row, cut, 0, longest, &err), LCF_OK);
    assert_true(row.tokens.n < n);
    text = counted_text(w, &row);
    assert_true(!strcmp(text, " Yes") || !strcmp(text, " No")); /* the answer is all there */
    free(text);
    lcf_mixture_free(cut);
    cut = new_mixture(w, sources, 40);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(lcf_mixture_next(&row, NULL, cut, &err), LCF_OK);
        assert_true(row.tokens.n <= 40);
    }
    assert_true(lcf_mixture_truncated_n(cut) > 0);
    lcf_row_dispose(&row);
    lcf_mixture_free(cut);
    lcf_mixture_free(whole);
    lcf_sources_free(sources);
}

/* A question that takes the whole cutoff leaves nothing to learn: the row is counted and skipped,
 * also where the loss is on prompts. */
static void test_lost_answer(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    const lcf_mixture_options o = {true, 16};
    lcf_mixture_statistics look;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;
    uint64_t lost = 0, drawn = 0;
    lcf_mixture *m;
    size_t source;

    assert_int_equal(lcf_mixture_create(&m, sources, w->tokenizer, &o, &err), LCF_OK);
    for (; drawn < 60; drawn++) {
        bool counted = false;
        assert_int_equal(lcf_mixture_next(&row, &source, m, &err), LCF_OK);
        for (size_t i = 0; i < row.tokens.n; i++)
            counted |= row.targets[i] >= 0;
        lost += !counted;
        /* A decision's prompt is longer than the cutoff with a single item of history. */
        assert_true(!counted ||
                    !lcf_source_is_of_dataset(lcf_sources_info(sources, source).spec->kind));
    }
    assert_true(lost > 0);
    assert_int_equal(lcf_mixture_lost_n(m), lost);
    assert_int_equal(lcf_mixture_look(&look, m, 0, 5, &err), LCF_OK);
    assert_true(look.lost == 1.0 && look.answer_tokens == 0.0);
    assert_int_equal(lcf_mixture_lost_n(m), lost); /* of drawn rows */
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
}

static void test_statistics(void **state)
{
    world *w = *state;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *m = new_mixture(w, sources, 0), *tight = new_mixture(w, sources, 16);
    size_t n = lcf_sources_info(sources, 2).rows_n, tokens = 0;
    lcf_mixture_statistics look;
    lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
    lcf_err err = LCF_ERR_INIT;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(lcf_mixture_row(&row, m, 2, i, &err), LCF_OK);
        tokens += row.tokens.n;
    }
    assert_int_equal(lcf_mixture_look(&look, m, 2, 1000, &err), LCF_OK);
    assert_int_equal(look.looked_n, n);
    assert_true(fabs(look.tokens - (double)tokens / (double)n) < 1e-9);
    assert_true(look.truncated == 0.0 && look.answer_tokens > 1.0);
    assert_int_equal(lcf_mixture_look(&look, tight, 1, 5, &err), LCF_OK);
    assert_int_equal(look.looked_n, 5);
    assert_true(look.truncated == 1.0 && look.tokens == 16.0);
    assert_int_equal(lcf_mixture_truncated_n(tight), 0);
    lcf_row_dispose(&row);
    lcf_mixture_free(m);
    lcf_mixture_free(tight);
    lcf_sources_free(sources);
}

/* ---- packing ---- */

static lcf_llama_trainer *new_trainer(const world *w)
{
    lcf_llama_config config = {.vocab_n = lcf_tokenizer_vocab_n(w->tokenizer),
                               .dim = 16,
                               .layers_n = 2,
                               .heads_n = 2,
                               .kv_heads_n = 1,
                               .head_dim = 8,
                               .ffn_dim = 32,
                               .context_n = 512,
                               .rope_theta = 10000.0f,
                               .norm_eps = 1e-5f,
                               .tied = true};
    lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama_trainer *trainer;
    lcf_err err = LCF_ERR_INIT;

    assert_int_equal(lcf_llama_trainer_create(&trainer, &config, &options, &err), LCF_OK);
    return trainer;
}

/* Every row arrives whole, once, and the loss over packed rows is the sum of the rows' losses. */
static void test_packed_is_alone(void **state)
{
    enum { ROWS = 12 };
    world *w = *state;
    const size_t cutoff = 384;
    lcf_sources *sources = new_sources(w, &w->options);
    lcf_mixture *m = new_mixture(w, sources, cutoff);
    lcf_llama_trainer *trainer = new_trainer(w);
    lcf_row rows[ROWS] = {{LCF_TOKENS_INIT, NULL, 0}};
    lcf_pool *pool;
    lcf_pack pack;
    lcf_err err = LCF_ERR_INIT;
    double packed, alone = 0.0;
    uint64_t packed_n, alone_n = 0, tokens = 0, held = 0;

    assert_int_equal(lcf_pool_create(&pool, 1, &err), LCF_OK);
    assert_int_equal(lcf_pack_init(&pack, ROWS, cutoff, &err), LCF_OK);
    for (size_t i = 0; i < ROWS; i++) {
        double nll;
        uint64_t n;
        assert_int_equal(lcf_mixture_next(&rows[i], NULL, m, &err), LCF_OK);
        tokens += rows[i].tokens.n;
        lcf_pack_fill(&pack, &rows[i], 1);
        assert_int_equal(pack.n, 1);
        assert_int_equal(lcf_llama_trainer_eval(&nll, &n, trainer, pack.seqs, 1, pool, &err),
                         LCF_OK);
        alone += nll;
        alone_n += n;
    }
    lcf_pack_fill(&pack, rows, ROWS);
    assert_true(pack.n < ROWS);
    for (size_t i = 0; i < pack.n; i++)
        held += pack.seqs[i].n;
    assert_int_equal(held, tokens);
    assert_int_equal(
        lcf_llama_trainer_eval(&packed, &packed_n, trainer, pack.seqs, pack.n, pool, &err), LCF_OK);
    assert_int_equal(packed_n, alone_n);
    assert_true(fabs(packed - alone) < 1e-4 * alone);
    for (size_t i = 0; i < ROWS; i++)
        lcf_row_dispose(&rows[i]);
    lcf_pack_dispose(&pack);
    lcf_pool_free(pool);
    lcf_llama_trainer_free(trainer);
    lcf_mixture_free(m);
    lcf_sources_free(sources);
}

static void test_without_memory(void **state)
{
    world *w = *state;

    for (uint64_t n = 1;; n++) {
        lcf_mixture_options options = LCF_MIXTURE_OPTIONS_INIT;
        lcf_sources *sources = NULL;
        lcf_mixture *m = NULL;
        lcf_row row = {LCF_TOKENS_INIT, NULL, 0};
        lcf_err err = LCF_ERR_INIT;
        lcf_status status;
        lcf_alloc_fail_at(n);
        status = lcf_sources_open(&sources, &w->d, w->related, &w->options, &err);
        if (!status)
            status = lcf_mixture_create(&m, sources, w->tokenizer, &options, &err);
        if (!status)
            status = lcf_mixture_next(&row, NULL, m, &err);
        lcf_alloc_fail_at(0);
        lcf_row_dispose(&row);
        lcf_mixture_free(m);
        lcf_sources_free(sources);
        if (!status)
            break;
        assert_int_equal(status, LCF_ENOMEM);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specs),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_next_and_rating),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_every_answer_of_a_session_decides),
        cmocka_unit_test(test_seek_is_the_same_run),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_conversation_targets),
        cmocka_unit_test(test_cutoff),
        cmocka_unit_test(test_lost_answer),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_packed_is_alone),
        cmocka_unit_test(test_without_memory),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
