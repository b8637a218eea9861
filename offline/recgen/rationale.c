/* Features of rationales; see the header. */
#include "offline/recgen/rationale.h"

#include "offline/recgen/words.h"

#include <math.h>
#include <string.h>

#define COUNT_MAX 3.0

static const char *const PRAISE[] = {
    "enjoy",      "enjoys",    "enjoyed", "enjoyable", "enjoyment",  "love",      "loves",
    "loved",      "like",      "likes",   "liked",     "appreciate", "positive",  "appreciates",
    "great",      "excellent", "amazing", "perfect",   "strong",     "favorite",  "satisfied",
    "delightful", "appealing", "appeal",  "resonate",  "resonates",  "recommend", "recommended",
    "good",       "beautiful", "best",    "align",     "aligns",     "match",     "matches",
    "suits",      "fits",      "fit",     "classic",   "quality",    "favourite", "satisfaction",
    "welcome",    NULL};
static const char *const REPROACH[] = {
    "not",        "lack",          "lacks",    "lacking", "negative",      "negatives",
    "disappoint", "disappointed",  "unlikely", "mixed",   "disappointing", "disappointment",
    "dislike",    "dislikes",      "disliked", "concern", "concerns",      "issue",
    "issues",     "limited",       "deter",    "detract", "poor",          "weak",
    "less",       "unfortunately", "fails",    "fail",    "doubt",         "mismatch",
    "boring",     "repetitive",    "missing",  "dated",   "short",         "no",
    "never",      "bad",           "worst",    NULL};
static const char *const HEDGES[] = {"may",     "might",    "could",     "potentially", "possibly",
                                     "perhaps", "somewhat", "potential", NULL};
static const char *const STRONG[] = {"highly",    "definitely", "strongly",     "certainly",
                                     "perfectly", "thoroughly", "particularly", NULL};
static const char *const CONTRAST[] = {"however", "but",   "although", "though",
                                       "despite", "while", NULL};
static const char *const NEGATION[] = {"not", "unlikely", NULL};
static const char *const MIXED[] = {"mixed", NULL};

static const char *const NAMES[] = {
#define RATIONALE_NAME(constant, name) name,
    LCF_RATIONALE_FEATURES(RATIONALE_NAME)
#undef RATIONALE_NAME
};

const char *lcf_rationale_name(lcf_rationale_feature feature)
{
    return NAMES[feature];
}

/* What each word of a text says: +1 praise, -1 reproach. */
typedef struct tones {
    int8_t of[LCF_WORDS_MAX];
} tones;

/* sign: -1 lets praise and reproach change places. */
static void find_tones(tones *out, const lcf_words *w, int sign)
{
    uint64_t praise[LCF_WORD_LIST_MAX], reproach[LCF_WORD_LIST_MAX];
    size_t praise_n = lcf_word_list_hash(praise, PRAISE),
           reproach_n = lcf_word_list_hash(reproach, REPROACH);

    for (size_t i = 0; i < w->n; i++)
        out->of[i] = (int8_t)(sign * (lcf_word_among(w->hash[i], praise, praise_n) -
                                      lcf_word_among(w->hash[i], reproach, reproach_n)));
}

static double polarity(const tones *t, size_t begin, size_t end)
{
    double praise = 0.0, reproach = 0.0;

    for (size_t i = begin; i < end; i++) {
        praise += t->of[i] > 0;
        reproach += t->of[i] < 0;
    }
    return (praise - reproach) / (praise + reproach + 1.0);
}

/* The word behind the n-th sentence that begins at `begin`. */
static size_t sentences_end(const lcf_words *w, size_t begin, size_t n)
{
    size_t i = begin;

    while (i < w->n && w->sentence[i] < w->sentence[begin] + n)
        i++;
    return i;
}

/* Mean change of polarity between neighbouring sentences; *last is the last one's polarity. */
static double swing(double *last, const lcf_words *w, const tones *t)
{
    double sum = 0.0, before = 0.0;
    size_t n = 0;

    for (size_t i = 0; i < w->n; n++) {
        size_t end = sentences_end(w, i, 1);
        *last = polarity(t, i, end);
        sum += n ? fabs(*last - before) : 0.0;
        before = *last;
        i = end;
    }
    return n > 1 ? sum / (double)(n - 1) : 0.0;
}

static double grounded(const lcf_words *w, const lcf_words *prompt)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n; i++)
        n += lcf_words_has(prompt, w->hash[i]);
    return w->n ? (double)n / (double)w->n : 0.0;
}

static double markup(lcf_str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] && strchr("#*|_`\n", text.data[i]) != NULL;
    return text.len ? (double)n / (double)text.len : 0.0;
}

void lcf_rationale_features(double *out, lcf_str text, lcf_str prompt, uint8_t label)
{
    const int sign = label ? 1 : -1;
    lcf_words w, p;
    tones tw, tp;
    double n, last = 0.0;

    lcf_words_split(&w, text);
    lcf_words_split(&p, prompt);
    find_tones(&tw, &w, sign);
    find_tones(&tp, &p, 1);
    n = w.n ? (double)w.n : 1.0;
    out[LCF_RATIONALE_POLARITY] = polarity(&tw, 0, w.n);
    out[LCF_RATIONALE_OPENING] = polarity(&tw, 0, sentences_end(&w, 0, 2));
    out[LCF_RATIONALE_SWING] = swing(&last, &w, &tw);
    out[LCF_RATIONALE_CLOSING] = last;
    out[LCF_RATIONALE_STRONG] = fmin(COUNT_MAX, (double)lcf_words_count(&w, STRONG));
    out[LCF_RATIONALE_HEDGES] = (double)lcf_words_count(&w, HEDGES) / n;
    out[LCF_RATIONALE_CONTRAST] = fmin(COUNT_MAX, (double)lcf_words_count(&w, CONTRAST));
    out[LCF_RATIONALE_NEGATION] = sign * (double)lcf_words_count(&w, NEGATION) / n;
    out[LCF_RATIONALE_MIXED] = fmin(1.0, (double)lcf_words_count(&w, MIXED));
    out[LCF_RATIONALE_REPEATS] = lcf_words_repeated(&w);
    out[LCF_RATIONALE_MARKUP] = markup(text);
    out[LCF_RATIONALE_GROUNDED] = grounded(&w, &p);
    out[LCF_RATIONALE_LENGTH] = log(n);
    out[LCF_RATIONALE_WITH_USER] = out[LCF_RATIONALE_POLARITY] * polarity(&tp, 0, p.n / 2);
    out[LCF_RATIONALE_WITH_ITEM] = out[LCF_RATIONALE_POLARITY] * polarity(&tp, p.n / 2, p.n);
}
