/*
 * Prompt templates: the wording of a prompt as a file with a name, a version and a hash.
 *
 *   llmcf-prompt 1
 *   name: plain-words
 *   version: 2
 *   [system]
 *   What is said once.
 *   [explain]
 *   {{#liked}}The user liked:
 *   {{liked}}{{/liked}}The item is:
 *   {{target}}Why was the decision {{answer}}?
 *
 * {{name}} stands for a value, {{#name}}...{{/name}} for what is said when there is one,
 * {{^name}}...{{/name}} for what is said when there is none. Values are put in as they are and
 * never read as a template. A section is its lines without the last line end.
 *
 * The question for Yes or No is [decide], which is said within a chat, or [ask], which is the whole
 * prompt as it stands.
 *
 * A parsed template is checked: rendering it cannot fail but for memory. It holds views of the text
 * it was made from, which must outlive it.
 *
 * source   schemas/prompts.md
 */
#ifndef LCF_OFFLINE_RECGEN_PROMPT_TEMPLATE_H
#define LCF_OFFLINE_RECGEN_PROMPT_TEMPLATE_H

#include "common/base/str.h"

#define LCF_PROMPT_TEMPLATE_BYTES_MAX ((size_t)64 << 10)
#define LCF_PROMPT_TEMPLATE_NAME_BYTES 33

/* What a template can speak of. X(constant, name in the template) */
#define LCF_PROMPT_TEMPLATE_VALUES(X)                                                       \
    X(LCF_VALUE_LIKED, "liked") /* items, one a line; the history where nothing is rated */ \
    X(LCF_VALUE_DISLIKED, "disliked")                                                       \
    X(LCF_VALUE_HISTORY, "history") /* both */                                              \
    X(LCF_VALUE_TARGET, "target")                                                           \
    X(LCF_VALUE_TITLE, "title")     /* of the target */                                     \
    X(LCF_VALUE_RELATED, "related") /* items often chosen together with the target */       \
    X(LCF_VALUE_ANSWER, "answer")   /* Yes or No; none where it is not given */             \
    X(LCF_VALUE_YES, "yes")         /* given, and Yes */                                    \
    X(LCF_VALUE_NO, "no")                                                                   \
    X(LCF_VALUE_RATED, "rated")         /* the history carries ratings */                   \
    X(LCF_VALUE_TITLES, "titles")       /* what the user liked, as "A", "B" */              \
    X(LCF_VALUE_USER_CODE, "user_code") /* what collaborative filtering knows (codes.h) */  \
    X(LCF_VALUE_TARGET_CODE, "target_code")

typedef enum lcf_prompt_template_value {
#define LCF_PROMPT_TEMPLATE_VALUE(constant, name) constant,
    LCF_PROMPT_TEMPLATE_VALUES(LCF_PROMPT_TEMPLATE_VALUE)
#undef LCF_PROMPT_TEMPLATE_VALUE
        LCF_VALUES_N
} lcf_prompt_template_value;

typedef struct lcf_prompt_template {
    char name[LCF_PROMPT_TEMPLATE_NAME_BYTES]; /* letters, digits, '-', '_' and '.' */
    unsigned version;                          /* from 1 */
    char hash[17];                             /* of all its bytes, hexadecimal */
    lcf_str text;                              /* the whole file */
    lcf_str system, explain, decide, ask;      /* empty where it is not there */
    size_t lines[LCF_VALUES_N]; /* of the file, where each is first spoken of; or 0 */
} lcf_prompt_template;

/*
 * errors   EFORMAT what and where (source and line): an unknown value or section, one that is not
 *          closed, neither a request nor a question, both questions, bytes that are no UTF-8 text;
 *          ELIMIT too long, nested too deep
 */
lcf_status lcf_prompt_template_parse(lcf_prompt_template *out, lcf_str text, const char *source,
                                     lcf_err *err);
/* The same from a file. memory: *bytes holds the text, which the template needs: free() */
lcf_status lcf_prompt_template_load(lcf_prompt_template *out, char **bytes, const char *path,
                                    lcf_err *err);

typedef struct lcf_prompt_template_facts { /* what a rendering says */
    const void *arg;
    bool (*has)(const void *arg, lcf_prompt_template_value value);
    void (*append)(lcf_buf *out, const void *arg, lcf_prompt_template_value value);
} lcf_prompt_template_facts;
/* Appends a section of a parsed template. */
void lcf_prompt_template_render(lcf_buf *out, lcf_str section,
                                const lcf_prompt_template_facts *facts);

#endif
