/*
 * Sessions: a user's training rows one after another as a conversation, each asked by its title and
 * answered Yes or No. Many answers for few tokens: a model learns from them which titles are liked,
 * and what liking one says of another, at a fifth of the cost of a question with its history for
 * every row.
 *
 * Invariant: rows of the training split alone, a user's in their order of time.
 */
#ifndef LCF_OFFLINE_RECGEN_SESSIONS_H
#define LCF_OFFLINE_RECGEN_SESSIONS_H

#include "offline/recgen/dialogues.h"
#include "offline/recgen/prompt.h"

#define LCF_SESSION_ROWS 16 /* of one conversation; a user with more has several */

/* Appends the conversations of all users to *out. Titles are as prompts show them. errors: ENOMEM
 */
lcf_status lcf_sessions_make(lcf_dialogues *out, const lcf_dataset *d,
                             const lcf_prompt_options *prompt, lcf_err *err);

#endif
