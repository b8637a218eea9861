/*
 * The parts of a chain of thought: which of its sentences speak of the user, and which describe the
 * target. The prompt asks for the parts in that order (schemas/prompts.md), so the profile is what
 * stands before the first sentence that names the target, and that sentence is the description. A
 * text that never names it, or begins with it, is taken by its first and its second sentence.
 */
#ifndef LCF_OFFLINE_ENCODE_PARTS_H
#define LCF_OFFLINE_ENCODE_PARTS_H

#include "common/base/str.h"

typedef struct lcf_cot_parts {
    lcf_str profile, target; /* views of the text; empty where there is none */
} lcf_cot_parts;

/* title: of the target, as the catalogue has it; the text may have it shortened or cleaned. */
lcf_cot_parts lcf_cot_parts_of(lcf_str text, lcf_str title);

#endif
