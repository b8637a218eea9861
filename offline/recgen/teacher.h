/*
 * The bootstrap teacher: composes a chain of thought from the facts of a sample.
 *
 * What it is for: with no larger model at hand, something has to show the small RecGen-LLaMA what
 * reasoning about a user and an item looks like. The teacher's texts are training targets only:
 * what `llmcf generate` stores is written by the trained model. Given a larger GGUF LLaMA, neither
 * the teacher nor tuning is needed.
 *
 * The text has the four parts that llm-cf.md section 3 asks for (profile, target and related items,
 * match, variety) and ends with the known decision; it names only items, categories and brands that
 * the prompt shows, in the recgen
 * dialect by their references. Each part is drawn from several phrasings by the seed, so that the
 * corpus is not one template: same facts and seed, same text.
 */
#ifndef LCF_OFFLINE_RECGEN_TEACHER_H
#define LCF_OFFLINE_RECGEN_TEACHER_H

#include "offline/recgen/prompt.h"

/* Appends the text, beginning with a blank as it follows the prompt; some 60 to 110 tokens. */
void lcf_teacher_compose(lcf_buf *out, const lcf_prompt_options *options, const lcf_dataset *d,
                         const lcf_facts *f, uint64_t seed);

#endif
