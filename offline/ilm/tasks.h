/*
 * The conversational tasks of phase 2: rows of a dataset as questions with soft tokens in them, and
 * their answers in words.
 *
 *   describe   an item's vector -> its title, brand and categories
 *   next       user, history -> the title of the item that was chosen next
 *   like       user, history, target -> Yes / No
 *   rating     the same -> the rating, where the data has more than two
 *   profile    a user's vector -> titles the user chose last in training, categories loved most
 *   why        user, history, target that was liked -> the shown items that collaborative filtering
 *              finds nearest to it
 *
 * Rows of next, like, rating and why belong to the splits of their samples. Items to describe and
 * users to profile are parted by a hash of their ids, a tenth each for valid and test: neither
 * those rows are trained on, nor next and why of such a user or why of such an item, whose answers
 * would name the same titles beside the same soft tokens.
 *
 * Invariant: a row's tokens are a function of (dataset, vectors, options, row).
 *
 * Life cycle: create -> read ... -> free. Read only, shared between threads; dataset and vectors
 * must outlive it.
 *
 * source   ILM, arXiv 2406.02844; schemas/ilm.md
 */
#ifndef LCF_OFFLINE_ILM_TASKS_H
#define LCF_OFFLINE_ILM_TASKS_H

#include "offline/ilm/soft_prompt.h"
#include "offline/ilm/vectors.h"

typedef enum lcf_ilm_task {
    LCF_ILM_DESCRIBE,
    LCF_ILM_NEXT,
    LCF_ILM_LIKE,
    LCF_ILM_RATING,
    LCF_ILM_PROFILE,
    LCF_ILM_WHY,
    LCF_ILM_TASKS_N
} lcf_ilm_task;
extern const char *const LCF_ILM_TASK_NAMES[LCF_ILM_TASKS_N];

typedef struct lcf_ilm_tasks_options {
    double weights[LCF_ILM_TASKS_N]; /* of training rows, relative to each other */
    const char *prompts;             /* a file of prompts; NULL: the built-in ones */
    size_t history_n;                /* most recent items shown, 1 .. LCF_HISTORY_MAX */
    size_t title_bytes_max;
    size_t cutoff; /* tokens of a row: a longer one loses the oldest of its history */
} lcf_ilm_tasks_options;
#define LCF_ILM_TASKS_OPTIONS_INIT                       \
    {                                                    \
        {1.0, 1.0, 3.0, 1.0, 1.0, 1.0}, NULL, 5, 48, 384 \
    }

/* Reads NAME=WEIGHT[,NAME=WEIGHT]...; tasks that are not named weigh 0. errors: EUSAGE */
lcf_status lcf_ilm_weights_parse(double weights[LCF_ILM_TASKS_N], const char *text, lcf_err *err);

/* The prompts of the tasks; those that no text has given yet are empty. Zero to start with. */
typedef struct lcf_ilm_prompts {
    lcf_soft_template list[LCF_ILM_TASKS_N];
    char *texts[LCF_ILM_TASKS_N]; /* that the templates are views of */
} lcf_ilm_prompts;
/* Reads lines `TASK: prompt`, which replace those there were. errors: EFORMAT, ELIMIT (source, line
 * and place named), after which they are only to be disposed of; ENOMEM */
lcf_status lcf_ilm_prompts_parse(lcf_ilm_prompts *p, lcf_str text, const char *source,
                                 lcf_err *err);
void lcf_ilm_prompts_dispose(lcf_ilm_prompts *p);

typedef struct lcf_ilm_tasks lcf_ilm_tasks;

/* errors: EINVAL a task with a weight has no training row; EFORMAT, ELIMIT in the file of prompts
 * (line and place named); EUSAGE no task has a weight; ENOMEM */
lcf_status lcf_ilm_tasks_create(lcf_ilm_tasks **out, const lcf_dataset *d, const lcf_cf_vectors *v,
                                const lcf_ilm_tasks_options *options, lcf_err *err);
void lcf_ilm_tasks_free(lcf_ilm_tasks *t);
/* Of all slots; 0 for a task that is not trained or has no rows. */
double lcf_ilm_task_share(const lcf_ilm_tasks *t, lcf_ilm_task task);
/* Rows of a task in a split: numbers of samples, items (describe) or of users' last samples
 * (profile). */
typedef struct lcf_ilm_rows {
    const uint32_t *list;
    size_t n;
} lcf_ilm_rows;
lcf_ilm_rows lcf_ilm_task_rows(const lcf_ilm_tasks *t, lcf_ilm_task task, lcf_split split);

typedef struct lcf_ilm_row { /* owned by its caller, zero to start with */
    lcf_tokens tokens;       /* the prompt, and the answer but for its last token */
    int32_t *targets;        /* [tokens.n] -1 within the prompt */
    size_t targets_capacity, targets_n;
    lcf_buf answer; /* in words, with the blank before it */
} lcf_ilm_row;
void lcf_ilm_row_dispose(lcf_ilm_row *row);

/*
 * One row. answered: with its answer, else tokens are the prompt alone and there are no targets;
 * row->answer is filled in either case.
 *
 * errors   ELIMIT it is longer than the cutoff without any history; EINVAL its prompt has no token
 *          (a placeholder that stands for nothing is all there is); ENOMEM
 */
lcf_status lcf_ilm_row_make(lcf_ilm_row *row, const lcf_ilm_tasks *t, const lcf_soft_form *form,
                            lcf_ilm_task task, uint32_t number, bool answered, lcf_err *err);

#endif
